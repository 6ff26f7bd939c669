"""Vectors that nobody's document speaks for: queued in the records until they are gone.

Who finds one queues it; the indexer does the work, like all writing.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

from dualstore.documents.base import DocumentStore, Records, Scanned
from dualstore.indexing.completing import completed
from dualstore.indexing.filing import is_held
from dualstore.indexing.indexes import Indexes
from dualstore.vectors.base import VectorId

PAGE: Final = 500


class Removals:
    """The queue of one family."""

    def __init__(
        self, records: Records, store: DocumentStore, *, indexes: Indexes, clock: Callable[[], int]
    ) -> None:
        self._records = records
        self._store = store
        self._indexes = indexes
        self._clock = clock
        self._space = f"dualstore.removals.{store.spec.name}"
        self._begun: dict[str, None] = {}
        """To be looked at again, though others may have taken it off the queue meanwhile."""

    async def add(self, ids: Sequence[str]) -> None:
        """Queue them; one that is queued already is no error."""
        for each in ids:
            await self._records.create(self._space, _key(each), each)

    async def are_queued(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._begun or await self._records.range(self._space, limit=1))

    async def step(self) -> int:
        """Do some of what is queued; how much was. 0 when nothing is."""
        queued = await self._records.range(self._space, limit=PAGE)
        self._begun |= dict.fromkeys(each.value for each in queued)
        count = len(self._begun)
        if count:
            await completed(self._remove(list(self._begun)))
            self._begun.clear()
        for each in queued:
            await self._records.delete(each)
        return count

    async def _remove(self, ids: Sequence[str]) -> None:
        """An entry may take up its old text again at any moment: look before and after.

        What is wanted then is made due, so that nobody believes a vector that went meanwhile.
        """
        index = await self._indexes.target()
        wanted = await self._wanted(ids)
        await index.delete([each for each in ids if each not in wanted])
        wanted |= await self._wanted(ids)
        entries = {parsed.entry for each in wanted if (parsed := VectorId.parse(each))}
        await self._store.mark_due(sorted(entries), now=self._clock())

    async def _wanted(self, ids: Sequence[str]) -> set[str]:
        """Those that their entry speaks for, or may speak for once it is indexed."""
        parsed = {each: vector for each in ids if (vector := VectorId.parse(each))}
        marks = await self._store.marks([vector.entry for vector in parsed.values()])
        return {
            each
            for each, vector in parsed.items()
            if (scanned := marks.get(vector.entry)) and _is_wanted(vector, scanned)
        }


def _is_wanted(vector: VectorId, scanned: Scanned) -> bool:
    mark = scanned.mark
    if scanned.deleted or scanned.text_hash != vector.text_hash:
        return False
    return is_held(vector, mark) or mark.claim_at is not None


def _key(id_: str) -> str:
    """Others' ids may be longer than a key can be, or hold what a key can't."""
    return blake2b(id_.encode(errors="surrogatepass"), digest_size=16).hexdigest()
