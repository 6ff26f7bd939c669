"""What a remote tells as it happens, until somebody takes it in."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Final

from dualstore.errors import DualStoreError, UnavailableError
from dualstore.remote.base import BEAT, CONNECTED, Change

LARGEST: Final = 10_000
"""Changes that wait. Of more it is only known that there were some."""
GATHERED: Final = 0.05
"""Seconds after the first change in which others may come along."""


class Inbox:
    """Takes from one stream, as fast as it comes: a reader that stalls is a load on the server."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._changes: list[Change] = []
        self._end: DualStoreError | None = None
        self._came = asyncio.Event()
        self.heard: int | None = None
        """When anything came last."""
        self.connections = 0
        """How often it was said that what happens from now on is told."""
        self.missed = False
        """Whether changes were given up because there were too many."""

    async def fill(self, stream: AsyncGenerator[Change, None]) -> None:
        """Until the stream ends."""
        try:
            async with aclosing(stream):
                async for change in stream:
                    self._put(change)
            self._end = UnavailableError("the stream has ended")
        except DualStoreError as error:
            self._end = error
        except Exception as error:  # somebody's own remote
            self._end = UnavailableError(f"the stream broke: {error!r}")
        finally:
            self._came.set()

    def _put(self, change: Change) -> None:
        self.heard = self._clock()
        if change.type == CONNECTED:
            self.connections += 1
        elif change.type == BEAT or not change.session_id:
            return
        elif len(self._changes) < LARGEST:
            self._changes.append(change)
        else:
            self._changes.clear()
            self.missed = True
        self._came.set()

    @property
    def is_empty(self) -> bool:
        return not self._changes

    async def wait(self, *, within: float) -> None:
        """Until there is anything new, or that time is over. Raises what the stream ended with."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._came.wait()
        if self._came.is_set() and self._end is None:
            await asyncio.sleep(GATHERED)
        if self._end is None:
            self._came.clear()
        elif not self._changes:
            raise self._end

    def take(self) -> list[Change]:
        """All that came since."""
        taken, self._changes = self._changes, []
        return taken
