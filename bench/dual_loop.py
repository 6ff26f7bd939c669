"""How long others wait for the event loop, and how much memory grows, while entries are indexed."""

import asyncio
import resource
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.dual_bed import (
    COUNT,
    Bed,
    folder_of_its_own,
    line,
    made_bed,
    messages,
    portions,
    quantile,
    spread,
)
from dualstore.manager import DualStoreManager

BEAT: Final = 0.001
IDLE: Final = 5.0
MANY: Final = 100_000
SHORT: Final = 80
WATCH: Final = 0.02

_SCHEDULED: Final = Path("/proc/thread-self/schedstat")

Doing = Callable[[], Awaitable[object]]


class Beat(NamedTuple):
    """By how many milliseconds it was late."""

    late: float
    own: float
    """Without the time in which the loop could have run, had there been a free processor."""


@asynccontextmanager
async def heartbeat() -> AsyncIterator[list[Beat]]:
    """A beat every millisecond in this loop."""
    beats: list[Beat] = []

    async def beat() -> None:
        while True:
            start, waited = time.perf_counter(), _waited()
            await asyncio.sleep(BEAT)
            late = time.perf_counter() - start - BEAT
            beats.append(Beat(late * 1e3, (late - _waited() + waited) * 1e3))

    task = asyncio.create_task(beat())
    try:
        yield beats
    finally:
        task.cancel()
        await asyncio.wait([task])


def _waited() -> float:
    """Seconds that this thread has waited for a processor; Linux only."""
    return int(_SCHEDULED.read_text().split()[1]) / 1e9


async def stalls(rounds: int) -> None:
    """How late the loop is while it indexes, beside one that does nothing else."""
    found: dict[str, list[list[Beat]]] = {}
    with folder_of_its_own() as folder:
        async with made_bed(folder) as bed:
            for turn in range(rounds):
                for name, beats in (await _stalls(bed, turn)).items():
                    found.setdefault(name, []).append(beats)
    idle = found.pop("")
    for name, beats_of_rounds in found.items():
        _report(name, beats_of_rounds, idle)


async def _stalls(bed: Bed, turn: int) -> dict[str, list[Beat]]:
    given = messages(COUNT)
    async with heartbeat() as idle:
        await asyncio.sleep(IDLE)
    async with bed.family(f"due{turn}") as manager:
        await bed.leave_due(manager, given)
        async with heartbeat() as indexing:
            await manager.drain()
    async with bed.family(f"inserted{turn}") as manager, heartbeat() as inserting:
        for some in portions(given):
            await manager.insert_many(some)
        await manager.drain()
    return {"": idle, "indexing": indexing, "insert_many, too": inserting}


def _report(name: str, beats: list[list[Beat]], idle: list[list[Beat]]) -> None:
    goals = {0.5: "", 0.999: "under 15; ", 1.0: "under 30; "}
    for share, goal in goals.items():
        late = [quantile([beat.late for beat in each], share) for each in beats]
        own = [quantile([beat.own for beat in each], share) for each in beats]
        beside = statistics.median(quantile([beat.late for beat in each], share) for each in idle)
        what = "longest" if share == 1.0 else f"p{share * 100:g}"
        line(
            f"stalls, ms, {name}; idle: {what}",
            statistics.median(late),
            beside,
            ratio=statistics.median(late) / max(beside, 1e-3),
            note=f"({goal}{spread(late, '.1f')}; own {statistics.median(own):.1f})",
        )


async def growth() -> None:
    """Alone in a process of its own."""
    with folder_of_its_own() as folder:
        async with made_bed(folder) as bed, bed.family("large") as manager:
            idle = memory()
            start = time.perf_counter()
            most = await _most(lambda: _fill(manager))
            seconds = time.perf_counter() - start
            assert await manager.count() == MANY
    print(
        f"{f'memory, MiB, {MANY:,} entries of {SHORT} characters':46} {most - idle:12,.2f}"
        f" above {idle:,.0f} MiB   (under 300; took {seconds:,.0f} s)"
    )


async def _fill(manager: DualStoreManager) -> None:
    for start in range(0, MANY, COUNT):
        given = messages(COUNT, seed=start + 1, first=start, length=SHORT)
        for some in portions(given):
            await manager.insert_many(some)
    await manager.drain()


async def _most(doing: Doing) -> float:
    """The most memory there was meanwhile, in MiB."""
    most = memory()
    task = asyncio.ensure_future(doing())
    while not task.done():
        await asyncio.wait([task], timeout=WATCH)
        most = max(most, memory())
    await task
    return most


def memory() -> float:
    """What this process has in memory, in MiB; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
