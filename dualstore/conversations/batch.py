"""What one commit appends: entries of several callers, each caller's whole or not at all. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dualstore.conversations.coding import (
    PREVIEW,
    Prepared,
    Ref,
    Unreadable,
    chained,
    decoded,
    digest_of,
    sealed,
    to_entry,
)
from dualstore.conversations.entries import (
    AssistantAmendment,
    Compaction,
    LogEntry,
)
from dualstore.conversations.standing import Standing, advanced
from dualstore.documents.journal import JournalItem
from dualstore.errors import ConflictError, DualStoreError, EntryError, shown
from dualstore.values import from_json

ANSWERS: Final = frozenset({"assistant_message", "assistant_amendment"})
"""What can be amended."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What one caller appends."""

    entries: Sequence[Prepared]
    log: str
    """The log that it was prepared for."""
    refs: Mapping[str, Ref] = field(default_factory=dict)
    """Where the payloads of large ones are, by entry id."""
    present: Mapping[str, JournalItem] = field(default_factory=dict)
    """What the log has of large ones already."""
    size: int = 0
    room: int = PREVIEW
    """Bytes that the preview of a large one may take."""

    @property
    def ids(self) -> list[str]:
        """Of its entries."""
        return [each.entry.id for each in self.entries]

    @property
    def named(self) -> set[str]:
        """Ids of other entries that it speaks of, and which must be there."""
        found: set[str] = set()
        for each in self.entries:
            if isinstance(each.entry, AssistantAmendment):
                found.add(each.entry.target_entry_id)
            elif isinstance(each.entry, Compaction):
                found.update(each.entry.kept_ids or ())
        return found


Outcome = list[LogEntry] | Exception


@dataclass(slots=True)
class Batch:
    """Grows by submissions, behind a standing."""

    log: str
    standing: Standing
    now: int
    there: Mapping[str, JournalItem]
    """What the log has of the ids that are written or named."""
    items: list[JournalItem] = field(default_factory=list)
    _mine: dict[str, JournalItem] = field(default_factory=dict)

    def add(self, submission: Submission) -> Outcome:
        """Its stored entries; or why none of it can be appended, and then it leaves no trace."""
        before, count = self.standing, len(self.items)
        try:
            return [self._append(each, submission) for each in submission.entries]
        except DualStoreError as error:
            self.standing = before
            for item in self.items[count:]:
                del self._mine[item.id]
            del self.items[count:]
            return error

    def _append(self, ready: Prepared, submission: Submission) -> LogEntry:
        entry = ready.entry
        present = self._item(entry.id)
        if present is not None:
            return _again(ready, present, self.log)
        self._check(entry)
        seq = self.standing.seq + 1
        chain = chained(self.standing.hash, entry.id, seq, self.now, ready.digest)
        ref = submission.refs.get(entry.id)
        stored = sealed(
            ready, seq=seq, at=self.now, log=self.log, chain=chain, ref=ref, room=submission.room
        )
        written = to_entry(stored)
        places = {name: found.seq for name in submission.named if (found := self._item(name))}
        self.standing = advanced(self.standing, written, chain, places=places)
        self.items.append(stored.item)
        self._mine[entry.id] = stored.item
        return written

    def _item(self, name: str) -> JournalItem | None:
        return self._mine.get(name) or self.there.get(name)

    def _check(self, entry: LogEntry) -> None:
        """Whatever an entry names has to be there."""
        if isinstance(entry, AssistantAmendment):
            target = self._item(entry.target_entry_id)
            if target is None or target.kind not in ANSWERS:
                raise EntryError(
                    "target_entry_id", f"{shown(entry.target_entry_id)} is no answer of this log"
                )
        elif isinstance(entry, Compaction):
            self._check_compaction(entry)

    def _check_compaction(self, entry: Compaction) -> None:
        if (entry.covers_through_seq or 0) > self.standing.seq:
            raise EntryError(
                "covers_through_seq",
                f"{entry.covers_through_seq} isn't there yet, the last is {self.standing.seq}",
            )
        for name in entry.kept_ids or ():
            if self._item(name) is None:
                raise EntryError("kept_ids", f"{shown(name)} is no entry of this log")


def _again(ready: Prepared, present: JournalItem, log: str) -> LogEntry:
    """What was stored before, if it says the same; a retry may belong to another turn."""
    found = decoded(present, log)
    if isinstance(found, Unreadable) or found.digest != _digest(ready, found.turn_id):
        raise ConflictError(
            f"entry {shown(ready.entry.id)} is there with another payload, as number {present.seq}",
            ids=[ready.entry.id],
        )
    return to_entry(found, from_json(ready.payload))


def _digest(ready: Prepared, turn_id: str | None) -> str:
    """As if it belonged to that turn."""
    entry = ready.entry
    if entry.turn_id == turn_id:
        return ready.digest
    return digest_of(entry.type, turn_id, entry.version, ready.payload)
