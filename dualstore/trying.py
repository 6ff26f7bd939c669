"""Asking a server again that may answer yet: what the clients of HTTP servers have in common."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

_T = TypeVar("_T")


class TransientError(Exception):
    """Trying again may help, after `wait` seconds if the server said so."""

    def __init__(self, message: str, *, wait: float = 0.0) -> None:
        self.wait = wait
        super().__init__(message)


class ExhaustedError(Exception):
    """Nothing came of all attempts; it says what came of the last one, and how many there were."""


class Tries(Protocol):
    """How long somebody is waited for, in seconds."""

    @property
    def attempts(self) -> int: ...
    @property
    def total(self) -> float:
        """All attempts and the pauses between them."""

    @property
    def first_pause(self) -> float: ...
    @property
    def longest_pause(self) -> float: ...


async def tried(tries: Tries, ask: Callable[[float], Awaitable[_T]]) -> _T:
    """The answer; `ask` is told when, on the monotonic clock, the time is up.

    Raises `ExhaustedError`, from what the last `TransientError` came from.
    """
    ends = time.monotonic() + tries.total
    attempt = 1
    while True:
        try:
            return await ask(ends)
        except TransientError as error:
            pause = max(_pause(tries, attempt), error.wait)
            if attempt >= tries.attempts or time.monotonic() + pause >= ends:
                raise ExhaustedError(_said(error, attempt)) from error.__cause__
            await asyncio.sleep(pause)
            attempt += 1


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds; 0 if it doesn't say or can't be understood."""
    wait = headers.get("Retry-After", "").strip()
    if wait.isascii() and wait.isdigit():
        return float(wait[:9])
    try:
        return max(0.0, parsedate_to_datetime(wait).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _pause(tries: Tries, attempt: int) -> float:
    longest = min(tries.longest_pause, tries.first_pause * 2 ** (attempt - 1))
    return random.uniform(longest / 2, longest)


def _said(error: TransientError, attempts: int) -> str:
    wait = f"; it asks to wait {error.wait:.0f} s" if error.wait else ""
    return f"{error} ({'1 attempt' if attempts == 1 else f'{attempts} attempts'}{wait})"
