"""Who follows what happens at a remote, and how far that can be relied on.

One process at a time holds the lease. It says there since when nothing was missed, so that others
who use the same store know what is current, too.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from uuid import uuid4

from dualstore.documents.base import Record, Records
from dualstore.errors import DualStoreError

FOLLOWED: Final = "followed"
LEASE: Final = 15_000
"""Milliseconds after which others take over what a process that died was following."""
HEARD: Final = 15_000
"""Milliseconds after which silence means that something may have been missed: a remote that is
there says so every 10 s.
"""


@dataclass(frozen=True, slots=True)
class Followed:
    """What the follower says of itself."""

    owner: str
    until: int
    """Until then nobody else follows."""
    since: int | None = None
    """All that had happened by then is here, and all that did later. None while it isn't so."""
    at: int = 0
    """When the remote was heard last."""
    failing: tuple[str, ...] = ()
    """Sessions of which that isn't true: something of them can't be read."""

    def is_held(self, *, now: int) -> bool:
        """Whether nobody else may follow. After the clock was set back nobody can know."""
        return now < self.until <= now + LEASE

    def is_current(self, *, now: int) -> bool:
        """Whether nothing is missed."""
        return self.since is not None and abs(now - self.at) < HEARD and self.is_held(now=now)

    @property
    def kept_at(self) -> int | None:
        """When all was here as it was there, but of the sessions that fail."""
        return None if self.since is None else self.at

    def to_record(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "failing": list(self.failing)}

    @classmethod
    def from_record(cls, value: dict[str, Any]) -> "Followed":
        """The opposite of `to_record`."""
        return cls(**{**value, "failing": tuple(value["failing"])})


class LeaseLostError(DualStoreError):
    """Somebody else follows by now."""


class Lease:
    """The right to follow one remote."""

    def __init__(self, records: Records, *, space: str, clock: Callable[[], int]) -> None:
        self._records = records
        self._space = space
        self._clock = clock
        self._owner = uuid4().hex
        self._record: Record | None = None
        self._telling = asyncio.Lock()

    async def acquire(self) -> bool:
        """Whether it is ours now."""
        now = self._clock()
        mine = Followed(self._owner, now + LEASE).to_record()
        record = await self._records.get(self._space, FOLLOWED)
        if record is None:
            made = self._records.create(self._space, FOLLOWED, mine, tokens=[FOLLOWED])
            self._record = await made
        else:
            found = Followed.from_record(record.value)
            is_free = found.owner == self._owner or not found.is_held(now=now)
            self._record = await self._records.replace(record, mine) if is_free else None
        return self._record is not None

    async def tell(self, *, since: int | None, at: int, failing: tuple[str, ...]) -> None:
        """Say how it stands, and hold on. Raises `LeaseLostError`."""
        async with self._telling:
            until = self._clock() + LEASE
            await self._write(Followed(self._owner, until, since, at, failing))

    async def release(self) -> None:
        """Whoever waits may follow at once. What was acquired without being told so goes, too."""
        self._record = None
        record = await self._records.get(self._space, FOLLOWED)
        if record is not None and record.value["owner"] == self._owner:
            left = replace(Followed.from_record(record.value), until=0, since=None)
            await self._records.replace(record, left.to_record())

    async def _write(self, followed: Followed) -> None:
        """What was written and not acknowledged is ours, too."""
        held = self._record
        if held is None:
            raise LeaseLostError("nothing is held")
        self._record = await self._records.replace(held, followed.to_record())
        if self._record is None:
            found = await self._records.get(self._space, FOLLOWED)
            is_mine = found is not None and found.value["owner"] == self._owner
            if found is None or not is_mine:
                raise LeaseLostError("somebody else follows by now")
            self._record = await self._records.replace(found, followed.to_record())
