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


async def timed(call: Callable[[], Awaitable[Any]]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    await call()
    return time.perf_counter() - start


def report(name: str, ours: float, floor: float, *, goal: str, inverse: bool = False) -> None:
    """One line: both times and their ratio."""
    ratio = floor / ours if inverse else ours / floor
    print(f"{name:44} {ours * 1e3:9.3f} ms {floor * 1e3:9.3f} ms   {ratio:5.2f}   ({goal})")


async def alternating(
    ours: Sequence[Callable[[], Awaitable[Any]]], floor: Sequence[Callable[[], Awaitable[Any]]]
) -> tuple[float, float]:
    """The medians of calls made in turn."""
    pairs = [(await timed(one), await timed(two)) for one, two in zip(ours, floor, strict=True)]
    mine, theirs = zip(*pairs, strict=True)
    return statistics.median(mine), statistics.median(theirs)


async def insert(folder: Path, count: int) -> None:
    """Batches into fresh files, in turn."""
    corpus, drafter = Corpus(seed=2), Drafter(SPEC)
    times: list[tuple[float, float]] = []
    for turn in range(6):
        messages = list(corpus.messages(count))
        floor = Floor(folder / f"floor-{turn}")
        async with SqliteDatabase(folder / f"ours-{turn}") as database:
            store = await database.family(SPEC)
            start = time.perf_counter()
            await store.put(drafter.draft_many(messages, now=1), now=1)
            mine = time.perf_counter() - start
        times.append((mine, await timed(lambda made=floor, all_=messages: made.insert(all_))))
        floor.close()
    ratio, (ours, theirs) = sorted((b / a, (a, b)) for a, b in times[1:])[2]
    report(f"insert {count:,} of 400 characters", ours, theirs, goal="at least 0.45", inverse=True)
    assert ratio


async def fill(folder: Path, pair: Pair, count: int) -> None:
    """The same messages into both, and what the files take."""
    drafter, raw = Drafter(SPEC), 0
    messages = pair.corpus.messages(count)
    while batch := list(islice(messages, BATCH)):
        await pair.ours.put(drafter.draft_many(batch, now=1), now=1)
        await pair.floor.insert(batch)
        raw += sum(len(message["text"]) for message in batch)
    size = {name: (folder / name).stat().st_size / raw for name in ("ours", "floor")}
    print(
        f"{'file, in times the raw text':44} {size['ours']:12.2f} {size['floor']:12.2f}"
        f"   {size['ours'] / size['floor']:5.2f}   (ours at most 6)"
    )


async def reads(pair: Pair, count: int) -> None:
    """Get, and the newest of a session."""
    ids = [f"message:{n * 7919 % count:08}" for n in range(400)]
    ours, floor = await alternating(
        [lambda each=each: pair.ours.get([each]) for each in ids],
        [lambda each=each: pair.floor.get(each) for each in ids],
    )
    report("get by id, p50", ours, floor, goal="at most 2")
    threads = [f"session-{n % 100:05}" for n in range(200)]
    ours, floor = await alternating(
        [
            lambda each=each: pair.ours.page(parse({"metadata.session_id": each}))
            for each in threads
        ],
        [lambda each=each: pair.floor.newest(each) for each in threads],
    )
    report("newest 50 of a session, p50", ours, floor, goal="at most 1.5")


async def claims(pair: Pair) -> None:
    """Claiming work and giving it back; the floor has nothing like it."""
    times = []
    for now in range(2, 22):
        start = time.perf_counter()
        work = await pair.ours.claim(100, now=now, lease=1000)
        times.append(time.perf_counter() - start)
        await pair.ours.settle([Settlement(each, Released(at=1)) for each in work])
    print(f"{'claim of 100, p50':44} {statistics.median(times) * 1e3:9.3f} ms")


async def candidates(pair: Pair) -> None:
    """Our best 200 with their terms, against bm25's best 200 with their text."""
    words, analyzer = pair.corpus.words, Analyzer()
    mixes = {
        "rare": [[words[5000 + n * 7], words[9000 + n * 3], words[3000 + n]] for n in range(40)],
        "mixed": [[words[20 + n], words[3000 + n], words[400 + n]] for n in range(40)],
        "common": [[words[60 + n], words[100 + n], words[200 + n]] for n in range(40)],
        "one common": [[words[150 + n]] for n in range(40)],
        "in most rows": [[words[n % 5], words[(n + 1) % 5]] for n in range(10)],
    }
    for name, questions in mixes.items():
        terms = [
            {term: 1.0 for word in question for term in analyzer.stream(word)}
            for question in questions
        ]
        ours, floor = await alternating(
            [lambda asked=asked: pair.ours.candidates(asked, limit=LIMIT) for asked in terms],
            [lambda asked=asked: pair.floor.best(asked, LIMIT) for asked in questions],
        )
        report(f"best 200, {name} words, p50", ours, floor, goal="at most 1")


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
    """Run alone in a process of its own: what a scan adds to the peak of an idle one."""
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        await store.get(["none"])
        idle, seen, after = peak(), 0, None
        while some := await store.scan(after=after):
            seen, after = seen + len(some), some[-1].id
    assert seen == count
    print(f"{f'memory of a scan over {count:,}':44} {peak() - idle:9.1f} MiB (under 100)")


def peak() -> float:
    """The most memory this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def at_size(folder: Path, count: int) -> None:
    """Everything that is measured at one size."""
    print(f"\n{count:,} entries")
    folder.mkdir()
    floor = Floor(folder / "floor")
    async with SqliteDatabase(folder / "ours") as database:
        pair = Pair(await database.family(SPEC), floor, Corpus())
        await fill(folder, pair, count)
        await reads(pair, count)
        await claims(pair)
        if count > BATCH:
            await candidates(pair)
        await walk(pair, count)
    floor.close()
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
        folder = Path(name)
        await insert(folder, 1_000 if given.quick else BATCH)
        for count in (1_000, 10_000) if given.quick else (1_000, 10_000, 100_000):
            await at_size(folder / str(count), count)


if __name__ == "__main__":
    asyncio.run(main())
