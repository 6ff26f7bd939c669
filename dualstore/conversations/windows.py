"""The parts of a log that views are folded from: bounded by what a reader asks for."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from dualstore.conversations.entries import SHOWN, LogEntry
from dualstore.conversations.folds import (
    Bubble,
    Display,
    Place,
    Shown,
    count_shown,
    pending_subagent_results,
)
from dualstore.conversations.loading import Loaded, Loader
from dualstore.conversations.standing import Standing
from dualstore.documents.journal import Journal
from dualstore.errors import CursorError, shown
from dualstore.values import check_text

_PAGE: Final = 500
_CURSOR: Final = re.compile("([0-9]{1,15})[.]([0-9]{1,9})")
_WAITING: Final = frozenset({"subagent_result", "callback_started", "imported"})


class Part(NamedTuple):
    """Some entries, and what is wrong with them."""

    entries: list[LogEntry]
    problems: list[str]


class Windows:
    """Reads parts of logs."""

    def __init__(self, journal: Journal, loader: Loader) -> None:
        self._journal = journal
        self._loader = loader

    async def entries(self, log: str, *, after: int, before: int) -> Part:
        """All between the two."""
        items = await self._journal.read(log, after=after, before=before)
        part = _part(await self._loader.load(log, items))
        part.problems.extend(gaps([item.seq for item in items], after + 1, before - 1))
        return part

    async def some(
        self,
        log: str,
        *,
        after: int,
        before: int,
        kinds: Sequence[str] | None,
        limit: int | None,
        backwards: bool,
    ) -> Part:
        """Those of some types, as many as are wanted."""
        items = await self._journal.read(
            log, after=after, before=before, kinds=kinds, limit=limit, backwards=backwards
        )
        return _part(await self._loader.load(log, items))

    async def display(
        self, log: str, standing: Standing, known: Part, tail: int | None, before: Place | None
    ) -> tuple[Display, list[str]]:
        """The last `tail` messages before a place; `known` are all entries from one on."""
        end = standing.seq + 1 if before is None else before.seq + 1
        entries = [each for each in known.entries if each.type in SHOWN and each.seq < end]
        start, problems, bubbles = min(standing.context_from, end), list[str](), list[Bubble]()
        count = _count(entries, before)
        while start > 1 and (tail is None or count <= tail):
            page = _PAGE if tail is None else tail + 1 - count
            items = await self._journal.read(
                log, before=start, kinds=SHOWN, limit=page, backwards=True
            )
            some, others = await self._loader.load_shown(log, items)
            part = _part(others)
            bubbles, entries = [*bubbles, *some], [*part.entries, *entries]
            problems = [*part.problems, *problems]
            count += len(some) + _count(part.entries, before)
            start = items[-1].seq if len(items) == page else 1
        if before is not None:
            entries += await self._amendments(log, before, standing)
        found = Shown(entries, bubbles)
        if start == 1 and before is None and len(found.places) != standing.shown:
            problems.append(f"{len(found.places)} messages are here of {standing.shown}")
        display = found.last(tail, total=standing.shown, before=before, is_all=start == 1)
        return display, problems

    async def _amendments(self, log: str, place: Place, standing: Standing) -> list[LogEntry]:
        """Of what is on an earlier page, those that were made later."""
        kinds = {"assistant_amendment"}
        items = await self._journal.read(log, after=place.seq, before=standing.seq + 1, kinds=kinds)
        return _part(await self._loader.load(log, items)).entries

    async def pending(
        self, log: str, standing: Standing, known: Part
    ) -> tuple[list[dict[str, object]], list[str]]:
        """The results that wait, wherever they are."""
        entries = [each for each in known.entries if each.type in _WAITING]
        if standing.waiting_from:
            after, before = standing.waiting_from - 1, standing.seq + 1
            items = await self._journal.read(log, after=after, before=before, kinds=_WAITING)
            return self._waiting(_part(await self._loader.load(log, items)))
        there = {each.seq for each in entries}
        missing = dict(each for each in standing.pending if each[1] not in there)
        items = list((await self._journal.find(log, list(missing))).values()) if missing else []
        if 1 in missing.values():  # what was imported waits by names of its own
            items += await self._journal.read(log, before=2)
        part = _part(await self._loader.load(log, items))
        found, problems = self._waiting(Part([*part.entries, *entries], part.problems))
        waiting = [each for each in found if each["id"] in dict(standing.pending)]
        if len(waiting) != len(standing.pending):
            problems.append(f"{len(waiting)} results are here of {len(standing.pending)}")
        return waiting, problems

    def _waiting(self, part: Part) -> tuple[list[dict[str, object]], list[str]]:
        return pending_subagent_results(part.entries), part.problems


def gaps(numbers: Sequence[int], first: int, last: int) -> list[str]:
    """What is missing between two numbers, where everything should be there."""
    row = [first - 1, *numbers, last + 1]
    return [
        f"entries {low + 1} to {high - 1} are missing"
        for low, high in pairwise(row)
        if high > low + 1
    ]


def place_of(cursor: str | None) -> Place | None:
    """Where a display's cursor leads."""
    if cursor is None:
        return None
    found = _CURSOR.fullmatch(check_text(cursor, "before"))
    if found is None:
        raise CursorError(f"{shown(cursor)} is no cursor of a display")
    return Place(int(found[1]), int(found[2]))


def _count(entries: Iterable[LogEntry], before: Place | None) -> int:
    """At the least so many messages stand before the place."""
    end = None if before is None else before.seq
    return sum(count_shown(each) for each in entries if end is None or each.seq < end)


def _part(loaded: Iterable[Loaded]) -> Part:
    everything = list(loaded)
    problems = [each.problem for each in everything if each.problem]
    return Part([each.entry for each in everything], problems)
