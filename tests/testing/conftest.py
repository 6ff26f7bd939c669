"""Real parts to be made faulty: an SQLite file, exact vectors, the bundled embedder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.static import StaticEmbedder
from dualstore.family import FamilySpec
from dualstore.testing import FakeClock, Faults, faulty
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends

SPEC = FamilySpec("tests_faults")


@pytest.fixture
async def inner(tmp_path: Path) -> AsyncIterator[Backends]:
    async with SqliteDatabase(tmp_path / "a.db") as database:
        yield Backends(database, ExactVectors(), StaticEmbedder(), FakeClock())


@pytest.fixture
def faults() -> Faults:
    return Faults(hang=0.05)


@pytest.fixture
def backends(inner: Backends, faults: Faults) -> Backends:
    return faulty(inner, faults)
