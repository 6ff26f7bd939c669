"""The pairs of real parts that everything about both stores is tested on."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dualstore.manager import DualStoreManager
from dualstore.settings import Settings
from dualstore.wiring import Backends
from tests.documents.conftest import own_database
from tests.documents.places import Address
from tests.dual.listening import Listening
from tests.dual.pairs import Pair
from tests.support.chroma_processes import new_database

SHARED = ("sqlite+private", "mongo+served")
"""What several processes may use at once."""


@pytest.fixture(params=("sqlite+private", "sqlite+embedded", "mongo+served"))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Two places of one's own, empty."""
    yield from _pair(request, tmp_path)


@pytest.fixture(params=SHARED)
def shared_pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """As `pair`, where other processes may come in."""
    yield from _pair(request, tmp_path)


def _pair(request: pytest.FixtureRequest, folder: Path) -> Iterator[Pair]:
    documents, _, vectors = request.param.partition("+")
    if documents == "sqlite":
        address = Address("sqlite", str(folder / "documents.db"))
        yield Pair(address, vectors, str(folder / "vectors"))
        return
    server = request.getfixturevalue("wire_server")
    url: str = request.getfixturevalue("chroma_url")
    database = f"test-{uuid.uuid4().hex}"
    new_database(url, database)
    with own_database(server) as name:
        yield Pair(Address("motor", server.url, name), vectors, url, database)


@pytest.fixture
def embedder() -> Listening:
    """The bundled one, which notes what it embeds."""
    return Listening()


@pytest.fixture
async def backends(pair: Pair, embedder: Listening) -> AsyncIterator[Backends]:
    """The pair, open."""
    async with pair.open(embedder=embedder) as opened:
        yield opened


@pytest.fixture
def settings() -> Settings:
    """What would be read from the environment, without it."""
    return Settings(index_lease=2.0)


@pytest.fixture
async def notes(backends: Backends, settings: Settings) -> AsyncIterator[DualStoreManager]:
    """A family that holds nothing yet."""
    manager = await DualStoreManager.create(
        "notes", filter_fields=["kind"], settings=settings, backends=backends
    )
    async with manager:
        yield manager
