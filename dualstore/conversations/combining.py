"""Group commit: what several callers write to one log at the same time goes in one step."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S")
R = TypeVar("R")


class _Waiting(NamedTuple, Generic[S, R]):
    item: S
    size: int
    answer: "asyncio.Future[R]"


class Combiner(Generic[S, R]):
    """One commit at a time for each key; who comes meanwhile goes with the next one.

    `commit` answers for each item with its result or its error, so that nobody's error is
    another's. A caller who is cancelled leaves; what he asked for is done all the same.
    """

    def __init__(
        self,
        commit: Callable[[str, Sequence[S]], Awaitable[Sequence[R | Exception]]],
        *,
        most: int,
    ) -> None:
        """`most` is what the sizes of one commit's items may add up to; one always goes."""
        self._commit = commit
        self._most = most
        self._waiting: dict[str, deque[_Waiting[S, R]]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    async def submit(self, key: str, item: S, *, size: int) -> R:
        """The item's result, once it is committed."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(_Waiting(item, size, answer))
        if key not in self._running:
            name = f"dualstore-append-{key}"
            # The task belongs to all who wait, not to the request that happens to be the first.
            self._running[key] = asyncio.create_task(self._run(key), name=name, context=Context())
        return await answer

    async def close(self) -> None:
        """Finish what was asked for."""
        while self._running:
            await asyncio.wait(self._running.values())

    async def _run(self, key: str) -> None:
        waiting = self._waiting[key]
        try:
            while waiting:
                group = self._taken(waiting)
                await self._answer(key, group)
        finally:
            del self._waiting[key], self._running[key]
            _give_up(waiting)  # nobody is left waiting, unless this was cancelled

    def _taken(self, waiting: deque[_Waiting[S, R]]) -> list[_Waiting[S, R]]:
        group = [waiting.popleft()]
        room = self._most - group[0].size
        while waiting and waiting[0].size <= room:
            group.append(waiting.popleft())
            room -= group[-1].size
        return group

    async def _answer(self, key: str, group: Sequence[_Waiting[S, R]]) -> None:
        results: Sequence[R | Exception]
        try:
            results = await self._commit(key, [each.item for each in group])
        except asyncio.CancelledError:
            _give_up(group)
            raise
        except Exception as error:  # whatever it is, those who wait have to be told
            results = [error] * len(group)
        for each, result in zip(group, results, strict=True):
            if each.answer.done():
                continue
            if isinstance(result, Exception):
                each.answer.set_exception(result)
            else:
                each.answer.set_result(result)


def _give_up(group: Iterable[_Waiting[S, R]]) -> None:
    """Who waits for what nobody does any more is cancelled, too."""
    for each in group:
        each.answer.cancel()
