"""The contracts of the document side.

A `Database` is one place (a file, a MongoDB database). It gives the `DocumentStore` of each
family, the `Journal` of append-only logs, and the `Records` that everything else is kept in.
Every method is atomic per document; time is passed in as epoch milliseconds.

Any method may raise `UnavailableError` (nobody answered in time) or a `StorageError` (the store
says that it can't). A write that raised may have taken effect; writing it again is safe.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol, Self

from dualstore.documents.journal import Journal
from dualstore.entry import LOCAL, Draft, Entry, SourceVersion
from dualstore.family import FamilySpec
from dualstore.filters import EVERYTHING, Filter
from dualstore.outbox import IndexMark, Outcome

Order = Literal["timestamp", "updated"]


class PutOutcome(StrEnum):
    """What became of a draft."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    OUTDATED = "outdated"  # refused: what is here is newer, or changed since it was looked at
    DELETED = "deleted"  # refused: a tombstone is here, and only a local write may lift it


class Put(NamedTuple):
    """What became of one draft, and the revision that is here now."""

    id: str
    outcome: PutOutcome
    revision: int


class DeleteOutcome(StrEnum):
    """What became of a deletion."""

    DELETED = "deleted"
    ABSENT = "absent"  # nothing was here, or it was deleted before
    OUTDATED = "outdated"  # refused: what is here is newer, or changed since it was looked at


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries in order; `next_cursor` is None when they are the last ones."""

    entries: tuple[Entry, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    """What a thread holds."""

    count: int
    newest: int


class Candidate(NamedTuple):
    """What the ranking needs of an entry."""

    id: str
    thread: str | None
    timestamp: int
    author: str | None
    terms: str
    """The term stream, joined by single spaces."""
    vector: bytes
    """The int8 copy of its vector; empty while it has none."""
    text_hash: str
    """Names the text that a vector must be made of to speak for it."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The best entries for some terms, best first, and how rare the terms are."""

    found: tuple[Candidate, ...]
    frequencies: Mapping[str, int]
    """Entries of the family, whatever the filter, that hold the term; for each one asked for."""
    count: int
    """Entries of the family, whatever the filter."""
    cut: bool
    """There were more than the limit."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Who stands next to an entry in its thread, nearest first on both sides."""

    before: tuple[Candidate, ...]
    after: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What an indexer has claimed: one document whose vectors aren't what they should be."""

    id: str
    token: str
    entry: Entry | None
    """None when nothing of it may stay in the index: it is deleted or excluded."""
    mark: IndexMark
    vector: bytes
    """The int8 copy made of the text `mark.held`; empty for none."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How it went with one claimed document."""

    work: Work
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """How much index work there is, tombstones included."""

    due: int
    leased: int
    failed: int
    oldest_due: int | None
    """Since when the longest waiting one waits, leased ones included."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a document says of its vectors, for comparing with what the index holds."""

    id: str
    deleted: bool
    revision: int
    text_hash: str
    mark: IndexMark


@dataclass(frozen=True, slots=True)
class Record:
    """A small thing that isn't an entry."""

    space: str
    key: str
    value: Any
    version: int
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """What the database says of itself."""

    backend: str
    """The technology and its version."""
    location: str
    """Where it is, without any password."""
    layout: int
    bytes: int | None
    """What it takes on disk, where it can say."""


class DocumentStore(Protocol):
    """The documents of one family: the truth that vectors are derived from."""

    spec: FamilySpec

    @abstractmethod
    async def put(
        self, drafts: Sequence[Draft], *, now: int, expect: Mapping[str, int] | None = None
    ) -> list[Put]:
        """Write in the order given, and mark in the same atomic write what the index owes.

        `expect` holds, by id, the revision that was here when the caller asked a remote (0 for
        none): with it a write goes through only if that is still so or its source version is
        strictly newer. Without, a local write wins over whatever is here, and a remote's only
        over an older source version. What the same content says again changes nothing.

        Raises `PartialWriteError` when only some are known to be durable.
        """

    @abstractmethod
    async def get(self, ids: Sequence[str]) -> dict[str, Entry]:
        """The entries by id; absent and deleted ones are missing."""

    @abstractmethod
    async def page(
        self,
        where: Filter = EVERYTHING,
        *,
        order: Order = "timestamp",
        newest: bool = True,
        limit: int = 50,
        cursor: str | None = None,
        skip: int = 0,
    ) -> Page:
        """One page of the entries in order of time, then id; both turn round with `newest`.

        What is written meanwhile shows up where its place is: entries that stay as they are
        come exactly once. Raises `CursorError` for a cursor of another query.
        """

    @abstractmethod
    async def count(self, where: Filter = EVERYTHING) -> int:
        """How many entries there are, exactly."""

    @abstractmethod
    async def version(self) -> int | None:
        """A number that grows with every change of any entry, whoever makes it.

        What was counted stays right as long as it is the same. None where nobody counts changes.
        """

    @abstractmethod
    async def tally(
        self, threads: Sequence[str] | None = None, where: Filter = EVERYTHING
    ) -> dict[str, Tally]:
        """Per thread, in one call: threads without entries are missing; None asks for all."""

    @abstractmethod
    async def candidates(
        self, terms: Mapping[str, float], where: Filter = EVERYTHING, *, limit: int = 200
    ) -> Candidates:
        """The entries with the highest sum of factor * idf over the terms they hold.

        Ties go by time, newest first, then by id. `weights.weigh` says what each term weighs
        and which ones are too common to bring anything in.
        """

    @abstractmethod
    async def candidates_by_id(self, ids: Sequence[str]) -> dict[str, Candidate]:
        """What the ranking needs of these entries; absent and deleted ones are missing."""

    @abstractmethod
    async def neighbours(
        self, ids: Sequence[str], *, before: int, after: int
    ) -> dict[str, Neighbours]:
        """Who stands before and after each in its thread by time, then id.

        An entry without a thread has none; absent and deleted ones are missing.
        """

    @abstractmethod
    async def delete(
        self,
        ids: Sequence[str],
        *,
        now: int,
        origin: str = LOCAL,
        source_version: SourceVersion | None = None,
        expect: Mapping[str, int] | None = None,
    ) -> dict[str, DeleteOutcome]:
        """Leave tombstones that keep id, times and versions and nothing of the content.

        The guards are those of `put`. A remote's deletion leaves a tombstone also where nothing
        was, so that a late write finds it.
        """

    @abstractmethod
    async def claim(self, limit: int, *, now: int, lease: int) -> list[Work]:
        """Take due index work, longest due first, for `lease` milliseconds.

        Nobody else gets it before the lease has run out. What was put off comes behind the rest.
        A document that can't be read back is settled as failed, with its reason, and not given.
        Empty when nothing is due.
        """

    @abstractmethod
    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Record how it went; False where the lease was lost, which then changes nothing."""

    @abstractmethod
    async def mark_due(self, ids: Sequence[str], *, now: int) -> list[str]:
        """Make the index do these again.

        Returns the ids that are here, as entries or tombstones.
        """

    @abstractmethod
    async def index_status(self) -> IndexStatus:
        """How much index work there is."""

    @abstractmethod
    async def marks(self, ids: Sequence[str]) -> dict[str, Scanned]:
        """What these documents say of their vectors; absent ones are missing, tombstones aren't."""

    @abstractmethod
    async def scan(
        self, *, after: str | None = None, before: str | None = None, limit: int = 1000
    ) -> list[Scanned]:
        """Entries and tombstones with `after < id < before`, in order of their ids."""

    @abstractmethod
    async def purge(self, *, deleted_before: int, limit: int = 1000) -> int:
        """Forget tombstones for good, but none whose vectors aren't settled; how many went."""


class Records(Protocol):
    """One tiny ordered primitive for all that isn't an entry: `(space, key) -> value`.

    Keys are ordered by code points. A token is a second name, unique in its space, that is
    written in the same atomic step. Values are JSON values.
    """

    @abstractmethod
    async def create(
        self, space: str, key: str, value: Any, *, tokens: Sequence[str] = ()
    ) -> Record | None:
        """Write it if the key and all of its tokens are free; None if one of them isn't."""

    @abstractmethod
    async def replace(
        self, record: Record, value: Any, *, tokens: Sequence[str] | None = None
    ) -> Record | None:
        """Write it if the version is still the record's; None if not, or if a token is taken.

        Without `tokens` they stay as they are.
        """

    @abstractmethod
    async def delete(self, record: Record) -> bool:
        """Remove it if the version is still the record's; whether it was."""

    @abstractmethod
    async def get(self, space: str, key: str) -> Record | None:
        """The record, or None."""

    @abstractmethod
    async def range(
        self,
        space: str,
        *,
        after: str | None = None,
        before: str | None = None,
        limit: int = 100,
        backwards: bool = False,
    ) -> list[Record]:
        """Records with `after < key < before`, in order of their keys."""

    @abstractmethod
    async def find(self, space: str, tokens: Sequence[str]) -> dict[str, Record]:
        """The records by token; tokens that nobody has are missing."""


class Database(Protocol):
    """One place for documents. `async with` opens it; leaving closes what it opened itself."""

    records: Records
    journal: Journal

    @abstractmethod
    async def family(self, spec: FamilySpec) -> DocumentStore:
        """The family's store, made when it is new.

        Raises `FamilyMismatchError` when it is recorded with another spec, or when a `respec`
        of it isn't done.
        """

    @abstractmethod
    async def specs(self) -> list[FamilySpec]:
        """Of all families there are, in order of their names; one that is being made anew has
        the spec that it is becoming.
        """

    @abstractmethod
    async def respec(self, spec: FamilySpec, *, now: int) -> None:
        """Make the family anew to this spec: all that is derived from its entries is derived again.

        Content, revisions and times stay; what the index owes is due where vectors are made from,
        or filed under, something else now. Nobody else may have the family open. One that was
        killed in the middle goes on at the next call; until it is done the family can't be
        opened. No family of that name, or one that is of this spec already: nothing happens.
        """

    @abstractmethod
    async def health(self) -> Health:
        """Asks the database itself; raises when it doesn't answer."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Open it, bringing an older layout up to date."""

    @abstractmethod
    async def __aexit__(self, *details: object) -> None:
        """Close it; whatever was acknowledged is durable."""
