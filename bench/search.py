"""Hybrid search against the bare parts it can't do without: ratios, measured in one run.

Run: python -m bench.search [--quick] [--peers]

Bare are: FTS5's best 200 by bm25 with their text (porter, plain sqlite3), Chroma's nearest 200, and
one embedding of the question. A search asks both sides, weighs about 500 candidates with their
neighbours, and shows ten entries with snippets. `--quick` leaves out 100,000 entries. `--peers`
asks the vector stores of LangChain and LangGraph the same questions, by meaning, as they can.
"""

import argparse
import asyncio
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from bench.corpus import Corpus
from bench.dual_bed import (
    Bed,
    folder_of_its_own,
    heading,
    line,
    made_bed,
    messages,
    portions,
    quantile,
)
from bench.floor import Floor
from bench.peers_beside import SYSTEMS, PeersError, speed
from dualstore.indexing.generations import GenerationBook
from dualstore.manager import DualStoreManager
from dualstore.vectors.base import VectorIndex

LIMIT: Final = 200
ASKED: Final = 60
GOALS: Final = {10_000: 3.0, 100_000: 2.0}
P95: Final = 50.0

FIRST: Final = """
import asyncio, sys, time
start = time.perf_counter()
from dualstore import DualStoreManager, Settings
async def main():
    settings = Settings(documents=sys.argv[1], vectors=sys.argv[2])
    async with await DualStoreManager.create("search", settings=settings) as manager:
        result = await manager.search(sys.argv[3])
        assert result.hits and not result.degraded, result
    print(time.perf_counter() - start)
asyncio.run(main())
"""


async def main() -> None:
    """Print all lines."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--peers", action="store_true")
    given = options.parse_args()
    for count in (10_000,) if given.quick else (10_000, 100_000):
        with folder_of_its_own() as folder:
            async with made_bed(folder) as bed, bed.family("search") as manager:
                await _measure(bed, manager, Floor(folder / "floor.sqlite"), count)
                await _first(bed, count)
                if given.peers and count == min(GOALS):
                    await _peers(manager, count)


async def _peers(manager: DualStoreManager, count: int) -> None:
    questions = [each for some in _questions().values() for each in some]
    ours = statistics.median([await _timed(manager.search, each) for each in questions])
    meaning = statistics.median(
        [await _timed(partial(manager.search, mode="semantic"), each) for each in questions]
    )
    heading("hybrid, ms", "theirs, ms", "times")
    given = {"batches": messages(count), "singles": [], "queries": questions}
    for system in SYSTEMS:
        try:
            theirs = (await speed(system, given))["query"]
        except PeersError as error:
            print(f"no {system}: {error}")
            continue
        note = f"(our search by meaning alone {meaning * 1e3:.2f} ms)"
        line(
            f"{count:,} entries, {system}", ours * 1e3, theirs * 1e3, ratio=theirs / ours, note=note
        )


async def _measure(bed: Bed, manager: DualStoreManager, floor: Floor, count: int) -> None:
    given = messages(count)
    for some in portions(given, 5_000):
        await manager.insert_many(some)
        await floor.insert([dict(each) for each in some])
    await manager.drain()
    present = await GenerationBook(bed.backends.documents.records, manager.spec.name).read()
    assert present is not None
    name = present.live.index_name(manager.spec.name)
    index = await bed.backends.vectors.find(name, dimension=present.live.dimension)
    assert index is not None
    heading("search, ms", "bare, ms", "times")
    await _mixes(bed, manager, floor, index, count)
    floor.close()


async def _mixes(
    bed: Bed, manager: DualStoreManager, floor: Floor, index: VectorIndex, count: int
) -> None:
    everything: list[tuple[float, float]] = []
    for name, questions in _questions().items():
        for question in questions[:3]:
            await manager.search(question)
        pairs = [await _pair(bed, manager, floor, index, each) for each in questions]
        everything += pairs
        _show(f"{count:,} entries, {name}, p50", pairs, "")
    _show(f"{count:,} entries, all of them, p50", everything, f"(at most {GOALS[count]:.0f})")
    slow = quantile([ours for ours, _ in everything], 0.95) * 1e3
    print(f"{f'{count:,} entries, p95 of search':46} {slow:12.2f} ms (under {P95:.0f} at 100,000)")


async def _pair(
    bed: Bed, manager: DualStoreManager, floor: Floor, index: VectorIndex, question: str
) -> tuple[float, float]:
    """In turn, so that what the machine does meanwhile is shared."""
    words = question.replace("/", " ").replace(".", " ").replace(":", " ").split()

    async def bare(_: str) -> None:
        await floor.best(words, LIMIT)
        (vector,) = await bed.backends.embedder.embed([question])
        await index.query(vector, limit=LIMIT)

    ours = await _timed(manager.search, question)
    return ours, await _timed(bare, question)


async def _timed(call: Callable[[Any], Awaitable[Any]], argument: Any) -> float:
    start = time.perf_counter()
    await call(argument)
    return time.perf_counter() - start


def _questions() -> dict[str, list[str]]:
    """Words that hardly any, some, and most entries have; and questions as people ask them."""
    chance, corpus = random.Random(7), Corpus()
    words = corpus.words
    parts = {"rare": words[5_000:20_000], "common": words[50:500], "in most": words[:12]}

    def some(name: str, count: int) -> list[str]:
        return chance.sample(parts[name], count)

    return {
        "rare words": [" ".join(some("rare", 4)) for _ in range(ASKED)],
        "common words": [" ".join(some("common", 5)) for _ in range(ASKED)],
        "words of most entries": [" ".join(some("in most", 4)) for _ in range(ASKED)],
        "mixed": [
            " ".join([*some("in most", 2), *some("common", 3), *some("rare", 2)])
            for _ in range(ASKED)
        ],
        "identifiers": [
            f"src/app/{chance.randrange(500)}.ts:42 {' '.join(some('common', 2))}"
            for _ in range(ASKED)
        ],
    }


def _show(name: str, pairs: Sequence[tuple[float, float]], note: str) -> None:
    ours, bare = (statistics.median(each) * 1e3 for each in zip(*pairs, strict=True))
    line(name, ours, bare, ratio=ours / bare, note=note)


async def _first(bed: Bed, count: int) -> None:
    """The first search of a fresh process, the server running."""
    settings = bed.settings
    command = [
        sys.executable,
        "-c",
        FIRST,
        settings.documents,
        settings.vectors,
        Corpus().words[99],
    ]
    times = [float(await asyncio.to_thread(_output, command)) for _ in range(3)]
    print(f"{f'{count:,} entries, first search of a process':46} {min(times):12.2f} s (under 1)")


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    if sqlite3.sqlite_version_info < (3, 35):
        sys.exit("SQLite 3.35 or newer is needed")
    asyncio.run(main())
