"""What happened: a list by time, and one event."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from actions.context import Context, upstream_of
from actions.cursors import to_cursor
from actions.describing import event_of
from actions.reading import (
    known_lists,
    list_age,
    newest_before,
    older_than,
    refused_note,
    refused_of,
)
from actions.readthrough import Found, Question
from actions.shapes import EventFilters, EventList, OneEvent
from dualstore.entry import Entry
from dualstore.errors import EntryError, InvalidNameError
from dualstore.filters import matches, parse
from dualstore.mirror.coverage import Position
from dualstore.mirror.fetching import Told
from dualstore.mirror.freshness import Age
from dualstore.mirror.keys import event_key, parse_key
from dualstore.mirror.kinds import Copy, event_copy
from dualstore.mirror.refusals import EVENT
from dualstore.remote.base import Change

SCOPE: Final = "events"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are asked for; None for any."""

    query: str | None = None
    k: int | None = None
    event_type: str | None = None
    session_id: str | None = None
    has_tool: bool | None = None
    is_agent_task: bool | None = None

    @property
    def where(self) -> dict[str, Any]:
        """As a filter. A flag that isn't true counts as false."""
        parts: list[dict[str, Any]] = []
        if self.query:
            fields = ("type", "session_id", "content", "description")
            parts.append(
                {"$or": [{f"metadata.{each}": {"$contains": self.query}} for each in fields]}
            )
        if self.event_type is not None:
            parts.append({"metadata.type": self.event_type})
        if self.session_id is not None:
            parts.append({"metadata.session_id": self.session_id})
        for name in ("has_tool", "is_agent_task"):
            wanted = getattr(self, name)
            if wanted is not None:
                parts.append({f"metadata.{name}": True if wanted else {"$ne": True}})
        return {"$and": parts} if parts else {}

    @property
    def filters(self) -> EventFilters:
        """As the answer repeats it."""
        return EventFilters(**asdict(self))


class AllEvents(Question[EventList]):
    """Events, newest first."""

    kind = "events"
    what = "the list of events"

    def __init__(self, context: Context, wanted: Wanted, before: Position | None) -> None:
        self._context = context
        self._wanted = wanted
        self._before = before
        self._here: list[Entry] = []
        self._total = 0

    def key(self) -> str:
        return SCOPE

    async def look(self) -> Found[EventList]:
        context = self._context
        lists = await known_lists(context)
        value = await self._value()
        upstream = context.upstream
        if upstream is None:
            return Found(value, Age.FRESH, complete=True)
        if not upstream.source.capabilities.has_history:
            note = "the remote doesn't tell what happened: these are the events that are here"
            return Found(value, Age.FRESH, complete=False, final=True, degraded=(note,))
        refused = await refused_of(context, EVENT)
        return Found(
            value,
            list_age(context, lists, lists.events),
            complete=lists.events is not None,
            final=lists.events is not None,
            confirmed_at=lists.last_known(lists.events),
            degraded=refused_note(refused),
        )

    async def _value(self) -> EventList:
        where, manager = self._wanted.where, self._context.families.events
        entries, has_more = await newest_before(manager, where, self._before, self._wanted.k)
        last = Position(entries[-1].timestamp, entries[-1].id) if has_more and entries else None
        cursor = None if last is None else to_cursor(last, SCOPE)
        self._here = entries
        self._total = await self._counted(len(entries), last)
        return EventList(
            events=[event_of(each) for each in entries],
            total_count=self._total,
            filters=self._wanted.filters,
            next_cursor=cursor,
        )

    async def _counted(self, shown: int, last: Position | None) -> int:
        """What was looked through for the page isn't looked through again to count it."""
        where, count = self._wanted.where, self._context.families.events.count
        beside = [older_than(last)] if last else []
        if self._before:
            beside.append({"$not": older_than(self._before)})
        if not beside:
            return shown
        return shown + await count({"$and": [{"$or": beside}, where]}) if where else await count()

    async def fetch(self) -> Told[list[Change]]:
        return await upstream_of(self._context).fetcher.events()

    def shown(self, content: list[Change]) -> tuple[EventList, bool]:
        """What is new, and what could be read here before."""
        tree, here = parse(self._wanted.where or None), {each.id for each in self._here}
        new = [each for each in self._facts(content) if each.id not in here and matches(tree, each)]
        if self._before is not None:
            new = [each for each in new if (each.timestamp, each.id) < self._before]
        both: list[Entry | _Facts] = [*self._here, *new]
        found = sorted(both, key=lambda each: (each.timestamp, each.id), reverse=True)
        return EventList(
            events=[
                event_of(each.copy if isinstance(each, _Facts) else each)
                for each in found[: self._wanted.k]
            ],
            total_count=self._total + len(new),
            filters=self._wanted.filters,
        ), False

    def _facts(self, changes: list[Change]) -> list["_Facts"]:
        origin, now = upstream_of(self._context).source.name, self._context.clock()
        facts: list[_Facts] = []
        for each in changes:
            with suppress(EntryError):
                facts.append(_Facts(event_copy(each, is_agent_task=False, now=now), origin))
        return facts


class _Facts(NamedTuple):
    """An event that isn't an entry, as filters see it."""

    copy: Copy
    origin: str

    @property
    def id(self) -> str:
        return self.copy.id

    @property
    def text(self) -> str:
        return self.copy.text

    @property
    def timestamp(self) -> int:
        return self.copy.timestamp

    @property
    def metadata(self) -> dict[str, Any]:
        return self.copy.metadata


class OneEventOf(Question[OneEvent]):
    """One event. The remote can't be asked for a single one, only for all that is new."""

    kind = "event"

    def __init__(self, context: Context, event_id: str) -> None:
        self.what = f"event {event_id!r}"
        self._context = context
        self._id = _plain(event_id)
        self._key = event_key(self._id)

    def key(self) -> str:
        return self._key

    async def look(self) -> Found[OneEvent]:
        """What happened doesn't change."""
        entry = await self._context.families.events.get(self._key)
        if entry is None:
            return Found(None, Age.EXPIRED, complete=False)
        value = OneEvent(event=event_of(entry))
        return Found(value, Age.FRESH, complete=True, confirmed_at=entry.created_at)

    async def fetch(self) -> Told[Change | None]:
        upstream = upstream_of(self._context)
        if not upstream.source.capabilities.has_history:
            return Told(None)
        told = await self._context.flights.join(SCOPE, upstream.fetcher.events)
        whole = (each for each in told.content if each.flaw is None)
        found = next((each for each in whole if each.id == self._id), None)
        return Told(found, is_kept=told.is_kept, degraded=told.degraded)

    def shown(self, content: Change) -> tuple[OneEvent, bool]:
        copy = event_copy(content, is_agent_task=False, now=self._context.clock())
        return OneEvent(event=event_of(copy)), True


def _plain(event_id: str) -> str:
    """Lists show an event's id here, too: it is taken as well."""
    try:
        kind, parts = parse_key(event_id)
    except InvalidNameError:
        return event_id
    return parts[0] if kind == "event" else event_id
