import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.documents.base import Database, Record, Records
from dualstore.documents.mongo import MongoDatabase
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.errors import UnavailableError
from dualstore.mirror.coverage import (
    Coverage,
    Fetched,
    ListMarks,
    Mark,
    Position,
    SessionMark,
    Stretch,
    stretched,
)
from dualstore.testing import Faults
from dualstore.testing.faulty_documents import FaultyRecords
from dualstore.values import from_json, to_json
from tests.support.multikey import unique_members

MANY = 120
"""More than tries are made."""


def at(number: int) -> Position:
    """Of a session's messages, the one with that number."""
    return Position(1_000 + number, f"m{number:04}")


def fetched(time: int, first: int, last: int, *, is_all: bool = False) -> Fetched:
    return Fetched(time, newest=at(last), oldest=at(first), is_all=is_all)


def stretch(time: int, deep: int, first: int | None, head: int, last: int) -> Stretch:
    oldest = None if first is None else at(first)
    return Stretch(time, deep, newest=at(last), head=at(head), oldest=oldest)


# What is known after a fetch

KNOWN = stretch(50, 40, 10, 15, 20)
ALL = stretch(50, 40, None, 15, 20)


@pytest.mark.parametrize(
    ("known", "told", "then"),
    [
        # nothing was known
        (None, fetched(60, 3, 9), stretch(60, 60, 3, 3, 9)),
        (None, fetched(60, 0, 9, is_all=True), stretch(60, 60, None, 0, 9)),
        # all of them, whatever was known
        (KNOWN, fetched(60, 0, 30, is_all=True), stretch(60, 60, None, 0, 30)),
        (KNOWN, fetched(60, 25, 30, is_all=True), stretch(60, 60, None, 25, 30)),
        (ALL, fetched(60, 0, 5, is_all=True), stretch(60, 60, None, 0, 5)),
        # the newest, which meet what was known
        (KNOWN, fetched(60, 17, 22), stretch(60, 40, 10, 17, 22)),
        (KNOWN, fetched(60, 12, 22), stretch(60, 40, 10, 12, 22)),
        (KNOWN, fetched(60, 20, 25), stretch(60, 40, 10, 20, 25)),
        (ALL, fetched(60, 18, 22), stretch(60, 40, None, 18, 22)),
        # further back than what was known
        (KNOWN, fetched(60, 10, 20), stretch(60, 60, 10, 10, 20)),
        (KNOWN, fetched(60, 5, 20), stretch(60, 60, 5, 5, 20)),
        # a gap between both
        (KNOWN, fetched(60, 21, 25), stretch(60, 60, 21, 21, 25)),
        (ALL, fetched(60, 22, 25), stretch(60, 60, 22, 22, 25)),
        # the newest were deleted at the remote
        (KNOWN, fetched(60, 8, 16), stretch(60, 60, 8, 8, 16)),
        (KNOWN, fetched(60, 4, 8), stretch(60, 60, 4, 4, 8)),
        # asked before what is known was, answered after it
        (KNOWN, fetched(49, 16, 19), stretch(49, 40, 10, 16, 19)),
        (KNOWN, fetched(49, 4, 10), stretch(49, 49, 4, 4, 10)),
        (KNOWN, fetched(49, 4, 9), KNOWN),
        (KNOWN, fetched(49, 0, 9, is_all=True), KNOWN),
    ],
)
def test_a_stretch_after_a_fetch(known: Stretch | None, told: Fetched, then: Stretch) -> None:
    assert stretched(known, told) == then


@pytest.mark.parametrize(
    ("position", "is_reached"),
    [
        (at(9), False),
        (Position(1_010, "m0009"), False),
        (at(10), True),
        (Position(1_010, "m0011"), True),
        (at(20), True),
        (at(99), True),
    ],
)
def test_how_far_back_a_stretch_reaches(position: Position, is_reached: bool) -> None:
    assert KNOWN.reaches(position) is is_reached
    assert ALL.reaches(position)


@dataclass
class Conversation:
    """A session at a remote that grows, and what was told of it; times are steps."""

    now: int = 0
    born: list[int] = field(default_factory=list)
    """When each message was added."""
    told: dict[int, int] = field(default_factory=dict)
    """When those that were told were asked for last."""
    mark: Stretch | None = None
    asked: list[tuple[Fetched, range]] = field(default_factory=list)

    def add(self, count: int) -> None:
        self.now += 1
        self.born += [self.now] * count

    def ask(self, newest: int | None) -> None:
        self.now += 1
        if self.born:
            first = 0 if newest is None else max(0, len(self.born) - newest)
            answer = range(first, len(self.born))
            self.asked.append((fetched(self.now, first, answer[-1], is_all=first == 0), answer))

    def answer(self, which: int) -> Fetched | None:
        if not self.asked:
            return None
        told, messages = self.asked.pop(which % len(self.asked))
        for number in messages:
            self.told[number] = max(told.at, self.told.get(number, 0))
        self.mark = stretched(self.mark, told)
        return told

    def check(self) -> None:
        mark = self.mark
        if mark is None:
            return
        there = [number for number, born in enumerate(self.born) if born <= mark.at]
        for number in there:
            if mark.reaches(at(number)):
                assert self.told[number] >= (mark.at if at(number) >= mark.head else mark.deep_at)
        assert mark.newest == at(there[-1])
        # and nothing is missing in the middle, whenever it came
        known = {number for number in range(max(self.told)) if mark.reaches(at(number))}
        assert known <= self.told.keys()


NEWEST = st.none() | st.integers(1, 6)
ADD = st.tuples(st.just("add"), st.integers(0, 5))
ASK = st.tuples(st.just("ask"), NEWEST)
ANSWER = st.tuples(st.just("answer"), st.integers(0, 3))


@given(steps=st.lists(st.one_of(ADD, ASK, ANSWER, ANSWER), max_size=40))
def test_a_mark_never_claims_what_was_not_told(steps: list[tuple[str, int | None]]) -> None:
    conversation = Conversation()
    for step, number in steps:
        getattr(conversation, step)(number)
        conversation.check()


@given(steps=st.lists(st.tuples(st.integers(0, 5), NEWEST), min_size=1, max_size=20))
def test_what_was_just_told_is_known_and_what_was_known_stays_so(
    steps: list[tuple[int, int | None]],
) -> None:
    conversation = Conversation()
    for added, newest in steps:
        conversation.add(added)
        conversation.ask(newest)
        before = conversation.mark
        told = conversation.answer(0)
        conversation.check()
        if told is None:
            continue
        mark = conversation.mark
        assert mark is not None
        assert mark.at == told.at
        assert mark.reaches(told.oldest)
        assert told.oldest >= mark.head
        if before is not None and told.oldest <= before.newest:
            assert before.oldest is None or mark.reaches(before.oldest)
            assert (before.oldest is None) <= (mark.oldest is None)


# As records

POSITIONS = st.builds(Position, st.integers(-(2**40), 2**40), st.text(max_size=5))
TIMES = st.integers(0, 2**45)
STRETCHES = st.builds(
    Stretch,
    TIMES,
    TIMES,
    newest=POSITIONS,
    head=POSITIONS,
    oldest=st.none() | POSITIONS,
)


def stored(value: object) -> object:
    """As it comes back from a database."""
    return from_json(to_json(value, "value"))


@given(known=STRETCHES)
def test_a_stretch_comes_back_from_its_record(known: Stretch) -> None:
    record = stored(known.to_record())
    assert isinstance(record, dict)
    assert Stretch.from_record(record) == known


@given(st.builds(SessionMark, st.none() | TIMES, st.none() | TIMES, st.none() | STRETCHES))
def test_a_mark_comes_back_from_its_record(known: SessionMark) -> None:
    record = stored(known.to_record())
    assert isinstance(record, dict)
    assert SessionMark.from_record(record) == known


def test_a_session_is_confirmed_by_the_list_that_names_it() -> None:
    marks = ListMarks(sessions=7, unlisted=("session:b",))
    assert (marks.confirmed("session:a"), marks.confirmed("session:b")) == (7, None)
    assert ListMarks().confirmed("session:a") is None


# Kept


@pytest.fixture(params=("sqlite", "mongomock"))
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        async with SqliteDatabase(tmp_path / "a.db") as opened:
            yield opened
    else:
        client = request.getfixturevalue("mongomock_client")
        with unique_members():
            async with MongoDatabase(client["documents"]) as other:
                yield other


@pytest.fixture
def records(database: Database) -> Records:
    return database.records


@pytest.fixture
def coverage(records: Records) -> Coverage:
    return Coverage(records, space="mirror")


MARKS = ListMarks(sessions=5, unlisted=("session:a", "session:b"), events=6)


async def test_nothing_is_known_at_first(coverage: Coverage) -> None:
    assert await coverage.lists() == ListMarks()
    assert await coverage.session("a") == SessionMark()
    assert await coverage.sessions(["a"]) == {}
    assert await coverage.message("message:a:b") is None
    assert await coverage.sequences() == {}


async def test_what_was_marked_is_known(coverage: Coverage, records: Records) -> None:
    mark = SessionMark(1, 2, KNOWN)
    await coverage.change_lists(lambda _: MARKS)
    await coverage.change_session("a:b", lambda _: mark)
    await coverage.mark_message("message:a:b", Mark(3))
    await coverage.reach({"a:b": 4, "c": 0})
    again = Coverage(records, space="mirror")
    assert await again.lists() == MARKS
    assert await again.session("a:b") == mark
    assert await again.message("message:a:b") == Mark(3)
    assert await again.sequences() == {"a:b": 4, "c": 0}
    other = Coverage(records, space="other")
    assert await other.lists() == ListMarks()
    assert await other.session("a:b") == SessionMark()
    assert await other.sequences() == {}


async def test_a_change_is_made_of_what_is_there(coverage: Coverage) -> None:
    await coverage.change_session("a", lambda mark: replace(mark, at=1))
    await coverage.change_session("a", lambda mark: replace(mark, gone_at=2))
    await coverage.change_session("a", lambda mark: replace(mark, messages=ALL))
    assert await coverage.session("a") == SessionMark(1, 2, ALL)
    await coverage.change_lists(lambda _: MARKS)
    await coverage.change_lists(lambda marks: replace(marks, unlisted=("session:c",)))
    assert await coverage.lists() == replace(MARKS, unlisted=("session:c",))


async def test_a_message_is_marked_anew(coverage: Coverage) -> None:
    for mark in (Mark(1), Mark(2, 2), Mark(2, 2), Mark(3)):
        await coverage.mark_message("message:a:b", mark)
        assert await coverage.message("message:a:b") == mark


def _told_at(time: int, mark: SessionMark) -> SessionMark:
    return replace(mark, at=time)


async def test_the_marks_of_many_sessions_come_in_one_call(records: Records) -> None:
    faults = Faults()
    coverage = Coverage(FaultyRecords(records, faults), space="mirror")
    for each in range(30):
        await coverage.change_session(f"s{each}", partial(_told_at, each))
    faults.calls.clear()
    known = await coverage.sessions(f"s{each}" for each in range(20, 60))
    assert known == {f"s{each}": SessionMark(at=each) for each in range(20, 30)}
    assert len(faults.calls) == 1


async def test_concurrent_changes_lose_nothing(records: Records) -> None:
    """From several places, as several processes are."""
    places = [Coverage(records, space="mirror") for _ in range(4)]

    async def count(number: int) -> None:
        place = places[number % 4]
        await asyncio.gather(
            place.change_session("a", lambda mark: replace(mark, at=(mark.at or 0) + 1)),
            place.change_lists(
                lambda marks: replace(marks, unlisted=(*marks.unlisted, f"session:{number}"))
            ),
        )

    await asyncio.gather(*map(count, range(MANY)))
    assert await places[0].session("a") == SessionMark(at=MANY)
    unlisted = (await places[0].lists()).unlisted
    assert sorted(unlisted) == sorted(f"session:{number}" for number in range(MANY))


class Contested(FaultyRecords):
    """Somebody else is always faster."""

    async def replace(self, record: Record, value: object, **_: object) -> Record | None:
        ahead = await super().replace(record, record.value)
        assert ahead is not None
        return await super().replace(record, value)


async def test_who_never_gets_his_turn_gives_up(coverage: Coverage, records: Records) -> None:
    await coverage.mark_message("message:a:b", Mark(1))
    contested = Coverage(Contested(records, Faults()), space="mirror")
    with pytest.raises(UnavailableError, match="too many at once"):
        await contested.mark_message("message:a:b", Mark(2))
    assert await coverage.message("message:a:b") == Mark(1)


async def test_the_furthest_counts_whoever_comes_last(records: Records) -> None:
    places = [Coverage(records, space="mirror") for _ in range(4)]
    await asyncio.gather(
        *(
            places[number % 4].reach({"a": number * 7 % MANY, "b": 3, f"s{number}": number})
            for number in range(MANY)
        )
    )
    reached = await places[0].sequences()
    assert reached == {"a": MANY - 1, "b": 3, **{f"s{number}": number for number in range(MANY)}}
    await places[0].reach({"a": 5})
    assert (await places[0].sequences())["a"] == MANY - 1


async def test_what_was_reached_before_costs_one_call(records: Records) -> None:
    faults = Faults()
    coverage = Coverage(FaultyRecords(records, faults), space="mirror")
    sequences = {f"s{number}": number for number in range(50)}
    await coverage.reach(sequences)
    faults.calls.clear()
    await coverage.reach(sequences)
    assert len(faults.calls) == 1


async def test_more_sequences_than_come_at_once(coverage: Coverage) -> None:
    sequences = {f"s{number}": number for number in range(1_003)}
    await coverage.reach(sequences)
    assert await coverage.sequences() == sequences


async def test_ids_that_can_not_be_kept_harm_no_others(coverage: Coverage) -> None:
    await coverage.reach({"": 1, "a": 2, "x" * 5_000: 3})
    assert await coverage.sequences() == {"a": 2}
    await coverage.change_session("a", lambda mark: replace(mark, at=1))
    assert await coverage.sessions(["", "a", "x" * 5_000]) == {"a": SessionMark(at=1)}
