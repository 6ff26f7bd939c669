"""How many sessions there are, and in which state: of all, in a constant number of calls."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from actions.describing import activity_status, task_activity
from actions.shapes import Summary
from dualstore.documents.base import DocumentStore, Tally
from dualstore.filters import parse
from dualstore.manager import DualStoreManager
from dualstore.mirror.families import Families

Tallies = Mapping[str, Tally]
"""By session."""
Versions = list[int | None]


@dataclass(frozen=True, slots=True)
class Census:
    """What is here of everything."""

    versions: Versions
    total: int
    """Sessions; those that don't say whose they are as well."""
    messages: Tallies
    tasks: Tallies
    running: Tallies
    states: Mapping[str, int]
    """Of all sessions, except those whose tasks are running."""

    def summary(self, *, now: int) -> Summary:
        """How many sessions are in which state."""
        states = Counter(self.states)
        states.update(
            task_activity("running", each.newest, now=now) for each in self.running.values()
        )
        return Summary(
            active=states["active"],
            waiting_for_input=states["waiting_for_input"],
            idle=states["idle"],
            agent_tasks=len(self.tasks),
        )


@dataclass(slots=True)
class CensusTaker:
    """Counts again only when something has changed, where the store can tell."""

    families: Families
    _last: Census | None = field(default=None, init=False)

    async def take(self) -> Census:
        """What is here now."""
        families = self.families
        managers = (families.sessions, families.messages, families.tasks)
        stores = [await _store(each) for each in managers]
        versions = [await each.version() for each in stores]
        if self._last is None or None in versions or self._last.versions != versions:
            self._last = await _counted(versions, *stores)
        return self._last


async def _counted(
    versions: Versions, sessions: DocumentStore, messages: DocumentStore, tasks: DocumentStore
) -> Census:
    total, all_sessions, said, all_tasks = await asyncio.gather(
        sessions.count(), sessions.tally(), messages.tally(), tasks.tally()
    )
    running: Tallies = {}
    idle: Tallies = {}
    if all_tasks:  # who has none at all isn't asked how they are going
        running, idle = await asyncio.gather(
            tasks.tally(where=parse({"metadata.status": "running"})),
            tasks.tally(where=parse({"metadata.status": "idle"})),
        )
    states = Counter({"active": total - len(all_sessions)})
    for each in all_sessions.keys() - running.keys():
        if each in all_tasks:
            states["idle" if each in idle else "done"] += 1
        else:
            count = said[each].count if each in said else 0
            states[activity_status(count, None, now=0)] += 1
    return Census(
        versions,
        total=total,
        messages=said,
        tasks=all_tasks,
        running={each: running[each] for each in running if each in all_sessions},
        states=states,
    )


async def _store(manager: DualStoreManager) -> DocumentStore:
    return (await manager.family()).store
