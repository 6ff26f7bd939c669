"""A clock that runs fast and can be told to jump, so that nobody waits for leases or retries."""

import time
from typing import Final

LEASE: Final = 3_600_000
"""Milliseconds of this clock: no test would wait so long."""


class Hurried:
    """The present as these tests know it, in epoch milliseconds."""

    def __init__(self, *, speed: int = 50) -> None:
        self._speed = speed
        self._start = time.monotonic_ns()
        self._jumped = 1_750_000_000_000

    def __call__(self) -> int:
        return self._jumped + self._speed * (time.monotonic_ns() - self._start) // 1_000_000

    def let_leases_end(self) -> None:
        self._jumped += 2 * LEASE
