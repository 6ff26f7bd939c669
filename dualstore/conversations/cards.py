"""The card of each conversation: what there is beside its log.

A card has no view in it but a summary of the log, written by whoever appended, in the same call.
What it says of the log is always true of the first `through_seq` entries; the log itself has the
last word.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from dualstore.conversations.coding import Ref
from dualstore.conversations.scope import LogName, Scope
from dualstore.conversations.standing import Complete, Standing
from dualstore.documents.base import Record, Records
from dualstore.errors import NotFoundError, StorageCorruptError, shown

CARDS: Final = "conversations"
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Card:
    """One conversation."""

    log: str
    """The name of its log; another one after it was deleted and made again."""
    title: str
    parent: str | None
    created_at: int
    called: str = ""
    """Its first title."""
    born: str = ""
    """The digest of what it was before its log: tells the same call again from another one."""
    complete: Complete = ""
    """Why the log has everything; a conversation that is older than its log is imported first."""
    snapshot: Ref | None = None
    """What it was before its log; it never changes."""
    through_seq: int = 0
    shown: int = 0
    last_activity: int = 0
    distrust: str = ""
    """Why `verify` says that nothing derived may be used."""
    deleted_at: int | None = None
    purged: bool = False

    @property
    def is_alive(self) -> bool:
        """It wasn't deleted."""
        return self.deleted_at is None

    def summarised(self, standing: Standing) -> "Card":
        """With the summary of a log that stands so, unless it knows of more."""
        if standing.seq <= self.through_seq:
            return self
        return replace(
            self,
            through_seq=standing.seq,
            shown=standing.shown,
            last_activity=standing.last_activity,
            complete=standing.complete,
        )


@dataclass(frozen=True, slots=True)
class Held:
    """A card as it was read."""

    card: Card
    record: Record

    @property
    def name(self) -> LogName:
        """Whose it is, and what it is called."""
        return LogName.parse(self.card.log)


class Cards:
    """The cards of all conversations."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def find(self, scope: Scope, conversation_id: str) -> Held | None:
        """The card, that of a deleted one, too; None if there never was any."""
        return await self._find(scope.conversation(conversation_id))

    async def get(self, scope: Scope, conversation_id: str) -> Held:
        """The card. Raises `NotFoundError` if there is none in this scope, or no more."""
        held = await self.find(scope, conversation_id)
        if held is None or not held.card.is_alive:
            raise missing(conversation_id, held)
        return held

    async def create(self, card: Card) -> Held | None:
        """A new one, also in the place of one that was deleted; None if there is one already."""
        key = card.log.rpartition(":")[0]
        old = await self._find(key)
        if old is None:
            record = await self._records.create(CARDS, key, _to_value(card))
        elif old.card.is_alive:
            return None
        else:
            record = await self._records.replace(old.record, _to_value(card))
        return None if record is None else Held(card, record)

    async def change(self, held: Held, make: Callable[[Card], Card]) -> Held:
        """What `make` makes of it, whoever else changes it meanwhile.

        Raises `NotFoundError` when it was deleted, also if it was made again.
        """
        now: Held | None = held
        while now is not None and now.card.is_alive and now.card.log == held.card.log:
            card = make(now.card)
            if card == now.card:
                return now
            record = await self._records.replace(now.record, _to_value(card))
            if record is not None:
                return Held(card, record)
            now = await self.again(held)
        raise missing(held.name.conversation_id, now)

    async def put_away(self, held: Held, card: Card) -> bool:
        """Change what only a deletion changes; whether nobody was faster."""
        return await self._records.replace(held.record, _to_value(card)) is not None

    async def again(self, held: Held) -> Held | None:
        """The card as it is now."""
        return await self._find(held.record.key)

    async def all_of(self, scope: Scope) -> list[Held]:
        """Of all conversations in the scope, deleted ones too, in order of their names."""
        found: list[Held] = []
        while some := await self.page(scope.name, after=found[-1].record.key if found else ""):
            found += some
        return found

    async def page(self, prefix: str, *, after: str = "") -> list[Held]:
        """Some of those whose names begin with these parts, whosever they are."""
        records = await self._records.range(
            CARDS, after=after or f"{prefix}:", before=f"{prefix};", limit=_PAGE
        )  # a semicolon is the next character after the colon
        return list(map(_held, records))

    async def _find(self, key: str) -> Held | None:
        record = await self._records.get(CARDS, key)
        return None if record is None else _held(record)


def missing(conversation_id: str, held: Held | None) -> NotFoundError:
    """What to raise where there is no such conversation."""
    was = "is not here" if held is None else "was deleted"
    return NotFoundError(f"conversation {shown(conversation_id)} {was}")


def _to_value(card: Card) -> dict[str, Any]:
    """Without what is as it always is."""
    told = {name: getattr(card, name) for name in _FIELDS}
    if card.snapshot is not None:
        told["snapshot"] = list(card.snapshot)
    return {name: value for name, value in told.items() if value != _FIELDS[name].default}


def _held(record: Record) -> Held:
    try:
        told = dict(record.value)
        if "snapshot" in told:
            told["snapshot"] = Ref(*told["snapshot"])
        return Held(Card(**told), record)
    except (TypeError, ValueError) as error:
        raise StorageCorruptError(
            f"the card of conversation {shown(record.key)} can't be read back: {error}"
        ) from error


_FIELDS: Final = {each.name: each for each in fields(Card)}
