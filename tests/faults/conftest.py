"""Places that are quick to have: an SQLite file each, and exact vectors."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from itertools import count
from pathlib import Path
from shutil import copyfile

import pytest

from dualstore import consistency
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.static import StaticEmbedder
from dualstore.indexing import worker
from dualstore.settings import Settings
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.dual.conftest import pair
from tests.faults.hurried import Hurried
from tests.faults.places import EVENTUAL, House, Prepare, Prepared

EFFORT = int(os.environ.get("DUALSTORE_TEST_EFFORT", "1"))


__all__ = ["pair"]

Making = Callable[..., Awaitable[Prepared]]
"""Given what to do in an empty house, and perhaps `settings` for afterwards."""


@pytest.fixture(scope="session")
def embedder() -> StaticEmbedder:
    """Loaded once."""
    return StaticEmbedder()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits looks more often."""
    monkeypatch.setattr(worker, "POLL", 0.002)
    monkeypatch.setattr(consistency, "PAUSES", (0.002, 0.002, 0.002), raising=False)


@pytest.fixture
def prepared(tmp_path: Path, embedder: StaticEmbedder) -> Making:
    """Made once, then copied."""

    async def prepared(prepare: Prepare, settings: Settings = EVENTUAL) -> Prepared:
        numbers, origin, vectors = count(), tmp_path / "origin.db", ExactVectors()
        async with SqliteDatabase(origin) as database:
            clock = Hurried()
            house = House(Backends(database, vectors, embedder, clock), clock)
            await prepare(house)

        @asynccontextmanager
        async def copied() -> AsyncIterator[House]:
            path, clock = tmp_path / f"{next(numbers)}.db", Hurried()
            copyfile(origin, path)
            async with SqliteDatabase(path) as database:
                backends = Backends(database, deepcopy(vectors), embedder, clock)
                promises = deepcopy(house.promises)
                yield House(backends, clock, settings=settings, promises=promises)
            path.unlink()

        return copied

    return prepared
