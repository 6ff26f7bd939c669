"""Filling the memory ahead of questions: the newest sessions, or everything, once or for good."""

from collections.abc import Callable
from typing import NoReturn

from dualstore.documents.doors import check_limit
from dualstore.mirror.catching_up import CatchingUp
from dualstore.mirror.coverage import Coverage
from dualstore.mirror.fetching import Fetcher
from dualstore.mirror.followed import Lease
from dualstore.mirror.keeping_up import FollowingProgress, KeepingUp
from dualstore.mirror.news_reading import Progress, Synced
from dualstore.remote.base import RemoteSource


class Sync:
    """Fills from one remote."""

    def __init__(
        self,
        remote: RemoteSource,
        fetcher: Fetcher,
        coverage: Coverage,
        *,
        lease: Callable[[], Lease],
        clock: Callable[[], int],
    ) -> None:
        self._remote = remote
        self._fetcher = fetcher
        self._coverage = coverage
        self._lease = lease
        self._clock = clock

    async def warm(self, sessions: int = 20, *, progress: Progress | None = None) -> Synced:
        """The newest sessions with all their messages; those that are up to date stay as they are.

        Raises `UnavailableError` when the remote stays away. What was read until then is kept.
        """
        catching_up = self._catching_up(progress)
        await catching_up.newest(check_limit(sessions))
        return catching_up.synced

    async def backfill(self, *, progress: Progress | None = None) -> Synced:
        """Everything there is, and what happened in it. Broken off, it goes on at the next call.

        Raises as `warm`.
        """
        catching_up = self._catching_up(progress)
        await catching_up.everything()
        return catching_up.synced

    async def follow(self, *, progress: FollowingProgress | None = None) -> NoReturn:
        """Everything there is, and from then on what happens, until it is cancelled.

        Several may follow at once, in any number of processes: one does, the others wait to take
        over. What goes wrong is told to `progress` and tried again. Raises `InvalidInputError`
        when the remote can't be followed.
        """
        lease = self._lease()
        await KeepingUp(
            self._remote,
            self._fetcher,
            self._coverage,
            lease,
            clock=self._clock,
            progress=progress,
        ).run()

    def _catching_up(self, progress: Progress | None) -> CatchingUp:
        return CatchingUp(self._remote, self._fetcher, self._coverage, progress=progress)
