"""What a remote gave and nobody could take in: visible with its reason until it can be."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from dualstore.documents.base import Record, Records

_AT_ONCE: Final = 500
_TRIES: Final = 20


SESSION: Final = "session"
MESSAGE: Final = "message"
EVENT: Final = "event"


def message_of(session_id: str) -> str:
    """What the messages of one session are called here."""
    return f"{MESSAGE} of {session_id}:"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that is not here."""

    what: str
    """What kind of thing, and the id it came with."""
    reason: str
    at: int


class Refusals:
    """Those of one remote."""

    def __init__(self, records: Records, *, space: str) -> None:
        self._records = records
        self._space = f"{space}.refused"

    async def note(self, reasons: Mapping[str, str], *, at: int) -> None:
        """Remember each with its reason, since when it is the same one."""
        for what, reason in reasons.items():
            value = {"what": what, "reason": reason, "at": at}
            for _ in range(_TRIES):
                if await self._noted(value):
                    break

    async def forget(self, taken: Collection[str]) -> None:
        """They are here now."""
        for record in await self._records_of_all():
            if record.value["what"] in taken:
                await self._records.delete(record)

    async def forget_others(self, kind: str, refused: Collection[str]) -> None:
        """All of that kind was told, and besides these nothing was refused."""
        for record in await self._records_of_all():
            what: str = record.value["what"]
            if what.startswith(f"{kind} ") and what not in refused:
                await self._records.delete(record)

    async def count(self, *kinds: str) -> int:
        """How many of these kinds aren't here."""
        heads = tuple(f"{each} " for each in kinds)
        return sum(each.what.startswith(heads) for each in await self.all())

    async def all(self) -> list[Refusal]:
        """Everything that isn't here, in no particular order."""
        return [Refusal(**record.value) for record in await self._records_of_all()]

    async def _noted(self, value: dict[str, Any]) -> bool:
        """False when somebody else came in between."""
        key = _key(value["what"])
        record = await self._records.get(self._space, key)
        if record is None:
            return await self._records.create(self._space, key, value) is not None
        is_same = record.value["reason"] == value["reason"]
        return is_same or await self._records.replace(record, value) is not None

    async def _records_of_all(self) -> list[Record]:
        found: list[Record] = []
        while some := await self._records.range(
            self._space, after=found[-1].key if found else None, limit=_AT_ONCE
        ):
            found += some
        return found


def _key(what: str) -> str:
    return blake2b(what.encode(errors="surrogatepass"), digest_size=16).hexdigest()
