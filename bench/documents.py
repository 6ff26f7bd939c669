"""The document store against plain sqlite3: ratios, measured in one run.

Run: python -m bench.documents [--quick]

The floor (bench/floor.py) does the same work through one thread: same columns, same indexes, JSON,
hashes and porter FTS5. `insert` and `get` say how many times the floor's speed or time we take.
"""

import argparse
import asyncio
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from bench.corpus import Corpus
from bench.floor import Floor
from dualstore.documents.base import DocumentStore, Settlement
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.entry import Drafter
from dualstore.family import FamilySpec
from dualstore.filters import parse
from dualstore.outbox import Released
from dualstore.terms import Analyzer

SPEC = FamilySpec("default_bench")
BATCH = 10_000
LIMIT = 200


@dataclass(frozen=True)
class Pair:
    """The same entries in both."""

    ours: DocumentStore
    floor: Floor
    corpus: Corpus


async def timed(call: Callable[[Any], Awaitable[Any]], argument: Any) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    await call(argument)
    return time.perf_counter() - start


def report(name: str, ours: float, floor: float, *, goal: str, inverse: bool = False) -> None:
    """One line: both times and their ratio."""
    ratio = floor / ours if inverse else ours / floor
    print(f"{name:44} {ours * 1e3:9.3f} ms {floor * 1e3:9.3f} ms   {ratio:5.2f}   ({goal})")


async def alternating(
    arguments: Sequence[Any],
    ours: Callable[[Any], Awaitable[Any]],
    floor: Callable[[Any], Awaitable[Any]],
) -> tuple[float, float]:
    """The medians of the same calls made in turn."""
    pairs = [(await timed(ours, each), await timed(floor, each)) for each in arguments]
    mine, theirs = zip(*pairs, strict=True)
    return statistics.median(mine), statistics.median(theirs)


async def insert(folder: Path, count: int) -> None:
    """Batches in turn into two files that grow; the first pair warms up and isn't counted."""
    messages, drafter = Corpus(seed=2).messages(6 * count), Drafter(SPEC)
    floor, times = Floor(folder / "floor"), []
    async with SqliteDatabase(folder / "ours") as database:
        store = await database.family(SPEC)

        async def put(batch: list[dict[str, Any]]) -> None:
            await store.put(drafter.draft_many(batch, now=1), now=1)

        while batch := list(islice(messages, count)):
            times.append((await timed(put, batch), await timed(floor.insert, batch)))
    floor.close()
    ours, theirs = sorted(times[1:], key=lambda pair: pair[1] / pair[0])[2]
    report(f"insert {count:,} of 400 characters", ours, theirs, goal="at least 0.45", inverse=True)


async def fill(pair: Pair, count: int) -> int:
    """The same messages into both; the size of their texts."""
    drafter, raw = Drafter(SPEC), 0
    messages = pair.corpus.messages(count)
    while batch := list(islice(messages, BATCH)):
        await pair.ours.put(drafter.draft_many(batch, now=1), now=1)
        await pair.floor.insert(batch)
        raw += sum(len(message["text"]) for message in batch)
    return raw


def sizes(folder: Path, raw: int) -> None:
    """What the closed files take."""
    ours, floor = ((folder / name).stat().st_size / raw for name in ("ours", "floor"))
    print(
        f"{'file, in times the raw text':44} {ours:9.2f}    {floor:9.2f}"
        f"      {ours / floor:5.2f}   (ours at most 6)"
    )


async def reads(pair: Pair, count: int) -> None:
    """Get, and the newest of a session."""
    ids = [f"message:{n * 7919 % count:08}" for n in range(400)]
    ours, floor = await alternating(ids, lambda each: pair.ours.get([each]), pair.floor.get)
    report("get by id, p50", ours, floor, goal="at most 2")
    threads = [f"session-{n % 100:05}" for n in range(200)]
    ours, floor = await alternating(
        threads,
        lambda each: pair.ours.page(parse({"metadata.session_id": each})),
        pair.floor.newest,
    )
    report("newest 50 of a session, p50", ours, floor, goal="at most 1.5")


async def claims(pair: Pair) -> None:
    """Claiming work and giving it back; the floor has nothing like it."""
    times = []
    for now in range(2, 22):
        start = time.perf_counter()
        work = await pair.ours.claim(100, now=now, lease=1000)
        times.append(time.perf_counter() - start)
        await pair.ours.settle([Settlement(each, Released()) for each in work])
    print(f"{'claim of 100, p50':44} {statistics.median(times) * 1e3:9.3f} ms")


async def candidates(pair: Pair) -> None:
    """Our best 200 with their terms, against bm25's best 200 with their text."""
    words, stream = pair.corpus.words, Analyzer().stream
    mixes = {
        "rare": [[words[5000 + n * 7], words[9000 + n * 3], words[3000 + n]] for n in range(40)],
        "mixed": [[words[20 + n], words[3000 + n], words[400 + n]] for n in range(40)],
        "common": [[words[60 + n], words[100 + n], words[200 + n]] for n in range(40)],
        "one common": [[words[150 + n]] for n in range(40)],
        "in most rows": [[words[n % 5], words[(n + 1) % 5]] for n in range(10)],
    }
    for name, questions in mixes.items():
        ours, floor = await alternating(
            questions,
            lambda asked: pair.ours.candidates(
                {term: 1.0 for word in asked for term in stream(word)}, limit=LIMIT
            ),
            lambda asked: pair.floor.best(asked, LIMIT),
        )
        report(f"best {LIMIT}, words: {name}, p50", ours, floor, goal="at most 1")


async def walk(pair: Pair, count: int) -> None:
    """Count and page to the last entry, and scan, watching memory."""
    assert await pair.ours.count() == count
    assert await pair.ours.count(parse({"metadata.tokens": {"$gte": 0}})) == count
    seen, cursor = 0, None
    start = time.perf_counter()
    while True:
        page = await pair.ours.page(limit=1000, cursor=cursor)
        seen, cursor = seen + len(page.entries), page.next_cursor
        if cursor is None:
            break
    assert seen == count
    print(f"{f'{count:,} entries in pages of 1,000':44} {time.perf_counter() - start:9.3f} s")


async def scan(path: Path, count: int) -> None:
    """Alone in a process of its own: what a scan adds to the memory of an idle one."""
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        idle, most, seen, after = memory(), 0.0, 0, None
        while some := await store.scan(after=after):
            seen, after, most = seen + len(some), some[-1].id, max(most, memory())
    assert seen == count
    print(f"{f'memory of a scan over {count:,}':44} {most - idle:9.1f} MiB (under 100)")


def memory() -> float:
    """What this process has in memory, in MiB; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def at_size(folder: Path, count: int) -> None:
    """Everything that is measured at one size."""
    print(f"\n{count:,} entries")
    floor = Floor(folder / "floor")
    async with SqliteDatabase(folder / "ours") as database:
        pair = Pair(await database.family(SPEC), floor, Corpus())
        raw = await fill(pair, count)
        await reads(pair, count)
        await claims(pair)
        if count > BATCH:
            await candidates(pair)
        await walk(pair, count)
    floor.close()
    sizes(folder, raw)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.documents", "--scan", str(folder / "ours"), str(count)
    )
    if await child.wait():
        raise SystemExit("the scan failed")


async def main() -> None:
    """Print every ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 and 10,000 entries only")
    parser.add_argument("--scan", nargs=2, metavar=("PATH", "COUNT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.scan:
        await scan(Path(given.scan[0]), int(given.scan[1]))
        return
    print(f"{'':44} {'ours':>12} {'floor':>12}   ratio")
    with tempfile.TemporaryDirectory() as name:
        await insert(Path(name), 1_000 if given.quick else BATCH)
    for count in (1_000, 10_000) if given.quick else (1_000, 10_000, 100_000):
        with tempfile.TemporaryDirectory() as name:
            await at_size(Path(name), count)


if __name__ == "__main__":
    asyncio.run(main())
