"""All that is to be done for the vectors of one family, in steps."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from dualstore.documents.base import DocumentStore
from dualstore.errors import DualStoreError
from dualstore.indexing.indexer import Indexer
from dualstore.indexing.rebuilding import Rebuilding
from dualstore.indexing.removals import Removals

PURGE_EVERY: Final = 3_600_000
DAY: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Left:
    """What is still to be done."""

    documents: int
    removals: bool
    rebuilding: bool

    def __bool__(self) -> bool:
        return bool(self.documents or self.removals or self.rebuilding)

    def __str__(self) -> str:
        named = {
            f"documents not indexed yet: {self.documents}": self.documents,
            "a new index is being filled": self.rebuilding,
            "vectors wait for their removal": self.removals,
        }
        return ", ".join(what for what, there in named.items() if there) or "nothing is left to do"


@dataclass(frozen=True, slots=True)
class IndexingStatus:
    """How indexing gets on."""

    due: int
    leased: int
    """What some process is indexing right now, or was when it died."""
    failed: int
    """What can't be indexed as it is; each entry's mark says why."""
    lag_ms: int
    """How long the longest waiting one has waited."""
    rate: float
    """Documents a second that this process has indexed lately."""
    rebuilding: bool
    """A new index is being filled."""
    obstacle: str | None
    """What is in this process's way right now."""


class IndexWork:
    """What an `IndexWorker` does, step by step."""

    def __init__(
        self,
        store: DocumentStore,
        *,
        indexer: Indexer,
        rebuilding: Rebuilding,
        removals: Removals,
        clock: Callable[[], int],
        tombstone_days: int,
    ) -> None:
        self.family = store.spec.name
        self._store = store
        self._indexer = indexer
        self._rebuilding = rebuilding
        self._removals = removals
        self._clock = clock
        self._kept = tombstone_days * DAY
        self._purge_at = 0

    @property
    def indexed(self) -> int:
        """How many documents this process has indexed so far."""
        return self._indexer.indexed

    async def step(self) -> int:
        """Do some of everything; 0 when there is nothing to do for now."""
        done = await self._rebuilding.step()
        done += await self._removals.step()
        done += await self._indexer.step()
        return done or await self._purge()

    async def status(self, *, rate: float, obstacle: DualStoreError | None) -> IndexingStatus:
        """How far everybody is, and how this process gets on."""
        status = await self._store.index_status()
        since = status.oldest_due
        return IndexingStatus(
            due=status.due,
            leased=status.leased,
            failed=status.failed,
            lag_ms=0 if since is None else max(0, self._clock() - since),
            rate=rate,
            rebuilding=await self._rebuilding.is_under_way(),
            obstacle=None if obstacle is None else str(obstacle),
        )

    async def left(self) -> Left:
        """What is to be done before the vectors are what the documents say."""
        left = Left(
            documents=await self._documents(),
            removals=await self._removals.are_queued(),
            rebuilding=await self._rebuilding.is_under_way(),
        )
        # Both of them make documents due before they are done themselves.
        return left or replace(left, documents=await self._documents())

    async def missing(self) -> Left:
        """As `left`, of what no search by meaning can find yet."""
        rebuilding = await self._rebuilding.is_under_way()
        return Left(await self._documents(), removals=False, rebuilding=rebuilding)

    async def _documents(self) -> int:
        status = await self._store.index_status()
        return status.due + status.leased

    async def _purge(self) -> int:
        """Now and then: how many tombstones were old enough to be forgotten."""
        now = self._clock()
        if now < self._purge_at:
            return 0
        purged = await self._store.purge(deleted_before=now - self._kept)
        if not purged:
            self._purge_at = now + PURGE_EVERY
        return purged
