"""The newest messages of a session, and one message."""

from collections.abc import Sequence

from actions.context import Context, upstream_of
from actions.cursors import to_cursor
from actions.describing import message_of, readable
from actions.reading import (
    GONE,
    KnownSession,
    are_known,
    gone_among,
    gone_note,
    is_kept,
    is_settled,
    known_marks,
    known_session,
    messages_age,
    newest_before,
    notes_of,
)
from actions.readthrough import Found, Question
from actions.shapes import MessageList, OneMessage
from dualstore.entry import LOCAL, Entry
from dualstore.errors import StorageError, UnavailableError
from dualstore.mirror.coverage import Mark, Position, Stretch
from dualstore.mirror.fetching import Told
from dualstore.mirror.freshness import Age, age_of
from dualstore.mirror.keys import message_key, session_key
from dualstore.mirror.kinds import message_copy
from dualstore.remote.base import RemoteMessages, Thing


class NewestMessages(Question[MessageList]):
    """The newest of a session, or of those before a place, oldest first."""

    kind = "messages"

    def __init__(
        self, context: Context, session_id: str, limit: int, before: Position | None
    ) -> None:
        self.what = f"the messages of session {session_id!r}"
        self._context = context
        self._id = session_id
        self._limit = limit
        self._before = before

    def key(self) -> str:
        return f"messages:{self._id}:{self._newest}"

    @property
    def _newest(self) -> int | None:
        """How many are asked for; what lies further back is only there as part of all."""
        return self._limit if self._before is None else None

    async def look(self) -> Found[MessageList]:
        context = self._context
        marks = await known_marks(context, self._id)
        entry = await context.families.sessions.get(session_key(self._id))
        entries, is_cut = await self._entries()
        known = KnownSession(entry, *marks)
        if known.entry is None and not entries:
            return Found(None, Age.EXPIRED, complete=False)
        gone = await gone_among(context, entries[::-1])
        down_to = self._down_to(entries)
        is_known = are_known(context, known, down_to)
        has_more = is_cut or not are_known(context, known, None)
        return Found(
            self._value(entries, gone, has_more=has_more),
            messages_age(context, known, down_to),
            complete=is_known and not (known.lacks_some or known.is_behind),
            final=known.is_gone or is_known,
            confirmed_at=known.kept_at or known.messages_at,
            degraded=(*notes_of(known), *gone_note(gone)),
        )

    async def _entries(self) -> tuple[list[Entry], bool]:
        where = {"metadata.session_id": self._id}
        messages = self._context.families.messages
        return await newest_before(messages, where, self._before, self._limit)

    def _value(self, entries: Sequence[Entry], gone: list[str], *, has_more: bool) -> MessageList:
        cursor = None
        if has_more and entries:
            cursor = to_cursor(Position(entries[-1].timestamp, entries[-1].id), self._id)
        return MessageList(
            session_id=self._id,
            messages=[message_of(each) for each in reversed(entries)],
            has_more=has_more,
            next_cursor=cursor,
            gone_upstream=gone or None,
        )

    async def fetch(self) -> Told[RemoteMessages | None]:
        """A session that isn't here comes with its messages, and before them."""
        fetcher = upstream_of(self._context).fetcher
        if not await self._is_session_here() and (await fetcher.session(self._id)).content is None:
            return Told(None)
        told = await fetcher.messages(self._id, newest=self._newest)
        if told.content is None or not told.is_kept or told.content.next_cursor is None:
            return told
        reached = await self._reaches()
        return told if reached else await fetcher.messages(self._id, newest=None)

    async def _is_session_here(self) -> bool:
        try:
            return await self._context.families.sessions.get(session_key(self._id)) is not None
        except (StorageError, UnavailableError):
            return True  # whether it is or not: nothing can be kept

    async def _reaches(self) -> bool:
        """Of those that were told some may be deleted here: then older ones take their place."""
        known = await known_session(self._context, self._id)
        entries, _ = await self._entries()
        return are_known(self._context, known, self._down_to(entries))

    def _down_to(self, entries: Sequence[Entry]) -> Position | None:
        """From where on messages have to be known for these to be the newest; None for all."""
        is_full = len(entries) == self._limit
        return Position(entries[-1].timestamp, entries[-1].id) if is_full else None

    def shown(self, content: RemoteMessages) -> tuple[MessageList, bool]:
        copies = readable(content.items, lambda each: message_copy(each, session_id=self._id))
        is_all_readable = len(copies) == len(content.items)
        if self._before is not None:
            copies = [each for each in copies if (each.timestamp, each.id) < self._before]
        some = copies[-self._limit :]
        has_more = len(copies) > self._limit or content.next_cursor is not None
        cursor = None
        if has_more and some:
            cursor = to_cursor(Position(some[0].timestamp, some[0].id), self._id)
        return MessageList(
            session_id=self._id,
            messages=[each.body for each in some],
            has_more=has_more,
            next_cursor=cursor,
        ), is_all_readable


class OneMessageOf(Question[OneMessage]):
    """One message of a session."""

    kind = "message"

    def __init__(self, context: Context, session_id: str, message_id: str) -> None:
        self.what = f"message {message_id!r} of session {session_id!r}"
        self._context = context
        self._ids = (session_id, message_id)
        self._key = message_key(session_id, message_id)

    def key(self) -> str:
        return self._key

    async def look(self) -> Found[OneMessage]:
        session_id, _ = self._ids
        marks, mark = await known_marks(self._context, session_id), await self._mark()
        families = self._context.families
        entry = await families.messages.get(self._key)
        session = await families.sessions.get(session_key(session_id))
        if entry is None:
            return Found(None, Age.EXPIRED, complete=False)
        known = KnownSession(session, *marks)
        if is_settled(self._context, known) or entry.origin == LOCAL:
            return Found(OneMessage(message=message_of(entry)), Age.FRESH, complete=True)
        now, lifetimes = self._context.clock(), self._context.lifetimes
        told_at = _told_at(entry, known.mark.messages, mark)
        gone_at = _gone_at(known, mark)
        value = OneMessage(message=message_of(entry), gone_upstream=True if gone_at else None)
        lifetime = lifetimes.finished if gone_at or _is_final(entry) else lifetimes.running
        age = age_of(gone_at or told_at, lifetime, now=now)
        if mark is not None and mark.is_left_out:
            age = Age.EXPIRED
        elif is_kept(self._context, known) and not known.is_behind:
            age = Age.FRESH
        return Found(
            value,
            age,
            complete=True,
            confirmed_at=gone_at or told_at,
            degraded=(GONE,) if gone_at else (),
        )

    async def _mark(self) -> Mark | None:
        upstream = self._context.upstream
        return await upstream.coverage.message(self._key) if upstream else None

    async def fetch(self) -> Told[Thing | None]:
        return await upstream_of(self._context).fetcher.message(*self._ids)

    def shown(self, content: Thing) -> tuple[OneMessage, bool]:
        return OneMessage(message=content), True


def _told_at(entry: Entry, stretch: Stretch | None, mark: Mark | None) -> int | None:
    """When the remote last told the message, by itself or among others."""
    told = [mark.at] if mark and mark.gone_at is None else []
    place = Position(entry.timestamp, entry.id)
    if stretch is not None and stretch.reaches(place) and place <= stretch.newest:
        told.append(stretch.at if place >= stretch.head else stretch.deep_at)
    return max(told, default=None)


def _gone_at(known: KnownSession, mark: Mark | None) -> int | None:
    """When the remote said that it has not this or not its session, and nothing else since."""
    return known.mark.gone_at if known.is_gone else mark and mark.gone_at


def _is_final(entry: Entry) -> bool:
    """Nobody is writing it any more."""
    known = entry.metadata
    return known.get("role") != "assistant" or "completed" in known or "error" in known
