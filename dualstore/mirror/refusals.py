"""What a remote gave and nobody could take in: visible with its reason until it can be."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from dualstore.documents.base import Record, Records

MOST: Final = 1_000
"""How many of a kind are counted: of more it is only said that there are more."""
_TRIES: Final = 20


class Kind(NamedTuple):
    """What kind of thing something is; a message is one of its session."""

    name: str
    session_id: str | None = None

    def __str__(self) -> str:
        return self.name if self.session_id is None else f"{self.name} of {self.session_id}:"

    @property
    def head(self) -> str:
        """What the keys of all of that kind begin with."""
        place = "" if self.session_id is None else f"{_digest(self.session_id)}:"
        return f"{self.name}:{place}"

    @property
    def end(self) -> str:
        """Comes behind all of them: `;` is the next character after `:`."""
        return f"{self.head[:-1]};"


SESSION: Final = Kind("session")
MESSAGE: Final = Kind("message")
"""Of any session."""
EVENT: Final = Kind("event")


def message_of(session_id: str) -> Kind:
    """The messages of one session."""
    return Kind(MESSAGE.name, session_id)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that is not here."""

    what: str
    """What kind of thing, and the id it came with."""
    reason: str
    at: int
    session_id: str | None = None
    """The session that it is a message of."""


class Refusals:
    """Those of one remote, in order of their kinds: reading some costs one call."""

    def __init__(self, records: Records, *, space: str) -> None:
        self._records = records
        self._space = f"{space}.refused"

    async def note(self, kind: Kind, reasons: Mapping[str, str], *, at: int) -> None:
        """Remember each with its reason, since when it is the same one."""
        for what, reason in reasons.items():
            value = asdict(Refusal(what, reason, at, kind.session_id))
            for _ in range(_TRIES):
                if await self._noted(kind.head + _digest(what), value):
                    break

    async def forget(self, kind: Kind, taken: Iterable[str]) -> None:
        """They are here now. Their names are looked at only if there are others."""
        refused = await self._every(kind)
        names = set(taken) if refused else set[str]()
        for record in refused:
            if record.value["what"] in names:
                await self._records.delete(record)

    async def forget_others(self, kind: Kind, refused: Collection[str]) -> None:
        """All of that kind was told, and besides these nothing was refused."""
        for record in await self._every(kind):
            if record.value["what"] not in refused:
                await self._records.delete(record)

    async def some(self, kind: Kind) -> list[Refusal]:
        """At most `MOST` of that kind, in no particular order; in one call."""
        found = await self._records.range(self._space, after=kind.head, before=kind.end, limit=MOST)
        return [Refusal(**record.value) for record in found]

    async def all(self) -> list[Refusal]:
        """Everything that isn't here, in no particular order."""
        kinds = (SESSION, MESSAGE, EVENT)
        return [Refusal(**each.value) for kind in kinds for each in await self._every(kind)]

    async def _noted(self, key: str, value: dict[str, Any]) -> bool:
        """False when somebody else came in between."""
        record = await self._records.get(self._space, key)
        if record is None:
            return await self._records.create(self._space, key, value) is not None
        is_same = record.value["reason"] == value["reason"]
        return is_same or await self._records.replace(record, value) is not None

    async def _every(self, kind: Kind) -> list[Record]:
        found: list[Record] = []
        after = kind.head
        while True:
            some = await self._records.range(self._space, after=after, before=kind.end, limit=MOST)
            found += some
            if len(some) < MOST:
                return found
            after = some[-1].key


def _digest(text: str) -> str:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
