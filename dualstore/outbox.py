"""The outbox inside each document: what the vector index still owes it. Pure, no I/O.

    due ──claim──> leased ──settle──> indexed | excluded | failed
     ^                │
     └── retry, release, expired lease, a newer text, repair

A mark and the content it speaks of change in one atomic write, so neither survives a crash
without the other. A tombstone has a mark too: until it is settled, vectors may be left.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, assert_never


class IndexState(IntEnum):
    """Where an entry's index work stands. The numbers are stored; don't change them."""

    DUE = 0  # waits for an indexer, not before `claim_at`
    LEASED = 1  # an indexer has it until `claim_at`; then it counts as due again
    INDEXED = 2  # the index holds exactly the vectors of `held`
    FAILED = 3  # gave up for the reason in `error`; a retry makes it due again
    EXCLUDED = 4  # the index holds nothing of it and shall not


@dataclass(frozen=True, slots=True)
class IndexMark:
    """What a document says of its vectors."""

    state: IndexState
    attempts: int = 0
    error: str | None = None
    chunks: int = 0
    """How many vectors `held` has."""
    held: str = ""
    """The text hash whose vectors were settled last; empty for none."""
    residue: bool = False
    """An attempt may have left vectors that are neither `held`'s nor the present text's."""
    token: str | None = None
    claim_at: int | None = None
    """From when on it may be claimed; None once settled."""
    due_since: int | None = None


@dataclass(frozen=True, slots=True)
class Indexed:
    """The vectors of `text_hash` are in the index, and nothing else of this entry is."""

    text_hash: str
    chunks: int
    vector: bytes = b""
    """The int8 copy that is kept beside the terms."""


@dataclass(frozen=True, slots=True)
class Removed:
    """Nothing of this entry is left in the index."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It can't be indexed as it is; trying again won't help."""

    error: str


@dataclass(frozen=True, slots=True)
class Retry:
    """It didn't work this time; it may be claimed again from `at` on."""

    error: str
    at: int


@dataclass(frozen=True, slots=True)
class Released:
    """Nothing was tried: the lease is given back, and the claim doesn't count as an attempt."""


Outcome = Indexed | Removed | Failed | Retry | Released

AT_ONCE: Final = 0
"""For `claim_at`: whatever the clocks of those say who write and those who index."""
SETTLED: Final = (IndexState.INDEXED, IndexState.FAILED, IndexState.EXCLUDED)


def fresh(*, indexable: bool, now: int) -> IndexMark:
    """The mark of an entry that was never here."""
    if indexable:
        return IndexMark(IndexState.DUE, claim_at=AT_ONCE, due_since=now)
    return IndexMark(IndexState.EXCLUDED)


def renewed(mark: IndexMark, *, indexable: bool, now: int) -> IndexMark:
    """The mark after a change of what the vectors are made from, or after a delete.

    Whoever holds the lease loses it: what he is writing is of the old text.
    """
    residue = mark.residue or (mark.attempts > 0 and mark.state is not IndexState.INDEXED)
    if not (indexable or mark.held or residue):
        return IndexMark(IndexState.EXCLUDED)
    return IndexMark(
        IndexState.DUE,
        chunks=mark.chunks,
        held=mark.held,
        residue=residue,
        claim_at=AT_ONCE,
        due_since=now if mark.due_since is None else mark.due_since,
    )


def doubted(mark: IndexMark, *, now: int) -> IndexMark:
    """The mark of an entry that has to be indexed again, whatever is said of its vectors."""
    return replace(renewed(mark, indexable=True, now=now), due_since=now)


def leased(mark: IndexMark, *, token: str, until: int) -> IndexMark:
    """The mark once an indexer has claimed it."""
    return replace(
        mark,
        state=IndexState.LEASED,
        attempts=mark.attempts + 1,
        token=token,
        claim_at=until,
    )


def settled(mark: IndexMark, outcome: Outcome) -> IndexMark:
    """The mark once the indexer that holds the lease has said how it went."""
    match outcome:
        case Indexed():
            return IndexMark(
                IndexState.INDEXED,
                attempts=mark.attempts,
                chunks=outcome.chunks,
                held=outcome.text_hash,
            )
        case Removed():
            return IndexMark(IndexState.EXCLUDED)
        case Failed():
            return _given_back(mark, IndexState.FAILED, error=outcome.error)
        case Retry():
            return _given_back(mark, IndexState.DUE, error=outcome.error, claim_at=outcome.at)
        case Released():
            back = _given_back(mark, IndexState.DUE, error=mark.error, claim_at=AT_ONCE)
            return replace(back, attempts=mark.attempts - 1)
        case _:
            assert_never(outcome)


def _given_back(
    mark: IndexMark, state: IndexState, *, error: str | None, claim_at: int | None = None
) -> IndexMark:
    due_since = None if claim_at is None else mark.due_since
    return replace(
        mark, state=state, error=error, token=None, claim_at=claim_at, due_since=due_since
    )
