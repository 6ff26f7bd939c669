"""What is known to be complete, and since when. Only a mark that is written here says so."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from dualstore.documents.base import Record, Records
from dualstore.mirror.changing import Changing, Value
from dualstore.mirror.followed import FOLLOWED, Followed
from dualstore.mirror.keys import keyed, session_key
from dualstore.mirror.ledger import Ledger

_LISTS: Final = "lists"


class Position(NamedTuple):
    """A message's place in its session."""

    created: int
    id: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """The newest messages of a session, without a gap."""

    at: int
    """When those from `head` on were confirmed."""
    deep_at: int
    """When those before it were."""
    newest: Position
    head: Position
    oldest: Position | None
    """None when it has no others."""

    def reaches(self, position: Position) -> bool:
        """Whether all from there on are known."""
        return self.oldest is None or self.oldest <= position

    def confirmed(self, at: int, newest: Position) -> "Stretch":
        """After all that has changed since was told; a stretch of only some stays as it was."""
        if self.oldest is not None:
            return self
        return replace(self, at=at, deep_at=at, newest=max(self.newest, newest))

    def to_record(self) -> Value:
        """As JSON."""
        places = {each: list(getattr(self, each)) for each in ("newest", "head")}
        oldest = None if self.oldest is None else list(self.oldest)
        return {"at": self.at, "deep_at": self.deep_at, **places, "oldest": oldest}

    @classmethod
    def from_record(cls, value: Value) -> "Stretch":
        """The opposite of `to_record`."""
        places = {each: Position(*value[each]) for each in ("newest", "head")}
        oldest = value["oldest"] and Position(*value["oldest"])
        return cls(value["at"], value["deep_at"], **places, oldest=oldest)


class Fetched(NamedTuple):
    """What a remote has told of a session's newest messages."""

    at: int
    newest: Position
    oldest: Position
    is_all: bool


def stretched(known: Stretch | None, fetched: Fetched) -> Stretch:
    """What is known after a fetch. Where both don't meet is a gap: the older one is forgotten."""
    at, newest, oldest = fetched.at, fetched.newest, fetched.oldest
    told = Stretch(at, at, newest, oldest, None if fetched.is_all else oldest)
    if known is None:
        return told
    if known.oldest is not None and newest < known.oldest and at < known.at:
        return known  # asked before, answered after
    if fetched.is_all or oldest > known.newest:
        return told
    if known.oldest is not None and oldest <= known.oldest:
        return told
    return replace(known, at=at, newest=newest, head=oldest)


class Reached(NamedTuple):
    """Up to which change of a session all that is kept of it is so."""

    sequence: int
    """-1 for a session of which no change is told."""
    event_id: str | None


@dataclass(frozen=True, slots=True)
class SessionMark:
    """What is known of one session. None for what never happened."""

    at: int | None = None
    """When the remote last told the session itself."""
    gone_at: int | None = None
    """When the remote last said that there is no such session."""
    messages: Stretch | None = None
    updated: int | None = None
    """The session's update time that was known when its messages were asked for."""
    reached: Reached | None = None
    """None while nobody has read all of it, and of what happened in it."""
    is_other: bool = False
    """The remote has another session under this id than the one that is here."""

    @property
    def is_told(self) -> bool:
        """Whether the remote has told the session, or its messages."""
        return self.at is not None or self.messages is not None

    def after_reading(
        self, messages: Stretch | None, *, updated: int | None, reached: Reached | None
    ) -> "SessionMark":
        """With messages that were read when this was known of the session; None for no more."""
        return replace(
            self,
            messages=messages,
            updated=self.updated if updated is None else updated,
            reached=reached or self.reached,
        )

    def is_behind(self, updated: int | None) -> bool:
        """Whether the session has news that its messages were not asked for since."""
        return self.updated is not None and updated is not None and updated > self.updated

    def covers(self, updated: int | None) -> bool:
        """Whether all messages of the session are here, as of that update time."""
        is_all = self.messages is not None and self.messages.oldest is None
        return is_all and not self.is_behind(updated)

    def to_record(self) -> Value:
        """As JSON."""
        messages = self.messages and self.messages.to_record()
        times = {"at": self.at, "gone_at": self.gone_at, "updated": self.updated}
        reached = self.reached and list(self.reached)
        return {**times, "messages": messages, "reached": reached, "is_other": self.is_other}

    @classmethod
    def from_record(cls, value: Value) -> "SessionMark":
        """The opposite of `to_record`."""
        messages = value["messages"] and Stretch.from_record(value["messages"])
        reached = value.get("reached") and Reached(*value["reached"])
        return cls(
            value["at"],
            value["gone_at"],
            messages,
            value.get("updated"),
            reached,
            value.get("is_other", False),
        )


@dataclass(frozen=True, slots=True)
class ListMarks:
    """When the remote last told all of something; None for never."""

    sessions: int | None = None
    unlisted: tuple[str, ...] = ()
    """Keys of sessions that are here, and that the remote didn't name when it told all."""
    events: int | None = None
    followed: Followed | None = None
    """Who follows what happens; it is on record by itself."""

    def to_record(self) -> Value:
        """As JSON."""
        return {"sessions": self.sessions, "unlisted": list(self.unlisted), "events": self.events}

    def confirmed(self, session_key: str) -> int | None:
        """When the session was told among all of them."""
        return None if session_key in self.unlisted else self.sessions

    @property
    def kept_at(self) -> int | None:
        """When all of it was last known to be so because it is followed."""
        return self.followed.kept_at if self.followed else None

    def last_known(self, told_at: int | None) -> int | None:
        """When something that was told as a whole then was last known to be so."""
        return None if told_at is None else max(told_at, self.kept_at or 0)

    def is_kept(self, *, now: int) -> bool:
        """Whether it is followed, and nothing can have been missed."""
        return self.followed is not None and self.followed.is_current(now=now)


class Mark(NamedTuple):
    """What is known of one message that was asked for by itself."""

    at: int
    gone_at: int | None = None
    is_left_out: bool = False
    """That was concluded from a list, and the remote not asked for the message itself."""


class Coverage:
    """The marks of one remote's things."""

    def __init__(self, records: Records, *, space: str) -> None:
        self._records = records
        self._space = space
        self._sequences = Ledger(records, space=f"{space}.sequences")
        self._listed = Ledger(records, space=f"{space}.listed")
        self._changing = Changing(records)

    async def lists(self) -> ListMarks:
        """What was told as a whole, and whether that is still so."""
        return _lists_among(await self._records.find(self._space, [_LISTS, FOLLOWED]))

    async def lists_and_session(self, session_id: str) -> tuple[ListMarks, SessionMark]:
        """What was told as a whole, and what is known of one session; in one call."""
        key = session_key(session_id)
        found = await self._records.find(self._space, [_LISTS, FOLLOWED, key])
        return _lists_among(found), _session_mark(found[key].value if key in found else None)

    async def change_lists(self, change: Callable[[ListMarks], ListMarks]) -> None:
        """Replace the marks by what `change` makes of them, whoever else does so meanwhile."""
        await self._change(_LISTS, lambda value: change(_list_marks(value)).to_record())

    async def session(self, session_id: str) -> SessionMark:
        """What is known of it."""
        return _session_mark(await self._value(session_key(session_id)))

    async def sessions(self, session_ids: Iterable[str]) -> dict[str, SessionMark]:
        """What is known of these, in one call; of whom nothing is known are missing."""
        keys = keyed(session_ids, session_key)
        records = await self._records.find(self._space, list(keys))
        return {keys[key]: _session_mark(record.value) for key, record in records.items()}

    async def change_session(
        self, session_id: str, change: Callable[[SessionMark], SessionMark]
    ) -> None:
        """As `change_lists`."""
        await self._change(
            session_key(session_id), lambda value: change(_session_mark(value)).to_record()
        )

    async def message(self, key: str) -> Mark | None:
        """What is known of it by itself."""
        value = await self._value(key)
        return None if value is None else Mark(**value)

    async def messages(self, keys: Iterable[str]) -> dict[str, Mark]:
        """What is known of these by themselves; of whom nothing is known are missing."""
        records = await self._records.find(self._space, list(keys))
        return {key: Mark(**record.value) for key, record in records.items()}

    async def mark_message(self, key: str, mark: Mark) -> None:
        """Note what is known of it now."""
        await self._change(key, lambda _: mark._asdict())

    async def sequences(self) -> dict[str, int]:
        """By session, how far its events were taken in."""
        return await self._sequences.all()

    async def reach(self, sequences: Mapping[str, int]) -> None:
        """Events up to these were taken in; whoever got further stays there."""
        nameable = keyed(sequences, session_key).values()
        await self._sequences.raise_to({each: sequences[each] for each in nameable})

    async def begin_anew(self, session_ids: Iterable[str]) -> None:
        """They are gone: should one come back, its events count from the first on."""
        await self._sequences.forget(keyed(session_ids, session_key).values())

    async def forget(self, session_ids: Sequence[str]) -> None:
        """The remote has never told them: it is another one."""
        await self.begin_anew(session_ids)
        await self._listed.forget(keyed(session_ids, session_key).values())
        for each in session_ids:
            await self.change_session(each, lambda _: SessionMark())

    async def note_listed(self, session_ids: Iterable[str]) -> None:
        """The remote has told these, among others."""
        nameable = keyed(session_ids, session_key).values()
        await self._listed.raise_to(dict.fromkeys(nameable, 1))

    async def was_listed(self, session_ids: Iterable[str]) -> list[str]:
        """Those of them that the remote has told some time, whatever it leaves out now."""
        listed = await self._listed.all()
        return [each for each in session_ids if each in listed]

    async def _value(self, key: str) -> Value | None:
        record = await self._records.get(self._space, key)
        return record.value if record else None

    async def _change(self, key: str, change: Callable[[Value | None], Value]) -> None:
        await self._changing.change(self._space, key, change)


def _lists_among(found: Mapping[str, Record]) -> ListMarks:
    marks = _list_marks(found[_LISTS].value if _LISTS in found else None)
    if FOLLOWED not in found:
        return marks
    return replace(marks, followed=Followed.from_record(found[FOLLOWED].value))


def _list_marks(value: Value | None) -> ListMarks:
    given = value or {}
    return ListMarks(**{**given, "unlisted": tuple(given.get("unlisted", ()))})


def _session_mark(value: Value | None) -> SessionMark:
    return SessionMark.from_record(value) if value else SessionMark()
