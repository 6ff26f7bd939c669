"""The ids of what is mirrored: one builder and one parser, whatever the parts are.

    session:{session}             message:{session}:{message}
    session:{session}:messages    event:{event}    task:{session}

`:` and `%` in a part are written `%3A` and `%25`, nothing else is, so each key has one spelling.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from dualstore.entry import check_key
from dualstore.errors import EntryError, InvalidNameError, shown

KeyKind = Literal["session", "messages", "message", "event", "task"]

_VIEW: Final = "messages"
_KINDS: Final[dict[tuple[str, int], KeyKind]] = {
    ("session", 1): "session",
    ("message", 2): "message",
    ("event", 1): "event",
    ("task", 1): "task",
}


class Key(NamedTuple):
    """What a key names. `messages` is the view of all messages of a session, never stored."""

    kind: KeyKind
    parts: tuple[str, ...]


@lru_cache(maxsize=10_000)
def session_key(session_id: str) -> str:
    return _key("session", _escaped(session_id, "session_id"))


def messages_view_key(session_id: str) -> str:
    return _key("session", _escaped(session_id, "session_id"), _VIEW)


def message_key(session_id: str, message_id: str) -> str:
    return _key("message", _escaped(session_id, "session_id"), _escaped(message_id, "message_id"))


def messages_prefix(session_id: str) -> str:
    """What the keys of the session's messages begin with, and no other key does."""
    return f"message:{_escaped(session_id, 'session_id')}:"


def event_key(event_id: str) -> str:
    return _key("event", _escaped(event_id, "event_id"))


@lru_cache(maxsize=10_000)
def task_key(session_id: str) -> str:
    return _key("task", _escaped(session_id, "session_id"))


def keyed(parts: Iterable[str], build: Callable[[str], str]) -> dict[str, str]:
    """What `build` makes of each, and the part it was; without those that can't be in a key."""
    found: dict[str, str] = {}
    for each in parts:
        with suppress(EntryError):
            found[build(each)] = each
    return found


def parse_key(key: str) -> Key:
    """What the key was built of. Raises `InvalidNameError` for what no builder gives."""
    try:
        head, *pieces = check_key(key, "a key").split(":")
    except EntryError as error:
        raise InvalidNameError(str(error)) from None
    if head == "session" and pieces[1:] == [_VIEW]:
        return Key("messages", (_part(pieces[0], key),))
    kind = _KINDS.get((head, len(pieces)))
    if kind is None:
        raise InvalidNameError(
            f"{shown(key)} is no key: those are session:…, session:…:messages, message:…:…, "
            "event:… and task:…"
        )
    return Key(kind, tuple(_part(piece, key) for piece in pieces))


def _key(*pieces: str) -> str:
    """An `EntryError` where it is longer than keys can be."""
    return check_key(":".join(pieces), "id")


def _escaped(part: str, field: str) -> str:
    return check_key(part, field).replace("%", "%25").replace(":", "%3A")


def _part(piece: str, key: str) -> str:
    part = piece.replace("%3A", ":").replace("%25", "%")
    try:
        escaped = _escaped(part, "a part")
    except EntryError as error:
        raise InvalidNameError(f"{shown(key)} is no key: {error}") from None
    if escaped != piece:
        raise InvalidNameError(
            f"{shown(key)} is no key: {shown(piece)} holds a % that is neither %25 nor %3A"
        )
    return part
