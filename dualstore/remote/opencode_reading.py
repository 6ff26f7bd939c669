"""What OpenCode's JSON must look like to be taken; a `RemoteError` names what is wrong."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import orjson

from dualstore.errors import RemoteError, shown
from dualstore.remote.base import BEAT, CONNECTED, Change, Thing

_SESSION_ID: Final = re.compile(r"ses[A-Za-z0-9_-]{1,200}")
_MESSAGE_ID: Final = re.compile(r"msg[A-Za-z0-9_-]{1,200}")
_VERSION: Final = re.compile(r"\.[0-9]+$")
_TOLD_TWICE: Final = frozenset(
    {
        "message.part.removed",
        "message.part.updated",
        "message.removed",
        "message.updated",
        "session.created",
        "session.deleted",
        "session.updated",
    }
)
"""Durable changes come as themselves, and with their sequence number as a `sync`."""
_PIECES: Final = "message.part.delta"
"""What the next `message.part.updated` tells as a whole."""


def is_session_id(text: str) -> bool:
    """Whether it is of a form that the server gives, and so can be a part of a path."""
    return _SESSION_ID.fullmatch(text) is not None


def is_message_id(text: str) -> bool:
    return _MESSAGE_ID.fullmatch(text) is not None


def things(content: Any, *, what: str) -> tuple[Thing, ...]:
    """A list of objects, each as it came."""
    return tuple(
        _object(each, what=f"number {number} of {what}")
        for number, each in enumerate(_listed(content, what=what))
    )


def session(content: Any, session_id: str) -> Thing:
    """The session that was asked for."""
    found = _object(content, what="a session")
    _same(found, "id", session_id, what="a session")
    _times(found, "created", "updated", what=f"session {session_id}")
    return found


def message(content: Any, session_id: str, message_id: str) -> Thing:
    """The message that was asked for, of the session that was asked for."""
    found = _object(content, what="a message")
    info = _object(found.get("info"), what="a message's info")
    _same(info, "id", message_id, what="a message's info")
    _same(info, "sessionID", session_id, what="a message's info")
    _times(info, "created", what=f"message {message_id}")
    things(found.get("parts"), what=f"the parts of message {message_id}")
    return found


def history(content: Any, known: Mapping[str, int]) -> list[Change]:
    """What isn't known yet, by session and sequence; and what can't be read, of no session.

    An answer of which nothing can be read is none.
    """
    told: list[tuple[str, int, Change]] = []
    spoiled: list[Change] = []
    for event in _listed(content, what="the history"):
        try:
            told.append(_durable(event, session="aggregate_id", what="an event of the history"))
        except RemoteError as error:
            spoiled.append(_spoiled(event, str(error)))
    if spoiled and not told:
        raise RemoteError(f"nothing of the history can be read: {spoiled[0].flaw}")
    told.sort(key=lambda one: (one[0], one[1]))
    new = [change for session_id, sequence, change in told if sequence > known.get(session_id, -1)]
    return [*new, *spoiled]


def frame(content: Any) -> Change | None:
    """What an event of the stream tells; None for what is told otherwise, too, or of nobody."""
    payload = _object(_object(content, what="an event").get("payload"), what="an event's payload")
    kind = payload.get("type")
    if kind == "sync":
        event = _object(payload.get("syncEvent"), what="a sync event")
        return _durable(event, session="aggregateID", what="a sync event")[2]
    if kind in _TOLD_TWICE or kind == _PIECES:
        return None
    kind = _text(kind, what="the type of an event")
    data = _object(payload.get("properties"), what=f"what {kind[:50]} tells")
    session_id = _text(data.get("sessionID", ""), what="a sessionID")
    if not session_id and kind not in (CONNECTED, BEAT):
        return None
    return Change(session_id, None, kind, _id(payload, what="an event"), data)


def _durable(content: Any, *, session: str, what: str) -> tuple[str, int, Change]:
    event = _object(content, what=what)
    session_id = _text(event.get(session), what=f"the {session} of {what}")
    sequence = event.get("seq")
    if type(sequence) is not int or sequence < 0:
        raise RemoteError(f"the seq of {what} must be a number from 0")
    kind = _VERSION.sub("", _text(event.get("type"), what=f"the type of {what}"))
    data = _object(event.get("data"), what=f"the data of {what}")
    return session_id, sequence, Change(session_id, sequence, kind, _id(event, what=what), data)


def _spoiled(event: Any, flaw: str) -> Change:
    """Named by its id, else by what it says: the same one always by the same name."""
    given = event.get("id") if isinstance(event, dict) else None
    digest = blake2b(orjson.dumps(event), digest_size=8).hexdigest()
    return Change("", None, "", given if isinstance(given, str) else digest, {}, flaw=flaw)


def _listed(content: Any, *, what: str) -> list[Any]:
    if not isinstance(content, list):
        raise RemoteError(f"{what} must be a list, and not {_kind(content)}")
    return content


def _id(thing: Thing, *, what: str) -> str:
    return _text(thing.get("id"), what=f"the id of {what}")


def _text(value: Any, *, what: str) -> str:
    if not isinstance(value, str):
        raise RemoteError(f"{what} must be a text, and not {_kind(value)}")
    return value


def _object(value: Any, *, what: str) -> Thing:
    if not isinstance(value, dict):
        raise RemoteError(f"{what} must be an object, and not {_kind(value)}")
    return value


def _same(thing: Thing, field: str, expected: str, *, what: str) -> None:
    if thing.get(field) != expected:
        raise RemoteError(f"{what} has the {field} {shown(thing.get(field))}, and not {expected}")


def _times(thing: Thing, *names: str, what: str) -> None:
    time = _object(thing.get("time"), what=f"the time of {what}")
    for name in names:
        if type(time.get(name)) not in (int, float):
            raise RemoteError(
                f"time.{name} of {what} must be a number, and not {shown(time.get(name))}"
            )


def _kind(value: Any) -> str:
    """Never the value itself, which may be anybody's words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return "nothing" if value is None else names.get(type(value), "a number")
