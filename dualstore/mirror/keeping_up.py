"""Following what happens at a remote, for as long as anybody wants: so that nothing is missed.

Changes say what has to be read again; what is kept is what was read then. A change that is told
twice, late or in the wrong order does no harm, and one that was missed shows by its sequence
number. After every connection, after every gap and every now and then it is caught up with all
that the stream can't tell: what other processes wrote to the same database, among others.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn

from dualstore.errors import ClosedError, DualStoreError, InvalidInputError
from dualstore.mirror.catching_up import CatchingUp
from dualstore.mirror.coverage import Coverage, Reached
from dualstore.mirror.fetching import Fetcher
from dualstore.mirror.followed import LEASE, Lease, LeaseLostError
from dualstore.mirror.inbox import Inbox
from dualstore.mirror.news import KNOWN_TYPES, LASTING, News, Step, step
from dualstore.mirror.news_reading import NewsReader, Synced
from dualstore.remote.base import Change, RemoteSource

State = Literal["waiting", "connecting", "catching up", "following", "pausing"]

HELD: Final = LEASE / 3000
"""Seconds between two renewals of the lease."""
LOOKED: Final = 30.0
"""Seconds after which it is caught up with what no stream tells; longer where that takes long."""
AGAIN: Final = 1.0
"""Seconds after which it is, when something was missed."""
LONGEST_LOOK: Final = 120.0
SHARE: Final = 20
"""Of the time, at most one in so many parts is spent on that."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 30.0
"""Seconds before it is tried again, after the first failure and after many."""
_MOST_TYPES: Final = 100


@dataclass(slots=True)
class Following:
    """Where it stands, and how it goes on."""

    state: State = "connecting"
    """`waiting`: somebody else follows. `pausing`: it is tried again in `again_in` seconds."""
    problem: str = ""
    """Why it pauses."""
    again_in: float = 0.0
    connections: int = 0
    caught_up: int = 0
    """How often."""
    catching_up: Synced | None = None
    """How far it is with that, or was the last time."""
    messages: int = 0
    events: int = 0
    failing: dict[str, str] = field(default_factory=dict)
    """Sessions that can't be read, and why. They are tried again with the next catching up."""
    unknown: dict[str, int] = field(default_factory=dict)
    """How many changes were of types that mean nothing here; they are kept all the same."""


FollowingProgress = Callable[[Following], object]
"""Is told whenever something changed, on the event loop: it must not block."""


class KeepingUp:
    """Follows one remote."""

    def __init__(
        self,
        remote: RemoteSource,
        fetcher: Fetcher,
        coverage: Coverage,
        lease: Lease,
        *,
        clock: Callable[[], int],
        progress: FollowingProgress | None = None,
    ) -> None:
        if not remote.capabilities.follows:
            raise InvalidInputError(
                f"{remote.name} doesn't tell what happens: it can't be followed"
            )
        self._remote = remote
        self._fetcher = fetcher
        self._coverage = coverage
        self._lease = lease
        self._clock = clock
        self._progress = progress
        self._inbox = Inbox(clock)
        self._reached: dict[str, Reached] = {}
        self._others: set[str] = set()
        self._since: int | None = None
        self._at = 0
        self._is_busy = False
        self._look_at = 0.0
        self._is_same = False
        self.following = Following()

    async def run(self) -> NoReturn:
        """Until it is cancelled. Whatever goes wrong meanwhile is told, and tried again."""
        pause = FIRST_PAUSE
        while True:
            caught_up = self.following.caught_up
            try:
                await self._hold()
            except LeaseLostError:
                continue
            except ClosedError:
                raise
            except DualStoreError as error:
                if self.following.caught_up > caught_up:
                    pause = FIRST_PAUSE
                self.following.problem = str(error)
                self.following.again_in = random.uniform(pause / 2, pause)
                self._tell("pausing")
                await asyncio.sleep(self.following.again_in)
                pause = min(LONGEST_PAUSE, pause * 2)

    async def _wait_for_turn(self) -> None:
        while not await self._lease.acquire():
            self._tell("waiting")
            await asyncio.sleep(HELD)

    async def _hold(self) -> None:
        """Follow, while nobody else does."""
        self._inbox = Inbox(self._clock)
        tasks: list[asyncio.Task[NoReturn] | asyncio.Task[None]] = []
        try:
            await self._wait_for_turn()
            tasks.append(asyncio.create_task(self._keep_lease()))
            tasks.append(asyncio.create_task(self._inbox.fill(self._remote.follow())))
            tasks.append(asyncio.create_task(self._keep_up()))
            # a TaskGroup of which one fails while it is cancelled would only tell the failure
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for each in done:
                each.result()
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._since = None
            with suppress(DualStoreError):
                await asyncio.shield(self._lease.release())

    async def _keep_lease(self) -> NoReturn:
        while True:
            await asyncio.sleep(HELD)
            await self._publish()

    async def _publish(self) -> None:
        """What was heard counts when it was taken in."""
        if self._inbox.is_empty and not self._is_busy:
            self._at = self._inbox.heard or 0
        failing = tuple(self.following.failing)
        await self._lease.tell(since=self._since, at=self._at, failing=failing)

    async def _keep_up(self) -> NoReturn:
        """Catch up with each connection, and take in what is told from then on."""
        self._tell("connecting")
        connections = 0
        while True:
            left = self._look_at - _now() if connections else LOOKED
            await self._inbox.wait(within=max(0.0, left))
            self._is_busy = True
            if self._inbox.connections > connections:
                if connections == 0:
                    self.following.connections += 1
                connections = self._inbox.connections
                self._is_same, self._look_at = False, 0.0
            if connections and (self._inbox.missed or _now() >= self._look_at):
                await self._catch_up()
            await self._take_in(self._inbox.take())
            self._is_busy = False

    async def _catch_up(self) -> None:
        """All that is there."""
        began, since = _now(), self._clock()
        self._inbox.missed = False
        catching_up = CatchingUp(
            self._remote,
            self._fetcher,
            self._coverage,
            progress=lambda _: self._tell("catching up"),
        )
        self.following.catching_up = catching_up.synced
        self._tell("catching up")
        await catching_up.everything(is_same=self._is_same)
        self._is_same = True
        self._reached, self._others = catching_up.reached, catching_up.others
        taken = _now() - began
        self._look_at = _now() + max(LOOKED, min(LONGEST_LOOK, taken * SHARE))
        self._since = since if catching_up.is_whole else None
        self._at = self._at or since
        self.following.failing = dict(catching_up.synced.failed)
        self.following.caught_up += 1
        self.following.problem = ""
        await self._publish()
        self._tell("following")

    async def _take_in(self, changes: Sequence[Change]) -> None:
        since = self._since
        news, told = self._sorted(changes)
        if self._since != since:
            await self._publish()
        if not told:
            return
        reader = NewsReader(self._remote, self._fetcher)
        await reader.events(told)
        self._reached |= await reader.read(news)
        for each in reader.gone:
            self._reached.pop(each, None)
        self.following.messages += reader.synced.messages
        self.following.events += reader.synced.events
        if reader.synced.failed:
            self.following.failing |= reader.synced.failed
            await self._publish()
        self._tell("following")

    def _sorted(self, changes: Sequence[Change]) -> tuple[dict[str, News], list[Change]]:
        """What has to be read, and what is new. Where something was missed it is caught up."""
        news: dict[str, News] = {}
        told: list[Change] = []
        for each in changes:
            if each.type not in KNOWN_TYPES:
                _count(self.following.unknown, each.type)
            if each.session_id in self._others:
                continue
            of_session = news.get(each.session_id) or self._news_of(each.session_id)
            if each.sequence is None:
                told.append(each)
                if each.type in LASTING:  # a remote that doesn't number them
                    of_session.add(each)
                    news[each.session_id] = of_session
                continue
            if each.session_id in self.following.failing:
                continue
            match step(of_session.reached, each):
                case Step.NEXT:
                    of_session.add(each)
                    news[each.session_id] = of_session
                    told.append(each)
                case Step.GAP:
                    self._look_again()
                case Step.RESTART:
                    self._is_same = False
                    self._look_again()
                case Step.OLD:
                    pass
        return news, told

    def _news_of(self, session_id: str) -> News:
        """None yet. Of a session that is new here all messages are read, to know that they are."""
        reached = self._reached.get(session_id)
        return News(None if reached is None else set(), reached, session=True)

    def _look_again(self) -> None:
        """Soon, but not all the time. Until then nobody knows what is missing."""
        self._since = None
        self._look_at = min(self._look_at, _now() + AGAIN)

    def _tell(self, state: State) -> None:
        self.following.state = state
        if self._progress is not None:
            self._progress(self.following)


def _count(counts: dict[str, int], kind: str) -> None:
    """A remote may make up as many as it likes."""
    if kind in counts or len(counts) < _MOST_TYPES:
        counts[kind] = counts.get(kind, 0) + 1


def _now() -> float:
    """Seconds of a clock that nobody sets."""
    return time.monotonic()
