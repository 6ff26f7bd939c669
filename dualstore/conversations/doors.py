"""What callers give, checked before anything is written."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from dualstore.conversations.coding import Prepared, prepared
from dualstore.conversations.entries import (
    COMMON,
    TYPES,
    VERSION,
    Compaction,
    LogEntry,
    UnknownEntry,
    UnreadableEntry,
    entry_of,
    refused,
)
from dualstore.conversations.scope import Scope
from dualstore.entry import check_id
from dualstore.errors import EntryError, InvalidInputError, shown

MOST: Final = 5_000
"""Entries of one batch."""
_STORES: Final = ("seq", "created_at")
"""What the store gives; a stored entry may be given again as it is."""

Given = LogEntry | Mapping[str, Any]


def check_entries(entries: Iterable[Given], scope: Scope) -> list[Prepared]:
    """All of them, or an error that names the one that is wrong; an id that comes twice with one
    payload is one entry.
    """
    if isinstance(entries, Mapping | LogEntry | str | bytes) or not isinstance(entries, Iterable):
        raise InvalidInputError(f"entries must be a list of entries, not {shown(entries)}")
    ready = [_at(position, each, scope) for position, each in enumerate(entries)]
    if not 1 <= len(ready) <= MOST:
        raise InvalidInputError(f"a batch has 1 to {MOST:,} entries, not {len(ready):,}")
    return ready


def check_count(value: object, name: str, *, least: int) -> int:
    """A whole number that isn't below the least."""
    if type(value) is not int or value < least:
        raise InvalidInputError(f"{name} must be a whole number from {least} on, not {value!r:.80}")
    return min(value, 2**53)


def check_types(types: Sequence[str] | None) -> Sequence[str] | None:
    """Names of types; one that nobody has is fine."""
    if types is None:
        return None
    if isinstance(types, str) or not all(isinstance(each, str) for each in types):
        raise InvalidInputError(f"types must be a list of their names, not {shown(types)}")
    return types


def imported(entry_id: str, told: Mapping[str, Any]) -> Prepared:
    """The entry that holds what there was before the log."""
    return _checked({"type": "imported", "id": entry_id, **told})


def _at(position: int, given: object, scope: Scope) -> Prepared:
    try:
        told = _told(given)
        if _type_of(told) == "imported":
            raise EntryError("type", "what there was before the log comes by import_snapshot")
        _check_owner(told, scope)
        return _checked(told)
    except EntryError as error:
        raise error.at(position) from None


def _told(given: object) -> Mapping[str, Any]:
    """As a mapping: a model may have been made, or changed, past every check."""
    if isinstance(given, UnreadableEntry):
        raise EntryError("type", "an entry that can't be read back can't be written again")
    if not isinstance(given, LogEntry):
        if not isinstance(given, Mapping):
            raise EntryError("entry", f"must be a mapping or a model, not {type(given).__name__}")
        return given
    told = {**vars(given), **(given.model_extra or {})}
    if not isinstance(given, UnknownEntry) or not _is_known(told):
        return told
    fields = told.pop("fields", None)
    if not isinstance(fields, Mapping):
        raise EntryError("fields", f"must be a mapping, not {type(fields).__name__}")
    for name in sorted(COMMON.intersection(fields)):
        raise EntryError(name, "isn't among an entry's own fields")
    return {**told, **fields}


def _checked(told: Mapping[str, Any]) -> Prepared:
    entry = _model(told)
    check_id(entry.id)
    if isinstance(entry, Compaction) and _says_nothing(entry.summary_message.get("content")):
        raise EntryError("summary_message", "says nothing, and would stand for what it covers")
    return prepared(entry)


def _says_nothing(content: Any) -> bool:
    if isinstance(content, list):
        return all(
            each.get("type", "text") == "text" and _says_nothing(each.get("text"))
            for each in content
        )
    return content is None or (isinstance(content, str) and not content.strip())


def _type_of(told: Mapping[str, Any]) -> str:
    kind = told.get("type")
    if not isinstance(kind, str) or not kind or not kind.isprintable() or len(kind) > 100:
        raise EntryError("type", f"must be a type's name, not {shown(kind)}")
    if kind == "unreadable":
        raise EntryError("type", "is what unreadable entries are shown as")
    return kind


def _is_known(told: Mapping[str, Any]) -> bool:
    return _type_of(told) in TYPES and told.get("version", VERSION) == VERSION


def _check_owner(told: Mapping[str, Any], scope: Scope) -> None:
    for name, mine in (("tenant", scope.tenant), ("agent", scope.agent)):
        other = told.get(name)
        if other is not None and other != mine:
            raise EntryError(name, f"is {shown(other)}; it is written to {shown(mine)}")


def _model(told: Mapping[str, Any]) -> LogEntry:
    kind = _type_of(told)
    names = COMMON - {"type", *_STORES}
    common = {name: value for name, value in told.items() if name in names}
    payload = {name: value for name, value in told.items() if name not in COMMON}
    if not _is_known(told) and set(payload) == {"fields"}:
        payload = payload["fields"]
        if not isinstance(payload, Mapping):
            raise EntryError("fields", f"must be a mapping, not {type(payload).__name__}")
    try:
        return entry_of(kind, common, payload)
    except ValidationError as error:
        raise refused(kind, error) from None
