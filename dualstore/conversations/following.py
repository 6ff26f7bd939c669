"""From the log to the search: a cursor for each log, kept with it, that moves on behind what was
taken over. Whoever comes next goes on where the last one ended, whatever became of him.
"""

import asyncio
import logging
import random
import time
from contextlib import suppress
from contextvars import Context
from typing import Final

from dualstore.breaker import CLOSED
from dualstore.conversations.cards import Cards
from dualstore.conversations.coding import decoded
from dualstore.conversations.loading import Loader, brief
from dualstore.conversations.removing import Remover
from dualstore.conversations.scope import LogName
from dualstore.conversations.shelf import Line, Shelf
from dualstore.conversations.texts import SAYING, spoken
from dualstore.documents.journal import Behind, Journal, JournalItem
from dualstore.errors import DualStoreError, StorageCorruptError, StorageError

_LOG = logging.getLogger(__name__)
_LOGS: Final = 20
_ENTRIES: Final = 100
"""That are taken over in one step."""


class Follower:
    """Takes over what is said. It starts with the first `wake`; `close` ends it."""

    def __init__(
        self,
        journal: Journal,
        *,
        house: str,
        cards: Cards,
        loader: Loader,
        shelf: Shelf,
        remover: Remover,
    ) -> None:
        self._journal = journal
        self._prefix = f"{house}:"
        self._cards = cards
        self._loader = loader
        self._shelf = shelf
        self._remover = remover
        self._one_at_a_time = asyncio.Lock()
        self._awake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._chance = random.Random()
        self._closed = False

    def wake(self) -> None:
        """There is something new. The first call starts the task, which also sweeps once."""
        self._awake.set()
        if not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(
                self._run(), name="dualstore-follow-conversations", context=Context()
            )

    async def catch_up(self) -> None:
        """Until all that was said is taken over. Raises what is in the way.

        A log that can't be read is left behind, and keeps nobody else waiting; unless it is
        damaged, what is in its way is raised in the end.
        """
        left: set[str] = set()
        in_the_way: StorageError | None = None
        async with self._one_at_a_time:
            while some := await self._behind(left):
                for each in some:
                    try:
                        await self._follow(each)
                    except StorageError as error:
                        left.add(each.log)
                        if isinstance(error, StorageCorruptError):
                            _LOG.warning("%s isn't searchable: %s", each.log, error)
                        else:
                            in_the_way = in_the_way or error
        if in_the_way is not None:
            raise in_the_way

    async def _behind(self, left: set[str]) -> list[Behind]:
        some = await self._journal.behind(self._prefix, limit=_LOGS + len(left))
        return [each for each in some if each.log not in left]

    async def close(self) -> None:
        """What isn't taken over stays for whoever comes next."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        breaker, is_swept = CLOSED, False
        while True:
            await self._awake.wait()
            self._awake.clear()
            try:
                await self.catch_up()
                if not is_swept:
                    await self._remover.sweep()
                is_swept, breaker = True, CLOSED
            except DualStoreError as error:
                _LOG.warning("what was said can't be searched yet: %s", error)
                breaker = breaker.failed(_ticks(), chance=self._chance)
                self._awake.set()
                await asyncio.sleep(max(0.001, (breaker.retry_at - _ticks()) / 1000))

    async def _follow(self, behind: Behind) -> None:
        """One log to its end."""
        log, after = behind
        name = _parsed(log)
        while name and (items := await self._journal.read(log, after=after, limit=_ENTRIES)):
            # Read before the card is: a conversation that is alive then had them when it was
            # deleted, and its deletion takes away what is put here.
            if not await self._is_alive(name):
                await self._remover.remove_log(log)  # of somebody who came too late
                return
            await self._shelf.put(name, await self._lines(log, items))
            after = items[-1].seq
            await self._journal.follow(log, through=after)
        if after == behind.followed:  # there is nothing of ours to take over
            tip = await self._journal.tip(log)
            await self._journal.follow(log, through=tip.seq if tip else after)

    async def _is_alive(self, name: LogName) -> bool:
        held = await self._cards.find(name.scope, name.conversation_id)
        return held is not None and held.card.is_alive and held.card.log == str(name)

    async def _lines(self, log: str, items: list[JournalItem]) -> list[Line]:
        lines: list[Line] = []
        for item in items:
            if item.kind not in SAYING:
                continue
            if item.kind == "imported":
                (loaded,) = await self._loader.load(log, [item])
            else:
                loaded = brief(decoded(item, log))  # more than a preview isn't looked at
            at = loaded.entry.created_at
            lines += [Line(item.seq, at, each) for each in spoken(loaded.entry)]
        return lines


def _parsed(log: str) -> LogName | None:
    with suppress(ValueError):
        return LogName.parse(log)
    return None  # somebody else's, under a name like ours


def _ticks() -> int:
    return time.monotonic_ns() // 1_000_000
