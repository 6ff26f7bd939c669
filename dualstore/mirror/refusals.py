"""What a remote gave and nobody could take in: visible with its reason until it can be."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from dualstore.documents.base import Record, Records

_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that is not here."""

    what: str
    """Its key; where it has no usable id, what it is."""
    reason: str
    at: int


class Refusals:
    """Those of one remote."""

    def __init__(self, records: Records, *, space: str) -> None:
        self._records = records
        self._space = f"{space}.refused"

    async def note(self, reasons: Mapping[str, str], *, at: int) -> None:
        """Remember each with its reason; the first time counts."""
        for what, reason in reasons.items():
            value = {"what": what, "reason": reason, "at": at}
            record = await self._records.create(self._space, _key(what), value)
            if record is None:
                await self._renew(what, value)

    async def forget(self, taken: list[str]) -> None:
        """They are here now."""
        if not await self._records.range(self._space, limit=1):
            return
        for what in taken:
            record = await self._records.get(self._space, _key(what))
            if record is not None:
                await self._records.delete(record)

    async def all(self) -> list[Refusal]:
        """Everything that isn't here, in no particular order."""
        found: list[Record] = []
        while some := await self._records.range(
            self._space, after=found[-1].key if found else None, limit=_AT_ONCE
        ):
            found += some
        return [Refusal(**record.value) for record in found]

    async def _renew(self, what: str, value: dict[str, Any]) -> None:
        record = await self._records.get(self._space, _key(what))
        if record is not None and record.value["reason"] != value["reason"]:
            await self._records.replace(record, value)


def _key(what: str) -> str:
    return blake2b(what.encode(errors="surrogatepass"), digest_size=16).hexdigest()
