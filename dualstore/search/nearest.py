"""Which entries are near to a vector: asks the index, and believes the documents."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from dualstore.differences import judged_vector
from dualstore.documents.base import Candidate, DocumentStore
from dualstore.embedders.base import Embedder
from dualstore.errors import DualStoreError, VectorsGoneError
from dualstore.filters import EVERYTHING, Filter, matches
from dualstore.indexing.copies import compared
from dualstore.indexing.filing import narrowed
from dualstore.indexing.indexes import Indexes
from dualstore.indexing.removals import Removals
from dualstore.search.ranking import told_apart
from dualstore.vectors.base import Vector, VectorId, VectorIndex

FEW: Final = 2000
"""Where a filter leaves no more entries than this, each of them is looked at."""
MOST: Final = 16_384
"""Vectors that are asked for at most, however many of them the filter drops."""
MOST_LIES: Final = 100
"""Vectors that one look queues for removal; a repair finds the rest."""
_PAGE: Final = 500
_SPARE: Final = 10


class _Near(NamedTuple):
    cosine: float
    candidate: Candidate


class Nearby(NamedTuple):
    """The nearest entries, nearest first, each once."""

    found: list[Candidate]
    cut: bool
    """There may be more that the filter wants."""


class Nearest:
    """The side of a search that knows vectors. What nobody speaks for is queued for removal."""

    def __init__(
        self, store: DocumentStore, *, indexes: Indexes, embedder: Embedder, removals: Removals
    ) -> None:
        self._store = store
        self._indexes = indexes
        self._embedder = embedder
        self._removals = removals

    async def find(self, vector: Vector, *, where: Filter, limit: int) -> Nearby:
        """Entries that the filter wants."""
        if where != EVERYTHING and await self._store.count(where) <= FEW:
            return await self._among_few(vector, where, limit)
        index = await self._indexes.live()
        if index is None:
            return Nearby([], cut=False)
        try:
            return await self._asking(index, vector, where, limit)
        except VectorsGoneError:
            self._indexes.forget()
            await self._indexes.live()  # which puts the loss on record
            raise

    async def _among_few(self, vector: Vector, where: Filter, limit: int) -> Nearby:
        """By the copies in the documents, page by page."""
        await self._embedder.load()
        best: list[_Near] = []
        cursor: str | None = None
        while True:
            page = await self._store.page(where, limit=_PAGE, cursor=cursor)
            found = await self._store.candidates_by_id([each.id for each in page.entries])
            some = list(found.values())
            nearest = compared([each.vector for each in some], vector, self._embedder.identity)
            best += [
                _Near(near.cosine, one) for one, near in zip(some, nearest, strict=True) if near
            ]
            best = _nearest_first(best)[: limit + 1]
            cursor = page.next_cursor
            if cursor is None:
                return _nearby(best, limit, cut=len(best) > limit)

    async def _asking(
        self, index: VectorIndex, vector: Vector, where: Filter, limit: int
    ) -> Nearby:
        """Asks for more until enough of what comes is true and wanted."""
        narrow = narrowed(where, self._store.spec, supports=index.supports)
        believed: dict[str, Candidate | None] = {}
        nearest: dict[str, _Near] = {}
        ask = limit + _SPARE
        while True:
            hits = await index.query(vector, limit=ask, where=narrow)
            new = [hit for hit in hits if hit.id not in believed]
            believed |= await self._believed([hit.id for hit in new], where)
            for hit in new:
                one = believed[hit.id]
                if one and (one.id not in nearest or nearest[one.id].cosine < hit.similarity):
                    nearest[one.id] = _Near(hit.similarity, one)
            is_all = len(hits) < ask
            if len(nearest) >= limit or is_all or ask >= MOST:
                best = _nearest_first(nearest.values())
                return _nearby(best, limit, cut=not is_all or len(best) > limit)
            ask = min(MOST, 4 * ask)

    async def _believed(self, ids: Sequence[str], where: Filter) -> dict[str, Candidate | None]:
        """What each vector speaks for; None where it doesn't, or isn't wanted."""
        vectors = {each: VectorId.parse(each) for each in ids}
        found = await self._store.candidates_by_id(
            list({each.entry for each in vectors.values() if each})
        )
        true = {
            each: found[vector.entry]
            for each, vector in vectors.items()
            if vector and vector.entry in found
            if found[vector.entry].text_hash == vector.text_hash
        }
        await self._doubt({each: vectors[each] for each in ids if each not in true})
        if where != EVERYTHING:
            entries = await self._store.get([each.id for each in true.values()])
            true = {
                each: one
                for each, one in true.items()
                if one.id in entries and matches(where, entries[one.id])
            }
        return {each: true.get(each) for each in ids}

    async def _doubt(self, vectors: Mapping[str, VectorId | None]) -> None:
        """Queue for removal what should be gone; of an entry that is due it goes anyway."""
        if not vectors:
            return
        entries = {each.entry for each in vectors.values() if each}
        with suppress(DualStoreError):  # a full disk is no reason not to answer
            marks = await self._store.marks(list(entries))
            lies = [each for each, one in vectors.items() if judged_vector(one, marks)]
            await self._removals.add(lies[:MOST_LIES])


def _nearby(best: list[_Near], limit: int, *, cut: bool) -> Nearby:
    return Nearby([each.candidate for each in best[:limit]], cut)


def _nearest_first(found: Iterable[_Near]) -> list[_Near]:
    """By the id where they are equally near, whatever order an index gave them in."""
    return sorted(found, key=lambda each: (-told_apart(each.cosine), each.candidate.id))
