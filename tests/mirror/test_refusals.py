import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dualstore.documents.base import Record, Records
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.mirror.intake import Intake, Taken
from dualstore.mirror.kinds import message_copy, session_copy
from dualstore.mirror.refusals import (
    EVENT,
    MESSAGE,
    MOST,
    SESSION,
    Refusal,
    Refusals,
    message_of,
)
from dualstore.settings import Settings
from dualstore.store import Store, open_store
from dualstore.testing import FakeClock, Faults
from dualstore.testing.faulty_documents import FaultyRecords
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.dual.listening import Listening

MS = 1_750_000_000_000
NO_TIME = "time.updated: is missing"


@pytest.fixture
async def backends(tmp_path: Path) -> AsyncIterator[Backends]:
    async with SqliteDatabase(tmp_path / "a.db") as documents, Listening() as embedder:
        yield Backends(documents, ExactVectors(), embedder)


@pytest.fixture
def records(backends: Backends) -> Records:
    return backends.documents.records


@pytest.fixture
async def store(backends: Backends) -> AsyncIterator[Store]:
    async with open_store(Settings(), backends=backends) as opened:
        yield opened


@pytest.fixture
def refusals(records: Records) -> Refusals:
    return Refusals(records, space="mirror")


def by_name(found: list[Refusal]) -> dict[str, tuple[str, int]]:
    named = {each.what: (each.reason, each.at) for each in found}
    assert len(named) == len(found)
    return named


async def test_what_was_noted_is_told_until_it_is_here(refusals: Refusals) -> None:
    assert await refusals.all() == []
    await refusals.note(SESSION, {"session a": "no time", "session b": "no id"}, at=5)
    assert by_name(await refusals.all()) == {
        "session a": ("no time", 5),
        "session b": ("no id", 5),
    }
    await refusals.forget(SESSION, ["session a", "session c"])
    assert by_name(await refusals.all()) == {"session b": ("no id", 5)}
    await refusals.forget(SESSION, [])
    assert len(await refusals.all()) == 1


async def test_the_same_reason_again_keeps_its_time_and_another_one_counts_anew(
    refusals: Refusals,
) -> None:
    await refusals.note(SESSION, {"session a": "no time"}, at=5)
    await refusals.note(SESSION, {"session a": "no time"}, at=6)
    assert by_name(await refusals.all()) == {"session a": ("no time", 5)}
    await refusals.note(SESSION, {"session a": "no id"}, at=7)
    assert by_name(await refusals.all()) == {"session a": ("no id", 7)}


async def test_each_remote_has_its_own(refusals: Refusals, records: Records) -> None:
    other = Refusals(records, space="other")
    await refusals.note(SESSION, {"session a": "no time"}, at=5)
    assert await other.all() == []
    await other.forget(SESSION, ["session a"])
    assert len(await refusals.all()) == 1


async def test_any_number_of_them(refusals: Refusals) -> None:
    await refusals.note(SESSION, {f"session {each}": "no time" for each in range(1_001)}, at=5)
    assert len(by_name(await refusals.all())) == 1_001
    assert len(await refusals.some(SESSION)) == MOST
    await refusals.forget(SESSION, [f"session {each}" for each in range(1, 1_001)])
    assert by_name(await refusals.all()) == {"session 0": ("no time", 5)}


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def counted(records: Records, faults: Faults) -> Refusals:
    return Refusals(FaultyRecords(records, faults), space="mirror")


async def test_nothing_refused_costs_one_call_however_much_is_taken(
    counted: Refusals, faults: Faults
) -> None:
    await counted.forget(SESSION, (f"session {each}" for each in range(1_000)))
    await counted.note(SESSION, {}, at=5)
    assert len(faults.calls) == 1


async def test_reading_costs_one_call_however_many_others_there_are(
    refusals: Refusals, counted: Refusals, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualstore.mirror.refusals.MOST", 10)
    for number in range(8):
        of = message_of(f"s{number}")
        await refusals.note(of, {f"{of} m{each}": "no time" for each in range(3)}, at=5)
    await refusals.note(EVENT, {"event e": "no type"}, at=5)
    for kind, count in ((message_of("s7"), 3), (MESSAGE, 10), (EVENT, 1), (SESSION, 0)):
        faults.calls.clear()
        assert len(await counted.some(kind)) == count
        assert len(faults.calls) == 1


@pytest.mark.parametrize("others", ["s", "s1:", "s1: m", "s11", "S1"])
async def test_no_session_has_the_messages_of_another(refusals: Refusals, others: str) -> None:
    mine, other = message_of("s1"), message_of(others)
    await refusals.note(mine, {f"{mine} m": "no time"}, at=5)
    await refusals.note(other, {f"{other} n": "no time"}, at=6)
    (found,) = await refusals.some(mine)
    assert (found.what, found.session_id) == ("message of s1: m", "s1")
    await refusals.forget_others(mine, ())
    assert await refusals.some(mine) == []
    (left,) = await refusals.all()
    assert left.at == 6


async def test_many_may_note_and_forget_at_once(refusals: Refusals, records: Records) -> None:
    other = Refusals(records, space="mirror")
    await asyncio.gather(
        *(
            each.note(SESSION, {"session a": "no time", "b": "c"}, at=5)
            for each in [refusals, other] * 10
        )
    )
    assert by_name(await refusals.all()) == {"session a": ("no time", 5), "b": ("c", 5)}
    await asyncio.gather(*(each.forget(SESSION, ["b"]) for each in [refusals, other] * 10))
    assert by_name(await refusals.all()) == {"session a": ("no time", 5)}


class Forgetful(FaultyRecords):
    """What was just found is gone a moment later, once."""

    async def replace(self, record: Record, value: object, **_: object) -> Record | None:
        await self.delete(record)
        return await super().replace(record, value)


async def test_what_is_forgotten_meanwhile_is_noted_all_the_same(
    refusals: Refusals, records: Records
) -> None:
    await refusals.note(SESSION, {"session a": "no time"}, at=5)
    await Refusals(Forgetful(records, Faults()), space="mirror").note(
        SESSION, {"session a": "no id"}, at=6
    )
    assert by_name(await refusals.all()) == {"session a": ("no id", 6)}


# As things are taken in


class Taking:
    """Takes in sessions and messages."""

    def __init__(self, store: Store, refusals: Refusals, clock: FakeClock) -> None:
        self._intake = Intake(origin="fake", refusals=refusals, clock=clock)
        self._store = store

    async def sessions(self, *things: Any) -> Taken:
        return await self._intake.take(
            self._store.sessions, things, session_copy, None, what=SESSION
        )

    async def messages(self, session_id: str, *things: Any) -> Taken:
        return await self._intake.take(
            self._store.messages,
            things,
            lambda thing: message_copy(thing, session_id=session_id),
            None,
            what=message_of(session_id),
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(MS)


@pytest.fixture
def taking(store: Store, refusals: Refusals, clock: FakeClock) -> Taking:
    return Taking(store, refusals, clock)


def session(session_id: Any, **more: Any) -> dict[str, Any]:
    return {"id": session_id, "title": "A", "time": {"created": MS, "updated": MS}, **more}


def message(message_id: str, session_id: str, **more: Any) -> dict[str, Any]:
    info = {"id": message_id, "sessionID": session_id, "time": {"created": MS}}
    return {"info": info, "parts": [], **more}


async def test_what_can_not_be_taken_in_is_visible_until_it_can(
    taking: Taking, refusals: Refusals, store: Store, clock: FakeClock
) -> None:
    taken = await taking.sessions(session("a"), session("b", time={}), session("c"))
    assert taken.outcomes.keys() == {"session:a", "session:c"}
    assert taken.refused == {"session b": NO_TIME}
    assert by_name(await refusals.all()) == {"session b": (NO_TIME, MS)}
    clock.advance(10)
    await taking.sessions(session("a"), session("b", time={}))
    assert by_name(await refusals.all()) == {"session b": (NO_TIME, MS)}
    await taking.sessions(session("b"))
    assert await refusals.all() == []
    assert await store.sessions.count() == 3


async def test_messages_of_the_same_id_in_two_sessions_are_two(
    taking: Taking, refusals: Refusals
) -> None:
    await taking.messages("s1", message("m", "s1", parts=None))
    await taking.messages("s2", message("m", "s2", parts=None))
    assert by_name(await refusals.all()).keys() == {"message of s1: m", "message of s2: m"}
    await taking.messages("s2", message("m", "s2"))
    assert by_name(await refusals.all()).keys() == {"message of s1: m"}


async def test_one_that_came_twice_and_could_be_read_once_stays_visible(
    taking: Taking, refusals: Refusals
) -> None:
    await taking.sessions(session("a"), session("a", time={}))
    assert by_name(await refusals.all()).keys() == {"session a"}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (None, "session None"),
        ("", "session "),
        ("\ud800", r"session '\ud800'"),
        ("a\0b", r"session 'a\x00b'"),
        ({"a": 1}, "session {'a': 1}"),
        ("x" * 10_000, "session '" + "x" * 79),
    ],
)
async def test_whatever_its_id_is_it_ends_visible_and_harms_no_other(
    taking: Taking, refusals: Refusals, given: object, name: str
) -> None:
    taken = await taking.sessions(session("a"), session(given), session("b"))
    assert taken.outcomes.keys() == {"session:a", "session:b"}
    assert list(taken.refused) == [name]
    assert by_name(await refusals.all()).keys() == {name}


@pytest.mark.parametrize("thing", ["text", None, 5, [], ["a"]])
async def test_what_is_no_object_ends_visible(
    taking: Taking, refusals: Refusals, thing: object
) -> None:
    taken = await taking.sessions(thing, session("a"))
    assert taken.outcomes.keys() == {"session:a"}
    assert by_name(await refusals.all()).keys() == {"session None"}
