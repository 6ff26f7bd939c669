"""One step of indexing: claim, prepare, write, settle. The only one that writes vectors."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from dualstore.documents.base import DocumentStore, Settlement, Work
from dualstore.embedders.base import Embedder
from dualstore.errors import FamilyMismatchError, InvalidInputError, UnavailableError
from dualstore.filters import Leaf, Op
from dualstore.indexing.generations import GenerationBook
from dualstore.indexing.preparing import ENTRY_FIELD, Prepared, Preparer
from dualstore.indexing.removals import Removals
from dualstore.outbox import Failed, Outcome, Released, Retry
from dualstore.vectors.base import VectorIndex, VectorPlace

BATCH: Final = 500
ASKED: Final = 200
"""Entries whose vectors are looked for in one call."""
LEASE: Final = 60_000
"""Milliseconds after which somebody else may take over what was claimed."""
FIRST_RETRY: Final = 500
LONGEST_RETRY: Final = 60_000


class Indexer:
    """Does the index work of one family. Any number may run, in any number of processes."""

    def __init__(
        self,
        store: DocumentStore,
        *,
        place: VectorPlace,
        embedder: Embedder,
        book: GenerationBook,
        removals: Removals,
        clock: Callable[[], int],
        lease: int = LEASE,
    ) -> None:
        self._store = store
        self._place = place
        self._embedder = embedder
        self._book = book
        self._removals = removals
        self._clock = clock
        self._lease = lease
        self._preparer = Preparer(store.spec, embedder)

    async def step(self, limit: int = BATCH) -> int:
        """Do some of what is due; how many documents were claimed. 0 when nothing is due.

        Raises `UnavailableError` when the embedder or the index can't be asked: what was claimed
        is due again then, after a pause. Cancelled, it gives back what it claimed.
        """
        works = await self._store.claim(limit, now=self._clock(), lease=self._lease)
        if not works:
            return 0
        try:
            await self._do(works)
        except UnavailableError as error:
            await self._settle([(work, self._retry(work, error)) for work in works])
            raise
        except BaseException:
            await asyncio.shield(self._give_back(works))
            raise
        return len(works)

    async def index(self) -> VectorIndex:
        """The index that work goes into; it is made when it is missing."""
        target = (await self._book.read()).target
        if not target.is_made_by(self._embedder):
            raise FamilyMismatchError(
                f"the vectors of {self._store.spec.name!r} are made by {target.embedder} now, not "
                f"by {self._embedder.identity}: open it with that embedder"
            )
        name = target.index_name(self._store.spec.name)
        return await self._place.index(name, dimension=target.dimension)

    async def _do(self, works: Sequence[Work]) -> None:
        # Read after the claim: whoever begins a new generation marks all due only after that.
        index = await self.index()
        prepared = await self._preparer.prepare(works)
        written = await self._write(index, prepared)
        kept = await self._settle([(each.work, each.outcome) for each in written])
        lost = [each for each, settled in zip(written, kept, strict=True) if not settled]
        await self._removals.add([item.id for each in lost for item in each.items])

    async def _write(self, index: VectorIndex, prepared: Sequence[Prepared]) -> list[Prepared]:
        """New vectors first, so that there is no moment without any."""
        written = await self._upsert(index, prepared)
        new = {item.id for each in written for item in each.items}
        gone = await self._found(
            index, [done.work.id for done in written if done.work.mark.residue]
        )
        gone += [each for done in written for each in done.gone]
        old = [each for each in dict.fromkeys(gone) if each not in new]
        if old:
            await index.delete(old)
        return written

    async def _found(self, index: VectorIndex, entries: Sequence[str]) -> list[str]:
        """Whatever the index holds of these entries."""
        found: list[str] = []
        for start in range(0, len(entries), ASKED):
            where = Leaf(f"metadata.{ENTRY_FIELD}", Op.IN, tuple(entries[start : start + ASKED]))
            before = len(found)
            while some := await index.scan(offset=len(found) - before, where=where):
                found += some
        return found

    async def _upsert(self, index: VectorIndex, prepared: Sequence[Prepared]) -> list[Prepared]:
        """All at once; when one of them can't be kept, each is tried by itself."""
        items = [item for each in prepared for item in each.items]
        if not items:
            return list(prepared)
        try:
            await index.upsert(items)
        except InvalidInputError as error:
            if len(prepared) == 1:
                return [Prepared(prepared[0].work, Failed(str(error)))]
            return [done for each in prepared for done in await self._upsert(index, [each])]
        return list(prepared)

    async def _settle(self, outcomes: Sequence[tuple[Work, Outcome]]) -> list[bool]:
        return await self._store.settle([Settlement(work, how) for work, how in outcomes])

    async def _give_back(self, works: Sequence[Work]) -> None:
        await self._settle([(work, Released()) for work in works])

    def _retry(self, work: Work, error: UnavailableError) -> Retry:
        pause = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(work.mark.attempts - 1, 20))
        return Retry(str(error), at=self._clock() + pause)
