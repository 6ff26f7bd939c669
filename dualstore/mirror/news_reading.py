"""Reading what is new of many sessions: few at once, and one that can't be read harms no other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from dualstore.errors import RemoteError, UnavailableError
from dualstore.mirror.coverage import Reached
from dualstore.mirror.fetching import Fetcher, Told
from dualstore.mirror.news import News
from dualstore.remote.base import Change, RemoteSource, Thing

AT_ONCE: Final = 4
"""Sessions that are asked for at the same time: the server has others to serve."""
TRIES: Final = 5
FIRST_PAUSE: Final = 0.2
"""Seconds; twice as long after each failure."""

_T = TypeVar("_T")


@dataclass(slots=True)
class Synced:
    """How far it has come."""

    total: int = 0
    """Sessions that are to be read."""
    done: int = 0
    messages: int = 0
    events: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Reasons, by session."""
    notes: list[str] = field(default_factory=list)
    """What else is to be known."""


Progress = Callable[[Synced], object]
"""Is told after each session, on the event loop: it must not block."""


class NewsReader:
    """Reads from one remote, and says how far it has come."""

    def __init__(
        self, remote: RemoteSource, fetcher: Fetcher, *, progress: Progress | None = None
    ) -> None:
        self._remote = remote
        self._fetcher = fetcher
        self._progress = progress
        self.synced = Synced()
        self.gone: set[str] = set()
        """Sessions that the remote doesn't have any more."""

    async def events(self, changes: Iterable[Change]) -> None:
        """Keep what happened. Raises what the store does that can't."""
        if some := list(changes):
            check_kept(await self._fetcher.changes(some, are_all=False))
            self.synced.events += len(some)

    async def read(self, news: Mapping[str, News]) -> dict[str, Reached]:
        """All of them. Says up to which change each is read now, but of those that failed.

        A store that can't keep it ends everything, and so does a remote that is away:
        `UnavailableError`.
        """
        left = list(reversed(list(news)))

        async def work() -> None:
            while left:
                session_id = left.pop()
                await self._read(session_id, news[session_id])
                self.synced.done += 1
                if self._progress is not None:
                    self._progress(self.synced)

        workers = [asyncio.create_task(work()) for _ in range(min(AT_ONCE, len(left)))]
        try:
            if workers:
                done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
                for each in done:
                    each.result()
        finally:
            for each in workers:
                each.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return {
            each: one.reached
            for each, one in news.items()
            if one.reached is not None and each not in self.synced.failed
        }

    async def _read(self, session_id: str, news: News) -> None:
        try:
            told = await patiently(lambda: self._told(session_id, news))
        except RemoteError as error:
            self.synced.failed[session_id] = str(error)
        except UnavailableError as error:
            await patiently(lambda: self._remote.fetch_sessions(limit=1))
            self.synced.failed[session_id] = str(error)
        else:
            check_kept(told)
            if told.is_kept and not told.is_outdated:
                self.synced.messages += len(told.content)
            else:
                self.synced.failed[session_id] = "; ".join(told.degraded)

    async def _told(self, session_id: str, news: News) -> Told[Sequence[Thing]]:
        if news.session:
            session = await self._fetcher.session(session_id)
            if session.content is None:
                self.gone.add(session_id)
            if session.content is None or not session.is_kept:
                return session.about(())
        if news.messages is not None:
            some = await self._fetcher.news(session_id, news.messages, reached=news.reached)
            return some.about(some.content)
        told = await self._fetcher.messages(session_id, newest=None, reached=news.reached)
        return told.about(told.content.items if told.content else ())


def check_kept(told: Told[Any]) -> None:
    """Raises what a store did that can't keep anything."""
    if told.error is not None and not isinstance(told.error, RemoteError):
        raise UnavailableError("; ".join(told.degraded), causes=(told.error,)) from told.error


async def patiently(ask: Callable[[], Awaitable[_T]]) -> _T:
    """A server that is busy or restarted is asked again; one that stays away isn't."""
    pause = FIRST_PAUSE
    for _ in range(TRIES - 1):
        try:
            return await ask()
        except UnavailableError:
            await asyncio.sleep(pause)
            pause *= 2
    return await ask()
