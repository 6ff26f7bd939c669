"""Conversations on every place for documents, and exact vectors."""

from collections.abc import AsyncIterator

import pytest

from dualstore.conversations.conversations import Conversations
from dualstore.embedders.static import StaticEmbedder
from dualstore.indexing import worker
from dualstore.metrics import Counters
from dualstore.store import Store
from dualstore.testing import FakeClock
from tests.conversations.houses import House
from tests.documents.conftest import Place, address, place

__all__ = ["address", "place"]


@pytest.fixture(scope="session")
def embedder() -> StaticEmbedder:
    """Loaded once."""
    return StaticEmbedder()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the worker looks more often."""
    monkeypatch.setattr(worker, "POLL", 0.002)


@pytest.fixture
async def house(place: Place, embedder: StaticEmbedder) -> AsyncIterator[House]:
    """An open place, in which stores can be opened as processes of their own would."""
    async with place() as documents, House(documents, embedder) as opened:
        yield opened


@pytest.fixture
def store(house: House) -> Store:
    """One store."""
    return house.store()


@pytest.fixture
def log(store: Store) -> Conversations:
    """Its conversations."""
    return store.conversations


@pytest.fixture
def clock(house: House) -> FakeClock:
    """The clock of all stores."""
    return house.clock


@pytest.fixture
def counters(house: House) -> Counters:
    """What happened in all stores."""
    return house.counters
