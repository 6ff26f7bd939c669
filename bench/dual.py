"""Both stores in step, in the default set-up: ratios, measured in one run.

Run: python -m bench.dual [--quick] [--large] [--peers]

Everything is measured three times, in turn with what it is compared with. Lines show the medians,
and in brackets the goal and the range of the ratios; of stalls, the range of the times, and what is
left of the median without the time in which no processor was free for the loop.
"""

import argparse
import asyncio
import sys

from bench.dual_bed import heading
from bench.dual_indexing import latency, throughput
from bench.dual_loop import growth, stalls
from bench.peers_beside import peers


async def main() -> None:
    """Print every ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure each pair once")
    parser.add_argument("--large", action="store_true", help="memory, too; takes minutes")
    parser.add_argument("--peers", action="store_true", help="LangChain and LangGraph beside us")
    parser.add_argument(
        "--only", choices=("throughput", "latency", "stalls", "none"), help="a part"
    )
    parser.add_argument("--growth", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.growth:
        await growth()
        return
    times = 1 if given.quick else 3
    parts = {"throughput": throughput, "latency": latency, "stalls": stalls}
    heading("ours", "beside")
    for name, part in parts.items():
        if given.only in (None, name):
            await part(times)
    if given.large:
        await _alone("--growth")
    if given.peers:
        await peers()


async def _alone(what: str) -> None:
    """In a process of its own."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.dual", what)
    if await child.wait():
        raise SystemExit(f"{what} failed")


if __name__ == "__main__":
    asyncio.run(main())
