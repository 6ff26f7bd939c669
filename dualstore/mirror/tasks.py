"""Tasks of agents: what a session that works for another one was asked, and how it ended.

A task follows what happens in its session. Nothing that was looked at counts twice: durable
changes are told apart by their sequence numbers, those that are told once by the order of ids.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from dualstore.entry import Entry
from dualstore.errors import EntryError, shown
from dualstore.mirror.keys import task_key
from dualstore.mirror.kinds import Copy, event_order, happened_at
from dualstore.mirror.telling import (
    LONGEST,
    error_text,
    found,
    is_aside,
    known,
    lines,
    ms_at,
    text_at,
)
from dualstore.remote.base import Change, Thing
from dualstore.values import iso, to_ms

TaskStatus = Literal["running", "completed", "failed", "idle"]

_ABORTED: Final = "MessageAbortedError"
_ORDERS: Final = 2**48


@dataclass(frozen=True, slots=True)
class AgentTask:
    session_id: str
    task: str
    start_time: int
    status: TaskStatus
    last_activity: int
    completion_message: str | None = None
    sequence: int | None = None
    """Of the last change that was looked at."""
    heard: int | None = None
    """The order of the newest change's id."""
    title: str | None = None
    """The session's, as last told. A task in other words was put in words by somebody."""
    message: tuple[int, str] | None = None
    """When the newest message was created, and its id."""
    said: tuple[str, str, str] | None = None
    """The last text of that message: the ids of message and part, and its beginning."""


def task_copy(task: AgentTask) -> Copy:
    """Without a version: it is made here, and changes with what no number tells."""
    return Copy(
        id=task_key(task.session_id),
        text=lines((task.task, task.completion_message)),
        timestamp=task.last_activity,
        metadata={
            "session_id": task.session_id,
            "status": task.status,
            "followed": known(
                sequence=task.sequence,
                heard=task.heard,
                title=task.title,
                message=task.message and list(task.message),
                said=task.said and list(task.said),
            ),
        },
        body=known(
            sessionId=task.session_id,
            task=task.task,
            startTime=iso(task.start_time),
            status=task.status,
            lastActivity=iso(task.last_activity),
            completionMessage=task.completion_message,
        ),
        version=None,
    )


def task_of(entry: Entry | Copy) -> AgentTask:
    """What `task_copy` made an entry of; an `EntryError` where that can't be."""
    body, followed = entry.body, found(entry.metadata, "followed")
    status = found(body, "status")
    if status not in get_args(TaskStatus):
        raise EntryError("body.status", f"is no task's: {shown(status)}")
    return AgentTask(
        session_id=_text(body, "sessionId"),
        task=_text(body, "task"),
        start_time=_ms(body, "startTime"),
        status=status,
        last_activity=_ms(body, "lastActivity"),
        completion_message=_if_text(body, "completionMessage"),
        sequence=_number(followed, "sequence"),
        heard=_number(followed, "heard"),
        title=_if_text(followed, "title"),
        message=_tuple(followed, "message", int, str),
        said=_tuple(followed, "said", str, str, str),
    )


def followed(task: AgentTask | None, change: Change, *, at: int) -> AgentTask | None:
    """The task after the change; `at` is the time now, for changes that don't tell theirs.

    None as long as there is none: it begins with a session that has a parent. A task of any other
    session, which somebody made, is followed all the same.
    """
    if task is None:
        return _begun(change, at=at)
    if not _counts(task, change):
        return task
    return _noted(_after(task, change), change, at=at)


def _begun(change: Change, *, at: int) -> AgentTask | None:
    info = found(change.data, "info")
    if change.type not in ("session.created", "session.updated") or not text_at(info, "parentID"):
        return None
    started = ms_at(info, "time", "created")
    title = text_at(info, "title") or change.session_id
    start = happened_at(change, now=at) if started is None else started
    task = AgentTask(change.session_id, title, start, "running", start, title=title)
    return _noted(task, change, at=at)


def _counts(task: AgentTask, change: Change) -> bool:
    if change.session_id != task.session_id or change.type == "session.deleted":
        return False
    if change.sequence is not None:
        is_new = task.sequence is None or change.sequence > task.sequence
        return is_new or _begins_anew(task, change)
    return _is_later(event_order(change.id), task.heard)


def _begins_anew(task: AgentTask, change: Change) -> bool:
    """A session that was deleted and is back counts from the first on, in ids that go on."""
    order = event_order(change.id)
    return order is not None and task.heard is not None and _is_later(order, task.heard)


def _is_later(order: int | None, heard: int | None) -> bool:
    """Also where nobody can know. Orders begin anew, so half of them are later than any."""
    return order is None or heard is None or 0 < (order - heard) % _ORDERS < _ORDERS // 2


def _noted(task: AgentTask, change: Change, *, at: int) -> AgentTask:
    order = event_order(change.id)
    is_newest = order is not None and _is_later(order, task.heard)
    return replace(
        task,
        sequence=task.sequence if change.sequence is None else change.sequence,
        heard=order if is_newest else task.heard,
        last_activity=max(task.last_activity, happened_at(change, now=at)),
    )


def _after(task: AgentTask, change: Change) -> AgentTask:
    match change.type:
        case "session.created" | "session.updated":
            return _renamed(task, text_at(change.data, "info", "title"))
        case "message.updated":
            return _after_message(task, found(change.data, "info"))
        case "message.part.updated":
            return _after_part(task, found(change.data, "part"))
        case "session.status" | "session.idle":
            return _after_status(task, change)
        case "session.error":
            return _broken(task, found(change.data, "error"))
        case _:
            return task


def _renamed(task: AgentTask, title: str | None) -> AgentTask:
    if title is None:
        return task
    return replace(task, title=title, task=title if task.task == task.title else task.task)


def _after_message(task: AgentTask, info: Any) -> AgentTask:
    """Older messages are told again after newer ones, and mean nothing then."""
    created, message_id, role = (
        ms_at(info, "time", "created"),
        text_at(info, "id"),
        found(info, "role"),
    )
    if created is None or message_id is None or role not in ("user", "assistant"):
        return task
    message = (created, message_id)
    if task.message is not None and message < task.message:
        return task
    if message != task.message:
        task = _running(task, message)
    return _after_answer(task, info) if role == "assistant" else task


def _running(task: AgentTask, message: tuple[int, str]) -> AgentTask:
    said = task.said if task.said and task.said[0] == message[1] else None
    return replace(task, status="running", completion_message=None, message=message, said=said)


def _after_answer(task: AgentTask, info: Thing) -> AgentTask:
    finish, error = text_at(info, "finish"), found(info, "error")
    if error is not None:
        return _broken(task, error)
    if ms_at(info, "time", "completed") is None or finish == "tool-calls":
        return task
    if finish is None:  # a command of the user's: no model was asked
        return _rested(task)
    return replace(task, status="completed", completion_message=task.said and task.said[2])


def _after_part(task: AgentTask, part: Any) -> AgentTask:
    """Only of the newest message, and of its parts the last one that has a text."""
    text, part_id = text_at(part, "text"), text_at(part, "id")
    message_id = text_at(part, "messageID")
    if found(part, "type") != "text" or is_aside(part) or not (text and part_id and message_id):
        return task
    if task.message is not None and message_id != task.message[1]:
        return task
    if task.said is not None and task.said[0] == message_id and part_id < task.said[1]:
        return task
    return replace(task, said=(message_id, part_id, text.strip()[:LONGEST]))


def _after_status(task: AgentTask, change: Change) -> AgentTask:
    """What has ended is begun anew by a message only: after the last one comes a `busy`, too."""
    status = found(change.data, "status", "type")
    if change.type == "session.idle" or status == "idle":
        return _rested(task)
    if status in ("busy", "retry") and task.status == "idle":
        return replace(task, status="running")
    return task


def _rested(task: AgentTask) -> AgentTask:
    return replace(task, status="idle") if task.status == "running" else task


def _broken(task: AgentTask, error: Any) -> AgentTask:
    if found(error, "name") == _ABORTED:
        return _rested(task)
    return replace(task, status="failed", completion_message=error_text(error))


# Reading back what was written


def _text(body: Any, key: str) -> str:
    value = found(body, key)
    if not isinstance(value, str):
        raise EntryError(f"body.{key}", f"must be a string, not {type(value).__name__}")
    return value


def _if_text(thing: Any, key: str) -> str | None:
    value = found(thing, key)
    return value if isinstance(value, str) else None


def _ms(body: Any, key: str) -> int:
    return to_ms(_text(body, key), f"body.{key}")


def _number(thing: Any, key: str) -> int | None:
    value = found(thing, key)
    return value if type(value) is int else None


def _tuple(thing: Any, key: str, *kinds: type) -> Any:
    value = found(thing, key)
    if not isinstance(value, list) or [type(each) for each in value] != list(kinds):
        return None
    return tuple(value)
