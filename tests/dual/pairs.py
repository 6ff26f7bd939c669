"""A place for documents and a place for vectors, in a form that other processes can be given."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from dualstore.embedders.base import Embedder
from dualstore.embedders.static import StaticEmbedder
from dualstore.vectors.base import VectorPlace
from dualstore.vectors.chroma import ChromaEmbedded
from dualstore.vectors.chroma_http import ChromaHttp
from dualstore.vectors.chroma_server import ChromaPrivate
from dualstore.wiring import Backends, system_clock
from tests.documents.places import Address


@dataclass(frozen=True)
class Pair:
    """What leads any process to the same two places."""

    documents: Address
    vectors: str
    """`private`, `embedded` or `served`."""
    at: str
    """A folder, or a server's address."""
    database: str = ""

    def place(self) -> VectorPlace:
        """A place for vectors, not yet entered."""
        match self.vectors:
            case "private":
                return ChromaPrivate(Path(self.at), linger=0.0)
            case "embedded":
                return ChromaEmbedded(Path(self.at))
            case _:
                return ChromaHttp(self.at, database=self.database)

    @asynccontextmanager
    async def open(
        self, *, embedder: Embedder | None = None, clock: Callable[[], int] = system_clock
    ) -> AsyncIterator[Backends]:
        """All of it, open; closed on leaving."""
        async with (
            self.documents.open() as documents,
            self.place() as vectors,
            embedder or StaticEmbedder() as opened,
        ):
            yield Backends(documents, vectors, opened, clock)
