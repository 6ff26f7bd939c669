"""Which payloads of a batch are kept beside the log, so that the batch fits in one step. Pure."""

from collections.abc import Sequence
from typing import Final

from dualstore.conversations.coding import LARGE, Prepared
from dualstore.values import size_of

ROOM: Final = 5 * 1024 * 1024
"""Bytes of payloads that a batch may have in itself, when none of them is large."""
FRAME: Final = 512
"""Bytes that an entry takes besides its payload and the name of its turn."""
_ESCAPED: Final = 6
"""Bytes that a character may take as JSON."""


def oversized(entries: Sequence[Prepared]) -> list[Prepared]:
    """The large ones, and then the largest of the others until the rest has room."""
    sizes = {each.entry.id: size_of(each.payload) for each in entries}
    by_size = sorted(entries, key=lambda each: -sizes[each.entry.id])
    rest = sum(sizes.values())
    for count, each in enumerate(by_size):
        size = sizes[each.entry.id]
        if size <= LARGE and rest <= ROOM:
            return by_size[:count]
        rest -= size
    return by_size


def preview_room(entries: Sequence[Prepared]) -> int:
    """Bytes that the preview of each may take."""
    return ROOM // max(1, len(entries))


def size_in_log(entries: Sequence[Prepared], beside: Sequence[Prepared]) -> int:
    """About what the batch takes; never less."""
    away = {each.entry.id for each in beside}
    inline = sum(size_of(each.payload) for each in entries if each.entry.id not in away)
    turns = sum(_ESCAPED * len(each.entry.turn_id or "") for each in entries)
    return inline + turns + len(entries) * FRAME + (ROOM if beside else 0)
