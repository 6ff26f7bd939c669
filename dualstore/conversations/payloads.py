"""Payloads that are too large for the log, in parts, each a record of its own.

The list of parts is written first, the parts next, and the entry that names them last. So a crash
leaves parts that nobody sees, and a list by which they are found and swept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dualstore.conversations.coding import Ref
from dualstore.conversations.entries import new_id
from dualstore.documents.base import Record, Records
from dualstore.errors import StorageCorruptError
from dualstore.values import size_of

LISTS: Final = "conversations.payloads"
PARTS: Final = "conversations.parts"
PART: Final = 2 * 1024 * 1024
"""Characters of a part: in any script, and with quotes escaped, it stays below 12 MiB."""
_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Kept:
    """A payload that is kept, or was begun."""

    log: str
    owner: str
    """The entry it belongs to."""
    at: int
    ref: Ref
    record: Record


class Payloads:
    """Keeps texts of any size."""

    def __init__(self, records: Records, *, clock: Callable[[], int]) -> None:
        self._records = records
        self._clock = clock

    async def keep(self, log: str, owner: str, text: str) -> Ref:
        """Write it down; nothing is known of it until an entry names it."""
        parts = [text[start : start + PART] for start in range(0, len(text), PART)]
        ref = Ref(new_id(), len(parts), size_of(text))
        told = {"owner": owner, "at": self._clock(), "ref": list(ref)}
        await self._records.create(LISTS, f"{log}:{ref.token}", told)
        for number, part in enumerate(parts):
            await self._records.create(PARTS, _part(log, ref, number), part)
        return ref

    async def load(self, log: str, ref: Ref) -> str:
        """All of it. Raises `StorageCorruptError` when a part is missing."""
        found: list[str] = []
        for number in range(ref.parts):
            record = await self._records.get(PARTS, _part(log, ref, number))
            if record is None or not isinstance(record.value, str):
                raise StorageCorruptError(
                    f"part {number + 1} of {ref.parts} of a payload of {log!r} is gone"
                )
            found.append(record.value)
        return "".join(found)

    async def page(self, *, after: str = "", log: str = "") -> list[Kept]:
        """Some of what is kept, in order; of one log, if it is named."""
        before = f"{log};" if log else None  # the next character after the colon
        records = await self._records.range(
            LISTS, after=after or (f"{log}:" if log else None), before=before, limit=_PAGE
        )
        return [_kept(record) for record in records]

    async def drop(self, kept: Kept) -> None:
        """Remove the parts, and then what leads to them."""
        for number in range(kept.ref.parts):
            key = _part(kept.log, kept.ref, number)
            await self._records.delete(Record(PARTS, key, None, 1, ()))  # a part never changes
        await self._records.delete(kept.record)

    async def drop_all(self, log: str) -> None:
        """Everything that is kept for the log."""
        while some := await self.page(log=log):
            for each in some:
                await self.drop(each)


def _part(log: str, ref: Ref, number: int) -> str:
    return f"{log}:{ref.token}:{number:06}"


def _kept(record: Record) -> Kept:
    told = record.value
    log = record.key.rpartition(":")[0]
    return Kept(log, told["owner"], told["at"], Ref(*told["ref"]), record)
