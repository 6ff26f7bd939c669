"""Entries as the journal keeps them, and the chain of hashes that ties each to the one before.

An item's text is one JSON object: `v` the payload's version, `at`, `turn`, `home`, which stands
for its log, `digest` of what the writer gave, `hash` in the chain, and either `data`, the payload,
or, where it is large, `ref` (where, how many parts, how many bytes) and `preview`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from dualstore.conversations.entries import LogEntry, UnreadableEntry, entry_of
from dualstore.conversations.scope import LogName
from dualstore.documents.journal import JournalItem
from dualstore.values import from_json, size_of, to_json

ANY_SIZE: Final = 2**40
LARGE: Final = 1024 * 1024
"""Bytes from which on a payload is kept beside the log."""
_PREVIEWS: Final = ((16_384, 50), (1_024, 10), (64, 3), (0, 3))
"""Characters of a text, and members of a list or mapping, that a preview keeps: the first of
these that makes it small enough."""
PREVIEW: Final = 128 * 1024
"""Bytes of a preview."""
_KINDS: Final = (int, int, str, dict)
_FIRST: Final = ("role", "content", "type", "text", "message", "messages", "result", "status")


class Ref(NamedTuple):
    """Where a large payload is kept."""

    token: str
    parts: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """An entry that passed every check, as it is going to be written."""

    entry: LogEntry
    payload: str
    digest: str


class Stored(NamedTuple):
    """An item of the journal, read back."""

    item: JournalItem
    at: int
    turn_id: str | None
    version: int
    log: str
    """Where it was found."""
    home: str
    """Where it was written: the genesis of its log."""
    digest: str
    hash: str
    data: dict[str, Any]
    """The payload, or a preview of it."""
    ref: Ref | None


class Unreadable(NamedTuple):
    """An item that can't be read back, and why."""

    item: JournalItem
    problem: str


def prepared(entry: LogEntry) -> Prepared:
    """The entry with its payload's canonical text. Raises `EntryError` for what isn't JSON."""
    payload = to_json(entry.payload(), entry.type, most=ANY_SIZE)
    return Prepared(entry, payload, digest_of(entry.type, entry.turn_id, entry.version, payload))


def digest_of(kind: str, turn_id: str | None, version: int, payload: str) -> str:
    """What tells an entry from another one with the same id."""
    return _hash(to_json([kind, turn_id, version], "entry"), payload)


def genesis(log: str) -> str:
    """What the first entry of a log is chained to."""
    return _hash(log)


def chained(previous: str, item_id: str, seq: int, at: int, digest: str) -> str:
    """The hash of an entry, which every later one depends on."""
    return _hash(previous, to_json([seq, item_id, at], "entry"), digest)


def sealed(
    ready: Prepared,
    *,
    seq: int,
    at: int,
    log: str,
    chain: str,
    ref: Ref | None = None,
    room: int = PREVIEW,
) -> Stored:
    """As it is appended; its data are a copy that shares nothing with what the caller gave."""
    entry, data = ready.entry, from_json(ready.payload)
    head = {
        "v": entry.version,
        "at": at,
        "turn": entry.turn_id,
        "home": genesis(log),
        "digest": ready.digest,
        "hash": chain,
    }
    if ref is None:
        text = f'{to_json(head, "entry")[:-1]},"data":{ready.payload}}}'
    else:
        short = preview(data, min(room, PREVIEW))
        text = to_json({**head, "ref": list(ref), "preview": short}, "entry")
    item = JournalItem(seq, entry.id, entry.type, text)
    return Stored(
        item,
        at=at,
        turn_id=entry.turn_id,
        version=entry.version,
        log=log,
        home=genesis(log),
        digest=ready.digest,
        hash=chain,
        data=data,
        ref=ref,
    )


def decoded(item: JournalItem, log: str) -> Stored | Unreadable:
    """The opposite; what somebody else wrote there is unreadable, and raises nothing."""
    try:
        told = from_json(item.text)
        stored = Stored(
            item,
            at=told["at"],
            turn_id=told["turn"],
            version=told["v"],
            log=log,
            home=told["home"],
            digest=told["digest"],
            hash=told["hash"],
            data=told["preview"] if "ref" in told else told["data"],
            ref=Ref(*told["ref"]) if "ref" in told else None,
        )
    except (ValueError, TypeError, LookupError) as error:
        return Unreadable(item, f"entry {item.seq} can't be read back: {error!r:.200}")
    kinds = (type(stored.at), type(stored.version), type(stored.hash), type(stored.data))
    if kinds != _KINDS:
        return Unreadable(item, f"entry {item.seq} can't be read back: its fields are odd")
    return stored


def to_entry(stored: Stored, payload: Mapping[str, Any] | None = None) -> LogEntry:
    """The model, with the payload that is given, else with its own or its preview."""
    item = stored.item
    try:
        name = LogName.parse(stored.log)
        common = {
            "id": item.id,
            "seq": item.seq,
            "created_at": stored.at,
            "turn_id": stored.turn_id,
            "version": stored.version,
            "tenant": name.scope.tenant,
            "agent": name.scope.agent,
        }
        return entry_of(item.kind, common, stored.data if payload is None else payload)
    except (ValidationError, ValueError, TypeError) as error:
        return to_unreadable(
            Unreadable(item, f"entry {item.seq} isn't what it says: {error!s:.200}")
        )


def to_unreadable(broken: Unreadable) -> UnreadableEntry:
    """What readers are given in its place."""
    return UnreadableEntry(id=broken.item.id, seq=broken.item.seq, problem=broken.problem)


def preview(payload: Any, room: int) -> dict[str, Any]:
    """The payload with its texts and lists cut short, of the same form."""
    cut: dict[str, Any] = {}
    for characters, members in _PREVIEWS:
        cut = _cut(payload, characters, members)
        if size_of(to_json(cut, "preview")) <= room:
            break
    return cut


def _cut(value: Any, characters: int, members: int) -> Any:
    if isinstance(value, str):
        return value[:characters]
    if isinstance(value, list):
        return [_cut(each, characters, members) for each in value[:members]]
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (name not in _FIRST, len(name)))[:members]
        return {name: _cut(value[name], characters, members) for name in names}
    return value


def _hash(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
