"""One family, put together from open backends."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from dualstore.consistency import Consistency
from dualstore.documents.base import DocumentStore
from dualstore.embedders.base import Embedder
from dualstore.embedders.checking import checked
from dualstore.entry import Drafter
from dualstore.family import FamilySpec
from dualstore.indexing.generations import GenerationBook
from dualstore.indexing.indexer import Indexer
from dualstore.indexing.indexes import Indexes
from dualstore.indexing.rebuilding import Rebuilding
from dualstore.indexing.removals import Removals
from dualstore.indexing.work import IndexWork
from dualstore.indexing.worker import IndexWorker
from dualstore.search.finder import Finder
from dualstore.search.nearest import Nearest
from dualstore.settings import Settings
from dualstore.wiring import Backends

OnMismatch = Literal["refuse", "reindex"]
"""What becomes of a family that was made with another spec or embedder."""


@dataclass(frozen=True, slots=True)
class Family:
    """Everything that serves one family."""

    store: DocumentStore
    drafter: Drafter
    clock: Callable[[], int]
    worker: IndexWorker
    rebuilding: Rebuilding
    finder: Finder
    consistency: Consistency


@asynccontextmanager
async def open_family(
    spec: FamilySpec, backends: Backends, settings: Settings, *, on_mismatch: OnMismatch
) -> AsyncIterator[Family]:
    """Nothing is indexed, nor any index opened, before the worker is woken."""
    store = await _open_documents(spec, backends, on_mismatch)
    book = GenerationBook(backends.documents.records, spec.name)
    embedder, clock = checked(backends.embedder), backends.clock
    indexes = Indexes(backends.vectors, book, embedder)
    removals = Removals(backends.documents.records, store, indexes=indexes, clock=clock)
    rebuilding = Rebuilding(store, indexes=indexes, book=book, embedder=embedder, clock=clock)
    indexer = Indexer(
        store,
        indexes=indexes,
        embedder=embedder,
        removals=removals,
        clock=clock,
        lease=round(settings.index_lease * 1000),
    )
    work = IndexWork(
        store,
        indexer=indexer,
        rebuilding=rebuilding,
        removals=removals,
        clock=clock,
        tombstone_days=settings.tombstone_days,
    )
    nearest = Nearest(store, indexes=indexes, embedder=embedder, removals=removals)
    if on_mismatch == "reindex":
        await _take_over(book, rebuilding, embedder)
    await book.check(embedder)
    async with IndexWorker(work) as worker:
        yield Family(
            store=store,
            drafter=Drafter(spec),
            clock=clock,
            worker=worker,
            rebuilding=rebuilding,
            finder=Finder(store, nearest=nearest, embedder=embedder, missing=worker.missing),
            consistency=Consistency(
                store,
                indexes=indexes,
                book=book,
                removals=removals,
                embedder=embedder,
                clock=clock,
            ),
        )


async def _open_documents(
    spec: FamilySpec, backends: Backends, on_mismatch: OnMismatch
) -> DocumentStore:
    if on_mismatch == "reindex":
        await backends.documents.respec(spec, now=backends.clock())
    return await backends.documents.family(spec)


async def _take_over(book: GenerationBook, rebuilding: Rebuilding, embedder: Embedder) -> None:
    """Begin anew what another embedder made."""
    present = await book.read()
    if present is not None:
        await embedder.load()
        if not present.target.is_made_by(embedder):
            await rebuilding.begin()
