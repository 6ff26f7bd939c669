"""What a conversation looks like: pure folds over its entries.

They take entries in any order, as models or as mappings with `type`, `id` and `seq`, and give
their own copies. One without a number comes right behind the one given before it, and one without
an id is named by its number. Given all entries from a place on that `Standing` names, they say
the same as given all of them.
"""

import copy
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from dualstore.conversations.entries import (
    COMMON,
    AssistantAmendment,
    AssistantMessage,
    CallbackStarted,
    Compaction,
    ContextReset,
    HarnessMessage,
    Imported,
    LogEntry,
    Message,
    SubagentResult,
    TurnFinished,
    TurnStarted,
    UnknownEntry,
    UserMessage,
    entry_of,
    refused,
)
from dualstore.errors import EntryError, shown

Given = LogEntry | Mapping[str, Any]
_TEXT: Final = "text"
_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
"""What needs no copy."""


class Display(list[Message]):
    """Messages that are shown, oldest first; `total` says of how many they are the last ones."""

    def __init__(self, messages: Iterable[Message], *, total: int, cursor: str | None) -> None:
        super().__init__(messages)
        self.total = total
        self.cursor = cursor
        """Leads to those before; None when there are none."""


class Place(NamedTuple):
    """Where a message that is shown comes from: its entry's number, and its place in that."""

    seq: int
    place: int

    def __str__(self) -> str:
        """The cursor that leads to what comes before it."""
        return f"{self.seq}.{self.place}"


class Bubble(NamedTuple):
    """A message that is shown, of an entry that has no other: as good as its model."""

    seq: int
    id: str
    message: Message


class Shown:
    """All messages that are shown of some entries, made only when they are looked at."""

    def __init__(self, entries: Iterable[Given], bubbles: Iterable[Bubble] = ()) -> None:
        ordered = in_order(entries)
        self._sources: dict[int, Bubble | UserMessage | AssistantMessage | Imported] = {
            entry.seq: entry
            for entry in ordered
            if isinstance(entry, UserMessage | AssistantMessage | Imported)
        }
        self._amendments = _amendments(ordered)
        places = [
            Place(entry.seq, place) for entry in ordered for place in range(count_shown(entry))
        ]
        for each in bubbles:
            self._sources[each.seq] = each
            places.append(Place(each.seq, 0))
        self.places = sorted(places)

    def message(self, at: Place) -> Message:
        """A copy."""
        source = self._sources[at.seq]
        if isinstance(source, Imported):
            return _named(source.display[at.place], f"{source.id}:{at.place}")
        return _amended(source, self._amendments)

    def last(
        self, tail: int | None, *, total: int, before: Place | None = None, is_all: bool = True
    ) -> Display:
        """The last ones before a place; `is_all` unless there are others before all of these."""
        found = self.places[: None if before is None else bisect_left(self.places, before)]
        some = found if tail is None else found[max(0, len(found) - tail) :]
        is_all = is_all and len(some) == len(found)
        cursor = str(some[0]) if some and not is_all else None
        return Display(map(self.message, some), total=total, cursor=cursor)


class UnfinishedTurn(NamedTuple):
    """A turn that was started and not finished."""

    turn_id: str
    seq: int
    started_at: int


def build_llm_context(entries: Iterable[Given]) -> list[Message]:
    """What a model is to see: from the newest reset on, with the newest compaction's summary in
    place of what it covers.
    """
    ordered = in_order(entries)
    base = _newest(ordered, (ContextReset, Imported))
    summary = _newest(ordered, (Compaction,))
    floor = base.seq if base else 0
    if isinstance(summary, Compaction) and summary.seq > floor:
        kept = [each for each in ordered if each.seq >= floor and _is_kept(each, summary)]
        told = [_named(summary.summary_message, summary.id)]
        summaries = summary.kept_ids or []
    else:
        kept, told, summaries = [each for each in ordered if each.seq >= floor], [], []
    amendments = _amendments(ordered)
    for each in kept:
        told += _seen(each, amendments, summaries)
    return told


def build_display_snapshot(entries: Iterable[Given], tail: int | None = None) -> Display:
    """What is shown to the user; with `tail` only the last so many messages."""
    shown = Shown(entries)
    return shown.last(tail, total=len(shown.places))


def pending_subagent_results(entries: Iterable[Given]) -> list[dict[str, Any]]:
    """Results that no callback has consumed yet, with the `id` to consume each by."""
    pending: dict[str, dict[str, Any]] = {}
    for entry in in_order(entries):
        match entry:
            case SubagentResult():
                pending.pop(entry.id, None)  # an imported one of that name
                pending[entry.id] = {**copy.deepcopy(entry.result), "id": entry.id}
            case Imported():
                pending |= {each["id"]: each for each in imported_results(entry)}
            case CallbackStarted():
                for consumed in entry.consumed_ids:
                    pending.pop(consumed, None)
            case _:
                pass
    return list(pending.values())


def unfinished_turns(entries: Iterable[Given]) -> list[UnfinishedTurn]:
    """Turns that are open, or were interrupted."""
    turns: dict[str, UnfinishedTurn] = {}
    for entry in in_order(entries):
        advance_turns(turns, entry)
    return list(turns.values())


def advance_turns(turns: dict[str, UnfinishedTurn], entry: LogEntry) -> None:
    """What an entry changes about them. A finish that names no turn ends the newest one."""
    if isinstance(entry, TurnStarted):
        turn_id = entry.turn_id or entry.id
        turns[turn_id] = UnfinishedTurn(turn_id, entry.seq, entry.created_at)
    elif isinstance(entry, TurnFinished) and turns:
        turns.pop(entry.turn_id or next(reversed(turns)), None)


def unknown_types(entries: Iterable[Given]) -> list[str]:
    """The types that no fold understands, each once."""
    unknown = (each.type for each in in_order(entries) if isinstance(each, UnknownEntry))
    return list(dict.fromkeys(unknown))


def count_shown(entry: LogEntry) -> int:
    """How many messages it shows."""
    if isinstance(entry, UserMessage):
        return 0 if entry.hidden else 1
    if isinstance(entry, Imported):
        return len(entry.display)
    return 1 if isinstance(entry, AssistantMessage) else 0


def imported_results(entry: Imported) -> list[dict[str, Any]]:
    """Results that were pending before the log, with the `id` to consume each by."""
    return [
        {**copy.deepcopy(result), "id": str(result.get("id") or f"{entry.id}:{at}")}
        for at, result in enumerate(entry.pending)
    ]


def in_order(entries: Iterable[Given]) -> list[LogEntry]:
    """As models, by their numbers. Raises `EntryError` for what is no entry."""
    found: list[LogEntry] = []
    for position, given in enumerate(entries):
        following = found[-1].seq + 1 if found else 1
        try:
            found.append(_model(given, following))
        except EntryError as error:
            raise error.at(position) from None
    return sorted(found, key=lambda entry: entry.seq)


def _model(given: object, following: int) -> LogEntry:
    if isinstance(given, LogEntry):
        return given if given.seq else given.model_copy(update={"seq": following})
    if not isinstance(given, Mapping):
        raise EntryError("entry", f"must be a mapping or a model, not {type(given).__name__}")
    kind = given.get("type")
    if not isinstance(kind, str):
        raise EntryError("type", f"must be a type's name, not {shown(kind)}")
    common = {name: value for name, value in given.items() if name in COMMON and name != "type"}
    if common.get("seq") is None:
        common["seq"] = following
    if common.get("id") is None:
        common["id"] = f"entry-{common['seq']}"
    payload = {name: value for name, value in given.items() if name not in COMMON}
    try:
        return entry_of(kind, common, payload)
    except ValidationError as error:
        raise refused(kind, error) from None


def _newest(entries: Sequence[LogEntry], kinds: tuple[type[LogEntry], ...]) -> LogEntry | None:
    return next((each for each in reversed(entries) if isinstance(each, kinds)), None)


def _is_kept(entry: LogEntry, summary: Compaction) -> bool:
    """Whatever came after it is kept, too, also while it was being written."""
    if entry.seq >= summary.seq:
        return entry.seq > summary.seq
    if summary.kept_ids is not None:
        return entry.id in summary.kept_ids
    return entry.seq > (summary.covers_through_seq or 0)


def _seen(
    entry: LogEntry,
    amendments: Mapping[str, Sequence[AssistantAmendment]],
    summaries: Collection[str],
) -> list[Message]:
    """What a model sees of it; of a compaction only if it is one of these."""
    match entry:
        case UserMessage() | AssistantMessage():
            return [_amended(entry, amendments)]
        case HarnessMessage():
            return [_named(entry.message, entry.id)]
        case Compaction() if entry.id in summaries:
            return [_named(entry.summary_message, entry.id)]
        case ContextReset():
            return [_named(each, f"{entry.id}:{at}") for at, each in enumerate(entry.messages)]
        case Imported():
            return [_named(each, f"{entry.id}:c{at}") for at, each in enumerate(entry.context)]
        case _:
            return []


def _named(message: Message, name: str) -> Message:
    """A copy, with an id that stays the same."""
    copied = {
        key: value if type(value) in _ATOMS else copy.deepcopy(value)
        for key, value in message.items()
    }
    copied.setdefault("id", name)
    return copied


def _amendments(entries: Sequence[LogEntry]) -> dict[str, list[AssistantAmendment]]:
    """By the answer they belong to in the end, in the order they were made."""
    targets: dict[str, str] = {}
    found: dict[str, list[AssistantAmendment]] = {}
    for entry in entries:
        if isinstance(entry, AssistantAmendment):
            target = targets.get(entry.target_entry_id, entry.target_entry_id)
            targets[entry.id] = target
            found.setdefault(target, []).append(entry)
    return found


def _amended(
    entry: Bubble | UserMessage | AssistantMessage,
    amendments: Mapping[str, Sequence[AssistantAmendment]],
) -> Message:
    message = _named(entry.message, entry.id)
    for each in amendments.get(entry.id, ()):
        if each.append_text is not None:
            message["content"] = _joined(message.get("content"), each.append_text)
        if each.metadata is not None:
            message["metadata"] = _merged(message.get("metadata"), copy.deepcopy(each.metadata))
    return message


def _joined(content: Any, text: str) -> Any:
    """Parts stay what they are: the text becomes one more."""
    if isinstance(content, list):
        return [*content, {"type": _TEXT, _TEXT: text}]
    return (content or "") + text


def _merged(old: Any, new: Any) -> Any:
    """Mappings are merged, lists are joined, of anything else the new one counts."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: _merged(old.get(name), value) for name, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]
    return new
