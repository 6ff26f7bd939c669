"""Where a log stands: all that a writer or a bounded read has to know of what came before.

It is written along with each batch, in the same atomic step, so it is never behind and never
ahead. Nothing is ever true because it says so: `verify` folds everything again and compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from dualstore.conversations.coding import genesis
from dualstore.conversations.entries import (
    CallbackStarted,
    Compaction,
    ContextReset,
    Imported,
    LogEntry,
    SubagentResult,
)
from dualstore.conversations.folds import (
    UnfinishedTurn,
    advance_turns,
    count_shown,
    imported_results,
)
from dualstore.values import from_json, to_json

Complete = Literal["", "created", "imported"]
"""Why the log has everything that was ever said; empty if nobody knows that it has."""

NAMED: Final = 500
"""Results that are named one by one, as every batch has the list."""
TURNS: Final = 100
_FORM: Final = 1


@dataclass(frozen=True, slots=True)
class Standing:
    """After `seq` entries."""

    seq: int
    hash: str
    """Of the last entry, in the chain."""
    complete: Complete
    shown: int = 0
    """Messages of the display."""
    floor: int = 1
    """The newest reset or import; the context never reaches back behind it."""
    context_from: int = 1
    """The first entry that the context needs."""
    pending: tuple[tuple[str, int], ...] = ()
    """Results that wait: the id to consume each by, and its entry's number."""
    waiting_from: int = 0
    """Where the first of them is, if there were ever too many to name; 0 if all are named."""
    turns: tuple[UnfinishedTurn, ...] = ()
    """Those that aren't finished, the newest ones."""
    last_activity: int = 0

    def to_note(self) -> str:
        """As JSON."""
        told = {name: getattr(self, name) for name in _FIELDS}
        lists = {name: list(map(list, told[name])) for name in ("pending", "turns")}
        return to_json({**told, **lists, "form": _FORM}, "standing")

    @classmethod
    def from_note(cls, note: str) -> "Standing":
        """The opposite. Raises `ValueError`, `TypeError` or `LookupError` for what isn't one."""
        told = from_json(note)
        if told.pop("form") != _FORM:
            raise ValueError("of another form")
        pending = tuple((str(name), int(seq)) for name, seq in told.pop("pending"))
        turns = tuple(UnfinishedTurn(*turn) for turn in told.pop("turns"))
        return cls(**told, pending=pending, turns=turns)


def beginning(log: str, complete: Complete) -> Standing:
    """Before the first entry."""
    return Standing(0, genesis(log), complete)


def advanced(
    standing: Standing, entry: LogEntry, chain: str, *, places: Mapping[str, int]
) -> Standing:
    """After one more entry. `places` has the numbers of the entries that it keeps, if it names
    any.
    """
    turns = {turn.turn_id: turn for turn in standing.turns}
    advance_turns(turns, entry)
    moved = replace(
        standing,
        seq=entry.seq,
        hash=chain,
        shown=standing.shown + count_shown(entry),
        turns=tuple(turns.values())[-TURNS:],
        last_activity=max(standing.last_activity, entry.created_at),
    )
    return replace(moved, **_folded(moved, entry, places))


def _folded(standing: Standing, entry: LogEntry, places: Mapping[str, int]) -> dict[str, Any]:
    match entry:
        case Imported():
            waiting = {each["id"]: entry.seq for each in imported_results(entry)}
            return {"complete": "imported", **_waiting(standing, tuple(waiting.items()))}
        case ContextReset():
            return {"floor": entry.seq, "context_from": entry.seq}
        case Compaction():
            return {"context_from": max(standing.floor, _first_kept(entry, places))}
        case SubagentResult():
            others = (each for each in standing.pending if each[0] != entry.id)
            return _waiting(standing, (*others, (entry.id, entry.seq)))
        case CallbackStarted():
            gone = set(entry.consumed_ids)
            return {"pending": tuple(each for each in standing.pending if each[0] not in gone)}
        case _:
            return {}


def _waiting(standing: Standing, pending: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    if standing.waiting_from:
        return {}
    if len(pending) > NAMED:
        return {"pending": (), "waiting_from": pending[0][1]}
    return {"pending": pending}


def _first_kept(entry: Compaction, places: Mapping[str, int]) -> int:
    if entry.kept_ids is None:
        return min((entry.covers_through_seq or 0) + 1, entry.seq)
    return min((places[each] for each in entry.kept_ids if each in places), default=entry.seq)


_FIELDS: Final = tuple(each.name for each in fields(Standing))
