"""The task that indexes in the background, and waiting for it."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from dualstore.errors import (
    DualStoreError,
    FamilyMismatchError,
    StorageError,
    UnavailableError,
    VectorsGoneError,
)
from dualstore.indexing.breaker import CLOSED
from dualstore.indexing.work import IndexingStatus, IndexWork, Left

_LOG = logging.getLogger(__name__)

MOST_FAILURES: Final = 8
"""Tries in a row, about a minute, after which somebody who waits is told."""
POLL: Final = 0.01
FEW: Final = 200
"""Documents that are due; counting more of them takes longer, so it is done less often."""
IDLE: Final = 1.0
"""Seconds after which an idle worker looks again for what others left due."""
RATED: Final = 10_000
"""Milliseconds that the rate is taken over."""


class IndexWorker:
    """Takes steps whenever there is something to do. `async with` owns its task.

    Leaving doesn't wait for what is due: the step under way gives back what it claimed.
    """

    def __init__(self, work: IndexWork, *, clock: Callable[[], int]) -> None:
        self._work = work
        self._clock = clock
        self._chance = random.Random()
        self._awake = asyncio.Event()
        self._progress = asyncio.Event()
        self._breaker = CLOSED
        self._obstacle: DualStoreError | None = None
        self._reason: DualStoreError | None = None
        """Why the last try failed; an obstacle is only what was met since somebody waits."""
        self._task: asyncio.Task[None] | None = None
        self._done = deque[tuple[int, int]]()

    async def status(self) -> IndexingStatus:
        """How far everybody is, and how this process gets on."""
        return await self._work.status(rate=self._rate(), obstacle=self._reason)

    async def missing(self) -> str | None:
        """What no search by meaning can find yet, in words; None if there is nothing."""
        left = await self._work.missing()
        return str(left) if left else None

    def _rate(self) -> float:
        """Documents a second over the last seconds in which there were any."""
        now = self._clock()
        recent = [(at, count) for at, count in self._done if at > now - RATED]
        span = now - min((at for at, _ in recent), default=now)
        return 1000 * sum(count for _, count in recent) / max(span, POLL * 1000)

    def wake(self) -> None:
        """There is something to do. The first call starts the task."""
        self._awake.set()
        if self._task is None or self._task.done():
            name = f"dualstore-index-{self._work.family}"
            self._task = asyncio.create_task(self._run(), name=name)

    async def drain(self, *, timeout: float | None = None) -> None:
        """Wait until nothing is left to do, whoever does it.

        Raises what is in the way when trying again won't help, and `UnavailableError` when
        `timeout` seconds aren't enough or indexing has failed `MOST_FAILURES` times in a row.
        What is due stays due.
        """
        self._breaker, self._obstacle = CLOSED, None
        try:
            async with asyncio.timeout(timeout):
                while left := await self._work.left():
                    self.wake()
                    self._check_obstacle(left)
                    await self._stepped(POLL if left.documents < FEW else 10 * POLL)
        except TimeoutError:
            raise self._late(await self._work.left()) from self._reason

    async def _stepped(self, longest: float) -> None:
        """Until something was done here; others may have done it, so not for long."""
        self._progress.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._progress.wait()

    def _check_obstacle(self, left: Left) -> None:
        if self._obstacle is not None and _is_lasting(self._obstacle):
            raise self._obstacle
        if self._breaker.failures >= MOST_FAILURES:
            raise self._late(left) from self._reason

    def _late(self, left: Left) -> UnavailableError:
        reason = f": {self._reason}" if self._reason else ""
        return UnavailableError(f"{self._work.family!r}: {left}{reason}")

    async def _run(self) -> None:
        while True:
            self._awake.clear()
            pause = await self._get_on()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._awake.wait()

    async def _get_on(self) -> float:
        """Until nothing is left, or something is in the way; how long to wait then, in seconds."""
        if not self._breaker.allows(self._clock()):
            return self._pause()
        try:
            while done := await self._work.step():
                self._succeeded(done)
            if self._reason is None or not (await self._work.left()).documents:
                self._succeeded(0)  # else what failed is only put off
        except DualStoreError as error:
            return self._failed(error)
        except Exception as error:  # the task must outlive whatever a backend of a user's raises
            _LOG.exception("indexing %s failed", self._work.family)
            return self._failed(UnavailableError(f"indexing failed: {error!r}"))
        return IDLE

    def _succeeded(self, done: int) -> None:
        self._breaker, self._obstacle, self._reason = CLOSED, None, None
        self._progress.set()
        now = self._clock()
        self._done.append((now, done))
        while self._done[0][0] <= now - RATED:
            self._done.popleft()

    def _failed(self, error: DualStoreError) -> float:
        self._obstacle = self._reason = error
        self._progress.set()
        self._breaker = self._breaker.failed(self._clock(), chance=self._chance)
        return self._pause()

    def _pause(self) -> float:
        """Seconds until the breaker lets somebody try again."""
        return max(0.001, (self._breaker.retry_at - self._clock()) / 1000)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


def _is_lasting(error: DualStoreError) -> bool:
    """Whether trying again won't help by itself."""
    return isinstance(error, FamilyMismatchError) or (
        isinstance(error, StorageError) and not isinstance(error, VectorsGoneError)
    )
