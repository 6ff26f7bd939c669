"""The one choke point: whatever becomes part of a log, becomes it here."""

import asyncio
import random
import time
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final, NamedTuple

from dualstore.conversations.batch import Batch, Outcome, Submission
from dualstore.conversations.cards import Cards, Held, missing
from dualstore.conversations.coding import Prepared, Ref
from dualstore.conversations.combining import Combiner
from dualstore.conversations.entries import LogEntry
from dualstore.conversations.fitting import oversized, preview_room, size_in_log
from dualstore.conversations.payloads import Payloads
from dualstore.conversations.replaying import Replaying
from dualstore.conversations.scope import LogName, Scope
from dualstore.conversations.snapshots import Snapshots
from dualstore.conversations.standing import Standing, beginning
from dualstore.documents.journal import Journal, JournalItem
from dualstore.errors import NotFoundError, StorageCorruptError, UnavailableError
from dualstore.metrics import LogAppended, Metrics

EVENTS: Final = "conversations"
"""What the metrics call them."""
GROUP: Final = 11 * 1024 * 1024
"""Bytes that go in one step."""
REMEMBERED: Final = 1_000
"""Logs whose end is known without asking."""
STUCK: Final = 50
"""Refusals in a row, while the log doesn't get on, that can't be anybody's luck."""
_PAUSE: Final = 0.002


class _Known(NamedTuple):
    """What was known of a log when it was last looked at."""

    held: Held
    standing: Standing
    heeded: str
    """Why `verify` found that what is summed up may not be believed; the standing isn't that."""


class _Look(NamedTuple):
    """A log as it is now, and what it has of the ids that are written to it or named."""

    held: Held
    standing: Standing
    there: Mapping[str, JournalItem]
    is_fresh: bool
    """Else it may be old: good enough for writing, which then doesn't succeed, but no reason to
    refuse anybody."""


class Writer:
    """Appends. Those who append to one log at the same time in this process go together."""

    def __init__(
        self,
        journal: Journal,
        *,
        cards: Cards,
        payloads: Payloads,
        replaying: Replaying,
        clock: Callable[[], int],
        metrics: Metrics,
        appended: Callable[[], None],
    ) -> None:
        """`appended` is called when there is something new."""
        self._journal = journal
        self._cards = cards
        self._payloads = payloads
        self._snapshots = Snapshots(payloads)
        self._replaying = replaying
        self._clock = clock
        self._metrics = metrics
        self._was_appended = appended
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._combiner: Combiner[Submission, list[LogEntry]] = Combiner(self._commit, most=GROUP)

    async def close(self) -> None:
        """Finish what is being appended."""
        await self._combiner.close()

    async def append(
        self,
        scope: Scope,
        conversation_id: str,
        entries: Sequence[Prepared],
        *,
        log: str | None = None,
    ) -> list[LogEntry]:
        """All of them, or none; as they are stored, in the order given.

        An id that is there with the same payload gives what is stored; with another one it
        refuses all, with a `ConflictError`. Raises `NotFoundError` for a conversation that isn't
        there, also if it is deleted meanwhile, or, where a log is named, has another one by
        now. Without entries what was there before the log is imported.
        """
        name = scope.conversation(conversation_id)
        known = self._known.get(name)
        if known is not None and log in {None, known.held.card.log}:
            try:
                return await self._submit(name, known.held, entries)
            except NotFoundError:
                self._known.pop(name, None)  # deleted elsewhere, and perhaps made again
        held = await self._cards.get(scope, conversation_id)
        if log not in {None, held.card.log}:
            raise missing(conversation_id, held)
        return await self._submit(name, held, entries)

    async def _submit(self, name: str, held: Held, entries: Sequence[Prepared]) -> list[LogEntry]:
        submission = await self._prepared(held.card.log, entries)
        return await self._combiner.submit(name, submission, size=submission.size)

    async def _prepared(self, log: str, entries: Sequence[Prepared]) -> Submission:
        """With what is too large for the log already written beside it."""
        large = oversized(entries)
        present = await self._journal.find(log, [each.entry.id for each in large]) if large else {}
        refs: dict[str, Ref] = {}
        for each in large:
            if each.entry.id not in present:
                refs[each.entry.id] = await self._payloads.keep(log, each.entry.id, each.payload)
        return Submission(
            entries,
            log=log,
            refs=refs,
            present=present,
            size=size_in_log(entries, large),
            room=preview_room(entries),
        )

    async def _commit(self, name: str, submissions: Sequence[Submission]) -> list[Outcome]:
        """Until nobody else appended between looking and writing."""
        began, tries, ended = time.perf_counter(), 0, -1
        look = await self._first_look(name, submissions)
        while True:
            batch, outcomes = await self._batched(look, submissions)
            if not look.is_fresh and any(isinstance(each, Exception) for each in outcomes):
                look = await self._look(look.held, submissions)
                continue
            note = batch.standing.to_note()
            if not batch.items or await self._journal.extend(batch.log, batch.items, note=note):
                break
            tries = tries + 1 if look.standing.seq == ended else 0
            if tries > STUCK:
                raise UnavailableError(f"log {batch.log!r} takes nothing, and doesn't get on")
            ended = look.standing.seq
            await asyncio.sleep(random.uniform(0, _PAUSE))
            look = await self._look(look.held, submissions)
        await self._note(name, look, batch.standing)
        self._tell(outcomes, len(batch.items), time.perf_counter() - began)
        return outcomes

    async def _note(self, name: str, look: _Look, standing: Standing) -> None:
        """Bring the card up to date. One of a conversation that was deleted meanwhile is no
        longer there, and then nobody sees what was appended.
        """
        heeded = look.held.card.distrust
        try:
            held = await self._cards.change(look.held, lambda card: card.summarised(standing))
        except NotFoundError:
            await self._journal.remove(look.held.card.log)
            raise
        self._known[name] = _Known(held, standing, heeded)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    # Looking

    async def _first_look(self, name: str, submissions: Sequence[Submission]) -> _Look:
        """What is known may be old; then nothing can be written, and it is looked at again."""
        known = self._known.pop(name, None)
        if known is None or known.held.card.distrust != known.heeded:
            scope, conversation_id, _ = LogName.parse(submissions[0].log)
            return await self._look(await self._cards.get(scope, conversation_id), submissions)
        named = set[str]().union(*(each.named for each in submissions))
        there = await self._journal.find(known.held.card.log, list(named)) if named else {}
        return _Look(known.held, known.standing, there, is_fresh=False)

    async def _look(self, held: Held, submissions: Sequence[Submission]) -> _Look:
        log = held.card.log
        tip = await self._journal.tip(log)
        if (tip.seq if tip else 0) < held.card.through_seq:
            held = await self._present(held)
        standing = await self._standing(held, tip.note if tip else None)
        ids = chain.from_iterable((*each.ids, *each.named) for each in submissions)
        there = await self._journal.find(log, list(ids))
        return _Look(held, standing, there, is_fresh=True)

    async def _present(self, held: Held) -> Held:
        """Raises `NotFoundError` if the log is gone with its conversation, and
        `StorageCorruptError` if it lost its end.
        """
        scope, conversation_id, _ = held.name
        again = await self._cards.get(scope, conversation_id)
        if again.card.log != held.card.log:
            raise missing(conversation_id, again)
        raise StorageCorruptError(
            f"log {held.card.log!r} ends before entry {held.card.through_seq}, which was there; "
            "nothing is appended to it: see verify"
        )

    async def _standing(self, held: Held, note: str | None) -> Standing:
        card = held.card
        if note is None:
            return beginning(card.log, card.complete)
        try:
            standing = Standing.from_note(note)
        except (ValueError, TypeError, LookupError):
            return await self._replaying.standing(card.log, card.complete)
        if card.distrust:
            with suppress(StorageCorruptError):  # then the entries are what is wrong
                return await self._replaying.standing(card.log, card.complete)
        return standing

    # Writing

    async def _batched(
        self, look: _Look, submissions: Sequence[Submission]
    ) -> tuple[Batch, list[Outcome]]:
        card = look.held.card
        there = ChainMap(dict(look.there), *(dict(each.present) for each in submissions))
        batch = Batch(card.log, look.standing, self._clock(), there)
        if card.snapshot is not None and look.standing.seq == 0:
            await self._begin_with_snapshot(batch, card.snapshot)
        gone = missing(look.held.name.conversation_id, look.held)
        return batch, [batch.add(each) if each.log == card.log else gone for each in submissions]

    async def _begin_with_snapshot(self, batch: Batch, snapshot: Ref) -> None:
        """What was there before the log is its first entry, whoever comes first."""
        entry = await self._snapshots.load(batch.log, snapshot)
        outcome = batch.add(await self._prepared(batch.log, [entry]))
        if isinstance(outcome, Exception):
            raise outcome

    def _tell(self, outcomes: Sequence[Outcome], appended: int, seconds: float) -> None:
        stored = sum(len(each) for each in outcomes if not isinstance(each, Exception))
        event = LogAppended(
            EVENTS,
            appended=appended,
            repeated=max(0, stored - appended),
            refused=sum(isinstance(each, Exception) for each in outcomes),
            seconds=seconds,
        )
        self._metrics.emit(event)
        if appended:
            self._was_appended()
