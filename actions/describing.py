"""How a session is going, in the words that callers read. Pure."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from actions.shapes import SessionInfo, Task, Thing
from dualstore.entry import Entry
from dualstore.errors import EntryError
from dualstore.mirror.kinds import Copy
from dualstore.mirror.tasks import AgentTask, task_of
from dualstore.values import iso

ACTIVE_FOR: Final = 5 * 60 * 1000
"""Milliseconds after its last activity in which a running task counts as active."""
FEW: Final = 10
SOME: Final = 50


def activity_status(count: int, task: AgentTask | None, *, now: int) -> str:
    """By its task, else by how many messages it has."""
    if task is not None:
        return task_activity(task.status, task.last_activity, now=now)
    if count < FEW:
        return "active"
    return "waiting_for_input" if count < SOME else "idle"


def task_activity(status: str, last_activity: int, *, now: int) -> str:
    """A task that runs in silence waits for somebody."""
    if status != "running":
        return status
    return "active" if now - last_activity <= ACTIVE_FOR else "waiting_for_input"


def session_info(
    entry: Entry | Copy,
    *,
    count: int,
    newest: int | None,
    task: AgentTask | None,
    is_gone: bool,
    now: int,
) -> SessionInfo:
    """`count` messages are here, the newest from that time."""
    known = entry.metadata
    session_id = session_id_of(entry)
    created, archived = _ms(known, "created"), _ms(known, "archived")
    active = newest if newest is not None else _ms(known, "updated") or entry.timestamp
    return SessionInfo(
        id=session_id,
        title=_text(known, "title") or session_id,
        message_count=count,
        last_activity_time=iso(active),
        session_age=max(0, now - created) // 1000 if created is not None else None,
        activity_status=activity_status(count, task, now=now),
        is_agent_task=task is not None,
        agent_task_status=task.status if task else None,
        error=task.completion_message if task and task.status == "failed" else None,
        parent_id=_text(known, "parent_id"),
        project_id=_text(known, "project_id"),
        directory=_text(known, "directory"),
        created_at=iso(created) if created is not None else None,
        updated_at=iso(entry.timestamp),
        archived_at=iso(archived) if archived is not None else None,
        gone_upstream=True if is_gone else None,
    )


def session_id_of(entry: Entry | Copy) -> str:
    """The session that an entry is, or belongs to; by its id if it doesn't say."""
    return _text(entry.metadata, "session_id") or entry.id


def message_of(entry: Entry) -> Thing:
    """As the remote gave it; one that was written here by hand has what it says as its text."""
    body = entry.body
    if isinstance(body, dict) and isinstance(body.get("info"), dict) and "parts" in body:
        return body
    role, session_id = _text(entry.metadata, "role"), session_id_of(entry)
    return {
        "info": {
            "id": entry.id,
            "role": role or "user",
            "sessionID": session_id,
            "time": {"created": entry.timestamp},
        },
        "parts": [{"id": f"{entry.id}:text", "type": "text", "text": entry.text}],
    }


def event_of(entry: Entry | Copy) -> Thing:
    """With the id and the time that it has here."""
    body = entry.body if isinstance(entry.body, dict) else {"content": entry.text}
    return {**body, "_id": entry.id, "_timestamp": iso(entry.timestamp)}


def readable(things: Iterable[Thing], to_copy: Callable[[Thing], Copy]) -> list[Copy]:
    """Those of them that are what they should be, each once, oldest first."""
    copies: dict[str, Copy] = {}
    for each in things:
        with suppress(EntryError):
            copy = to_copy(each)
            copies[copy.id] = copy
    return sorted(copies.values(), key=lambda each: (each.timestamp, each.id))


def described(task: AgentTask) -> Task:
    """A task as callers read it."""
    return Task(
        session_id=task.session_id,
        task=task.task,
        start_time=iso(task.start_time),
        status=task.status,
        last_activity=iso(task.last_activity),
        completion_message=task.completion_message,
    )


def readable_task(entry: Entry | None) -> AgentTask | None:
    """None also for what somebody else put among the tasks."""
    if entry is None:
        return None
    try:
        return task_of(entry)
    except EntryError:
        return None


def _text(metadata: dict[str, Any], name: str) -> str | None:
    value = metadata.get(name)
    return value if isinstance(value, str) and value else None


def _ms(metadata: dict[str, Any], name: str) -> int | None:
    value = metadata.get(name)
    return value if type(value) is int else None
