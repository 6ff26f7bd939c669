"""What is under way: one request for all who ask the same, and what was just found absent."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, TypeVar

from dualstore.errors import ClosedError

_MOST_REMEMBERED: Final = 10_000

_T = TypeVar("_T")


class Flights:
    """Requests by key. `async with` ends what is under way."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._landed_at: OrderedDict[str, int] = OrderedDict()
        self._closed = False
        self.landings = 0
        """How many have been answered so far."""

    def is_under_way(self, key: str) -> bool:
        """Whether somebody is asking for it."""
        return key in self._tasks

    def has_landed(self, key: str, *, since: int) -> bool:
        """Whether it was answered after so many landings."""
        return self._landed_at.get(key, 0) > since

    async def join(self, key: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        """The answer to the request that is under way, or to a new one.

        Who is cancelled doesn't take it from the others.
        """
        task = self.start(key, ask)
        try:
            result: _T = await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._closed and task.cancelled():
                raise ClosedError("the actions were closed while the remote was asked") from None
            raise
        return result

    async def landed(self) -> None:
        """Wait until nothing is under way, whatever becomes of it."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def start(self, key: str, ask: Callable[[], Awaitable[_T]]) -> "asyncio.Task[_T]":
        """Have it asked for, once."""
        if self._closed:
            raise ClosedError("the actions were closed")
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.ensure_future(_run(ask))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return task

    def _landed(self, key: str, task: "asyncio.Task[Any]") -> None:
        del self._tasks[key]
        # Whoever waits is told of an error; a refresh that nobody waits for may fail.
        if not task.cancelled() and task.exception() is None:
            self.landings += 1
            _remember(self._landed_at, key, self.landings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _run(ask: Callable[[], Awaitable[_T]]) -> _T:
    return await ask()


def _remember(known: OrderedDict[str, int], key: str, value: int) -> None:
    """Without growing for ever."""
    known[key] = value
    known.move_to_end(key)
    while len(known) > _MOST_REMEMBERED:
        known.popitem(last=False)


class Absences:
    """What the remote said a moment ago that it doesn't have."""

    def __init__(self, lifetime: int, clock: Callable[[], int]) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._since: OrderedDict[str, int] = OrderedDict()

    def note(self, key: str) -> None:
        """It was just said."""
        _remember(self._since, key, self._clock())

    def forget(self, key: str) -> None:
        """It is there."""
        self._since.pop(key, None)

    def knows(self, key: str) -> bool:
        """Whether it was said, and not too long ago. A clock that was set back forgets it."""
        since = self._since.get(key)
        return since is not None and 0 <= self._clock() - since < self._lifetime
