"""The task that indexes in the background, and waiting for it."""

import asyncio
import logging
import random
import time
from collections import deque
from contextlib import suppress
from contextvars import Context
from typing import Final, NamedTuple, Self

from dualstore.breaker import CLOSED
from dualstore.errors import (
    ClosedError,
    DualStoreError,
    FamilyMismatchError,
    StorageError,
    UnavailableError,
    VectorsGoneError,
)
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


class _Done(NamedTuple):
    """What one step indexed, and how long it took."""

    began: int
    ended: int
    indexed: int


class IndexWorker:
    """Takes steps whenever there is something to do. `async with` owns its task.

    Leaving doesn't wait for what is due: the step under way gives back what it claimed.
    """

    def __init__(self, work: IndexWork) -> None:
        self._work = work
        self._chance = random.Random()
        self._awake = asyncio.Event()
        self._progress = asyncio.Event()
        self._breaker = CLOSED
        self._drains = 0
        """Counted, to tell what was tried before the last one began."""
        self._obstacle: DualStoreError | None = None
        self._reason: DualStoreError | None = None
        """Why the last try failed; an obstacle is only what a try met that began since then."""
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._done = deque[_Done]()

    async def status(self) -> IndexingStatus:
        """How far everybody is, and how this process gets on."""
        return await self._work.status(rate=self._rate(), obstacle=self._reason)

    @property
    def obstacle(self) -> DualStoreError | None:
        """Why the last try failed; None while indexing gets on."""
        return self._reason

    async def missing(self) -> str | None:
        """What no search by meaning can find yet, in words; None if there is nothing."""
        left = await self._work.missing()
        return str(left) if left else None

    def _rate(self) -> float:
        """Documents a second over the last seconds, while there were any."""
        recent = [each for each in self._done if each.ended > _ticks() - RATED]
        busy = sum(each.ended - each.began for each in recent)
        return 1000 * sum(each.indexed for each in recent) / busy if busy else 0.0

    def wake(self) -> None:
        """There is something to do. The first call starts the task."""
        self._awake.set()
        if not self._closed and (self._task is None or self._task.done()):
            name = f"dualstore-index-{self._work.family}"
            # What belongs to the request that happens to be the first isn't the worker's.
            self._task = asyncio.create_task(self._run(), name=name, context=Context())

    async def drain(self, *, timeout: float | None = None) -> None:
        """Wait until nothing is left to do, whoever does it.

        Raises what is in the way when trying again won't help, and `UnavailableError` when
        `timeout` seconds aren't enough or indexing has failed `MOST_FAILURES` times in a row.
        What is due stays due.
        """
        self._drains += 1
        self._breaker, self._obstacle = CLOSED, None
        try:
            async with asyncio.timeout(timeout):
                while left := await self._work.left():
                    if self._closed:
                        raise ClosedError(f"{self._work.family!r} was closed: {left}")
                    self.wake()
                    self._check_obstacle(left)
                    await self._stepped(POLL if left.documents < FEW else 10 * POLL)
        except TimeoutError:
            if self._reason is not None and is_lasting(self._reason):
                raise self._reason from None
            raise self._late(await self._work.left()) from self._reason

    async def _stepped(self, longest: float) -> None:
        """Until something was done here; others may have done it, so not for long."""
        self._progress.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._progress.wait()

    def _check_obstacle(self, left: Left) -> None:
        if self._obstacle is not None and is_lasting(self._obstacle):
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
        if not self._breaker.allows(_ticks()):
            return self._pause()
        drains = self._drains
        try:
            while await self._step():
                self._succeeded()
                drains = self._drains
            if self._reason is None or not (await self._work.left()).documents:
                self._succeeded()  # else what failed is only put off
        except DualStoreError as error:
            return self._failed(error, drains)
        except Exception as error:  # the task must outlive whatever a backend of a user's raises
            _LOG.exception("indexing %s failed", self._work.family)
            return self._failed(UnavailableError(f"indexing failed: {error!r}"), drains)
        return IDLE

    async def _step(self) -> int:
        began, before = _ticks(), self._work.indexed
        done = await self._work.step()
        count = self._work.indexed - before
        if count:
            self._done.append(_Done(began, _ticks(), count))
        while self._done and self._done[0].ended <= began - RATED:
            self._done.popleft()
        return done

    def _succeeded(self) -> None:
        self._breaker, self._obstacle, self._reason = CLOSED, None, None
        self._progress.set()

    def _failed(self, error: DualStoreError, drains: int) -> float:
        self._reason = error
        if drains == self._drains:
            self._obstacle = error
        self._progress.set()
        self._breaker = self._breaker.failed(_ticks(), chance=self._chance)
        return self._pause()

    def _pause(self) -> float:
        """Seconds until the breaker lets somebody try again."""
        return max(0.001, (self._breaker.retry_at - _ticks()) / 1000)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


def _ticks() -> int:
    """Milliseconds of a clock that nobody sets."""
    return time.monotonic_ns() // 1_000_000


def is_lasting(error: DualStoreError) -> bool:
    """Whether trying again won't help by itself."""
    return isinstance(error, FamilyMismatchError) or (
        isinstance(error, StorageError) and not isinstance(error, VectorsGoneError)
    )
