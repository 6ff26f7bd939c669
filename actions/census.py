"""How many sessions there are, and in which state: of all, in a constant number of calls."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from actions.context import Context
from actions.describing import activity_status, task_activity
from actions.shapes import Summary
from dualstore.documents.base import Tally
from dualstore.filters import parse

Tallies = Mapping[str, Tally]
"""By session."""


@dataclass(frozen=True, slots=True)
class Census:
    """What is here of everything."""

    total: int
    """Sessions; those that don't say whose they are as well."""
    sessions: Tallies
    messages: Tallies
    tasks: Tallies
    running: Tallies
    idle: Tallies

    def summary(self, *, now: int) -> Summary:
        """How many sessions are in which state."""
        states = Counter(self._state(each, now=now) for each in self.sessions)
        return Summary(
            active=states["active"] + self.total - len(self.sessions),
            waiting_for_input=states["waiting_for_input"],
            idle=states["idle"],
            agent_tasks=len(self.tasks),
        )

    def _state(self, session_id: str, *, now: int) -> str:
        if session_id in self.running:
            return task_activity("running", self.running[session_id].newest, now=now)
        if session_id in self.tasks:
            return "idle" if session_id in self.idle else "done"
        tally = self.messages.get(session_id)
        return activity_status(tally.count if tally else 0, None, now=now)


async def census(context: Context) -> Census:
    """Who has no tasks at all isn't asked how they are going."""
    families = context.families
    sessions, messages, tasks = await asyncio.gather(
        families.sessions.family(), families.messages.family(), families.tasks.family()
    )
    total, all_sessions, said, all_tasks = await asyncio.gather(
        sessions.store.count(),
        sessions.store.tally(),
        messages.store.tally(),
        tasks.store.tally(),
    )
    running: Tallies = {}
    idle: Tallies = {}
    if all_tasks:
        running, idle = await asyncio.gather(
            tasks.store.tally(where=parse({"metadata.status": "running"})),
            tasks.store.tally(where=parse({"metadata.status": "idle"})),
        )
    return Census(total, all_sessions, said, all_tasks, running, idle)
