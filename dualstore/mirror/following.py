"""Tasks that follow what happens in their sessions."""

from collections.abc import Iterable, Mapping, Sequence

from dualstore.documents.base import PutOutcome
from dualstore.errors import EntryError
from dualstore.manager import DualStoreManager
from dualstore.mirror.changing import settled
from dualstore.mirror.intake import Intake
from dualstore.mirror.keys import task_key
from dualstore.mirror.tasks import AgentTask, followed, task_copy, task_of
from dualstore.mirror.telling import ms_at, text_at
from dualstore.remote.base import Change, Thing

Changes = Mapping[str, Sequence[Change]]
"""By session."""


class TaskFollower:
    """Keeps the tasks of one remote's sessions."""

    def __init__(self, tasks: DualStoreManager, intake: Intake) -> None:
        self._tasks = tasks
        self._intake = intake

    async def are_tasks(self, session_ids: Iterable[str]) -> set[str]:
        """Those of them that are."""
        keys = {task_key(each): each for each in session_ids if is_nameable(each)}
        found = await self._tasks.get_many(list(keys))
        return {keys[each] for each in found}

    async def begin(self, sessions: Iterable[Thing], *, at: int) -> None:
        """A session with a parent is a task."""
        changes = [_told(each) for each in sessions if begun(each)]
        await self.follow(changes, at=at)

    async def follow(self, changes: Iterable[Change], *, at: int) -> None:
        """Whoever else changes the same task meanwhile: both changes count."""
        left: dict[str, list[Change]] = {}
        for each in changes:
            if is_nameable(each.session_id):
                left.setdefault(each.session_id, []).append(each)

        async def step() -> bool | None:
            for each in left.keys() - await self._follow(left, at=at):
                del left[each]
            return None if left else True

        if left:
            await settled(step, what="a task")

    async def _follow(self, changes: Changes, *, at: int) -> list[str]:
        """The sessions whose tasks somebody else changed meanwhile."""
        keys = {task_key(each): each for each in changes}
        entries = await self._tasks.get_many(list(keys))
        copies = []
        for key, session_id in keys.items():
            try:
                before = task_of(entries[key]) if key in entries else None
            except EntryError:  # somebody put something else there, and it is theirs
                continue
            task = _after(before, changes[session_id], at=at)
            if task is not None and task != before:
                copies.append(task_copy(task))
        seen = {key: entry.revision for key, entry in entries.items()}
        outcomes = await self._intake.put(self._tasks, copies, seen)
        return [keys[key] for key, found in outcomes.items() if found is PutOutcome.OUTDATED]


def is_nameable(session_id: str) -> bool:
    """Whether anything can be kept under it."""
    try:
        return bool(task_key(session_id))
    except EntryError:
        return False


def _after(task: AgentTask | None, changes: Iterable[Change], *, at: int) -> AgentTask | None:
    for each in changes:
        task = followed(task, each, at=at)
    return task


def begun(session: Thing) -> AgentTask | None:
    """The task that a session is, as far as the session itself tells; None if it is none."""
    updated = ms_at(session, "time", "updated")
    if text_at(session, "id") is None or updated is None:
        return None
    return followed(None, _told(session), at=updated)


def _told(session: Thing) -> Change:
    return Change(session["id"], None, "session.updated", "", {"info": session})
