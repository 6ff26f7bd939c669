"""Filling the memory ahead of questions: the newest sessions, or everything.

What is done is on record session by session, as coverage: whoever is broken off goes on there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from dualstore.documents.doors import check_limit
from dualstore.errors import DualStoreError, RemoteError, UnavailableError
from dualstore.mirror.coverage import Coverage, SessionMark
from dualstore.mirror.fetching import Fetcher
from dualstore.mirror.telling import ms_at, text_at
from dualstore.remote.base import RemoteSource, Thing

AT_ONCE: Final = 4
"""Sessions that are asked for at the same time: the server has others to serve."""
TRIES: Final = 5
FIRST_PAUSE: Final = 0.2
"""Seconds; twice as long after each failure."""


@dataclass(slots=True)
class Synced:
    """How far it has come."""

    total: int
    """Sessions that are to be read."""
    done: int = 0
    messages: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Reasons, by session."""


_T = TypeVar("_T")

Progress = Callable[[Synced], object]
"""Is told after each session, on the event loop: it must not block."""


class Sync:
    """Fills from one remote."""

    def __init__(self, remote: RemoteSource, fetcher: Fetcher, coverage: Coverage) -> None:
        self._remote = remote
        self._fetcher = fetcher
        self._coverage = coverage

    async def warm(self, sessions: int = 20, *, progress: Progress | None = None) -> Synced:
        """The newest sessions with all their messages; those that are up to date stay as they are.

        Raises `UnavailableError` when the remote stays away. What was read until then is kept.
        """
        newest = (await self._listed())[: check_limit(sessions)]
        return await self._fill(await self._outdated(newest), progress)

    async def backfill(self, *, progress: Progress | None = None) -> Synced:
        """Everything there is, and what happened in it. Broken off, it goes on at the next call.

        Raises as `warm`.
        """
        synced = await self._fill(await self._outdated(await self._listed()), progress)
        if self._remote.capabilities.has_history:
            await _patiently(self._fetcher.events)
        return synced

    async def _listed(self) -> Sequence[Thing]:
        told = await _patiently(self._fetcher.sessions)
        return [each for each in told.content.items if text_at(each, "id")]

    async def _outdated(self, listed: Sequence[Thing]) -> list[str]:
        """Those whose messages aren't all here, or that were changed since they were read."""
        marks = await self._coverage.sessions(each["id"] for each in listed)
        return [each["id"] for each in listed if not _is_current(each, marks.get(each["id"]))]

    async def _fill(self, session_ids: Iterable[str], progress: Progress | None) -> Synced:
        left = list(reversed(list(session_ids)))
        synced = Synced(len(left))

        async def work() -> None:
            while left:
                await self._read(left.pop(), synced)
                if progress is not None:
                    progress(synced)

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(AT_ONCE, len(left))):
                    workers.create_task(work())
        except* DualStoreError as errors:
            raise errors.exceptions[0] from None
        return synced

    async def _read(self, session_id: str, synced: Synced) -> None:
        """One that can't be read harms no other; a store that can't keep it ends everything, and
        so does a remote that is away.
        """
        try:
            told = await _patiently(lambda: self._fetcher.messages(session_id, newest=None))
        except RemoteError as error:
            synced.failed[session_id] = str(error)
        except UnavailableError as error:
            await _patiently(lambda: self._remote.fetch_sessions(limit=1))
            synced.failed[session_id] = str(error)
        else:
            if not told.is_kept:
                raise UnavailableError("; ".join(told.degraded))
            synced.messages += len(told.content.items) if told.content else 0
        synced.done += 1


def _is_current(session: Thing, mark: SessionMark | None) -> bool:
    updated = ms_at(session, "time", "updated")
    return mark is not None and mark.updated is not None and mark.covers(updated)


async def _patiently(ask: Callable[[], Awaitable[_T]]) -> _T:
    """A server that is busy or restarted is asked again; one that stays away isn't."""
    pause = FIRST_PAUSE
    for _ in range(TRIES - 1):
        try:
            return await ask()
        except UnavailableError:
            await asyncio.sleep(pause)
            pause *= 2
    return await ask()
