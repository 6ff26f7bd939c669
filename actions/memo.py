"""An answer that is kept for as long as what it was found out from hasn't changed."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 5_000
"""Milliseconds after which it is found out again, whatever is the same."""


@dataclass(slots=True)
class Memo:
    """One yes or no."""

    clock: Callable[[], int]
    _key: Hashable = None
    _until: int = 0
    _value: bool = False

    async def recall(self, key: Hashable, find_out: Callable[[], Awaitable[bool]]) -> bool:
        """Found out anew for another key; None is always another one."""
        now = self.clock()
        is_known = key is not None and key == self._key and self._until - LONGEST <= now
        if not is_known or now >= self._until:
            self._value = await find_out()
            self._key, self._until = key, now + LONGEST
        return self._value
