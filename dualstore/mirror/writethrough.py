"""The one way in for what a remote has told.

Whoever asks remembers first which revisions are here (`seen`). What has changed since is left
alone, and said to be outdated: the remote has to be asked again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from dualstore.errors import EntryError
from dualstore.manager import DualStoreManager
from dualstore.mirror.coverage import (
    Coverage,
    Fetched,
    Mark,
    Position,
    Reached,
    SessionMark,
    stretched,
)
from dualstore.mirror.departures import Departures
from dualstore.mirror.families import Families
from dualstore.mirror.following import TaskFollower, is_nameable
from dualstore.mirror.intake import Intake, Revisions, Taken, revisions_of, revisions_under
from dualstore.mirror.keys import keyed, message_key, messages_prefix, parse_key, session_key
from dualstore.mirror.kinds import Copy, event_copy, message_copy, session_copy
from dualstore.mirror.listing import Listing
from dualstore.mirror.refusals import EVENT, SESSION, message_of
from dualstore.mirror.telling import text_at
from dualstore.remote.base import Change, RemoteMessages, Thing

_SESSIONS: Final = "session:"
_START: Final = Position(0, "")


class WriteThrough:
    """Takes in what one remote tells."""

    def __init__(
        self,
        families: Families,
        *,
        intake: Intake,
        coverage: Coverage,
        origin: str,
        clock: Callable[[], int],
    ) -> None:
        self._families = families
        self._intake = intake
        self._coverage = coverage
        self._origin = origin
        self._clock = clock
        self.listing = Listing(coverage, clock=clock)
        self._departures = Departures(families.messages, coverage, origin=origin, clock=clock)
        self._tasks = TaskFollower(families.tasks, intake)

    async def seen_sessions(self) -> Revisions:
        """What is here of all sessions."""
        return await revisions_under(self._families.sessions, _SESSIONS)

    async def seen_session(self, session_id: str) -> Revisions:
        """What is here of one."""
        return await revisions_of(self._families.sessions, [session_key(session_id)])

    async def seen_messages(self, session_id: str) -> Revisions:
        """What is here of all messages of one session."""
        return await revisions_under(self._families.messages, messages_prefix(session_id))

    async def seen_some(self, session_id: str, message_ids: Iterable[str]) -> Revisions:
        """What is here of these."""
        keys = keyed(message_ids, partial(message_key, session_id))
        return await revisions_of(self._families.messages, list(keys))

    async def take_sessions(
        self, things: Sequence[Thing], seen: Revisions, *, at: int, are_all: bool
    ) -> Taken:
        """A list of sessions, asked for at that time; and the tasks that they are."""
        taken = await self._take_sessions(things, seen)
        for each in taken.kept:
            (session_id,) = parse_key(each).parts
            await self._coverage.change_session(
                session_id, lambda mark: mark if mark.at else replace(mark, at=at)
            )
        named = _named(things)
        await self.listing.are_there(list(named.values()), at=at)
        if are_all:
            await self._intake.told_all(SESSION, taken)
            others = await self._mine(self._families.sessions, seen.keys() - named.keys())
            await self.listing.are_others(others, at=at)
        return taken

    async def is_same(self, things: Iterable[Thing], seen: Revisions) -> bool:
        """Whether it is the remote that told what is here, if it has only these sessions."""
        here = [part for key in seen for part in parse_key(key).parts]
        return await self.listing.is_same(_named(things).values(), here)

    async def take_session(
        self, session_id: str, thing: Thing, seen: Revisions, *, at: int
    ) -> Taken:
        """One session, asked for by itself."""
        taken = await self._take_sessions([thing], seen)
        if not taken.is_outdated:
            await self._coverage.change_session(
                session_id,
                lambda mark: replace(
                    mark, at=at, gone_at=None, is_other=mark.is_other and bool(taken.refused)
                ),
            )
        return taken

    async def updated_of(self, session_id: str) -> int | None:
        """The session's update time, as far as is known here."""
        entry = await self._families.sessions.get(session_key(session_id))
        return None if entry is None else entry.timestamp

    async def take_messages(
        self,
        session_id: str,
        told: RemoteMessages,
        seen: Revisions,
        *,
        at: int,
        updated: int | None,
        reached: Reached | None = None,
    ) -> Taken:
        """The newest messages of a session, or all of them; `updated` and `reached` are what was
        known of the session before.
        """
        taken = await self._take_messages(session_id, told.items, seen)
        if told.next_cursor is None:
            await self._intake.told_all(message_of(session_id), taken)
        fetched = _fetched(told, session_id, at)
        if fetched is not None:
            since = None if fetched.is_all else fetched.oldest
            await self._departures.note(session_id, told.items, seen, since=since, at=at)
        if fetched is not None and not taken.is_outdated:
            await self._coverage.change_session(
                session_id,
                lambda mark: mark.after_reading(
                    stretched(mark.messages, fetched), updated=updated, reached=reached
                ),
            )
        return taken

    async def take_news(
        self,
        session_id: str,
        things: Sequence[Thing],
        seen: Revisions,
        *,
        at: int,
        updated: int | None,
        reached: Reached | None,
    ) -> Taken:
        """All messages of a session that have changed since it was last known to be all here."""
        taken = await self._take_messages(session_id, things, seen)
        await self._departures.are_back(taken.outcomes, at=at)
        if not taken.is_outdated:
            newest = max(_places(things, session_id), default=_START)
            await self._coverage.change_session(
                session_id,
                lambda mark: mark.after_reading(
                    mark.messages and mark.messages.confirmed(at, newest),
                    updated=updated,
                    reached=reached,
                ),
            )
        return taken

    async def take_message(
        self, session_id: str, thing: Thing, seen: Revisions, *, at: int
    ) -> Taken:
        """One message, asked for by itself."""
        taken = await self._take_messages(session_id, [thing], seen)
        if not taken.is_outdated:
            for key in taken.outcomes:
                await self._coverage.mark_message(key, Mark(at))
        return taken

    async def take_gone_message(self, key: str, *, at: int) -> None:
        """The remote says that there is no such message any more."""
        await self._coverage.mark_message(key, Mark(at, at))

    async def take_changes(self, changes: Sequence[Change], *, at: int, are_all: bool) -> Taken:
        """What happened; the tasks of the sessions follow it."""
        await self._tasks.follow(changes, at=at)
        tasks = await self._tasks.are_tasks({each.session_id for each in changes})
        taken = await self._intake.take(
            self._families.events,
            changes,
            lambda each: event_copy(each, is_agent_task=each.session_id in tasks, now=at),
            None,
            what=EVENT,
        )
        await self._coverage.reach(
            {
                each.session_id: each.sequence
                for each in changes
                if each.sequence is not None and is_nameable(each.session_id)
            }
        )
        if are_all:
            await self._coverage.change_lists(lambda marks: replace(marks, events=at))
        return taken

    async def take_gone(self, session_id: str, *, at: int) -> None:
        """The remote says that there is no such session any more."""
        await self._coverage.begin_anew([session_id])
        await self._coverage.change_session(
            session_id, lambda mark: replace(mark, gone_at=at, reached=None)
        )

    async def drop_session(self, session_id: str, *, at: int) -> None:
        """Delete what came from the remote of it, and all that hangs on it."""
        mine = {"metadata.session_id": session_id, "origin": self._origin}
        for manager in self._families:
            await manager.delete_where(mine)
        await self._intake.told_all(message_of(session_id), Taken())
        await self._coverage.begin_anew([session_id])
        await self._coverage.change_session(session_id, lambda _: SessionMark(gone_at=at))

    async def was_told(self, session_id: str) -> bool:
        """Whether it was this remote, and no other of that name, that told the session."""
        mark = await self._coverage.session(session_id)
        return mark.is_told or bool(await self._coverage.was_listed([session_id]))

    async def left_out(
        self, session_id: str, things: Iterable[Thing], seen: Revisions
    ) -> list[str]:
        """Messages that came from the remote, and that it doesn't tell any more."""
        ids = filter(None, (text_at(each, "info", "id") for each in things))
        told = keyed(ids, partial(message_key, session_id))
        return await self._mine(self._families.messages, seen.keys() - told.keys())

    async def _mine(self, manager: DualStoreManager, keys: Set[str]) -> list[str]:
        """Those that are here and came from the remote, in order."""
        found = await manager.get_many(sorted(keys)) if keys else {}
        return sorted(key for key, each in found.items() if each.origin == self._origin)

    async def drop_messages(self, keys: Iterable[str]) -> None:
        """Delete messages that are gone at the remote."""
        mine = {"id": {"$in": list(keys)}, "origin": self._origin}
        await self._families.messages.delete_where(mine)

    async def _take_sessions(self, things: Sequence[Thing], seen: Revisions) -> Taken:
        """One that has begun at another time than the one that is here is another one."""
        begun = await self._begun([key for key in _named(things) if key in seen])
        others: list[str] = []

        def copy_of(thing: Thing) -> Copy:
            copy = session_copy(thing)
            created = copy.metadata.get("created")
            if begun.get(copy.id, created) != created:
                others.append(thing["id"])
                raise EntryError("time.created", "is another session's than of the one here")
            return copy

        taken = await self._intake.take(
            self._families.sessions,
            [_without_project(each) for each in things],
            copy_of,
            seen,
            what=SESSION,
        )
        for each in others:
            await self._coverage.change_session(each, lambda mark: replace(mark, is_other=True))
        own = [each for each in things if each.get("id") not in others]
        await self._tasks.begin(own, at=self._clock())
        return taken

    async def _begun(self, keys: Sequence[str]) -> dict[str, int]:
        """When those of these sessions were begun that the remote has told."""
        found = await self._families.sessions.get_many(keys)
        times = {key: each.metadata.get("created") for key, each in found.items()}
        return {
            key: time
            for key, time in times.items()
            if isinstance(time, int) and found[key].origin == self._origin
        }

    async def _take_messages(
        self, session_id: str, things: Sequence[Thing], seen: Revisions
    ) -> Taken:
        return await self._intake.take(
            self._families.messages,
            things,
            lambda each: message_copy(each, session_id=session_id),
            seen,
            what=message_of(session_id),
        )


def _named(things: Iterable[Thing]) -> dict[str, str]:
    """The sessions that are told of by their keys, also those that can't be taken in."""
    return keyed(filter(None, (text_at(each, "id") for each in things)), session_key)


def _without_project(session: Thing) -> Thing:
    """Lists tell a session's project, too: it would be another session each time."""
    return {key: value for key, value in session.items() if key != "project"}


def _fetched(told: RemoteMessages, session_id: str, at: int) -> Fetched | None:
    """None when it can't be said where they are from."""
    is_all = told.next_cursor is None
    oldest = _first_place(told.items, session_id)
    newest = _first_place(reversed(told.items), session_id)
    if oldest is None or newest is None:
        return Fetched(at, _START, _START, is_all) if is_all else None
    return Fetched(at, newest, oldest, is_all)


def _first_place(things: Iterable[Thing], session_id: str) -> Position | None:
    """Of the first that has one."""
    return next(_places(things, session_id), None)


def _places(things: Iterable[Thing], session_id: str) -> Iterator[Position]:
    """Of those that have one."""
    for each in things:
        with suppress(EntryError):
            copy = message_copy(each, session_id=session_id)
            yield Position(copy.timestamp, copy.id)
