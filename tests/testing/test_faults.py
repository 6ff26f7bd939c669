import asyncio
from contextlib import suppress

import pytest

from dualstore.errors import InvalidInputError, StorageFullError, UnavailableError
from dualstore.testing import Fault, Faults
from dualstore.wiring import Backends

FAULTS = [
    (Fault.BEFORE, UnavailableError, False),
    (Fault.AFTER, UnavailableError, True),
    (Fault.HANG, UnavailableError, True),
    (Fault.CANCELLED, asyncio.CancelledError, False),
    (Fault.CANCELLED_AFTER, asyncio.CancelledError, True),
]


async def _create(backends: Backends, key: str) -> bool:
    return await backends.documents.records.create("space", key, 1) is not None


async def _keys(backends: Backends) -> list[str]:
    return [each.key for each in await backends.documents.records.range("space")]


@pytest.mark.parametrize(("fault", "raised", "effect"), FAULTS)
async def test_the_planned_call_fails_as_planned_and_no_other(
    inner: Backends,
    backends: Backends,
    faults: Faults,
    fault: Fault,
    raised: type[BaseException],
    effect: bool,
) -> None:
    faults.plan(2, fault=fault)
    assert await _create(backends, "a")
    with pytest.raises(raised):
        await asyncio.create_task(_create(backends, "b"))
    assert await _keys(inner) == (["a", "b"] if effect else ["a"])
    assert faults.struck == ["records.create"]
    assert await _create(backends, "c")
    assert faults.calls == ["records.create"] * 3
    assert faults.struck == ["records.create"]


def test_every_fault_is_tested_above() -> None:
    assert {fault for fault, _, _ in FAULTS} == set(Fault)


@pytest.mark.parametrize("fault", [Fault.CANCELLED, Fault.CANCELLED_AFTER])
async def test_a_cancelled_task_ends_there_and_may_clean_up(
    inner: Backends, backends: Backends, faults: Faults, fault: Fault
) -> None:
    async def scenario() -> None:
        try:
            await _create(backends, "a")
            await _create(backends, "b")
        finally:
            await _create(backends, "c")

    faults.plan(1, fault=fault)
    task = asyncio.create_task(scenario())
    await asyncio.wait([task])
    assert task.cancelled()
    effects = {Fault.CANCELLED: ["c"], Fault.CANCELLED_AFTER: ["a", "c"]}
    assert await _keys(inner) == effects[fault]


async def test_a_call_that_hangs_ends_by_itself_or_with_its_callers_patience(
    inner: Backends, backends: Backends, faults: Faults
) -> None:
    faults.outage("records.create", fault=Fault.HANG, error=StorageFullError)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(UnavailableError):
        await _create(backends, "a")
    assert loop.time() - began > faults.hang * 0.9
    faults.hang = 60
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await _create(backends, "b")
    assert await _keys(inner) == ["a", "b"]


@pytest.mark.parametrize("fault", [Fault.CANCELLED, Fault.CANCELLED_AFTER])
async def test_a_victim_is_cancelled_through_whatever_it_waits_for(
    inner: Backends, backends: Backends, faults: Faults, fault: Fault
) -> None:
    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_create(backends, "a"))

    faults.plan(1, fault=fault)
    faults.victim = asyncio.create_task(scenario())
    await asyncio.wait([faults.victim])
    assert faults.victim.cancelled()
    assert await _keys(inner) == ([] if fault is Fault.CANCELLED else ["a"])


@pytest.mark.parametrize("fault", [Fault.CANCELLED, Fault.CANCELLED_AFTER])
async def test_a_call_shielded_from_the_victim_goes_through(
    inner: Backends, backends: Backends, faults: Faults, fault: Fault
) -> None:
    async def scenario() -> None:
        await asyncio.shield(shielded)

    shielded = asyncio.create_task(_create(backends, "a"))
    faults.plan(1, fault=fault)
    faults.victim = asyncio.create_task(scenario())
    await asyncio.wait([faults.victim, shielded])
    assert faults.victim.cancelled()
    assert shielded.result() is True
    assert await _keys(inner) == ["a"]


async def test_an_outage_lasts_until_it_is_healed(
    inner: Backends, backends: Backends, faults: Faults
) -> None:
    faults.outage("vectors.*")
    index = await inner.vectors.index("notes", dimension=2)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await backends.vectors.index("notes", dimension=2)
        with pytest.raises(UnavailableError):
            await backends.vectors.names()
        assert await _keys(backends) == []
    assert faults.struck == ["vectors.place.index", "vectors.place.names"] * 2
    faults.heal()
    assert await backends.vectors.names() == [index.name]
    assert len(faults.calls) == 7
    assert len(faults.struck) == 4


async def test_an_outage_may_begin_later(backends: Backends, faults: Faults) -> None:
    faults.outage("records.create", since=3)
    assert await _create(backends, "a")
    assert await _create(backends, "b")
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await _create(backends, "c")
    assert await _keys(backends) == ["a", "b"]


async def test_an_index_opened_before_an_outage_is_out_too(
    backends: Backends, faults: Faults
) -> None:
    index = await backends.vectors.index("notes", dimension=2)
    faults.outage("vectors.index.*", fault=Fault.AFTER)
    with pytest.raises(UnavailableError, match=r"call 2, vectors\.index\.count: after"):
        await index.count()
    assert faults.calls == ["vectors.place.index", "vectors.index.count"]


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
async def test_the_error_is_what_was_asked_for_and_names_the_call(
    backends: Backends, faults: Faults, fault: Fault
) -> None:
    faults.plan(1, fault=fault, error=StorageFullError)
    with pytest.raises(StorageFullError, match=rf"^injected at call 1, records\.range: {fault}$"):
        await _keys(backends)
    faults.outage("*", fault=fault, error=StorageFullError)
    with pytest.raises(StorageFullError):
        await _keys(backends)


async def test_several_calls_may_be_planned_and_are_forgotten_together(
    backends: Backends, faults: Faults
) -> None:
    for number in (1, 3, 4):
        faults.plan(number, fault=Fault.BEFORE)
    for key in "abc":
        with suppress(UnavailableError):
            await _create(backends, key)
    faults.heal()
    assert await _create(backends, "d")
    assert await _keys(backends) == ["b", "d"]


async def test_a_call_that_will_never_come_cannot_be_planned(
    backends: Backends, faults: Faults
) -> None:
    with pytest.raises(InvalidInputError, match="call 0 will never come"):
        faults.plan(0, fault=Fault.BEFORE)
    await _create(backends, "a")
    with pytest.raises(InvalidInputError, match="1 are past"):
        faults.plan(1, fault=Fault.BEFORE)
    faults.calls.clear()
    faults.plan(1, fault=Fault.BEFORE)
    with pytest.raises(UnavailableError):
        await _create(backends, "b")
