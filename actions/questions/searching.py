"""Searches: they are local, and say whether all that could be found is here."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from actions.answer import Answer
from actions.context import Context, upstream_of
from actions.describing import event_of, message_of, session_id_of
from actions.reading import (
    is_counted,
    known_lists,
    known_session,
    known_sessions,
    refused_note,
    refused_of,
    session_infos,
)
from actions.shapes import (
    EventHit,
    EventHits,
    MessageHit,
    MessageHits,
    SessionHit,
    SessionHits,
    SessionInfo,
    Shape,
)
from dualstore.documents.base import DocumentStore
from dualstore.entry import LOCAL
from dualstore.errors import InvalidInputError, StorageError, UnavailableError
from dualstore.filters import parse
from dualstore.metrics import ReadAnswered
from dualstore.mirror.coverage import ListMarks, SessionMark
from dualstore.mirror.keys import session_key
from dualstore.mirror.refusals import EVENT, MESSAGE, MOST, SESSION
from dualstore.search.results import Hit, Mode

_MESSAGES_EACH: Final = 5
"""Messages that are looked at for each session that is wanted."""


V = TypeVar("V", bound=Shape)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is searched for."""

    query: str
    k: int
    mode: Mode
    session_id: str | None = None
    role: str | None = None
    since: int | None = None
    until: int | None = None
    event_type: str | None = None

    @property
    def where(self) -> dict[str, Any] | None:
        """As a filter."""
        wanted: dict[str, Any] = {}
        if self.session_id is not None:
            wanted["metadata.session_id"] = self.session_id
        if self.role is not None:
            wanted["metadata.role"] = self.role
        if self.event_type is not None:
            wanted["metadata.type"] = self.event_type
        times = {"$gte": self.since, "$lt": self.until}
        if some := {op: at for op, at in times.items() if at is not None}:
            wanted["timestamp"] = some
        return wanted or None


async def search_messages(context: Context, asked: Asked) -> Answer[MessageHits]:
    """Messages, best first."""
    with _told(context):
        return await _search_messages(context, asked)


async def search_sessions(context: Context, asked: Asked) -> Answer[SessionHits]:
    """Sessions, by what they are called and by what was said in them, best first."""
    with _told(context):
        return await _search_sessions(context, asked)


async def search_events(context: Context, asked: Asked) -> Answer[EventHits]:
    """Events, best first."""
    with _told(context):
        return await _search_events(context, asked)


@contextmanager
def _told(context: Context) -> Iterator[None]:
    """Tell the metrics how it went, and how long it took."""
    began, outcome = time.monotonic(), {"hits": 1}
    try:
        yield
    except (StorageError, UnavailableError):
        outcome = {"failed": 1}
        raise
    except BaseException:
        outcome = {}
        raise
    finally:
        if outcome:
            seconds = time.monotonic() - began
            context.metrics.emit(ReadAnswered("search", **outcome, seconds=seconds))


async def _search_messages(context: Context, asked: Asked) -> Answer[MessageHits]:
    found = await context.families.messages.search(asked.query, asked.mode, asked.where, asked.k)
    ids = {session_id_of(hit.entry) for hit in found.hits}
    titles = await _titles(context, ids)
    value = MessageHits(
        query=asked.query,
        results=[_message_hit(hit, titles) for hit in found.hits],
        total_count=found.candidates,
    )
    return await _answer(context, value, asked, found.degraded)


async def _search_sessions(context: Context, asked: Asked) -> Answer[SessionHits]:
    families = context.families
    called, said = await asyncio.gather(
        families.sessions.search(asked.query, asked.mode, asked.where, asked.k),
        _said_in(context, asked),
    )
    best: dict[str, Hit] = dict(said.best)
    for hit in called.hits:
        key = session_key(session_id_of(hit.entry))
        if key not in best or hit.score > best[key].score:
            best[key] = hit
    named = await _named(context, asked)
    entries = await context.families.sessions.get_many([*best, *(named - best.keys())])
    ranked = [key for key in _ranked(best, named) if key in entries]
    lists = await known_lists(context)
    shown = await known_sessions(context, [entries[key] for key in ranked[: asked.k]], lists)
    infos = await session_infos(context, shown)
    value = SessionHits(
        query=asked.query,
        results=[
            _session_hit(info, best.get(key), is_named=key in named)
            for key, info in zip(ranked, infos, strict=False)
        ],
        total_count=len(ranked),
    )
    return await _answer(context, value, asked, [*called.degraded, *said.degraded])


class _Said(NamedTuple):
    """Messages that answer, the best one of each session."""

    best: dict[str, Hit]
    degraded: tuple[str, ...]


async def _said_in(context: Context, asked: Asked) -> _Said:
    """Further down the ranking, while one session has most of its messages there."""
    search, most = context.families.messages.search, asked.k * _MESSAGES_EACH
    best: dict[str, Hit] = {}
    cursor: str | None = None
    while True:
        found = await search(asked.query, asked.mode, asked.where, most, cursor=cursor)
        for hit in found.hits:
            best.setdefault(session_key(session_id_of(hit.entry)), hit)
        cursor = found.next_cursor
        if cursor is None or len(best) >= asked.k:
            return _Said(best, found.degraded)


async def _search_events(context: Context, asked: Asked) -> Answer[EventHits]:
    found = await context.families.events.search(asked.query, asked.mode, asked.where, asked.k)
    value = EventHits(
        query=asked.query,
        results=[
            EventHit(event=event_of(hit.entry), score=hit.score, snippet=str(hit.snippet))
            for hit in found.hits
        ],
        total_count=found.candidates,
    )
    lists = await known_lists(context)
    is_told = context.upstream is None or lists.events is not None
    refused = refused_note(await refused_of(context, EVENT))
    return _said(context, value, is_told, lists.events, [*found.degraded, *refused])


async def _named(context: Context, asked: Asked) -> set[str]:
    """The session whose id is asked for, word for word."""
    session_id = asked.query.strip()
    if asked.session_id not in (None, session_id):
        return set()
    try:
        key = session_key(session_id)
    except InvalidInputError:
        return set()
    return set(await context.families.sessions.get_many([key]))


def _ranked(best: Mapping[str, Hit], named: Iterable[str]) -> list[str]:
    others = sorted(best, key=lambda key: (-best[key].score, -best[key].entry.timestamp, key))
    return list(dict.fromkeys([*named, *others]))


def _session_hit(info: SessionInfo, hit: Hit | None, *, is_named: bool) -> SessionHit:
    message_id = hit.entry.metadata.get("message_id") if hit else None
    return SessionHit(
        **dict(info),
        score=1.0 if is_named or hit is None else hit.score,
        snippet=str(hit.snippet) if hit else info.title,
        matched_message_id=message_id if isinstance(message_id, str) else None,
    )


async def _titles(context: Context, session_ids: Iterable[str]) -> dict[str, str]:
    """A session without one is called by its id."""
    keys = {session_key(each): each for each in session_ids}
    entries = await context.families.sessions.get_many(list(keys))
    given = {key: entry.metadata.get("title") for key, entry in entries.items()}
    return {each: str(given.get(key) or each) for key, each in keys.items()}


def _message_hit(hit: Hit, titles: Mapping[str, str]) -> MessageHit:
    session_id = session_id_of(hit.entry)
    return MessageHit(
        message=message_of(hit.entry),
        session_id=session_id,
        session_title=titles[session_id],
        score=hit.score,
        snippet=str(hit.snippet),
        modes=list(hit.modes),
    )


async def _answer(context: Context, value: V, asked: Asked, degraded: Sequence[str]) -> Answer[V]:
    lists = await known_lists(context)
    complete = context.upstream is None or await _is_all_here(context, asked, lists)
    return _said(context, value, complete, lists.sessions, degraded)


async def _is_all_here(context: Context, asked: Asked, lists: ListMarks) -> bool:
    """Whether all that could be found has been told by the remote, and kept."""
    if asked.session_id is not None:
        known = await known_session(context, asked.session_id)
        return is_counted(context, known) and not known.lacks_some
    if lists.sessions is None or await refused_of(context, SESSION):
        return False
    if await _lacks_messages(context, lists):
        return False
    sessions = (await context.families.sessions.family()).store
    messages = (await context.families.messages.family()).store
    versions = await asyncio.gather(sessions.version(), messages.version())
    key = None if None in versions else (*versions, lists.sessions)
    return await context.all_here.recall(key, lambda: _are_all_covered(context, sessions, lists))


async def _lacks_messages(context: Context, lists: ListMarks) -> bool:
    """Whether the remote has messages that can't be taken in, in a session that it still has."""
    refused = await upstream_of(context).refusals.some(MESSAGE)
    ids = {each.session_id for each in refused if each.session_id is not None}
    if not ids:
        return False
    entries = await context.families.sessions.get_many([session_key(each) for each in ids])
    known = await known_sessions(context, list(entries.values()), lists)
    missed = sum(each.is_missed for each in known)
    return len(refused) == MOST or missed < len(ids)


async def _are_all_covered(context: Context, store: DocumentStore, lists: ListMarks) -> bool:
    """A session that the remote doesn't have any more lacks nothing that could be told."""
    here, written = await asyncio.gather(store.tally(), store.tally(where=parse({"origin": LOCAL})))
    marks, none = await upstream_of(context).coverage.sessions(here), SessionMark()
    known = {each: marks.get(each, none) for each in here}
    left_out = set(lists.unlisted)
    told = [
        each
        for each, mark in known.items()
        if (each not in written or mark.is_told)
        and mark.gone_at is None
        and session_key(each) not in left_out
    ]
    return all(known[each].covers(here[each].newest) for each in told)


def _said(
    context: Context, value: V, complete: bool, told_at: int | None, degraded: Sequence[str]
) -> Answer[V]:
    notes = list(dict.fromkeys(degraded))
    if not complete:
        notes.append("the remote can't search what was said, and not all of it is here yet")
    return Answer(
        value,
        "local",
        complete=complete,
        age_ms=None if told_at is None else max(0, context.clock() - told_at),
        degraded=tuple(notes),
    )
