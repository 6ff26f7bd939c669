"""Several processes on one place at once: nothing is lost, nothing is done twice."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from dualstore.documents.base import Database
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.errors import FamilyMismatchError, UnavailableError
from dualstore.outbox import IndexState
from tests.documents import racers
from tests.documents.places import Address
from tests.documents.writing import NOW, SPEC, draft, get, ids, put, terms

PROCESSES = 4
PATIENCE = 60.0


@pytest.fixture
def processes(forkserver: ForkServerContext) -> Iterator[Executor]:
    """As many processes as race, which all wait for each other before they begin."""
    start = forkserver.Barrier(PROCESSES, timeout=PATIENCE)
    with ProcessPoolExecutor(
        PROCESSES, mp_context=forkserver, initializer=racers.prepare, initargs=(start,)
    ) as executor:
        yield executor


async def _race(processes: Executor, task: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What the task gave in each process; it is told which one it is if it wants to know."""
    loop = asyncio.get_running_loop()
    jobs = [
        loop.run_in_executor(processes, task, *(me if each is ... else each for each in arguments))
        for me in range(PROCESSES)
    ]
    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*jobs)


async def test_exactly_one_process_creates_a_key_and_one_gets_a_token(
    address: Address, processes: Executor
) -> None:
    async with address.open():
        results = await _race(processes, racers.create_same_keys, address, ...)
    keys = [key for won, _ in results for key in won]
    tokens = [token for _, won in results for token in won]
    assert sorted(keys) == sorted(f"key-{number}" for number in range(racers.KEYS))
    assert sorted(tokens) == sorted(f"token-{number}" for number in range(racers.KEYS))
    async with address.open() as database:
        for me, (won, tokens) in enumerate(results):
            for key in won:
                record = await database.records.get("race", key)
                assert record is not None
                assert record.value == me
            found = await database.records.find("race", tokens)
            assert [record.value for record in found.values()] == [me] * len(tokens)
        everything = await database.records.range("race", limit=1000)
        assert len(everything) == 2 * racers.KEYS


async def test_counting_from_several_processes_loses_nothing(
    address: Address, processes: Executor
) -> None:
    async with address.open():
        await _race(processes, racers.count_up, address)
    async with address.open() as database:
        counter = await database.records.get("race", "counter")
        assert counter is not None
        assert counter.value == PROCESSES * racers.STEPS
        assert counter.version == counter.value + 1


async def test_processes_that_insert_and_index_together_lose_nothing(
    address: Address, processes: Executor
) -> None:
    results = await _race(processes, racers.insert_and_index, address, ...)
    written = {f"{me}-{number}" for me in range(PROCESSES) for number in range(racers.ENTRIES)} | {
        "shared"
    }
    indexed = [name for result in results for name in result if name != "shared"]
    assert sorted(indexed) == sorted(written - {"shared"})
    async with address.open() as database:
        store = await database.family(SPEC)
        found = await store.get(list(written))
        assert found.keys() == written
        assert {entry.index.state for entry in found.values()} == {IndexState.INDEXED}
        assert {
            name for name, entry in found.items() if entry.index.held != entry.text_hash
        } == set()
        assert await store.count() == len(written)
        assert found["shared"].revision == PROCESSES * racers.ENTRIES // 6
        words = await store.candidates(terms("text"), limit=1)
        assert list(words.frequencies.values()) == [len(written) - 1]


@pytest.mark.parametrize("round_", range(3))
async def test_processes_open_a_new_place_and_a_new_family_at_once(
    address: Address, processes: Executor, round_: int
) -> None:
    name = f"{address.name}{round_}"
    fresh = replace(address, url=address.url + (name if not address.name else ""))
    task = partial(racers.open_new, differently=False)
    assert await _race(processes, task, fresh, ...) == [True] * PROCESSES
    async with fresh.open() as database:
        store = await database.family(SPEC)
        assert ids(await store.scan()) == [f"entry-{me}" for me in range(PROCESSES)]


async def test_of_two_ways_to_open_a_new_family_one_wins(
    address: Address, processes: Executor
) -> None:
    opened = await _race(processes, partial(racers.open_new, differently=True), address, ...)
    even, odd = opened[0::2], opened[1::2]
    assert sorted([set(even), set(odd)], key=str) == [{False}, {True}]
    async with address.open() as database:
        winner = replace(SPEC, analyzer="0" if even[0] else "1")
        assert await (await database.family(winner)).count() == PROCESSES // 2
        with pytest.raises(FamilyMismatchError, match="analyzer"):
            await database.family(replace(SPEC, analyzer="1" if even[0] else "0"))


# A file that another process is writing to


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "documents.db"


def _lock(path: Path) -> sqlite3.Connection:
    """The write lock of the file, as another process would hold it."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


async def _release_later(other: sqlite3.Connection, seconds: float) -> None:
    await asyncio.sleep(seconds)
    other.execute("ROLLBACK")
    other.close()


async def test_a_write_waits_for_a_busy_file(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        other = _lock(path)
        began = time.monotonic()
        outcomes, _ = await asyncio.gather(put(store, [draft("a")]), _release_later(other, 0.5))
        assert outcomes == ["created"]
        assert 0.4 < time.monotonic() - began < 5
        assert (await get(store, "a")).revision == 1


async def test_readers_do_not_wait_for_a_busy_file(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        await put(store, [draft("a")])
        other = _lock(path)
        async with asyncio.timeout(0.5):
            assert list(await store.get(["a"])) == ["a"]
            assert await store.count() == 1
        await _release_later(other, 0)


async def test_opening_waits_for_a_busy_file(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        await database.family(SPEC)
    other = _lock(path)

    async def use() -> int:
        async with SqliteDatabase(path) as again:
            return await (await again.family(SPEC)).count()

    count, _ = await asyncio.gather(use(), _release_later(other, 0.4))
    assert count == 0


async def test_a_file_that_stays_busy_is_unavailable_and_nothing_is_half_written(
    path: Path,
) -> None:
    async with SqliteDatabase(path, busy_timeout=0.2) as database:
        store = await database.family(SPEC)
        other = _lock(path)
        await _is_unavailable(database)
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"documents\.db is in use by another process"):
            await store.put([draft("a"), draft("b")], now=NOW)
        assert time.monotonic() - began < 2
        await _release_later(other, 0)
        assert await store.scan() == []
        assert await put(store, [draft("a"), draft("b")]) == ["created", "created"]


async def _is_unavailable(database: Database) -> None:
    with pytest.raises(UnavailableError):
        await database.records.create("space", "key", 1)
