"""Tasks of agents: all of them, and the one of a session."""

import asyncio

from actions.context import Context, upstream_of
from actions.describing import described, readable_task
from actions.questions.events import SCOPE
from actions.reading import (
    is_kept,
    known_lists,
    known_session,
    newest_before,
    notes_of,
)
from actions.readthrough import Found, Question
from actions.shapes import OneTask, TaskList
from dualstore.entry import LOCAL
from dualstore.errors import EntryError
from dualstore.mirror.fetching import Told
from dualstore.mirror.following import begun
from dualstore.mirror.freshness import Age, Lifetime, age_of, older
from dualstore.mirror.keys import task_key
from dualstore.remote.base import RemoteSessions, Thing


class AllTasks(Question[TaskList]):
    """Tasks, newest activity first."""

    kind = "tasks"
    what = "the list of tasks"

    def __init__(self, context: Context, status: str | None, limit: int | None) -> None:
        self._context = context
        self._status = status
        self._limit = limit

    def key(self) -> str:
        return "tasks"

    async def look(self) -> Found[TaskList]:
        context = self._context
        lists = await known_lists(context)
        value = await self._value()
        if context.upstream is None:
            return Found(value, Age.FRESH, complete=True)
        age = Age.FRESH
        if lists.sessions is None or not lists.is_kept(now=context.clock()):
            age = _age(context, lists.sessions, lists.events, context.lifetimes.lists)
        return Found(
            value,
            age,
            complete=lists.sessions is not None,
            confirmed_at=lists.last_known(lists.sessions),
        )

    async def _value(self) -> TaskList:
        where = {} if self._status is None else {"metadata.status": self._status}
        manager = self._context.families.tasks
        (entries, _), total = await asyncio.gather(
            newest_before(manager, where, None, self._limit), manager.count(where or None)
        )
        tasks = [task for each in entries if (task := readable_task(each))]
        return TaskList(tasks=[described(each) for each in tasks], total_count=total)

    async def fetch(self) -> Told[RemoteSessions]:
        upstream = upstream_of(self._context)
        told = await upstream.fetcher.sessions()
        if upstream.source.capabilities.has_history:
            happened = await self._context.flights.join(SCOPE, upstream.fetcher.events)
            told.degraded += happened.degraded
        return told

    def shown(self, content: RemoteSessions) -> tuple[TaskList, bool]:
        """As they began: how they went on is only known where they are kept."""
        tasks = {task.session_id: task for each in content.items if (task := begun(each))}
        some = [each for each in tasks.values() if self._status in (None, each.status)]
        some.sort(key=lambda each: (each.last_activity, each.session_id), reverse=True)
        shown = [described(each) for each in some[: self._limit]]
        return TaskList(tasks=shown, total_count=len(some)), False


class OneTaskOf(Question[OneTask]):
    """The task that a session is."""

    kind = "task"

    def __init__(self, context: Context, session_id: str) -> None:
        self.what = f"a task of session {session_id!r}"
        self._key = task_key(session_id)
        self._context = context
        self._id = session_id
        self._is_here = False

    def key(self) -> str:
        return self._key

    async def look(self) -> Found[OneTask]:
        context = self._context
        known = await known_session(context, self._id)
        entry = await context.families.tasks.get(self._key)
        task = readable_task(entry)
        if task is None:
            return Found(None, Age.EXPIRED, complete=False)
        self._is_here = True
        value = OneTask(task=described(task))
        is_own = known.is_own if known.entry else entry is not None and entry.origin == LOCAL
        if context.upstream is None or is_own or known.is_gone:
            return Found(value, Age.FRESH, complete=True, degraded=notes_of(known))
        if is_kept(context, known):
            return Found(value, Age.FRESH, complete=True, confirmed_at=known.confirmed_at)
        lifetimes = context.lifetimes
        lifetime = lifetimes.running if task.status == "running" else lifetimes.finished
        return Found(
            value,
            _age(context, known.confirmed_at, known.lists.events, lifetime),
            complete=True,
            confirmed_at=known.confirmed_at,
        )

    async def fetch(self) -> Told[Thing | None]:
        upstream = upstream_of(self._context)
        told = await upstream.fetcher.session(self._id)
        if told.content is None or not (self._is_here or begun(told.content)):
            return Told(None)
        if upstream.source.capabilities.has_history:
            happened = await self._context.flights.join(SCOPE, upstream.fetcher.events)
            told.degraded += happened.degraded
        return told

    def shown(self, content: Thing) -> tuple[OneTask, bool]:
        task = begun(content)
        if task is None:
            raise EntryError("parentID", "is missing")
        return OneTask(task=described(task)), False


def _age(context: Context, sessions: int | None, events: int | None, lifetime: Lifetime) -> Age:
    """What is known of tasks comes from the sessions, and from what happened in them."""
    now = context.clock()
    age = age_of(sessions, lifetime, now=now)
    if upstream_of(context).source.capabilities.has_history:
        age = older(age, age_of(events, lifetime, now=now))
    return age
