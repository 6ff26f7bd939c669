"""A number for each of very many names, in a few records: all of them cost a few calls."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final
from zlib import crc32

from dualstore.documents.base import Records
from dualstore.mirror.changing import Changing, Value

PARTS: Final = 16
"""Records: of 10,000 names, a change writes some hundreds again."""


class Ledger:
    """The numbers grow, unless their names are forgotten."""

    def __init__(self, records: Records, *, space: str) -> None:
        self._records = records
        self._space = space
        self._changing = Changing(records)

    async def all(self) -> dict[str, int]:
        """By name."""
        parts = await self._records.range(self._space, limit=PARTS)
        return {name: number for part in parts for name, number in part.value.items()}

    async def raise_to(self, numbers: Mapping[str, int]) -> None:
        """Whoever got further stays there."""
        parts = _parted(numbers)
        known = await self._records.find(self._space, list(parts)) if parts else {}
        for key, names in parts.items():
            there = known[key].value if key in known else {}
            higher = {
                each: numbers[each]
                for each in names
                if each not in there or there[each] < numbers[each]
            }
            if higher:
                await self._changing.change(self._space, key, _raised(higher))

    async def forget(self, names: Iterable[str]) -> None:
        """As if they had never been there."""
        for key, some in _parted(names).items():
            await self._changing.change(self._space, key, _without(some))


def _raised(numbers: Mapping[str, int]) -> Callable[[Value | None], Value]:
    def change(value: Value | None) -> Value:
        there = value or {}
        return there | {each: max(to, there.get(each, to)) for each, to in numbers.items()}

    return change


def _without(names: Iterable[str]) -> Callable[[Value | None], Value]:
    left_out = set(names)
    return lambda value: {k: v for k, v in (value or {}).items() if k not in left_out}


def _parted(names: Iterable[str]) -> dict[str, list[str]]:
    """By the key of their part."""
    parts: dict[str, list[str]] = {}
    for each in names:
        parts.setdefault(f"{crc32(each.encode()) % PARTS:x}", []).append(each)
    return parts
