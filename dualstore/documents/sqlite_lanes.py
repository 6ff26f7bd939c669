"""Threads that own SQLite connections: one that writes, a few that read.

A connection is used by its own thread alone, so nothing in SQLite blocks the event loop and no
two jobs share a transaction.
"""

import asyncio
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dualstore.documents.sqlite_errors import mapped
from dualstore.errors import UnavailableError

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]


class _State(StrEnum):
    NEW = "not open yet"
    OPEN = "open"
    CLOSED = "closed"


class _Call(NamedTuple):
    job: Job[Any] | None
    """None asks the thread to close its connection and end."""
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


class Lanes:
    """Up to `width` threads with a connection each, started when they are first needed.

    The one that was used last is used next, because its pages are still in its cache.
    """

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], path: Path, *, width: int, name: str
    ) -> None:
        self._connect = connect
        self._path = path
        self._width = width
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[_Call]] = []
        self._waiting: deque[_Call] = deque()
        self._started = 0
        self._state = _State.NEW

    def start(self) -> None:
        """Threads are made when they are needed; after `stop` there are none any more."""
        if self._state is _State.NEW:
            self._state = _State.OPEN

    async def run(self, job: Job[T]) -> T:
        """The job's result. When the caller is cancelled, the job still runs to its end."""
        if self._state is not _State.OPEN:
            raise UnavailableError(f"{self._path} is {self._state}; open it with `async with`")
        return await self._submit(job)

    async def stop(self) -> None:
        """Finish what was asked for, then close the connections. Again, it does nothing."""
        self._state = _State.CLOSED
        ending, self._started = self._started, 0
        await asyncio.gather(*(self._submit(None, to_running=True) for _ in range(ending)))

    def _submit(self, job: Job[T] | None, *, to_running: bool = False) -> "asyncio.Future[T]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        call = _Call(job, loop, future)
        with self._lock:
            if self._idle:
                self._idle.pop().put(call)
            elif not to_running and self._started < self._width:
                self._start(call)
            else:
                self._waiting.append(call)
        return future

    def _start(self, call: _Call) -> None:
        self._started += 1
        name = f"dualstore-{self._name}-{self._started}"
        threading.Thread(target=self._work, args=(call,), name=name, daemon=True).start()

    def _work(self, first: _Call) -> None:
        mine: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        connection: sqlite3.Connection | None = None
        call = first
        while call.job is not None:
            connection, result, failure = self._answer(call.job, connection)
            waiting = self._next(mine)
            _deliver(call, result, failure)
            call = waiting or mine.get()
        if connection is not None:
            connection.close()
        _deliver(call, None, None)

    def _next(self, mine: "queue.SimpleQueue[_Call]") -> _Call | None:
        """What waits; if nothing does, this thread is idle from now on."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(mine)
            return None

    def _answer(
        self, job: Job[Any], connection: sqlite3.Connection | None
    ) -> tuple[sqlite3.Connection | None, Any, BaseException | None]:
        try:
            connection = connection or self._connect()
            return connection, job(connection), None
        except (sqlite3.Error, OSError, UnicodeEncodeError, OverflowError) as error:
            failure = mapped(error, self._path)
            failure.__cause__ = error
            return connection, None, failure
        except BaseException as error:
            return connection, None, error  # it belongs to the one who waits


def _deliver(call: _Call, result: Any, failure: BaseException | None) -> None:
    try:
        call.loop.call_soon_threadsafe(_resolve, call.future, result, failure)
    except RuntimeError:
        return  # the loop is closed: nobody waits any more


def _resolve(future: "asyncio.Future[Any]", result: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that has the write lock from its first statement on.

    Taken later, the lock could be refused at once to somebody whose snapshot is old.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[None]:
    """Several statements that see one and the same state."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
