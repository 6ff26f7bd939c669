"""Vectors that nobody's document speaks for: queued in the records until they are gone.

Who finds one queues it; the indexer does the work, like all writing.
"""

from collections.abc import Callable, Sequence
from typing import Final

from dualstore.documents.base import DocumentStore, Record, Records
from dualstore.vectors.base import VectorId, VectorIndex

PAGE: Final = 500


class Removals:
    """The queue of one family."""

    def __init__(self, records: Records, store: DocumentStore, clock: Callable[[], int]) -> None:
        self._records = records
        self._store = store
        self._clock = clock
        self._space = f"dualstore.removals.{store.spec.name}"

    async def add(self, ids: Sequence[str]) -> None:
        """Queue them; one that is queued already is no error."""
        for each in ids:
            await self._records.create(self._space, each, None)

    async def step(self, index: VectorIndex) -> int:
        """Do some of what is queued; how much was. 0 when nothing is."""
        queued = await self._records.range(self._space, limit=PAGE)
        if queued:
            await self._remove(index, queued)
        return len(queued)

    async def _remove(self, index: VectorIndex, queued: Sequence[Record]) -> None:
        """An entry may take up its old text again at any moment: look before and after.

        What is wanted then is made due, so that nobody believes a vector that went meanwhile.
        """
        wanted = await self._wanted(queued)
        await index.delete([each.key for each in queued if each.key not in wanted])
        wanted |= await self._wanted(queued)
        entries = {parsed.entry for each in wanted if (parsed := VectorId.parse(each))}
        await self._store.mark_due(sorted(entries), now=self._clock())
        for each in queued:
            await self._records.delete(each)

    async def _wanted(self, queued: Sequence[Record]) -> set[str]:
        parsed = {each.key: VectorId.parse(each.key) for each in queued}
        entries = await self._store.get([vector.entry for vector in parsed.values() if vector])
        return {
            key
            for key, vector in parsed.items()
            if vector
            and vector.entry in entries
            and entries[vector.entry].text_hash == vector.text_hash
        }
