"""Damage among 50,000 entries: comparing takes no more memory than among a few hundred."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from dualstore.differences import Problem
from dualstore.embedders.base import Embedder, Vectors
from dualstore.manager import DualStoreManager
from dualstore.settings import Settings
from dualstore.vectors.base import VectorId
from tests.documents.places import Address
from tests.dual.damage import OLD_TEXT, Planted, vector_id
from tests.dual.indexing_process import RECORDED, SPEC
from tests.dual.looking import copied, index_of, turned
from tests.dual.pairs import Pair

ENTRIES = 50_000
PART = 10_000
MOST_GROWTH = 60 * 1024
"""KiB."""


class Small(Embedder):
    """Vectors of eight numbers, each text another direction."""

    name = "small"
    version = "1"
    dimension = 8
    chunk_chars = 1600
    takes_images = False

    async def load(self) -> None:
        """Nothing to load."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        seeds = (zlib.crc32(text.encode()) for text in texts)
        rows = [np.random.default_rng(seed).normal(size=self.dimension) for seed in seeds]
        return np.array(rows, np.float32).reshape(-1, self.dimension)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        pass


def resident(what: str) -> int:
    """KiB of this process: `VmRSS` now, `VmHWM` at most since `forget_the_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))


def forget_the_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def parts() -> Iterator[range]:
    for start in range(0, ENTRIES, PART):
        yield range(start, start + PART)


@pytest.mark.timeout(400)
async def test_damage_among_50_000_entries_is_named_and_mended(tmp_path: Path) -> None:
    address = Address("sqlite", str(tmp_path / "documents.db"))
    pair = Pair(address, "private", str(tmp_path / "vectors"))
    async with (
        pair.open(embedder=Small()) as backends,
        DualStoreManager(SPEC, settings=Settings(), backends=backends) as notes,
    ):
        for numbers in parts():
            await notes.insert_many({"id": f"m{n:05}", "text": f"note {n}"} for n in numbers)
        await notes.drain()
        store = await backends.documents.family(RECORDED)
        index = await index_of(backends)
        planted = Planted()
        missing = [f"m{n:05}" for n in range(7, ENTRIES, 1000)]
        await index.delete([await vector_id(store, each) for each in missing])
        planted.note(Problem.MISSING, *missing)
        for n in range(13, ENTRIES, 10_000):
            id_ = await vector_id(store, f"m{n:05}")
            await turned(index, id_)
            planted.note(Problem.CHANGED, f"m{n:05}")
            ghost = str(VectorId(f"ghost{n}", OLD_TEXT, 0))
            stale = str(VectorId(f"m{n + 1:05}", OLD_TEXT, 0))
            for each, problem in ((ghost, Problem.ORPHANED), (stale, Problem.STALE)):
                await copied(index, id_, each)
                planted.note(problem, each)
        await copied(index, await vector_id(store, "m00000"), "nobody's")
        planted.note(Problem.FOREIGN, "nobody's")
        before = resident("VmRSS")
        forget_the_peak()
        report = await notes.consistency_report()
        growth = resident("VmHWM") - before
        print(f"the report took {growth} KiB")
        planted.check(report)
        assert (report.entries, report.pending) == (ENTRIES, 0)
        assert growth < MOST_GROWTH
        assert await notes.repair() == planted.count
        await notes.drain()
        report = await notes.consistency_report()
        assert report.clean
        assert (report.entries, report.vectors) == (ENTRIES, ENTRIES)
