"""Records that several change at once: each change is made of what is there."""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakValueDictionary

from dualstore.documents.base import Records
from dualstore.errors import UnavailableError

_TRIES: Final = 50

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
            for _ in range(_TRIES):
                if await self._changed(space, key, change):
                    return
        raise UnavailableError(f"the mark {key!r} is being changed by too many at once")

    async def _changed(self, space: str, key: str, change: Callable[[Value | None], Value]) -> bool:
        """False when somebody else came in between."""
        record = await self._records.get(space, key)
        if record is None:
            return await self._records.create(space, key, change(None), tokens=[key]) is not None
        value = change(record.value)
        return value == record.value or await self._records.replace(record, value) is not None
