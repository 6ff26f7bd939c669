"""A family on real parts: an SQLite file, exact vectors, the bundled embedder."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dualstore.documents.base import Database, DocumentStore
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.base import Embedder
from dualstore.entry import Drafter
from dualstore.family import FamilySpec
from dualstore.indexing.generations import GenerationBook
from dualstore.indexing.indexer import Indexer
from dualstore.indexing.indexes import Indexes
from dualstore.indexing.rebuilding import Rebuilding
from dualstore.indexing.removals import Removals
from dualstore.indexing.work import IndexWork
from dualstore.vectors.base import VectorIndex
from dualstore.vectors.exact import ExactVectors
from tests.dual.listening import Listening

SPEC = FamilySpec("tests_indexing", filter_fields=("role",))


@dataclass
class Family:
    """Everything that indexes one family, with a clock that stands still."""

    database: Database
    store: DocumentStore
    place: ExactVectors = field(default_factory=ExactVectors)
    embedder: Listening = field(default_factory=Listening)
    now: int = 1000

    def indexer(self, embedder: Embedder | None = None, *, lease: int = 60_000) -> Indexer:
        return Indexer(
            self.store,
            indexes=self.indexes(embedder),
            embedder=embedder or self.embedder,
            removals=self.removals,
            clock=lambda: self.now,
            lease=lease,
        )

    def indexes(self, embedder: Embedder | None = None) -> Indexes:
        return Indexes(self.place, self.book, embedder or self.embedder)

    def work(self, indexer: Indexer | None = None) -> IndexWork:
        return IndexWork(
            self.store,
            indexer=indexer or self.indexer(),
            rebuilding=self.rebuilding(),
            removals=self.removals,
            clock=lambda: self.now,
            tombstone_days=365,
        )

    def rebuilding(self, embedder: Embedder | None = None) -> Rebuilding:
        return Rebuilding(
            self.store,
            indexes=self.indexes(embedder),
            book=self.book,
            embedder=embedder or self.embedder,
            clock=lambda: self.now,
        )

    @property
    def book(self) -> GenerationBook:
        return GenerationBook(self.database.records, SPEC.name)

    @property
    def removals(self) -> Removals:
        return Removals(
            self.database.records, self.store, indexes=self.indexes(), clock=lambda: self.now
        )

    async def put(self, each: str, text: str, **metadata: Any) -> None:
        item = {"id": each, "text": text, "timestamp": 5, "metadata": metadata}
        await self.store.put([Drafter(SPEC).draft(item, now=self.now)], now=self.now)

    async def index(self) -> VectorIndex:
        return await self.indexes().target()

    async def held(self) -> dict[str, int]:
        """How many vectors of each entry the index has."""
        index, counts = await self.index(), dict[str, int]()
        for each in await index.scan():
            entry = each.split(":", 2)[2]
            counts[entry] = counts.get(entry, 0) + 1
        return counts


@pytest.fixture
async def family(tmp_path: Path) -> AsyncIterator[Family]:
    async with SqliteDatabase(tmp_path / "a.db") as database:
        made = Family(database, await database.family(SPEC))
        await made.book.open(made.embedder)
        yield made
