"""The seam to the driver: every call is bounded in time and raises our errors only."""

import asyncio
import inspect
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from bson.errors import BSONError
from pymongo.errors import OperationFailure, PyMongoError

from dualstore.documents.mongo_errors import SILENT, STUMBLES, WRITE_CONFLICT, is_drivers, mapped
from dualstore.errors import InvalidInputError, StorageError, UnavailableError

_PAUSE: Final = 0.02


class Line:
    """Calls a database; knows how long to wait, and what to name in errors."""

    def __init__(self, locate: Callable[[], str], *, timeout: float) -> None:
        self._locate = locate
        self._timeout = timeout
        self._open = True

    def close(self) -> None:
        """From now on nothing is asked any more."""
        self._open = False

    async def leave(self, close: Callable[[], Any]) -> None:
        """Close a client; one that doesn't get it done in time is left to itself."""
        with suppress(TimeoutError):
            await _in_time(_once(close), self._timeout)

    async def call(self, ask: Callable[[], Any]) -> Any:
        """What `ask` gives. A conflict with another writer had no effect: it is asked again."""
        if not self._open:
            raise UnavailableError(f"{self._locate()} was left; open it anew")
        try:
            return await _in_time(_insistently(ask), self._timeout)
        except TimeoutError as error:
            raise UnavailableError(
                f"{self._locate()} {SILENT} (waited {self._timeout:g} s)"
            ) from error
        except (PyMongoError, BSONError) as error:
            raise mapped(error, self._locate()) from error
        except UnicodeEncodeError as error:
            raise InvalidInputError(f"a name or an id can't be encoded: {error}") from error
        except STUMBLES as error:
            if not is_drivers(error):
                raise
            raise StorageError(f"{self._locate()} answered what isn't understood") from error


async def _in_time(work: Coroutine[Any, Any, Any], seconds: float) -> Any:
    """In a task of its own, which nobody waits for longer.

    A driver may swallow the cancellation that `asyncio.timeout` relies on, and wait on.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_forget)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        raise TimeoutError
    return task.result()


def _forget(task: "asyncio.Task[Any]") -> None:
    """Look at how it ended, so that nobody is told that nobody looked."""
    if not task.cancelled():
        task.exception()


async def _once(ask: Callable[[], Any]) -> Any:
    return await resolved(ask())


async def _insistently(ask: Callable[[], Any]) -> Any:
    while True:
        try:
            return await resolved(ask())
        except OperationFailure as error:
            if error.code != WRITE_CONFLICT:
                raise
        await pause()


async def resolved(answer: Any) -> Any:
    """The answer, awaited where its driver wants that: motor and PyMongo differ in some."""
    return await answer if inspect.isawaitable(answer) else answer


async def pause() -> None:
    """Wait a little, never the same time, so that writers in conflict get out of step."""
    await asyncio.sleep(random.uniform(0, _PAUSE))
