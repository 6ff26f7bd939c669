"""One place for documents, and stores in it that share nothing else."""

from contextlib import AsyncExitStack
from typing import Any, Self

from dualstore.documents.base import Database
from dualstore.embedders.base import Embedder
from dualstore.metrics import Counters, Metrics
from dualstore.settings import Settings
from dualstore.store import Store
from dualstore.testing import FakeClock, Faults, faulty
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends


class House:
    """Gives stores; leaving closes them."""

    def __init__(self, documents: Database, embedder: Embedder) -> None:
        self.clock = FakeClock()
        self.counters = Counters()
        self.backends = Backends(
            documents, ExactVectors(), embedder, self.clock, Metrics(self.counters)
        )
        self._stack = AsyncExitStack()

    def store(self, faults: Faults | None = None, **settings: Any) -> Store:
        """As another process would have it; its calls go through the faults."""
        backends = self.backends if faults is None else faulty(self.backends, faults)
        store = Store(backends, Settings(**settings))
        self._stack.push_async_callback(store.close)
        return store

    def counted(self, kind: str, field: str) -> int:
        """How often something happened to conversations."""
        return self.counters.snapshot().get(("conversations", kind, field), 0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._stack.aclose()
