"""The way that the docstring of `dualstore.testing` shows, on real parts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.static import StaticEmbedder
from dualstore.entry import Drafter
from dualstore.errors import UnavailableError
from dualstore.testing import FakeClock, Fault, Faults, faulty
from dualstore.vectors.base import VectorItem
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.testing.conftest import SPEC

Scenario = Callable[[Backends], Awaitable[None]]
Sweep = Callable[[Scenario], Awaitable[list[tuple[str, Fault]]]]


async def _write(backends: Backends) -> None:
    """Safe to do again: whatever it does twice is the same once."""
    store = await backends.documents.family(SPEC)
    draft = Drafter(SPEC).draft({"id": "a", "text": "hello", "timestamp": 5}, now=1)
    await store.put([draft], now=backends.clock())
    index = await backends.vectors.index("notes", dimension=backends.embedder.dimension)
    (vector,) = await backends.embedder.embed(["hello"])
    await index.upsert([VectorItem("a", vector, {})])


async def _write_at_most_once(backends: Backends) -> None:
    """Notes that it is done before it is."""
    if await backends.documents.records.create("done", "a", None):
        await _write(backends)


async def _is_whole(backends: Backends) -> bool:
    store = await backends.documents.family(SPEC)
    index = await backends.vectors.find("notes", dimension=backends.embedder.dimension)
    return index is not None and await store.count() == 1 == await index.count()


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    embedder, numbers = StaticEmbedder(), count()

    @asynccontextmanager
    async def fresh() -> AsyncIterator[Backends]:
        async with SqliteDatabase(tmp_path / f"{next(numbers)}.db") as database:
            yield Backends(database, ExactVectors(), embedder, FakeClock())

    async def sweep(scenario: Scenario) -> list[tuple[str, Fault]]:
        """After which faults of which calls it is not whole."""
        counting = Faults()
        async with fresh() as inner:
            await scenario(faulty(inner, counting))
        broken = []
        for number, name in enumerate(counting.calls, 1):
            for fault in Fault:
                faults = Faults(hang=0.001)
                faults.plan(number, fault=fault)
                async with fresh() as inner:
                    backends = faulty(inner, faults)
                    run = scenario(backends)
                    (error,) = await asyncio.gather(run, return_exceptions=True)
                    assert isinstance(error, UnavailableError | asyncio.CancelledError)
                    assert faults.struck == [name]
                    faults.heal()
                    await scenario(backends)
                    if not await _is_whole(inner):
                        broken.append((name, fault))
        return broken

    return sweep


async def test_what_is_safe_to_do_again_survives_every_fault_of_every_call(sweep: Sweep) -> None:
    assert await sweep(_write) == []


async def test_what_is_not_is_found_at_each_call_where_it_breaks(sweep: Sweep) -> None:
    done = {Fault.AFTER, Fault.HANG, Fault.CANCELLED_AFTER}
    broken = set(await sweep(_write_at_most_once))
    assert {(name, fault) for name, fault in broken if name == "records.create"} == {
        ("records.create", fault) for fault in done
    }
    assert ("documents.put", Fault.BEFORE) in broken
    last = {fault for name, fault in broken if name == "vectors.index.upsert"}
    assert last == set(Fault) - done
