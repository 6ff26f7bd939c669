"""The contract of journals: append-only logs, beside the entries and the records."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Protocol

LAST: Final = 2**53
"""The largest sequence number: every driver keeps whole numbers up to here as they are."""


class JournalItem(NamedTuple):
    """One thing in a log. It never changes."""

    seq: int
    """From 1, without gaps."""
    id: str
    kind: str
    text: str


class Tip(NamedTuple):
    """Where a log ends, and the note that was written along with the last batch."""

    seq: int
    note: str


class Behind(NamedTuple):
    """A log that goes on beyond what its follower has noted."""

    log: str
    followed: int


class Journal(Protocol):
    """Logs by name. Each is a row of items that only grows at its end, until it is removed.

    Whoever appends says where the log ended when he looked: of several who say the same, exactly
    one gets through, in whatever process he is. So nobody waits for anybody, and nobody's failure
    undoes what others wrote.
    """

    @abstractmethod
    async def extend(self, log: str, items: Sequence[JournalItem], *, note: str) -> bool:
        """Write all of them in one atomic step, with the note; or nothing.

        The first one is number 1, or follows a tip that was read. False when the log ends
        elsewhere by now, or has one of the ids already. A log begins with its first items.
        """

    @abstractmethod
    async def tip(self, log: str) -> Tip | None:
        """Where it ends; None for a log that has nothing."""

    @abstractmethod
    async def read(
        self,
        log: str,
        *,
        after: int = 0,
        before: int = LAST,
        kinds: Collection[str] | None = None,
        limit: int | None = None,
        backwards: bool = False,
    ) -> list[JournalItem]:
        """Items with `after < seq < before` of these kinds (None for all), in order.

        Items of other kinds are neither counted nor sent; one answer never has more bytes than
        a portion, unless a single batch does.
        """

    @abstractmethod
    async def find(self, log: str, ids: Sequence[str]) -> dict[str, JournalItem]:
        """The items by id; ids that the log doesn't have are missing."""

    @abstractmethod
    async def behind(self, prefix: str, *, limit: int = 100) -> list[Behind]:
        """Logs whose names begin so, and that have items nobody has noted as followed.

        Which of them come first is open, but what is behind comes in the end.
        """

    @abstractmethod
    async def follow(self, log: str, *, through: int) -> None:
        """Note durably that all up to there was followed. It never goes back."""

    @abstractmethod
    async def remove(self, log: str) -> None:
        """Remove all of it; a log that isn't there is fine.

        Whoever read its tip before may still append behind it: he has to look, afterwards,
        whether the log was given up, and remove it again.
        """
