"""Asking a remote that may be slow or dead: not for ever, and not again and again."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Self, TypeVar

from dualstore.breaker import CLOSED, Breaker
from dualstore.errors import DualStoreError, RemoteError, UnavailableError
from dualstore.metrics import Metrics, RemoteAsked, RemoteSpared
from dualstore.remote.base import Change, RemoteMessages, RemoteSessions, RemoteSource, Thing

_T = TypeVar("_T")


class GuardedRemote(RemoteSource):
    """A remote behind a circuit breaker. After a failure it is spared for a while; then one
    question is let through, to see. Who has patience of his own is never told to wait (`spares`).
    """

    def __init__(
        self, remote: RemoteSource, *, timeout: float, metrics: Metrics, spares: bool = True
    ) -> None:
        self.name = remote.name
        self.place = remote.place
        self.capabilities = remote.capabilities
        self._remote = remote
        self._timeout = timeout
        self._spares = spares
        self._metrics = metrics
        self._breaker: Breaker = CLOSED
        self._probing = False
        self._reason: UnavailableError | None = None
        self._chance = random.Random()

    async def fetch_sessions(self, *, limit: int | None = None) -> RemoteSessions:
        return await self._asked("sessions", lambda: self._remote.fetch_sessions(limit=limit))

    async def fetch_session(self, session_id: str) -> Thing | None:
        return await self._asked("session", lambda: self._remote.fetch_session(session_id))

    async def fetch_messages(
        self, session_id: str, *, limit: int | None = None, before: str | None = None
    ) -> RemoteMessages | None:
        return await self._asked(
            "messages",
            lambda: self._remote.fetch_messages(session_id, limit=limit, before=before),
        )

    async def fetch_message(self, session_id: str, message_id: str) -> Thing | None:
        return await self._asked(
            "message", lambda: self._remote.fetch_message(session_id, message_id)
        )

    async def fetch_history(self, known: Mapping[str, int]) -> list[Change]:
        return await self._asked("history", lambda: self._remote.fetch_history(known))

    def follow(self) -> AsyncGenerator[Change, None]:
        return self._remote.follow()

    async def __aenter__(self) -> Self:
        await self._remote.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._remote.__aexit__(*details)

    async def _asked(self, what: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        self._check(what)
        before, began, outcome = self._breaker, time.monotonic(), {"failed": 1}
        is_probe = before != CLOSED
        self._probing = self._probing or is_probe
        try:
            answer = await self._in_time(ask)
            self._breaker, outcome = CLOSED, {"answered": 1}
            return answer
        except UnavailableError as error:
            self._failed(before, error)
            raise
        except RemoteError:
            self._breaker = CLOSED  # whoever says no is there
            raise
        except DualStoreError:
            raise
        except asyncio.CancelledError:
            outcome = {}
            raise
        except Exception as error:  # somebody's own remote: what is here can be answered anyway
            raise RemoteError(f"{self.name} failed: {error!r}") from error
        finally:
            self._probing = self._probing and not is_probe
            if outcome:
                seconds = time.monotonic() - began
                self._metrics.emit(RemoteAsked(what, **outcome, seconds=seconds))

    async def _in_time(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(self._timeout):
                return await ask()
        except TimeoutError as error:
            late = f"{self.name} didn't answer in {self._timeout:g} s"
            raise UnavailableError(late) from error

    def _check(self, what: str) -> None:
        """One question at a time is let through while it is not known to be back."""
        if self._breaker == CLOSED:
            return
        if self._probing or not self._breaker.allows(_ticks()):
            self._metrics.emit(RemoteSpared(what, spared=1))
            raise UnavailableError(f"{self.name} is not asked for a while: {self._reason}")

    def _failed(self, before: Breaker, reason: UnavailableError) -> None:
        """Those that were asked together fail together, which counts once."""
        self._reason = reason
        if self._breaker is before and self._spares:
            self._breaker = before.failed(_ticks(), chance=self._chance)


def _ticks() -> int:
    """Milliseconds of a clock that nobody sets."""
    return time.monotonic_ns() // 1_000_000
