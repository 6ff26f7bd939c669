"""One step of indexing: claim, prepare, write, settle. The only one that writes vectors."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from dualstore.documents.base import DocumentStore, Settlement, Work
from dualstore.embedders.base import Embedder
from dualstore.errors import DualStoreError, InvalidInputError, UnavailableError, VectorsGoneError
from dualstore.filters import Leaf, Op
from dualstore.indexing.completing import completed
from dualstore.indexing.filing import ENTRY_FIELD
from dualstore.indexing.indexes import Indexes
from dualstore.indexing.preparing import Prepared, Preparer
from dualstore.indexing.removals import Removals
from dualstore.outbox import Failed, Indexed, Outcome, Released, Retry
from dualstore.vectors.base import VectorId, VectorIndex

BATCH: Final = 500
FIRST_BATCH: Final = 32
ASKED: Final = 200
"""Entries whose vectors are looked for in one call."""
LEASE: Final = 60_000
"""Milliseconds after which somebody else may take over what was claimed."""
FIRST_RETRY: Final = 500
LONGEST_RETRY: Final = 60_000


class Indexer:
    """Does the index work of one family. Any number may run, in any number of processes.

    One at a time: it isn't made for steps at once.
    """

    def __init__(
        self,
        store: DocumentStore,
        *,
        indexes: Indexes,
        embedder: Embedder,
        removals: Removals,
        clock: Callable[[], int],
        lease: int = LEASE,
    ) -> None:
        self._store = store
        self._indexes = indexes
        self._removals = removals
        self._clock = clock
        self._lease = lease
        self._preparer = Preparer(store.spec, embedder)
        self._pace = FIRST_BATCH
        self.indexed = 0
        """Documents that were settled as indexed, so far."""
        self._owed: list[tuple[Settlement, list[str]]] = []
        self._touched: dict[str, list[str]] = {}
        """By entry, the ids of all that this step writes or removes."""

    async def step(self, limit: int | None = None) -> int:
        """Do some of what is due; how many documents were claimed. 0 when nothing is due.

        Without a limit as many as can be done in a quarter of a lease, going by the steps before.

        Raises `UnavailableError` when the embedder or the index can't be asked, and
        `VectorsGoneError` when the index was lost: what was claimed is due again then, after a
        pause. Whatever else it raises, it gives back what it claimed.
        """
        await self._indexes.check()
        await self._settle_owed()
        works = await self._claimed(limit or self._pace)
        if works:
            began = time.monotonic()
            await self._do(works)
            self._go_by(len(works), seconds=time.monotonic() - began)
        return len(works)

    async def _claimed(self, limit: int) -> list[Work]:
        """Cancelled, it gives back what is just being claimed: nobody else knows of it."""
        claim = self._store.claim(limit, now=self._clock(), lease=self._lease)
        task = asyncio.create_task(claim)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is None:
                await self._settle([(work, Released()) for work in task.result()])
            raise

    def _go_by(self, count: int, *, seconds: float) -> None:
        """Claim less where a lease could run out, and more where that is far away."""
        allowed = self._lease / 4000
        if seconds > allowed:
            self._pace = max(1, round(count * allowed / seconds))
        elif count == self._pace:
            self._pace = min(BATCH, 2 * self._pace)

    async def _do(self, works: Sequence[Work]) -> None:
        self._touched = {}
        try:
            # Read after the claim: whoever begins a generation marks all due only after that.
            index = await self._indexes.target()
            written = await self._write(index, await self._preparer.prepare(works))
        except (UnavailableError, VectorsGoneError) as error:
            self._indexes.forget()
            await self._settle([(work, self._retry(work, error)) for work in works])
            raise
        except BaseException:
            await self._settle([(work, Released()) for work in works])
            raise
        await self._settle([(each.work, each.outcome) for each in written])

    async def _settle(self, outcomes: Sequence[tuple[Work, Outcome]]) -> None:
        """Not cancelled in the middle: what is leased would wait until its lease runs out."""
        self._owed = [
            (Settlement(work, outcome), self._touched.get(work.id, []))
            for work, outcome in outcomes
        ]
        await completed(self._settle_owed())

    async def _settle_owed(self) -> None:
        """Where a lease was lost, what was written under it may be nobody's.

        And what was removed may be wanted again: removals find that out, and make it due.
        """
        if self._owed:
            kept = await self._store.settle([settlement for settlement, _ in self._owed])
            self.indexed += sum(
                settled and isinstance(settlement.outcome, Indexed)
                for (settlement, _), settled in zip(self._owed, kept, strict=True)
            )
            lost = [ids for (_, ids), settled in zip(self._owed, kept, strict=True) if not settled]
            await self._removals.add([each for ids in lost for each in ids])
            self._owed = []

    async def _write(self, index: VectorIndex, prepared: Sequence[Prepared]) -> list[Prepared]:
        """New vectors first, so that there is no moment without any."""
        for each in prepared:
            self._touched[each.work.id] = [*(item.id for item in each.items), *each.gone]
        written = await self._upsert(index, prepared)
        new = {item.id for each in written for item in each.items}
        gone = await self._found(
            index, [done.work.id for done in written if done.work.mark.residue]
        )
        for id_ in gone:
            vector = VectorId.parse(id_)
            if vector and vector.entry in self._touched:
                self._touched[vector.entry].append(id_)
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

    def _retry(self, work: Work, error: DualStoreError) -> Retry:
        pause = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(work.mark.attempts - 1, 20))
        return Retry(str(error), at=self._clock() + pause)
