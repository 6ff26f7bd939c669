"""What the tests of this room write: one family, and short ways to make its drafts."""

from collections.abc import Iterable, Sequence
from typing import Any

from dualstore.documents.base import DocumentStore, Settlement, Work
from dualstore.entry import LOCAL, Draft, Drafter, Entry, SourceVersion
from dualstore.family import FamilySpec
from dualstore.outbox import Indexed, Outcome, Removed
from dualstore.terms import Analyzer

NOW = 1_700_000_000_000
LEASE = 30_000
SPEC = FamilySpec("tests_notes", filter_fields=("role",), analyzer="1")


def draft(
    id: str,  # noqa: A002 - the field's name in the public API
    text: str = "some words",
    *,
    at: int = NOW,
    body: Any = None,
    origin: str = LOCAL,
    version: SourceVersion | None = None,
    metadata: dict[str, Any] | None = None,
    **fields: Any,
) -> Draft:
    """A draft of the test family; `fields` are metadata."""
    return Drafter(SPEC).compose(
        id=id,
        text=text,
        timestamp=at,
        metadata=fields if metadata is None else metadata,
        body=body,
        origin=origin,
        source_version=version,
    )


def remote(
    id: str,  # noqa: A002
    text: str = "some words",
    *,
    time: int | None = None,
    sequence: int | None = None,
    **fields: Any,
) -> Draft:
    """A copy of a remote's thing, with the version it has there."""
    return draft(
        id, text, origin="opencode", version=version(time=time, sequence=sequence), **fields
    )


def version(*, time: int | None = None, sequence: int | None = None) -> SourceVersion | None:
    """A source version of one kind or the other."""
    if time is not None:
        return SourceVersion("time", time)
    return None if sequence is None else SourceVersion("sequence", sequence)


async def get(store: DocumentStore, entry_id: str) -> Entry:
    """An entry that must be there."""
    return (await store.get([entry_id]))[entry_id]


async def claim(store: DocumentStore, *, now: int = NOW, lease: int = LEASE) -> dict[str, Work]:
    """All work that is due, by id."""
    return {work.id: work for work in await store.claim(1000, now=now, lease=lease)}


async def index(
    store: DocumentStore, *, now: int = NOW, vector: bytes = b"\x01\x02", chunks: int = 1
) -> list[str]:
    """Do all the work that is due, as an indexer would; the ids, in the order of the claim."""
    works = await store.claim(1000, now=now, lease=LEASE)
    settled = await store.settle(
        [Settlement(work, done(work, vector=vector, chunks=chunks)) for work in works]
    )
    assert all(settled)
    return [work.id for work in works]


def done(work: Work, *, vector: bytes = b"\x01\x02", chunks: int = 1) -> Indexed | Removed:
    """The outcome of an indexer that succeeds."""
    if work.entry is None:
        return Removed()
    return Indexed(work.entry.text_hash, chunks, vector)


async def settle(store: DocumentStore, work: Work, outcome: Outcome) -> bool:
    """Settle one piece of work."""
    (result,) = await store.settle([Settlement(work, outcome)])
    return result


def ids(entries: Iterable[Any]) -> list[str]:
    """The ids of entries, candidates or scanned documents, in their order."""
    return [entry.id for entry in entries]


def stream(text: str) -> str:
    """The term stream of a text, as a candidate carries it."""
    return " ".join(Analyzer().kept(text))


def terms(text: str, factor: float = 1.0) -> dict[str, float]:
    """A query's distinct terms, all with one factor."""
    return dict.fromkeys(Analyzer().stream(text), factor)


async def put(store: DocumentStore, drafts: Sequence[Draft], *, now: int = NOW) -> list[str]:
    """Write, and say what became of each."""
    return [each.outcome.value for each in await store.put(drafts, now=now)]
