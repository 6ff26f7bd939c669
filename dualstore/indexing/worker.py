"""The task that indexes in the background, and waiting for it."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Self

from dualstore.documents.base import DocumentStore, IndexStatus
from dualstore.errors import DualStoreError, UnavailableError
from dualstore.indexing.breaker import CLOSED

_LOG = logging.getLogger(__name__)

MOST_FAILURES: Final = 8
"""Tries in a row, about half a minute, after which somebody who waits is told."""
POLL: Final = 0.01
IDLE: Final = 1.0
"""Seconds after which an idle worker looks again for what others left due."""


class IndexWorker:
    """Runs `step` whenever there is something to do. `async with` owns its task.

    Leaving doesn't wait for what is due: the step under way gives back what it claimed.
    """

    def __init__(
        self,
        step: Callable[[], Awaitable[int]],
        store: DocumentStore,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._step = step
        self._store = store
        self._clock = clock
        self._chance = random.Random()
        self._awake = asyncio.Event()
        self._breaker = CLOSED
        self._last_error: DualStoreError | None = None
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """There is something to do. The first call starts the task."""
        self._awake.set()
        if self._task is None:
            name = f"dualstore-index-{self._store.spec.name}"
            self._task = asyncio.create_task(self._run(), name=name)

    async def drain(self, *, timeout: float | None = None) -> None:
        """Wait until nothing is due, whoever does it.

        Raises `UnavailableError`, saying what is in the way, when `timeout` seconds aren't enough
        or indexing has failed `MOST_FAILURES` times in a row. What is due stays due.
        """
        self._breaker = CLOSED
        self.wake()
        try:
            async with asyncio.timeout(timeout):
                while left := _open(await self._store.index_status()):
                    if self._breaker.failures >= MOST_FAILURES:
                        raise UnavailableError(self._obstacle(left)) from self._last_error
                    self._awake.set()
                    await asyncio.sleep(POLL)
        except TimeoutError:
            left = _open(await self._store.index_status())
            raise UnavailableError(self._obstacle(left)) from self._last_error

    def _obstacle(self, left: int) -> str:
        reason = f": {self._last_error}" if self._last_error else ""
        return f"{left} documents of {self._store.spec.name!r} are not indexed yet{reason}"

    async def _run(self) -> None:
        while True:
            self._awake.clear()
            pause = await self._work()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._awake.wait()

    async def _work(self) -> float:
        """Until nothing is due, or something is in the way; how long to wait then, in seconds."""
        if not self._breaker.allows(self._clock()):
            return self._pause()
        try:
            while await self._step():
                self._succeeded()
        except DualStoreError as error:
            return self._failed(error)
        except Exception as error:  # the task must outlive whatever a backend of a user's raises
            _LOG.exception("indexing %s failed", self._store.spec.name)
            return self._failed(UnavailableError(f"indexing failed: {error!r}"))
        self._succeeded()
        return IDLE

    def _succeeded(self) -> None:
        self._breaker, self._last_error = CLOSED, None

    def _failed(self, error: DualStoreError) -> float:
        self._last_error = error
        self._breaker = self._breaker.failed(self._clock(), chance=self._chance)
        return self._pause()

    def _pause(self) -> float:
        """Seconds until the breaker lets somebody try again."""
        return max(0.001, (self._breaker.retry_at - self._clock()) / 1000)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])


def _open(status: IndexStatus) -> int:
    return status.due + status.leased
