"""Entries with all that belongs to them, wherever it is kept."""

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

from dualstore.conversations.coding import (
    Ref,
    Stored,
    Unreadable,
    decoded,
    digest_of,
    to_entry,
    to_unreadable,
)
from dualstore.conversations.entries import (
    VERSION,
    LogEntry,
    Message,
    UnreadableEntry,
    checked_message,
)
from dualstore.conversations.folds import Bubble
from dualstore.conversations.payloads import Payloads
from dualstore.documents.journal import JournalItem
from dualstore.errors import StorageCorruptError
from dualstore.values import from_json

_SIMPLE: Final = frozenset({"user_message", "assistant_message"})


class Loaded(NamedTuple):
    """An entry, and what is wrong with it; of a payload that is damaged it has the preview."""

    entry: LogEntry
    stored: Stored | None
    problem: str | None = None


class Loader:
    """Turns items of the journal into entries."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads

    async def load(self, log: str, items: Iterable[JournalItem]) -> list[Loaded]:
        """Each with its whole payload, however large."""
        loaded: list[Loaded] = []
        for item in items:
            found = decoded(item, log)
            if isinstance(found, Stored) and found.ref is not None:
                loaded.append(await self._large(found, found.ref))
            else:
                loaded.append(brief(found))
        return loaded

    async def load_shown(
        self, log: str, items: Iterable[JournalItem]
    ) -> tuple[list[Bubble], list[Loaded]]:
        """What is shown of simple messages, without their models, as a display has many of
        them; and the other entries.
        """
        bubbles: list[Bubble] = []
        others: list[JournalItem] = []
        for item in items:
            found = decoded(item, log) if item.kind in _SIMPLE else None
            message = _simple(found) if isinstance(found, Stored) else None
            if message is None:
                others.append(item)
            else:
                bubbles.append(Bubble(item.seq, item.id, message))
        return bubbles, await self.load(log, others)

    async def _large(self, stored: Stored, ref: Ref) -> Loaded:
        try:
            text = await self._payloads.load(stored.log, ref)
        except StorageCorruptError as error:
            return Loaded(to_entry(stored), stored, f"entry {stored.item.seq}: {error}")
        return await asyncio.to_thread(_whole, stored, text)


def _simple(stored: Stored) -> Message | None:
    """The message, where it is all there is to the entry."""
    if stored.ref is not None or stored.version != VERSION or stored.data.get("hidden"):
        return None
    try:
        return checked_message(stored.data.get("message"))
    except ValueError:
        return None


def brief(found: Stored | Unreadable) -> Loaded:
    """With a preview where the payload is large."""
    if isinstance(found, Unreadable):
        return Loaded(to_unreadable(found), None, found.problem)
    entry = to_entry(found)
    problem = entry.problem if isinstance(entry, UnreadableEntry) else None
    return Loaded(entry, found, problem)


def _whole(stored: Stored, text: str) -> Loaded:
    item = stored.item
    if digest_of(item.kind, stored.turn_id, stored.version, text) != stored.digest:
        return Loaded(to_entry(stored), stored, f"entry {item.seq}: its payload was changed")
    return Loaded(to_entry(stored, from_json(text)), stored)
