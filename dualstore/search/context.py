"""Entries as chat messages for a model. Pure."""

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import Final, TypedDict

from dualstore.entry import Entry

ROLE: Final = "role"
DEFAULT_ROLE: Final = "user"


class Message(TypedDict):
    """What chat APIs take."""

    role: str
    content: str


def compiled(
    recent: Sequence[Entry], relevant: Sequence[Entry], *, max_chars: int | None
) -> list[Message]:
    """Each entry once, in order of time; what doesn't fit any more is left out whole.

    The newest and the most relevant take turns in filling the room. An entry whose metadata has
    no role speaks as the user.
    """
    taken: dict[str, Entry] = {}
    room = max_chars
    for entry in _in_turn(recent, relevant):
        if entry.id in taken or not entry.text.strip():
            continue
        if room is not None:
            if len(entry.text) > room:
                break
            room -= len(entry.text)
        taken[entry.id] = entry
    ordered = sorted(taken.values(), key=lambda entry: (entry.timestamp, entry.id))
    return [Message(role=_role(entry), content=entry.text) for entry in ordered]


def _in_turn(recent: Sequence[Entry], relevant: Sequence[Entry]) -> Iterable[Entry]:
    pairs = zip_longest(recent, relevant)
    return (entry for entry in chain.from_iterable(pairs) if entry is not None)


def _role(entry: Entry) -> str:
    role = entry.metadata.get(ROLE)
    return role if isinstance(role, str) and role else DEFAULT_ROLE
