"""The four families that a remote's things live in, and how its JSON becomes their entries.

What everything relies on must be there, or an `EntryError` names it; what isn't known here is kept
in the body and no matter.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from dualstore.entry import SourceVersion, check_key
from dualstore.errors import EntryError, shown
from dualstore.mirror.keys import event_key, message_key, session_key
from dualstore.mirror.telling import (
    LONGEST,
    cut,
    error_text,
    found,
    known,
    lines,
    message_text,
    ms_at,
    text_at,
)
from dualstore.remote.base import Change, Thing
from dualstore.values import to_ms

_EVENT_ID: Final = re.compile(r"[a-z]+_([0-9a-f]{12})")
_CLOCK: Final = 2**36
"""The milliseconds after which the clock in an id begins anew: about 26 months."""
_AHEAD: Final = 86_400_000
"""Milliseconds that the remote's clock may be ahead of ours."""


class Copy(NamedTuple):
    """A remote's thing, as an entry of its kind's family."""

    id: str
    text: str
    timestamp: int
    metadata: dict[str, Any]
    body: Any
    version: SourceVersion | None


@dataclass(frozen=True)
class Kind:
    """A family, as its manager is made."""

    name: str
    thread_key: str | None
    author_key: str | None
    filter_fields: tuple[str, ...]


SESSIONS: Final = Kind("sessions", "session_id", None, ("parent_id", "project_id", "agent"))
MESSAGES: Final = Kind("messages", "session_id", "role", ("message_id", "agent"))
EVENTS: Final = Kind("events", "session_id", None, ("type", "has_tool", "is_agent_task"))
TASKS: Final = Kind("tasks", "session_id", None, ("status",))


def session_copy(thing: Thing) -> Copy:
    session_id = _id(thing, "id")
    updated = _time(thing, "time", "updated")
    return Copy(
        id=session_key(session_id),
        text=lines(text_at(thing, key) for key in ("title", "agent", "description")),
        timestamp=updated,
        metadata=known(
            session_id=session_id,
            title=text_at(thing, "title"),
            agent=text_at(thing, "agent"),
            parent_id=text_at(thing, "parentID"),
            project_id=text_at(thing, "projectID"),
            directory=text_at(thing, "directory"),
            created=ms_at(thing, "time", "created"),
            updated=updated,
            archived=ms_at(thing, "time", "archived"),
        ),
        body=thing,
        version=SourceVersion("time", updated),
    )


def message_copy(thing: Thing, *, session_id: str) -> Copy:
    """Without a version: a message's changes move no number and no time of its own."""
    message_id = _id(thing, "info", "id")
    _check_session(thing, session_id)
    info = found(thing, "info")
    return Copy(
        id=message_key(session_id, message_id),
        timestamp=_time(thing, "info", "time", "created"),
        text=message_text(info, _parts(thing)),
        metadata=known(
            session_id=session_id,
            message_id=message_id,
            role=text_at(info, "role"),
            agent=text_at(info, "agent"),
            completed=ms_at(info, "time", "completed"),
            finish=text_at(info, "finish"),
            error=text_at(info, "error", "name"),
        ),
        body=thing,
        version=None,
    )


def event_copy(change: Change, *, is_agent_task: bool, now: int) -> Copy:
    """The text has nothing that a message says, so that no search finds both for one reason."""
    check_key(change.id, "id")
    if change.flaw is not None:
        raise EntryError("event", change.flaw)
    metadata = known(
        session_id=change.session_id or None,
        type=change.type,
        sequence=change.sequence,
        has_tool=_has_tool(change.data),
        is_agent_task=is_agent_task,
        content=_content(change.data),
        description=_description(change.data),
    )
    return Copy(
        id=event_key(change.id),
        text=_event_text(change),
        timestamp=happened_at(change, now=now),
        metadata=metadata,
        body=_event_body(change, metadata),
        version=None if change.sequence is None else SourceVersion("sequence", change.sequence),
    )


def happened_at(change: Change, *, now: int) -> int:
    """When, as the change's data say, else its id; `now` where neither does."""
    times = (ms_at(change.data, *path) for path in _TIMES)
    told = next((each for each in times if each is not None), None)
    if told is not None:
        return told
    order = event_order(change.id)
    if order is None:
        return now
    latest = now + _AHEAD
    return latest - (latest - order // 4096) % _CLOCK


def event_order(event_id: str) -> int | None:
    """48 bits that grow from event to event until they begin anew; None for any other id."""
    match = _EVENT_ID.match(event_id)
    return int(match[1], 16) if match else None


def _id(thing: Thing, *path: str) -> str:
    value, field = found(thing, *path), ".".join(path)
    if value is None:
        raise EntryError(field, "is missing")
    return check_key(value, field)


def _time(thing: Thing, *path: str) -> int:
    value, field = found(thing, *path), ".".join(path)
    if value is None:
        raise EntryError(field, "is missing")
    if type(value) not in (int, float):
        raise EntryError(field, f"must be a number of milliseconds, not {type(value).__name__}")
    return to_ms(value, field)


def _check_session(thing: Thing, session_id: str) -> None:
    if found(thing, "info", "sessionID") != session_id:
        there = shown(found(thing, "info", "sessionID"))
        raise EntryError("info.sessionID", f"is {there} and not {shown(session_id)}")


def _parts(thing: Thing) -> list[Thing]:
    parts = found(thing, "parts")
    if not isinstance(parts, list):
        raise EntryError("parts", f"must be a list, not {type(parts).__name__}")
    for at, part in enumerate(parts):
        if not isinstance(part, dict):
            raise EntryError(f"parts[{at}]", f"must be an object, not {type(part).__name__}")
    return parts


# What an event tells

_TIMES: Final = (
    ("time",),
    ("info", "time", "completed"),
    ("info", "time", "updated"),
    ("info", "time", "created"),
    ("part", "time", "end"),
    ("part", "time", "start"),
)


def _event_body(change: Change, metadata: dict[str, Any]) -> Thing:
    return {
        "id": change.id,
        "type": change.type,
        "sessionID": change.session_id,
        "sequence": change.sequence,
        "properties": change.data,
        "hasTool": metadata["has_tool"],
        "isAgentTask": metadata["is_agent_task"],
        **{key: metadata[key] for key in ("content", "description") if key in metadata},
    }


def _has_tool(data: Thing) -> bool:
    """It is about a call of a tool, or a tool asked for it."""
    return found(data, "part", "type") == "tool" or bool(found(data, "tool"))


def _content(data: Thing) -> str | None:
    part = found(data, "part")
    said = text_at(part, "text") if found(part, "type") == "text" else None
    failed = text_at(part, "state", "error")
    return cut(said or failed, LONGEST) or _event_error(data)


def _description(data: Thing) -> str | None:
    title = text_at(data, "info", "title") or text_at(data, "part", "state", "title")
    return cut(title or text_at(data, "part", "tool"), LONGEST)


_OF_MESSAGES: Final = frozenset({"message.updated", "message.part.updated"})


def _event_text(change: Change) -> str:
    """That a message was written is nothing to search for: most events say no more than that."""
    data = change.data
    told = (
        text_at(data, "part", "tool"),
        text_at(data, "part", "state", "status"),
        text_at(data, "status", "type"),
        text_at(data, "info", "title"),
        _event_error(data),
    )
    is_bare = change.type in _OF_MESSAGES and not any(told)
    return "" if is_bare else lines((change.type.replace(".", " "), *told))


def _event_error(data: Thing) -> str | None:
    return error_text(found(data, "error")) or error_text(found(data, "info", "error"))
