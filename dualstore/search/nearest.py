"""Which entries are near to a vector: asks the index, and believes the documents."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from dualstore.documents.base import DocumentStore, Scanned
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


class Nearest:
    """The side of a search that knows vectors. What nobody speaks for is queued for removal."""

    def __init__(
        self, store: DocumentStore, *, indexes: Indexes, embedder: Embedder, removals: Removals
    ) -> None:
        self._store = store
        self._indexes = indexes
        self._embedder = embedder
        self._removals = removals

    async def ids(self, vector: Vector, *, where: Filter, limit: int) -> list[str]:
        """Entries that the filter wants, nearest first, each once. Some may have changed since."""
        if where != EVERYTHING and await self._store.count(where) <= FEW:
            return await self._among_few(vector, where, limit)
        index = await self._indexes.live()
        if index is None:
            return []
        try:
            return await self._asking(index, vector, where, limit)
        except VectorsGoneError:
            self._indexes.forget()
            await self._indexes.live()  # which puts the loss on record
            raise

    async def _among_few(self, vector: Vector, where: Filter, limit: int) -> list[str]:
        """By the copies in the documents, page by page."""
        await self._embedder.load()
        cosines: dict[str, float] = {}
        cursor: str | None = None
        while True:
            page = await self._store.page(where, limit=_PAGE, cursor=cursor)
            candidates = await self._store.candidates_by_id([each.id for each in page.entries])
            copies = [each.vector for each in candidates.values()]
            found = compared(copies, vector, self._embedder.identity)
            cosines |= {each: near[0] for each, near in zip(candidates, found, strict=True) if near}
            cursor = page.next_cursor
            if cursor is None:
                return _nearest_first(cosines)[:limit]

    async def _asking(
        self, index: VectorIndex, vector: Vector, where: Filter, limit: int
    ) -> list[str]:
        """Asks for more until enough of what comes is true and wanted."""
        narrow = narrowed(where, self._store.spec, supports=index.supports)
        believed: dict[str, str | None] = {}
        cosines: dict[str, float] = {}
        ask = limit + _SPARE
        while True:
            hits = await index.query(vector, limit=ask, where=narrow)
            new = [hit for hit in hits if hit.id not in believed]
            believed |= await self._believed([hit.id for hit in new], where)
            for hit in new:
                entry = believed[hit.id]
                if entry is not None:
                    cosines[entry] = max(hit.similarity, cosines.get(entry, hit.similarity))
            if len(cosines) >= limit or len(hits) < ask or ask >= MOST:
                return _nearest_first(cosines)[:limit]
            ask = min(MOST, 4 * ask)

    async def _believed(self, ids: Sequence[str], where: Filter) -> dict[str, str | None]:
        """The entry that each vector speaks for; None where it doesn't, or isn't wanted."""
        parsed = {each: VectorId.parse(each) for each in ids}
        marks = await self._store.marks(list({each.entry for each in parsed.values() if each}))
        with suppress(DualStoreError):  # a full disk is no reason not to answer
            lies = [each for each in ids if _is_lie(parsed[each], marks)]
            await self._removals.add(lies[:MOST_LIES])
        true = {
            each: vector.entry
            for each, vector in parsed.items()
            if vector and _speaks_for(vector, marks.get(vector.entry))
        }
        if where != EVERYTHING:
            entries = await self._store.get(list(set(true.values())))
            wanted = {each for each, entry in entries.items() if matches(where, entry)}
            true = {each: entry for each, entry in true.items() if entry in wanted}
        return {each: true.get(each) for each in ids}


def _nearest_first(cosines: Mapping[str, float]) -> list[str]:
    """By the id where they are equally near, whatever order an index gave them in."""
    return sorted(cosines, key=lambda each: (-told_apart(cosines[each]), each))


def _speaks_for(vector: VectorId, scanned: Scanned | None) -> bool:
    return bool(scanned and not scanned.deleted and scanned.text_hash == vector.text_hash)


def _is_lie(vector: VectorId | None, marks: Mapping[str, Scanned]) -> bool:
    """Whether the vector should be gone; one whose entry is due is seen to anyway."""
    scanned = marks.get(vector.entry) if vector else None
    if vector is None or scanned is None:
        return True
    return scanned.mark.claim_at is None and not _speaks_for(vector, scanned)
