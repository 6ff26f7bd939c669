"""Reading a conversation: through what was summed up, or, where that isn't to be believed or not
wanted, from the first entry on.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from dualstore.conversations.cards import Card, Cards, Held
from dualstore.conversations.entries import Imported, LogEntry
from dualstore.conversations.folds import (
    Display,
    Place,
    Shown,
    UnfinishedTurn,
    build_llm_context,
    pending_subagent_results,
    unfinished_turns,
    unknown_types,
)
from dualstore.conversations.scope import Scope
from dualstore.conversations.snapshots import Snapshots
from dualstore.conversations.standing import Standing
from dualstore.conversations.views import Conversation, ConversationSummary, Entries, Origin
from dualstore.conversations.windows import Windows, gaps
from dualstore.conversations.writer import EVENTS
from dualstore.documents.journal import Journal, Tip
from dualstore.errors import StorageError, UnavailableError
from dualstore.metrics import ConversationRead, Metrics

_UNMARKED: Final = "the log isn't known to have everything"


class Views(NamedTuple):
    """What is folded from a log."""

    display: Display
    context: list[dict[str, object]]
    pending: list[dict[str, object]]
    unfinished: Sequence[UnfinishedTurn]
    unknown: Sequence[str]
    through_seq: int
    last_activity: int
    origin: Origin
    problems: Sequence[str]


class _Wanted(NamedTuple):
    """How much of the display."""

    tail: int | None
    before: Place | None


class Reader:
    """Reads conversations, and never writes."""

    def __init__(
        self,
        journal: Journal,
        *,
        cards: Cards,
        windows: Windows,
        snapshots: Snapshots,
        metrics: Metrics,
        read_log: bool,
    ) -> None:
        self._journal = journal
        self._cards = cards
        self._windows = windows
        self._snapshots = snapshots
        self._metrics = metrics
        self._believes = read_log

    async def get(
        self, scope: Scope, conversation_id: str, *, tail: int | None, before: Place | None
    ) -> Conversation:
        """The conversation. What can't be read of its log is said in `degraded`."""
        began = time.perf_counter()
        held = await self._cards.get(scope, conversation_id)
        folded = await self._fold(held, _Wanted(tail, before))
        if folded.origin == "degraded":  # what was deleted meanwhile isn't damaged
            await self._cards.get(scope, conversation_id)
        seconds = time.perf_counter() - began
        self._metrics.emit(ConversationRead(EVENTS, **{folded.origin: 1}, seconds=seconds))
        return _conversation(conversation_id, held.card, folded)

    async def read(
        self,
        scope: Scope,
        conversation_id: str,
        *,
        types: Sequence[str] | None,
        after: int,
        before: int,
        limit: int | None,
        newest: bool,
    ) -> Entries:
        """Entries between the two numbers, without views."""
        card = (await self._cards.get(scope, conversation_id)).card
        tip = await self._journal.tip(card.log)
        end = max(card.through_seq, tip.seq if tip else 0)
        part = await self._windows.some(
            card.log, after=after, before=before, kinds=types, limit=limit, backwards=newest
        )
        problems = list(part.problems)
        if types is None:
            numbers = sorted(each.seq for each in part.entries)
            first, last = after + 1, max(min(end, before - 1), *numbers[-1:], after)
            if len(numbers) == limit:
                first, last = (numbers[0], last) if newest else (first, numbers[-1])
            problems += gaps(numbers, first, last)
        if problems:  # what was deleted meanwhile isn't damaged
            await self._cards.get(scope, conversation_id)
        return Entries(part.entries, degraded=tuple(problems))

    async def list(self, scope: Scope, parent: str | None) -> list[ConversationSummary]:
        """Those that have this parent, the one that was used last first."""
        found = [
            summary_of(held)
            for held in await self._cards.all_of(scope)
            if held.card.is_alive and held.card.parent == parent
        ]
        return sorted(found, key=lambda each: (-each.last_activity, each.id))

    # Folding

    async def _fold(self, held: Held, wanted: _Wanted) -> Views:
        card = held.card
        try:
            tip = await self._journal.tip(card.log)
            if tip is None:
                return await self._without_log(card, wanted)
            return await self._with_log(card, tip, wanted)
        except (UnavailableError, StorageError) as error:
            return await self._fallback(card, wanted, str(error))

    async def _with_log(self, card: Card, tip: Tip, wanted: _Wanted) -> Views:
        if tip.seq < card.through_seq:
            return await self._anew(card, tip, wanted, _cut(card, tip))
        if card.distrust or not self._believes:
            return await self._anew(card, tip, wanted, card.distrust)
        standing, reason = _standing(tip)
        if standing is None:
            return await self._anew(card, tip, wanted, reason)
        if not standing.complete:
            return await self._fallback(card, wanted, _UNMARKED)
        return await self._through(card, standing, wanted)

    async def summed_up(self, card: Card, tip: Tip, *, tail: int | None) -> Views:
        """The views of a log that ends there, through its summary, whatever may be believed."""
        return await self._through(card, Standing.from_note(tip.note), _Wanted(tail, None))

    async def _through(self, card: Card, standing: Standing, wanted: _Wanted) -> Views:
        """Only what the views need."""
        log, end = card.log, standing.seq + 1
        part = await self._windows.entries(log, after=standing.context_from - 1, before=end)
        display, damaged = await self._windows.display(log, standing, part, *wanted)
        pending, lost = await self._windows.pending(log, standing, part)
        problems = tuple(dict.fromkeys([*part.problems, *damaged, *lost]))
        return Views(
            display,
            build_llm_context(part.entries),
            pending,
            standing.turns,
            unknown_types(part.entries),
            standing.seq,
            standing.last_activity,
            "degraded" if problems else "log",
            problems,
        )

    async def _anew(self, card: Card, tip: Tip, wanted: _Wanted, reason: str) -> Views:
        """From the first entry on, believing nothing."""
        part = await self._windows.entries(card.log, after=0, before=tip.seq + 1)
        first = part.entries[0] if part.entries else None
        if card.complete != "created" and not isinstance(first, Imported):
            return await self._fallback(card, wanted, _UNMARKED)
        problems = [*([reason] if reason else []), *part.problems]
        return _folded(part.entries, wanted, "degraded" if problems else "log", problems)

    async def _without_log(self, card: Card, wanted: _Wanted) -> Views:
        if card.through_seq:
            return await self._fallback(card, wanted, _cut(card, Tip(0, "")))
        if card.complete == "created":
            return _folded([], wanted, "log", [])
        return _folded([await self._before_log(card)], wanted, "snapshot", [])

    async def _fallback(self, card: Card, wanted: _Wanted, reason: str) -> Views:
        """What there was before the log, if that can be had; it says that it isn't everything."""
        entries: list[LogEntry] = []
        problems = [reason]
        if card.snapshot is not None:
            try:
                entries = [await self._before_log(card)]
            except (UnavailableError, StorageError) as error:
                problems.append(str(error))
        return _folded(entries, wanted, "degraded", problems)

    async def _before_log(self, card: Card) -> LogEntry:
        if card.snapshot is None:
            raise StorageError(f"the log {card.log!r} isn't there, nor anything from before it")
        return (await self._snapshots.load(card.log, card.snapshot)).entry


def _standing(tip: Tip) -> tuple[Standing | None, str]:
    try:
        return Standing.from_note(tip.note), ""
    except (ValueError, TypeError, LookupError) as error:
        return None, f"what stands after entry {tip.seq} can't be read back: {error!r:.100}"


def _cut(card: Card, tip: Tip) -> str:
    return f"entries {tip.seq + 1} to {card.through_seq} are missing"


def _folded(
    entries: Sequence[LogEntry], wanted: _Wanted, origin: Origin, problems: Sequence[str]
) -> Views:
    shown = Shown(entries)
    return Views(
        shown.last(wanted.tail, total=len(shown.places), before=wanted.before),
        build_llm_context(entries),
        pending_subagent_results(entries),
        unfinished_turns(entries),
        unknown_types(entries),
        max((each.seq for each in entries), default=0),
        max((each.created_at for each in entries), default=0),
        origin,
        problems,
    )


def _conversation(conversation_id: str, card: Card, folded: Views) -> Conversation:
    turns = tuple(folded.unfinished)
    return Conversation(
        id=conversation_id,
        title=card.title,
        parent=card.parent,
        created_at=card.created_at,
        last_activity=max(card.last_activity, folded.last_activity, card.created_at),
        through_seq=folded.through_seq or card.through_seq,
        display=folded.display,
        context=folded.context,
        pending=folded.pending,
        unfinished=turns,
        interrupted=turns,
        unknown_types=tuple(folded.unknown),
        origin=folded.origin,
        degraded=tuple(folded.problems),
    )


def without_running(conversation: Conversation, running: set[str]) -> Conversation:
    """With the turns that this store runs taken out of those that broke off."""
    broken = [each for each in conversation.interrupted if each.turn_id not in running]
    return replace(conversation, interrupted=tuple(broken))


def summary_of(held: Held) -> ConversationSummary:
    """What its card says."""
    card = held.card
    return ConversationSummary(
        id=held.name.conversation_id,
        title=card.title,
        parent=card.parent,
        created_at=card.created_at,
        last_activity=card.last_activity or card.created_at,
        through_seq=card.through_seq,
        messages=card.shown,
    )
