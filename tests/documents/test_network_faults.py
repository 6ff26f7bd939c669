"""The connection breaks at every step of every operation: nothing acknowledged is lost.

Each operation is first run undisturbed, to learn how many commands it sends and what it leaves.
Then it runs again for each command and each way in which that command can go wrong.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, product
from typing import Any

import pytest

from dualstore.documents.base import Database
from dualstore.documents.mongo import MongoDatabase
from dualstore.errors import PartialWriteError, UnavailableError
from tests.documents.conftest import own_database
from tests.documents.operations import LATER, READS, WRITES, Act, Stage, prepare, state_of
from tests.documents.places import DRIVERS, Address
from tests.documents.writing import LEASE, NOW, SPEC, draft
from tests.support.proxy import COUNTED, TcpProxy
from tests.support.wire import WireServer

# PyMongo's asynchronous client forgets connections whose making or closing is cancelled.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

TIMEOUT = 1.0
STALLED = 0.25
"""The timeout of those operations that are going to need it."""
GRACE = 1.5
"""What a slow machine may need on top."""

Arm = Callable[[TcpProxy, int], None]
CUTS: dict[str, Arm] = {
    "cut before": lambda proxy, n: proxy.cut_before(n),
    "reset before": lambda proxy, n: proxy.cut_before(n, reset=True),
    "cut after": lambda proxy, n: proxy.cut_after(n),
    "reset after": lambda proxy, n: proxy.cut_after(n, reset=True),
    "cut in mid-answer": lambda proxy, n: proxy.cut_mid_answer(n),
}
STALLS: list[Arm] = [
    lambda proxy, n: proxy.stall(n),
    lambda proxy, n: proxy.stall_answer(n),
]


@dataclass
class Line:
    """Two ways to one place: through the proxy, and a witness that nothing disturbs."""

    proxy: TcpProxy
    witness: Database
    open: Callable[[float], Database]
    numbers: Iterator[int] = field(default_factory=count)

    async def stage(self) -> Stage:
        """A new scene, prepared by the witness."""
        return await prepare(self.witness, f"tests_n{next(self.numbers)}")

    async def count_commands(self, act: Act, stage: Stage) -> int:
        """How many commands the operation sends when nothing is wrong."""
        before = len(self.proxy.commands)
        await act(stage)
        return len(self.proxy.commands) - before


@pytest.fixture(params=DRIVERS)
async def line(
    request: pytest.FixtureRequest, wire_server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Line]:
    # After each broken connection a driver waits half a second before it looks again.
    monkeypatch.setattr("pymongo.common.MIN_HEARTBEAT_INTERVAL", 0.02)
    connect = DRIVERS[request.param]
    counted = COUNTED | {"buildInfo", "dbStats"}
    with (
        own_database(wire_server) as name,
        TcpProxy(wire_server.host, wire_server.port, counted=counted) as proxy,
    ):

        def open_through(timeout: float) -> Database:
            client = connect(wire_server.behind(proxy.port))
            return MongoDatabase(client[name], timeout=timeout, close_client=True)

        async with Address(request.param, wire_server.url, name).open() as witness:
            yield Line(proxy, witness, open_through)
    gc.collect()  # what the driver forgot is found here, not in somebody else's test


async def _seen(stage: Stage, database: Database) -> Stage:
    return stage.through(database, await database.family(stage.store.spec))


async def _bounded(work: Awaitable[Any], timeout: float) -> tuple[bool, Any]:
    """Whether it succeeded, and what it said; nothing but being unavailable may go wrong."""
    began = time.monotonic()
    try:
        succeeded, result = True, await work
    except UnavailableError:
        succeeded, result = False, None
    assert time.monotonic() - began < timeout + GRACE
    return succeeded, result


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_whose_connection_breaks_is_whole_or_safe_to_repeat(
    line: Line, name: str
) -> None:
    act = WRITES[name]
    async with line.open(TIMEOUT) as database:
        stage = await line.stage()
        commands = await line.count_commands(act, await _seen(stage, database))
        expected = _nameless(await state_of(stage), stage)
        assert commands > 0
        for n, (fault, arm) in product(range(1, commands + 1), CUTS.items()):
            stage = await line.stage()
            mine = await _seen(stage, database)
            arm(line.proxy, n)
            succeeded, _ = await _bounded(act(mine), TIMEOUT)
            if succeeded:
                assert _nameless(await state_of(stage), stage) == expected, (n, fault)
            line.proxy.heal()
            await act(mine)
            assert _nameless(await state_of(stage), stage) == expected, (n, fault)
            assert _nameless(await state_of(mine), stage) == expected, (n, fault)


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_that_stalls_ends_in_time_and_its_late_effect_does_no_harm(
    line: Line, name: str
) -> None:
    act = WRITES[name]
    async with line.open(STALLED) as database:
        stage = await line.stage()
        commands = await line.count_commands(act, await _seen(stage, database))
        expected = _nameless(await state_of(stage), stage)
        for n in range(1, commands + 1):
            stage = await line.stage()
            mine = await _seen(stage, database)
            STALLS[n % 2](line.proxy, n)
            succeeded, _ = await _bounded(act(mine), STALLED)
            assert not succeeded
            await act(mine)
            assert _nameless(await state_of(stage), stage) == expected, n
            line.proxy.heal()
            await asyncio.sleep(0.02)
            assert _nameless(await state_of(stage), stage) == expected, n
            assert _nameless(await state_of(mine), stage) == expected, n


@pytest.mark.parametrize("name", READS)
async def test_a_read_whose_connection_breaks_is_right_or_unavailable(
    line: Line, name: str
) -> None:
    act = READS[name]
    stage = await line.stage()
    async with line.open(TIMEOUT) as database:
        mine = await _seen(stage, database)
        expected = _comparable(await act(mine))
        commands = await line.count_commands(act, mine)
        for n, (fault, arm) in product(range(1, commands + 1), CUTS.items()):
            arm(line.proxy, n)
            succeeded, result = await _bounded(act(mine), TIMEOUT)
            assert not succeeded or _comparable(result) == expected, (n, fault)
            line.proxy.heal()
            assert _comparable(await act(mine)) == expected, (n, fault)
    async with line.open(STALLED) as database:
        mine = await _seen(stage, database)
        line.proxy.stall_answer(1)
        succeeded, _ = await _bounded(act(mine), STALLED)
        assert not succeeded
        assert _comparable(await act(mine)) == expected
        line.proxy.heal()
        assert _comparable(await act(mine)) == expected


async def test_a_claim_whose_connection_breaks_leases_nothing_for_ever(line: Line) -> None:
    faults = [*CUTS.values(), *STALLS]
    async with line.open(STALLED) as database:

        async def claim(stage: Stage) -> Any:
            return await stage.store.claim(9, now=LATER, lease=LEASE)

        commands = await line.count_commands(claim, await _seen(await line.stage(), database))
        for n, arm in product(range(1, commands + 1), faults):
            stage = await line.stage()
            mine = await _seen(stage, database)
            arm(line.proxy, n)
            succeeded, works = await _bounded(claim(mine), STALLED)
            line.proxy.heal()
            await asyncio.sleep(0.02)
            taken = {work.id for work in works} if succeeded else set()
            also = {work.id for work in await claim(mine)}
            assert not taken & also
            if succeeded:
                assert taken == {"due1", "due2", "gone", "theirs"}
            again = await mine.store.claim(9, now=LATER + LEASE, lease=LEASE)
            assert {work.id for work in again} == {"due1", "due2", "gone", "theirs"}


async def test_a_batch_that_breaks_in_the_middle_names_what_is_durable(line: Line) -> None:
    drafts = [draft(f"{number:05}", f"text {number}") for number in range(2500)]

    async def put(stage: Stage) -> Any:
        return await stage.store.put(drafts, now=NOW)

    partial: list[int] = []
    async with line.open(5.0) as database:
        commands = await line.count_commands(put, await _seen(await line.stage(), database))
        for n in range(1, commands + 1):
            stage = await line.stage()
            mine = await _seen(stage, database)
            line.proxy.cut_before(n)
            with pytest.raises((UnavailableError, PartialWriteError)) as caught:
                await put(mine)
            if isinstance(caught.value, PartialWriteError):
                assert isinstance(caught.value.__cause__, UnavailableError)
                acknowledged = caught.value.acknowledged
                partial.append(len(acknowledged))
                assert 0 < len(acknowledged) < len(drafts)
                assert (await stage.store.get(acknowledged)).keys() == set(acknowledged)
    assert partial


async def test_a_server_that_is_gone_is_unavailable_until_it_is_back(line: Line) -> None:
    async with line.open(STALLED) as database:
        store = await database.family(SPEC)
        await store.put([draft("a")], now=NOW)
        line.proxy.refuse()
        for act in (
            lambda: store.put([draft("b")], now=NOW),
            lambda: store.get(["a"]),
            lambda: database.records.create("space", "key", 1),
            database.health,
        ):
            succeeded, _ = await _bounded(act(), STALLED)
            assert not succeeded
        line.proxy.heal()
        await store.put([draft("b")], now=NOW)
        assert sorted(await store.get(["a", "b"])) == ["a", "b"]
        assert (await database.health()).layout >= 1


async def test_a_server_that_is_gone_cannot_be_opened(line: Line) -> None:
    line.proxy.refuse()
    database = line.open(STALLED)

    async def enter() -> None:
        async with database:
            pass

    succeeded, _ = await _bounded(enter(), STALLED)
    assert not succeeded
    line.proxy.heal()


async def test_opening_breaks_at_every_step_and_works_the_next_time(line: Line) -> None:
    async def open_new(timeout: float, name: str) -> int:
        async with line.open(timeout) as database:
            store = await database.family(_spec(name))
            await store.put([draft("a", "red")], now=NOW)
            return len((await store.candidates({"red": 1.0})).found)

    before = len(line.proxy.commands)
    assert await open_new(TIMEOUT, "tests_first") == 1
    for n in range(1, len(line.proxy.commands) - before + 1):
        for arm in (CUTS["cut before"], CUTS["cut after"]):
            name = f"tests_n{next(line.numbers)}"
            arm(line.proxy, n)
            await _bounded(open_new(TIMEOUT, name), TIMEOUT)
            line.proxy.heal()
            assert await open_new(TIMEOUT, name) == 1


def _spec(name: str) -> Any:
    return SPEC.__class__(**{**SPEC.to_record(), "name": name, "filter_fields": ("role",)})


def _nameless(state: Any, stage: Stage) -> str:
    """States of different stages can be compared."""
    return repr(state).replace(repr(stage.space), "'here'")


def _comparable(result: Any) -> str:
    """What a database takes on disk changes while it works."""
    return repr(result).partition(", bytes=")[0]
