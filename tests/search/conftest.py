"""Families on every place for documents, and exact vectors."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from dualstore.embedders.static import StaticEmbedder
from dualstore.indexing import worker
from dualstore.manager import DualStoreManager
from dualstore.testing import Faults
from tests.search.families import HOME, Place, family, many, place_of

PLACES = ("sqlite", "mongomock", "served")


@pytest.fixture(scope="session")
def embedder() -> StaticEmbedder:
    """Loaded once."""
    return StaticEmbedder()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the worker looks more often."""
    monkeypatch.setattr(worker, "POLL", 0.002)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place of one's own for documents."""
    with place_of(request.param, request, tmp_path) as found:
        yield found


@pytest.fixture
def faults() -> Faults:
    """What is done to the calls of `notes`; nothing yet."""
    return Faults()


@pytest.fixture
async def notes(
    place: Place, embedder: StaticEmbedder, faults: Faults
) -> AsyncIterator[DualStoreManager]:
    """A family that holds nothing yet."""
    async with place() as documents, family(documents, embedder, faults=faults) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PLACES)
async def home(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    embedder: StaticEmbedder,
) -> AsyncIterator[DualStoreManager]:
    """A few entries, indexed; only for reading."""
    with place_of(request.param, request, tmp_path_factory.mktemp("home")) as place:
        async with place() as documents, family(documents, embedder) as made:
            await made.insert_many(HOME)
            await made.drain()
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PLACES)
async def many_notes(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    embedder: StaticEmbedder,
) -> AsyncIterator[DualStoreManager]:
    """300 entries, indexed; only for reading."""
    with place_of(request.param, request, tmp_path_factory.mktemp("many")) as place:
        async with place() as documents, family(documents, embedder) as made:
            await made.insert_many(many())
            await made.drain()
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reference(
    tmp_path_factory: pytest.TempPathFactory,
    embedder: StaticEmbedder,
    request: pytest.FixtureRequest,
) -> AsyncIterator[DualStoreManager]:
    """The same, written one by one and backwards, in SQLite."""
    with place_of("sqlite", request, tmp_path_factory.mktemp("reference")) as place:
        async with place() as documents, family(documents, embedder) as made:
            for item in reversed(many()):
                await made.insert(item)
            await made.drain()
            yield made
