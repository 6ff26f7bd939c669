"""One session with its messages, and all sessions."""

from collections.abc import Sequence
from typing import Final

from actions.census import Census
from actions.context import Context, upstream_of
from actions.describing import message_of, readable, session_info
from actions.reading import (
    KnownSession,
    are_known,
    gone_among,
    gone_note,
    is_counted,
    is_head_enough,
    known_lists,
    known_session,
    known_sessions,
    list_age,
    messages_age,
    notes_of,
    refused_note,
    refused_of,
    session_age,
    session_infos,
)
from actions.readthrough import Found, Question
from actions.shapes import Pagination, SessionList, SessionWithMessages, Summary
from dualstore.entry import Entry
from dualstore.errors import RemoteError, StorageError, UnavailableError
from dualstore.mirror.fetching import Told
from dualstore.mirror.freshness import Age, older
from dualstore.mirror.keys import message_key
from dualstore.mirror.kinds import message_copy, session_copy
from dualstore.mirror.refusals import SESSION
from dualstore.remote.base import RemoteMessages, RemoteSessions, Thing
from dualstore.values import to_ms

_HEAD: Final = 100
"""Messages that are asked for where only the newest may have changed."""
_PAGE: Final = 500


class OneSession(Question[SessionWithMessages]):
    """A session with its messages `[offset, offset + limit)`, oldest first."""

    kind = "session"

    def __init__(self, context: Context, session_id: str, limit: int | None, offset: int) -> None:
        self.what = f"session {session_id!r}"
        self._context = context
        self._id = session_id
        self._limit = limit
        self._offset = offset
        self._newest: int | None = None
        self._written: Sequence[Thing] = ()
        """Messages that were all written a moment ago."""

    def key(self) -> str:
        return f"session:{self._id}:{self._newest}"

    async def look(self) -> Found[SessionWithMessages]:
        known = await known_session(self._context, self._id)
        if known.entry is None:
            return Found(None, Age.EXPIRED, complete=False)
        value, is_known = await self._value(known), are_known(self._context, known, None)
        gone = value.gone_upstream or []
        self._newest = _HEAD if is_head_enough(self._context, known) else None
        return Found(
            value,
            older(session_age(self._context, known), messages_age(self._context, known, None)),
            complete=is_known and not (known.lacks_some or known.is_behind),
            final=known.is_gone or is_known,
            confirmed_at=known.all_confirmed_at,
            degraded=(*notes_of(known), *gone_note(gone)),
        )

    async def _value(self, known: KnownSession) -> SessionWithMessages:
        (info,) = await session_infos(self._context, [known])
        written, self._written = self._written, ()
        if written and len(written) == info.message_count:  # reading it back says the same
            end = None if self._limit is None else self._offset + self._limit
            return SessionWithMessages(session=info, messages=[*written[self._offset : end]])
        entries = await self._entries()
        gone = await gone_among(self._context, entries)
        messages = [message_of(each) for each in entries]
        return SessionWithMessages(session=info, messages=messages, gone_upstream=gone or None)

    async def _entries(self) -> list[Entry]:
        where = {"metadata.session_id": self._id}
        found: list[Entry] = []
        cursor: str | None = None
        left = self._limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            skip = 0 if cursor else self._offset
            page = await self._context.families.messages.page(
                where, newest=False, limit=size, cursor=cursor, skip=skip
            )
            found += page.entries
            cursor = page.next_cursor
            left = None if left is None else left - len(page.entries)
            if cursor is None:
                break
        return found

    async def fetch(self) -> Told[tuple[Thing, RemoteMessages] | None]:
        """The session first: its messages are then those of this state, or of a later one."""
        session = await upstream_of(self._context).fetcher.session(self._id)
        if session.content is None:
            return Told(None)
        messages = await self._fetch_messages()
        if messages.content is None:
            raise RemoteError(f"the remote has {self.what}, and says that it has no messages of it")
        if messages.is_new and messages.content.next_cursor is None:
            self._written = sorted(messages.content.items, key=self._place)
        return Told(
            (session.content, messages.content),
            is_kept=session.is_kept and messages.is_kept,
            degraded=[*session.degraded, *messages.degraded],
        )

    def _place(self, message: Thing) -> tuple[int, str]:
        info = message["info"]
        return to_ms(info["time"]["created"]), message_key(self._id, info["id"])

    async def _fetch_messages(self) -> Told[RemoteMessages | None]:
        """All of them, where the newest alone would leave a gap."""
        upstream = upstream_of(self._context)
        told = await upstream.fetcher.messages(self._id, newest=self._newest)
        if self._newest is None or told.content is None or not told.is_kept:
            return told
        try:
            stretch = (await upstream.coverage.session(self._id)).messages
        except (StorageError, UnavailableError):
            stretch = None
        if stretch is not None and stretch.oldest is None:
            return told
        return await upstream.fetcher.messages(self._id, newest=None)

    def shown(self, content: tuple[Thing, RemoteMessages]) -> tuple[SessionWithMessages, bool]:
        session, messages = content
        end = None if self._limit is None else self._offset + self._limit
        said = readable(messages.items, lambda each: message_copy(each, session_id=self._id))
        info = session_info(
            session_copy(session),
            count=len(said),
            newest=max((each.timestamp for each in said), default=None),
            task=None,
            is_gone=False,
            now=self._context.clock(),
        )
        page = [each.body for each in said[self._offset : end]]
        is_all = messages.next_cursor is None and len(said) == len(messages.items)
        return SessionWithMessages(session=info, messages=page), is_all


class AllSessions(Question[SessionList]):
    """Sessions, newest update first."""

    kind = "sessions"
    what = "the list of sessions"

    def __init__(self, context: Context, limit: int, offset: int) -> None:
        self._context = context
        self._limit = limit
        self._offset = offset
        self._here = SessionList(
            sessions=[],
            total_count=0,
            pagination=_pagination(limit, offset, 0),
            summary=_unknown(0),
        )

    def key(self) -> str:
        return "sessions"

    async def look(self) -> Found[SessionList]:
        context = self._context
        # One after the other: a database in this process has answered before a task is made.
        lists = await known_lists(context)
        refused = await refused_of(context, SESSION)
        page = await context.families.sessions.page(limit=self._limit, skip=self._offset)
        everything = await context.census.take()
        age = Age.FRESH
        if context.upstream is not None:
            age = list_age(context, lists, lists.sessions)
        known = await known_sessions(context, page.entries, lists)
        value = self._here = await self._value(known, everything)
        uncounted = sum(not is_counted(context, each) for each in known)
        note = f"not all messages of {uncounted} of these sessions are here, and counted"
        is_listed = context.upstream is None or lists.sessions is not None
        return Found(
            value,
            age,
            complete=is_listed and not refused,
            final=is_listed,
            confirmed_at=lists.last_known(lists.sessions),
            degraded=(*((note,) if uncounted else ()), *refused_note(refused)),
        )

    async def _value(self, known: Sequence[KnownSession], everything: Census) -> SessionList:
        infos = await session_infos(self._context, known, everything=everything)
        return SessionList(
            sessions=infos,
            total_count=everything.total,
            pagination=_pagination(self._limit, self._offset, everything.total),
            summary=everything.summary(now=self._context.clock()),
        )

    async def fetch(self) -> Told[RemoteSessions]:
        return await upstream_of(self._context).fetcher.sessions()

    def shown(self, content: RemoteSessions) -> tuple[SessionList, bool]:
        """What was told, and what could be read here before: of both perhaps not all."""
        now, here = self._context.clock(), {each.id: each for each in self._here.sessions}
        told = {
            each.id: here.get(each.id, each)
            for each in (
                session_info(copy, count=0, newest=None, task=None, is_gone=False, now=now)
                for copy in readable(content.items, session_copy)
            )
        }
        both = sorted({**here, **told}.values(), key=lambda each: each.updated_at or "")
        both.reverse()
        total = max(len(both), self._here.total_count)
        return SessionList(
            sessions=both[self._offset : self._offset + self._limit],
            total_count=total,
            pagination=_pagination(self._limit, self._offset, total),
            summary=self._here.summary if here else _unknown(total),
        ), False


def _unknown(total: int) -> Summary:
    """Sessions of which no message and no task is known."""
    return Summary(active=total, waiting_for_input=0, idle=0, agent_tasks=0)


def _pagination(limit: int, offset: int, total: int) -> Pagination:
    return Pagination(
        limit=limit,
        offset=offset,
        has_more=offset + limit < total,
        current_page=offset // limit + 1,
        total_pages=-(-total // limit),
    )
