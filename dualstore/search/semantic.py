"""Entries by the meaning of a question: asks the index, believes the documents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dualstore.documents.base import DocumentStore
from dualstore.embedders.base import Embedder, Vectors
from dualstore.entry import Entry
from dualstore.errors import VectorsGoneError
from dualstore.filters import EVERYTHING, Filter, matches
from dualstore.indexing.copies import from_copy
from dualstore.indexing.filing import narrowed
from dualstore.indexing.indexes import Indexes
from dualstore.indexing.preparing import Preparer
from dualstore.indexing.removals import Removals
from dualstore.outbox import IndexState
from dualstore.search.results import Hit
from dualstore.vectors.base import Vector, VectorHit, VectorId, VectorIndex

FEW: Final = 2000
"""Where a filter leaves no more entries than this, each of them is looked at."""
MOST: Final = 16_384
"""Vectors that are asked for at most, however much the filter drops."""
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Near:
    """An entry, how near it is to the question (a cosine), and by which of its chunks."""

    entry: Entry
    cosine: float
    chunk: int


class SemanticSearch:
    """Every hit is checked against its document; what is wrong is left out and queued."""

    def __init__(
        self, store: DocumentStore, *, indexes: Indexes, embedder: Embedder, removals: Removals
    ) -> None:
        self._store = store
        self._indexes = indexes
        self._embedder = embedder
        self._removals = removals
        self._preparer = Preparer(store.spec, embedder)

    async def find(self, texts: Sequence[str], *, where: Filter, limit: int) -> list[Hit]:
        """The entries nearest to any of the texts, nearest first, each once."""
        near: list[Near] = []
        for vector in await self._embedder.embed(texts):
            near += await self.near(vector, where=where, limit=limit)
        return [self._hit(each) for each in _nearest(near, limit)]

    def _hit(self, near: Near) -> Hit:
        chunks = self._preparer.texts(near.entry)
        return Hit(
            near.entry,
            score=max(0.0, min(1.0, near.cosine)),
            snippet=chunks[near.chunk] if near.chunk < len(chunks) else near.entry.text,
            modes=("semantic",),
        )

    async def near(self, vector: Vector, *, where: Filter, limit: int) -> list[Near]:
        """The nearest entries that the filter wants, nearest first, each once."""
        if where != EVERYTHING and await self._store.count(where) <= FEW:
            return await self._exactly(vector, where, limit)
        index = await self._indexes.live()
        if index is None:
            return []
        try:
            return await self._asking(index, vector, where, limit)
        except VectorsGoneError:
            self._indexes.forget()
            await self._indexes.live()
            raise

    async def _exactly(self, vector: Vector, where: Filter, limit: int) -> list[Near]:
        """By the copies in the documents, page by page."""
        found: list[Near] = []
        cursor: str | None = None
        while True:
            page = await self._store.page(where, limit=_PAGE, cursor=cursor)
            found = _nearest([*found, *await self._compared(vector, page.entries)], limit)
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def _compared(self, vector: Vector, entries: Iterable[Entry]) -> list[Near]:
        by_id = {entry.id: entry for entry in entries}
        candidates = await self._store.candidates_by_id(list(by_id))
        near: list[Near] = []
        for each, candidate in candidates.items():
            rows = from_copy(candidate.vector, self._embedder.identity)
            if rows is not None:
                near.append(_best_chunk(by_id[each], vector, rows))
        return near

    async def _asking(
        self, index: VectorIndex, vector: Vector, where: Filter, limit: int
    ) -> list[Near]:
        """Asks for more until enough of what comes is true and wanted."""
        narrow = narrowed(where, self._store.spec, supports=index.supports)
        known: dict[str, Near | None] = {}
        ask = 2 * limit + 10
        while True:
            hits = await index.query(vector, limit=ask, where=narrow)
            await self._look_at(hits, where, known)
            near = [each for each in known.values() if each]
            if len(near) >= limit or len(hits) < ask or ask >= MOST:
                return _nearest(near, limit)
            ask *= 4

    async def _look_at(
        self, hits: Iterable[VectorHit], where: Filter, known: dict[str, Near | None]
    ) -> None:
        """Add, by vector id, what each new hit stands for; None for what isn't to be shown."""
        new = {hit.id: hit.similarity for hit in hits if hit.id not in known}
        parsed = {each: VectorId.parse(each) for each in new}
        entries = await self._store.get(list({each.entry for each in parsed.values() if each}))
        for each, cosine in new.items():
            known[each] = _believed(parsed[each], cosine, entries, where)
        lies = [each for each in new if _is_lie(parsed[each], entries)]
        await self._removals.add(lies)


def _believed(
    vector: VectorId | None, cosine: float, entries: Mapping[str, Entry], where: Filter
) -> Near | None:
    entry = entries.get(vector.entry) if vector else None
    if vector is None or entry is None or entry.text_hash != vector.text_hash:
        return None
    return Near(entry, cosine, vector.chunk) if matches(where, entry) else None


def _is_lie(vector: VectorId | None, entries: Mapping[str, Entry]) -> bool:
    """Whether the vector should be gone; one whose entry is due again will be seen to anyway."""
    entry = entries.get(vector.entry) if vector else None
    if vector is None or entry is None:
        return True
    at_rest = entry.index.state in (IndexState.INDEXED, IndexState.EXCLUDED)
    return at_rest and entry.text_hash != vector.text_hash


def _best_chunk(entry: Entry, vector: Vector, rows: Vectors) -> Near:
    cosines = rows @ (vector / max(float(np.linalg.norm(vector)), 1e-30))
    best = int(np.argmax(cosines))
    return Near(entry, float(cosines[best]), best)


def _nearest(near: Iterable[Near], limit: int) -> list[Near]:
    """The best chunk of each entry; ties go by time, newest first, then by id."""
    best: dict[str, Near] = {}
    for each in near:
        if each.entry.id not in best or each.cosine > best[each.entry.id].cosine:
            best[each.entry.id] = each
    order = sorted(best.values(), key=lambda one: (-one.cosine, -one.entry.timestamp, one.entry.id))
    return order[:limit]
