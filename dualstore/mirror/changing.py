"""Records that several change at once: each change is made of what is there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from dualstore.documents.base import Records
from dualstore.errors import UnavailableError

_TRIES: Final = 50

_T = TypeVar("_T")

Value = dict[str, Any]


class Changing:
    """Changes records by key; the key is their token, too."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._changing = WeakValueDictionary[tuple[str, str], asyncio.Lock]()

    async def change(self, space: str, key: str, change: Callable[[Value | None], Value]) -> None:
        """One after the other here, so only other processes can come in between."""
        lock = self._changing.setdefault((space, key), asyncio.Lock())
        async with lock:
            await settled(lambda: self._changed(space, key, change), what=f"the mark {key!r}")

    async def _changed(
        self, space: str, key: str, change: Callable[[Value | None], Value]
    ) -> Value | None:
        record = await self._records.get(space, key)
        value = change(None if record is None else record.value)
        if record is None:
            is_done = await self._records.create(space, key, value, tokens=[key]) is not None
        else:
            is_same = value == record.value
            is_done = is_same or await self._records.replace(record, value) is not None
        return value if is_done else None


async def settled(step: Callable[[], Awaitable[_T | None]], *, what: str) -> _T:
    """What the step gives, which gives None when somebody else came in between.

    Raises `UnavailableError` for who never gets his turn.
    """
    for _ in range(_TRIES):
        done = await step()
        if done is not None:
            return done
    raise UnavailableError(f"{what} is being changed by too many at once")
