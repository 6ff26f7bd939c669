"""What the actions read in common: sessions, and how far the messages of one are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from actions.census import Census, Tallies
from actions.context import Context
from actions.describing import message_of, readable_task, session_id_of, session_info
from actions.shapes import SessionInfo
from dualstore.entry import LOCAL, Entry
from dualstore.manager import DualStoreManager
from dualstore.mirror.coverage import ListMarks, Position, SessionMark
from dualstore.mirror.freshness import Age, age_of, older
from dualstore.mirror.keys import session_key, task_key
from dualstore.mirror.refusals import MOST, Kind
from dualstore.mirror.refusals import message_of as messages_of

_PAGE: Final = 500
GONE: Final = "gone upstream: what is here is kept"


@dataclass(frozen=True, slots=True)
class KnownSession:
    """A session, and what is known of it and its messages."""

    entry: Entry | None
    mark: SessionMark
    lists: ListMarks
    refused: int = 0
    """Messages that can't be taken in."""

    @property
    def is_own(self) -> bool:
        """It was written here, and the remote never told it."""
        return self.entry is not None and self.entry.origin == LOCAL and not self.mark.is_told

    @property
    def is_behind(self) -> bool:
        """It has news that its messages were not asked for since."""
        return self.mark.is_behind(self.entry.timestamp if self.entry else None)

    @property
    def lacks_some(self) -> bool:
        """The remote has messages that can't be taken in. Of what is gone it has none."""
        return self.refused > 0 and not self.is_missed

    @property
    def is_gone(self) -> bool:
        """The remote said so, and hasn't told it since."""
        return self.mark.gone_at is not None

    @property
    def is_missed(self) -> bool:
        """It is gone, or was left out of all sessions and not told by itself since."""
        told, listed = self.mark.at, self.lists.sessions
        is_unlisted = self.entry is not None and self.entry.id in self.lists.unlisted
        return self.is_gone or (is_unlisted and (told or 0) < (listed or 0))

    @property
    def confirmed_by_lists(self) -> int | None:
        """When it was told among all sessions."""
        return self.lists.confirmed(self.entry.id) if self.entry else None

    @property
    def confirmed_at(self) -> int | None:
        """When the remote last told it."""
        told = (self.mark.at, self.confirmed_by_lists, self.kept_at)
        return max((each for each in told if each is not None), default=None)

    @property
    def kept_at(self) -> int | None:
        """When it was last known to be here as it is there because it is followed."""
        followed = self.lists.followed
        if followed is None or self.entry is None or self.mark.reached is None:
            return None
        return None if session_id_of(self.entry) in followed.failing else followed.kept_at

    @property
    def messages_at(self) -> int | None:
        """When the remote last told the newest messages."""
        return self.mark.messages.at if self.mark.messages else None

    @property
    def all_confirmed_at(self) -> int | None:
        """When the remote last told it and all its messages."""
        if self.kept_at is not None:
            return self.confirmed_at
        stretch = self.mark.messages
        told = [self.confirmed_at, *((stretch.at, stretch.deep_at) if stretch else ())]
        return min((each for each in told if each is not None), default=None)


async def known_session(context: Context, session_id: str) -> KnownSession:
    """What is here."""
    marks = await known_marks(context, session_id)
    return KnownSession(await context.families.sessions.get(session_key(session_id)), *marks)


async def known_marks(context: Context, session_id: str) -> tuple[SessionMark, ListMarks, int]:
    """What is known of a session. To be read before the data that it speaks of: a mark that is
    newer than they are would say too much.
    """
    if context.upstream is None:
        return SessionMark(), ListMarks(), 0
    lists, mark = await context.upstream.coverage.lists_and_session(session_id)
    return mark, lists, await refused_of(context, messages_of(session_id))


async def refused_of(context: Context, kind: Kind) -> int:
    """How many things of that kind can't be taken in; more than `MOST` aren't counted."""
    return len(await context.upstream.refusals.some(kind)) if context.upstream else 0


def refused_note(count: int) -> tuple[str, ...]:
    """Said of what is here without them."""
    many = f"{count:,} or more" if count >= MOST else str(count)
    return (f"not all could be taken in: {many} can't be kept as they are",) if count else ()


async def known_lists(context: Context) -> ListMarks:
    """What the remote told as a whole."""
    return await context.upstream.coverage.lists() if context.upstream else ListMarks()


async def known_sessions(
    context: Context, entries: Sequence[Entry], lists: ListMarks
) -> list[KnownSession]:
    """What is known of these, in one call."""
    ids = [session_id_of(each) for each in entries]
    marks = await context.upstream.coverage.sessions(ids) if context.upstream else {}
    none = SessionMark()
    return [
        KnownSession(entry, marks.get(each, none), lists)
        for each, entry in zip(ids, entries, strict=True)
    ]


def is_counted(context: Context, known: KnownSession) -> bool:
    """Whether all its messages are here."""
    updated = known.entry.timestamp if known.entry else None
    return is_settled(context, known) or known.mark.covers(updated)


def is_settled(context: Context, known: KnownSession) -> bool:
    """The remote has no say in it: there is none, or the session is one of our own."""
    return context.upstream is None or known.is_own


def is_kept(context: Context, known: KnownSession) -> bool:
    """Whether all that happens to it is taken in: then it is so now."""
    return known.kept_at is not None and known.lists.is_kept(now=context.clock())


def list_age(context: Context, lists: ListMarks, told_at: int | None) -> Age:
    """Of something that the remote tells as a whole."""
    now = context.clock()
    is_fresh = told_at is not None and lists.is_kept(now=now)
    return Age.FRESH if is_fresh else age_of(told_at, context.lifetimes.lists, now=now)


def session_age(context: Context, known: KnownSession) -> Age:
    """Of the session itself."""
    now, lifetimes = context.clock(), context.lifetimes
    if is_settled(context, known) or is_kept(context, known):
        return Age.FRESH
    if known.is_gone:
        return age_of(known.mark.gone_at, lifetimes.finished, now=now)
    if known.entry is None:
        return Age.EXPIRED
    lifetime = lifetimes.of_session(known.entry.timestamp, now=now)
    return age_of(known.confirmed_at, lifetime, now=now)


def messages_age(context: Context, known: KnownSession, down_to: Position | None) -> Age:
    """Of the newest messages down to that place, or of all."""
    now, lifetimes, stretch = context.clock(), context.lifetimes, known.mark.messages
    if is_settled(context, known) or known.is_gone:
        return session_age(context, known)
    if stretch is None or known.is_behind:
        return Age.EXPIRED
    if is_kept(context, known):
        return Age.FRESH
    updated = known.entry.timestamp if known.entry else now
    age = age_of(stretch.at, lifetimes.of_session(updated, now=now), now=now)
    if down_to is not None and down_to >= stretch.head:
        return age
    return older(age, age_of(stretch.deep_at, lifetimes.finished, now=now))


def is_head_enough(context: Context, known: KnownSession) -> bool:
    """Whether of all messages only the newest have to be asked for: the others are still fresh."""
    stretch = known.mark.messages
    if stretch is None or stretch.oldest is not None:
        return False
    deep = age_of(stretch.deep_at, context.lifetimes.finished, now=context.clock())
    return deep is Age.FRESH


def are_known(context: Context, known: KnownSession, down_to: Position | None) -> bool:
    """Whether all messages down to that place are here."""
    if is_settled(context, known):
        return True
    stretch = known.mark.messages
    if stretch is None:
        return False
    return stretch.oldest is None if down_to is None else stretch.reaches(down_to)


def notes_of(known: KnownSession) -> tuple[str, ...]:
    """Said with every answer about a session that is gone at the remote, or not all here."""
    return (*((GONE,) if known.is_gone else ()), *refused_note(known.refused))


async def gone_among(context: Context, messages: Sequence[Entry]) -> list[str]:
    """Ids of those that the remote doesn't have any more, in one call."""
    theirs = [each for each in messages if each.origin != LOCAL]
    if context.upstream is None or not theirs:
        return []
    marks = await context.upstream.coverage.messages([each.id for each in theirs])
    gone = {key for key, mark in marks.items() if mark.gone_at is not None}
    return [str(message_of(each)["info"]["id"]) for each in theirs if each.id in gone]


def gone_note(ids: Sequence[str]) -> tuple[str, ...]:
    """Said with a list of messages, some of which are."""
    return (f"{len(ids)} of these messages gone upstream: what is here is kept",) if ids else ()


async def session_infos(
    context: Context, known: Sequence[KnownSession], *, everything: Census | None = None
) -> list[SessionInfo]:
    """In a constant number of calls. What is known of `everything` isn't asked again."""
    entries = [each.entry for each in known if each.entry]
    ids = [session_id_of(each) for each in entries]
    counted = await _counted(context, ids, everything)
    tasks = await _tasks(context, ids, everything)
    now = context.clock()
    missed = {each.entry.id for each in known if each.entry and each.is_missed}
    return [
        session_info(
            entry,
            count=counted[each].count if each in counted else 0,
            newest=counted[each].newest if each in counted else None,
            task=readable_task(tasks.get(task_key(each))),
            is_gone=entry.id in missed,
            now=now,
        )
        for each, entry in zip(ids, entries, strict=True)
    ]


async def _counted(
    context: Context, session_ids: Sequence[str], everything: Census | None
) -> Tallies:
    if everything is not None:
        return everything.messages
    return await (await context.families.messages.family()).store.tally(session_ids)


async def _tasks(
    context: Context, session_ids: Sequence[str], everything: Census | None
) -> Mapping[str, Entry]:
    keys = [
        task_key(each) for each in session_ids if everything is None or each in everything.tasks
    ]
    return await context.families.tasks.get_many(keys) if keys else {}


async def newest_before(
    manager: DualStoreManager,
    where: Mapping[str, Any],
    before: Position | None,
    limit: int | None,
) -> tuple[list[Entry], bool]:
    """The newest entries before a place, newest first, and whether there are more."""
    wanted = {"$and": [dict(where), older_than(before)]} if before else dict(where)
    found: list[Entry] = []
    cursor: str | None = None
    while True:
        size = _PAGE if limit is None else min(_PAGE, limit - len(found))
        page = await manager.page(wanted or None, limit=size, cursor=cursor)
        found += page.entries
        cursor = page.next_cursor
        if cursor is None or len(found) == limit:
            return found, cursor is not None


def older_than(place: Position) -> dict[str, Any]:
    """As a filter."""
    earlier = {"timestamp": {"$lt": place.created}}
    return {"$or": [earlier, {"timestamp": place.created, "id": {"$lt": place.id}}]}
