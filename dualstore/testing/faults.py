"""Which call fails, and how."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, ParamSpec, TypeVar, assert_never

from dualstore.errors import InvalidInputError, UnavailableError

HANG: Final = 0.2

P = ParamSpec("P")
R = TypeVar("R")

MakeError = Callable[[str], Exception]


class Fault(StrEnum):
    """What happens to a call."""

    BEFORE = "before"  # it raises, and has no effect
    AFTER = "after"  # it takes effect, and raises
    HANG = "hang"  # it takes effect, and nobody answers in time
    CANCELLED = "cancelled"  # the task is cancelled before it takes effect
    CANCELLED_AFTER = "cancelled_after"  # the task is cancelled when it has taken effect


@dataclass(frozen=True, slots=True)
class _Plan:
    pattern: str
    first: int
    last: int | None
    fault: Fault
    error: MakeError

    def covers(self, number: int, name: str) -> bool:
        in_time = self.first <= number and (self.last is None or number <= self.last)
        return in_time and fnmatchcase(name, self.pattern)


class Faults:
    """Counts the calls of one set of backends, and fails those it is told to.

    Calls are numbered from 1 in the order they begin, which is the same every time only where
    the scenario makes them one after the other.
    """

    def __init__(self, *, hang: float = HANG) -> None:
        self.hang = hang
        """Seconds until a call that hangs ends, as every call does, with `UnavailableError`."""
        self.calls: list[str] = []
        """The names of all calls so far; cleared, the numbers begin anew."""
        self.struck: list[str] = []
        """The names of those that a fault was done to."""
        self.victim: asyncio.Task[object] | None = None
        """Whom a cancellation hits; None for the task that makes the call."""
        self._plans: list[_Plan] = []

    def plan(self, number: int, *, fault: Fault, error: MakeError = UnavailableError) -> None:
        """Do this to the call with this number, which is still to come.

        Any number of calls may be planned. `error` makes what is raised out of a message.
        """
        if number <= len(self.calls):
            past = f"calls are numbered from 1, and {len(self.calls)} are past"
            raise InvalidInputError(f"call {number} will never come: {past}")
        self._plans.append(_Plan("*", number, number, fault, error))

    def outage(
        self,
        pattern: str,
        *,
        since: int = 1,
        fault: Fault = Fault.BEFORE,
        error: MakeError = UnavailableError,
    ) -> None:
        """Do this to every call with such a name (`vectors.*`), until `heal`.

        The calls before number `since` are spared.
        """
        self._plans.append(_Plan(pattern, since, None, fault, error))

    def heal(self) -> None:
        """Forget all plans and outages; calls are still counted."""
        self._plans.clear()

    async def call(
        self, name: str, method: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Count the call and make it, with what is planned for it."""
        self.calls.append(name)
        number = len(self.calls)
        plan = next((each for each in self._plans if each.covers(number, name)), None)
        if plan is None:
            return await method(*args, **kwargs)
        self.struck.append(name)
        message = f"injected at call {number}, {name}: {plan.fault}"
        match plan.fault:
            case Fault.BEFORE:
                raise plan.error(message)
            case Fault.AFTER:
                await method(*args, **kwargs)
                raise plan.error(message)
            case Fault.HANG:
                await method(*args, **kwargs)
                await asyncio.sleep(self.hang)
                raise UnavailableError(message)
            case Fault.CANCELLED:
                await self._cancel()
                return await method(*args, **kwargs)
            case Fault.CANCELLED_AFTER:
                result = await method(*args, **kwargs)
                await self._cancel()
                return result
            case _:
                assert_never(plan.fault)

    async def _cancel(self) -> None:
        """Returns only where the victim is another task, and this one is shielded from it."""
        victim = self.victim or asyncio.current_task()
        if victim is not None:
            victim.cancel()
        await asyncio.sleep(0)
