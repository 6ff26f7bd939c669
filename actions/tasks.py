"""Tasks of agents: what they were told to do, and how it is going."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

from actions.answer import Answer
from actions.checking import check_count, check_id
from actions.context import Context
from actions.describing import described, readable_task
from actions.questions.tasks import AllTasks, OneTaskOf
from actions.readthrough import read
from actions.shapes import OneTask, TaskList
from dualstore.documents.base import PutOutcome
from dualstore.entry import LOCAL
from dualstore.errors import InvalidInputError, NotFoundError, shown
from dualstore.mirror.changing import settled
from dualstore.mirror.intake import draft_of
from dualstore.mirror.keys import task_key
from dualstore.mirror.tasks import AgentTask, TaskStatus, task_copy
from dualstore.values import check_text


async def list(  # noqa: A001 - the action's name in the public API
    context: Context, status: TaskStatus | None = None, limit: int | None = None
) -> Answer[TaskList]:
    """Tasks, newest activity first; all of them without a limit."""
    if status is not None:
        _check_status(status)
    return await read(context, AllTasks(context, status, check_count(limit)))


async def get(context: Context, session_id: str) -> Answer[OneTask]:
    """The task that a session is. Raises `NotFoundError` also for a session that is none."""
    return await read(context, OneTaskOf(context, check_id(session_id, "session_id")))


async def create(context: Context, session_id: str, task: str) -> Answer[OneTask]:
    """Begin a task: it is running from now on. One that the session has already is replaced."""
    now = context.clock()
    new = AgentTask(
        session_id=check_id(session_id, "session_id"),
        task=check_id(task, "task"),
        start_time=now,
        status="running",
        last_activity=now,
        message=(now, ""),  # what was said before has nothing to do with it
    )

    def begun(present: AgentTask | None) -> AgentTask:
        if present is None:
            return new
        return replace(new, sequence=present.sequence, heard=present.heard, title=present.title)

    return await _write(context, new.session_id, begun)


async def update(
    context: Context,
    session_id: str,
    *,
    status: TaskStatus | None = None,
    task: str | None = None,
    completion_message: str | None = None,
) -> Answer[OneTask]:
    """Change what is given. What happens in the session later changes it again.

    Raises `NotFoundError` if there is no task here.
    """
    changes: dict[str, Any] = {}
    if status is not None:
        changes["status"] = _check_status(status)
    if task is not None:
        changes["task"] = check_id(task, "task")
    if completion_message is not None:
        changes["completion_message"] = check_text(completion_message, "completion_message")
    now = context.clock()

    def changed(present: AgentTask | None) -> AgentTask:
        if present is None:
            raise NotFoundError(f"session {session_id!r} has no task here")
        return replace(present, last_activity=max(now, present.last_activity), **changes)

    return await _write(context, check_id(session_id, "session_id"), changed)


async def _write(
    context: Context, session_id: str, change: Callable[[AgentTask | None], AgentTask]
) -> Answer[OneTask]:
    """Whoever else changes it meanwhile: nothing of theirs is lost."""
    key, manager = task_key(session_id), context.families.tasks
    family = await manager.family()

    async def step() -> AgentTask | None:
        entry = await manager.get(key)
        task = change(readable_task(entry))
        draft = draft_of(task_copy(task), family, origin=entry.origin if entry else LOCAL)
        expect = {key: entry.revision if entry else 0}
        try:
            (put,) = await family.store.put([draft], now=family.clock(), expect=expect)
        finally:
            family.worker.wake()
        return None if put.outcome is PutOutcome.OUTDATED else task

    task = await settled(step, what=f"the task of session {session_id!r}")
    return Answer(OneTask(task=described(task)), "local", complete=True, age_ms=None)


def _check_status(status: object) -> str:
    if status not in get_args(TaskStatus):
        known = ", ".join(get_args(TaskStatus))
        raise InvalidInputError(f"status must be one of {known}, not {shown(status)}")
    return str(status)
