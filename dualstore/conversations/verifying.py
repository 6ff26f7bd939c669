"""Parity: everything computed again from the first entry on, against all that was summed up.

The baseline is independent: it never reads a summary. What was imported is compared with the
snapshot that it came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Literal, NamedTuple

from dualstore.conversations.cards import Card, Cards, Held
from dualstore.conversations.coding import ANY_SIZE, Stored, chained, digest_of, genesis
from dualstore.conversations.entries import Imported, LogEntry, UnreadableEntry
from dualstore.conversations.folds import (
    build_display_snapshot,
    build_llm_context,
    pending_subagent_results,
)
from dualstore.conversations.loading import Loaded
from dualstore.conversations.reading import Reader
from dualstore.conversations.replaying import Replaying, StandingFold
from dualstore.conversations.scope import Scope
from dualstore.conversations.snapshots import Snapshots
from dualstore.conversations.standing import Complete, Standing
from dualstore.conversations.writer import EVENTS
from dualstore.documents.journal import Journal, Tip
from dualstore.errors import StorageCorruptError
from dualstore.metrics import Metrics, ParityChecked
from dualstore.values import to_json

Kind = Literal[
    "missing", "foreign", "edited", "unreadable", "payload", "summary", "view", "snapshot"
]
TAIL: Final = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that isn't as it should be."""

    kind: Kind
    seq: int | None
    """The entry that it is about; None for what is about all of them."""
    reason: str

    def __str__(self) -> str:
        return self.reason if self.seq is None else f"entry {self.seq}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What `verify` found."""

    conversation_id: str
    entries: int
    problems: tuple[Problem, ...]

    @property
    def clean(self) -> bool:
        """Nothing is wrong."""
        return not self.problems


class _Walk:
    """Entry by entry: what the chain and the numbers say."""

    def __init__(self, log: str, card: Card) -> None:
        complete: Complete = "created" if card.complete == "created" else ""
        self._log = log
        self._card = card
        self._previous: str | None = genesis(log)
        """The hash that the next one is chained to; None where that can't be known."""
        self.fold = StandingFold(log, complete)
        self.entries: list[LogEntry] = []
        self.problems: list[Problem] = []
        self.at_card: Standing | None = None
        """Where it stood when the card was written."""

    def add(self, loaded: Loaded) -> None:
        """The next entry there is."""
        seq, expected = loaded.entry.seq, self.fold.standing.seq + 1
        if seq != expected:
            what = "is missing" if seq == expected + 1 else f"to {seq - 1} are missing"
            self.tell("missing", expected, what)
            self._previous = None
        if loaded.stored is None or isinstance(loaded.entry, UnreadableEntry):
            self.tell("unreadable", seq, loaded.problem or "can't be read back")
            self._previous = None
        else:
            self._check(loaded, loaded.stored)
        self.fold.add(loaded)
        self.entries.append(loaded.entry)
        if seq == self._card.through_seq:
            self.at_card = self.fold.standing

    def tell(self, kind: Kind, seq: int | None, reason: str) -> None:
        """Note what is wrong."""
        self.problems.append(Problem(kind, seq, reason))

    def _check(self, loaded: Loaded, stored: Stored) -> None:
        item = stored.item
        previous, self._previous = self._previous, stored.hash
        if stored.home != genesis(self._log):
            self.tell("foreign", item.seq, "was written to another log")
        elif loaded.problem:
            self.tell("payload", item.seq, loaded.problem)
        elif _digest(stored) != stored.digest:
            self.tell("edited", item.seq, "isn't what was written: its payload was changed")
        elif previous is not None and stored.hash != chained(
            previous, item.id, item.seq, stored.at, stored.digest
        ):
            self.tell("edited", item.seq, "doesn't follow the one before: one of them was changed")


class _Found(NamedTuple):
    """A conversation as it was when it was looked at."""

    held: Held
    tip: Tip


class Verifier:
    """Verifies conversations, and marks those that may not be believed."""

    def __init__(
        self,
        journal: Journal,
        *,
        cards: Cards,
        replaying: Replaying,
        snapshots: Snapshots,
        reader: Reader,
        metrics: Metrics,
    ) -> None:
        self._journal = journal
        self._cards = cards
        self._replaying = replaying
        self._snapshots = snapshots
        self._reader = reader
        self._metrics = metrics

    async def verify(self, scope: Scope, conversation_id: str) -> ParityReport:
        """Everything that is wrong. Until it is clean again, it is read from the first entry on."""
        held = await self._cards.get(scope, conversation_id)
        tip = await self._journal.tip(held.card.log) or Tip(0, "")
        walk = await self._walked(_Found(held, tip))
        problems = tuple(walk.problems)
        await self._mark(held, problems)
        event = ParityChecked(EVENTS, clean=int(not problems), mismatches=len(problems))
        self._metrics.emit(event)
        return ParityReport(conversation_id, len(walk.entries), problems)

    async def _walked(self, found: _Found) -> _Walk:
        card, tip = found.held.card, found.tip
        walk = _Walk(card.log, card)
        async for loaded in self._replaying.entries(card.log, before=tip.seq + 1):
            walk.add(loaded)
        end = max(tip.seq, card.through_seq)
        if walk.fold.standing.seq < end:
            first = walk.fold.standing.seq + 1
            walk.tell("missing", first, "is missing" if first == end else f"to {end} are missing")
        await self._check_end(card.log, tip, walk)
        _check_tip(tip, walk)
        _check_card(card, walk)
        await self._check_snapshot(card, walk)
        if not walk.problems and walk.entries:
            await self._check_views(found, walk)
        return walk

    async def _check_end(self, log: str, tip: Tip, walk: _Walk) -> None:
        """What stands behind the end was put there by somebody else."""
        beyond = await self._journal.read(log, after=tip.seq, limit=1)
        again = await self._journal.tip(log)
        if beyond and (again is None or beyond[0].seq > again.seq):
            walk.tell("foreign", beyond[0].seq, "stands behind the end of the log")

    async def _check_snapshot(self, card: Card, walk: _Walk) -> None:
        first = walk.entries[0] if walk.entries else None
        if card.complete != "created" and first is not None and not isinstance(first, Imported):
            walk.tell("snapshot", None, "the log isn't known to have everything")
        if card.snapshot is None:
            return
        try:
            snapshot = await self._snapshots.load(card.log, card.snapshot)
        except StorageCorruptError as error:
            walk.tell("snapshot", None, str(error))
            return
        if isinstance(first, Imported) and first.payload() != snapshot.entry.payload():
            walk.tell("snapshot", 1, "isn't what was there before the log")

    async def _check_views(self, found: _Found, walk: _Walk) -> None:
        """What readers are given, byte for byte; `_Walk` has all of the same entries."""
        given = await self._reader.summed_up(found.held.card, found.tip, tail=TAIL)
        made: dict[str, Sequence[object]] = {
            "display": build_display_snapshot(walk.entries, TAIL),
            "context": build_llm_context(walk.entries),
            "pending": pending_subagent_results(walk.entries),
        }
        for name, value in made.items():
            if _spelled(getattr(given, name)) != _spelled(value):
                walk.tell("view", None, f"the {name} isn't what the entries say")

    async def _mark(self, held: Held, problems: tuple[Problem, ...]) -> None:
        reason = f"verify found: {'; '.join(map(str, problems[:3]))}" if problems else ""
        await self._cards.change(held, lambda card: replace(card, distrust=reason))


def _check_tip(tip: Tip, walk: _Walk) -> None:
    if not tip.seq:
        return
    try:
        told = Standing.from_note(tip.note)
    except (ValueError, TypeError, LookupError) as error:
        walk.tell("summary", None, f"what stands at the end can't be read back: {error!r:.100}")
        return
    for each in fields(Standing):
        if getattr(told, each.name) != getattr(walk.fold.standing, each.name):
            walk.tell("summary", None, f"{each.name} isn't what the entries say")


def _check_card(card: Card, walk: _Walk) -> None:
    if not card.through_seq or walk.at_card is None:
        return
    for name in ("shown", "last_activity", "complete"):
        if getattr(card, name) != getattr(walk.at_card, name):
            walk.tell("summary", None, f"the card's {name} isn't what the entries say")


def _digest(stored: Stored) -> str:
    """Of a payload beside the log the loader has compared it already."""
    if stored.ref is not None:
        return stored.digest
    text = to_json(stored.data, "payload", most=ANY_SIZE)
    return digest_of(stored.item.kind, stored.turn_id, stored.version, text)


def _spelled(view: Sequence[object]) -> str:
    return to_json(list(view), "view", most=ANY_SIZE)
