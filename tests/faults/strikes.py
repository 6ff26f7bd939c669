"""A fault at one call, which is the same one in every run.

The worker's calls and those of whoever waits for it come in any order, so a number alone would
name another call each time.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from enum import StrEnum
from typing import Final, NamedTuple, ParamSpec, TypeVar

from dualstore.testing import Fault, Faults

P = ParamSpec("P")
R = TypeVar("R")


class Kind(StrEnum):
    """What happens at the call."""

    BEFORE = "before"
    AFTER = "after"
    HANG = "hang"
    CANCELLED = "cancelled"  # whoever makes the call: the caller, or the worker's own task
    CANCELLED_AFTER = "cancelled after"
    CALLER = "caller cancelled"  # the one who uses the manager, whoever makes the call
    CALLER_AFTER = "caller cancelled after"
    DEATH = "death"  # the process ends here: no later call of it has any effect
    DEATH_AFTER = "death after"


_FAULTS: Final = {
    Kind.BEFORE: Fault.BEFORE,
    Kind.AFTER: Fault.AFTER,
    Kind.HANG: Fault.HANG,
    Kind.CANCELLED: Fault.CANCELLED,
    Kind.CANCELLED_AFTER: Fault.CANCELLED_AFTER,
    Kind.CALLER: Fault.CANCELLED,
    Kind.CALLER_AFTER: Fault.CANCELLED_AFTER,
    Kind.DEATH: Fault.BEFORE,
    Kind.DEATH_AFTER: Fault.AFTER,
}
OF_CALLER: Final = (Kind.CALLER, Kind.CALLER_AFTER)
OF_PROCESS: Final = (Kind.DEATH, Kind.DEATH_AFTER)


_WRITES: Final = frozenset(
    "documents.put documents.delete documents.claim documents.settle documents.mark_due"
    " records.create records.replace records.delete"
    " vectors.index.upsert vectors.index.delete vectors.place.index vectors.place.drop".split()
)
_IS_CALLER: Final = ContextVar("is_caller", default=False)


async def as_caller(doing: Awaitable[R]) -> R:
    """The one who uses the manager, with all the tasks that he is helped by."""
    _IS_CALLER.set(True)
    return await doing


class Call(NamedTuple):
    """Which call it is of all that are made in a scenario."""

    name: str
    by_caller: bool
    after: int
    """How many things the caller did before, or how many writes the worker made."""
    nth: int
    """Of this name since. While nothing changes, asking once more is the same call: how often
    the worker, and whoever waits for it, ask is a matter of time."""


class Turns:
    """Knows which call the present one is. The worker's wait until somebody waits for it."""

    def __init__(self, *, always: bool = False) -> None:
        self.seen: dict[Call, None] = {}
        self._always = always
        self._open = asyncio.Event()
        self._waits = False
        self._done = self._written = 0
        self._counted = Counter[str]()
        self.begins(False)

    def begins(self, waits: bool) -> None:
        """The caller begins something else, and waits in it for the worker, or doesn't."""
        self._waits = waits
        self._done += 1
        self._counted.clear()
        if self._always:
            self._open.set()
        else:
            self._open.clear()

    def end(self) -> None:
        """The worker is never held up again."""
        self._always = True
        self._open.set()

    async def next(self, name: str) -> Call:
        if not _IS_CALLER.get():
            await self._open.wait()
            call = Call(name, False, self._written, 1)
        else:
            self._counted[name] += 1
            if self._waits and name == "documents.index_status":  # he asks how far it is
                self._open.set()
            call = Call(name, True, self._done, 1 if self._waits else self._counted[name])
        self.seen[call] = None
        return call

    def made(self, call: Call, result: object) -> None:
        """A claim that took nothing isn't a write."""
        if not call.by_caller:
            self._written += call.name in _WRITES and result != []


class Strikes(Faults):
    """Strikes one call, or none."""

    def __init__(self, call: Call | None = None, kind: Kind = Kind.BEFORE, *, turns: Turns) -> None:
        super().__init__(hang=0.002)
        self.kind = kind
        self.turns = turns
        self.claimed: Callable[[], None] | None = None
        """Called when a claim was struck: nobody knows of the lease, and nobody gives it back."""
        self._call = call

    def heal(self) -> None:
        """What didn't come to be struck isn't any more."""
        super().heal()
        self._call = None
        self.turns.end()

    async def call(
        self, name: str, method: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        call = await self.turns.next(name)
        if self._call != call:
            result = await super().call(name, method, *args, **kwargs)
            self.turns.made(call, result)
            return result
        self._call = None
        number = len(self.calls) + 1
        self.plan(number, fault=_FAULTS[self.kind])
        if self.kind in OF_PROCESS:
            self.outage("*", since=number + 1)
        try:
            return await super().call(name, method, *args, **kwargs)
        finally:
            if self.claimed and name == "documents.claim":
                self.claimed()


class Pauses(Faults):
    """Holds one call up, before or after it takes effect, while something else happens."""

    def __init__(
        self,
        call: Call,
        meanwhile: Callable[[], Awaitable[None]],
        *,
        after: bool,
        turns: Turns | None = None,
    ) -> None:
        super().__init__()
        self._call: Call | None = call
        self._meanwhile = meanwhile
        self._after = after
        self.turns = turns or Turns()
        self._over = asyncio.Event()
        self._error: Exception | None = None

    async def call(
        self, name: str, method: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        call = await self.turns.next(name)
        if self._call != call:
            result = await method(*args, **kwargs)
            self.turns.made(call, result)
            return result
        self._call = None
        self.struck.append(name)
        if self._after:
            result = await method(*args, **kwargs)
            await self._happen()
            return result
        await self._happen()
        return await method(*args, **kwargs)

    async def _happen(self) -> None:
        try:
            await self._meanwhile()
        except Exception as error:  # a worker would take it for its own
            self._error = error
        finally:
            self._over.set()

    async def end(self) -> None:
        """Wait until it has happened, if it ever began; raises what went wrong in it."""
        if self.struck:
            await self._over.wait()
        self.turns.end()
        if self._error:
            raise self._error


async def outcome_of(task: "asyncio.Task[None]") -> None:
    """Wait for it. Being cancelled is all right; any other error that got out isn't."""
    try:
        await asyncio.wait([task])
        task.result()
    except asyncio.CancelledError:
        assert task.cancelled()
