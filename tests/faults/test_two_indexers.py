"""Two managers have the family open: one of them is held up, or fails, and the other goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from copy import deepcopy

import pytest

from dualstore.errors import DualStoreError
from dualstore.testing import faulty
from tests.faults.conftest import EFFORT, Making
from tests.faults.places import House
from tests.faults.scenarios import SCENARIOS, A, Act, B, Scenario
from tests.faults.strikes import (
    OF_PROCESS,
    Call,
    Kind,
    Pauses,
    Strikes,
    Turns,
    as_caller,
    outcome_of,
)
from tests.faults.test_every_step import counted, preparing
from tests.faults.user import User

SECOND = {**A, "text": "What a says after its first words"}


async def _write(user: User, _: House) -> None:
    await user.insert(SECOND, {**B, "metadata": {"kind": "home"}})
    await user.delete("c")
    await user.drain()
    await user.find("b")


async def _rebuild(user: User, _: House) -> None:
    await user.insert(SECOND)
    await user.reindex()
    await user.find("b")


async def _mend(user: User, _: House) -> None:
    user.damaged = True
    await user.insert(SECOND)
    await user.repair()
    await user.drain()


ACTS = {
    "write": Scenario(SCENARIOS["update"].before, _write),
    "rebuild": Scenario(SCENARIOS["reindex"].before, _rebuild),
    "mend": Scenario(SCENARIOS["repair"].before, _mend),
    "refill": SCENARIOS["lost"],
}


async def _edits(user: User) -> None:
    await user.insert({**A, "text": "Newer words of a, from elsewhere"})
    await user.drain()


async def takes_back(user: User) -> None:
    await user.insert(A)
    await user.drain()


async def _goes_there_and_back(user: User) -> None:
    await _edits(user)
    await user.insert(SECOND)
    await user.drain()


async def _deletes(user: User) -> None:
    await user.delete("a")
    await user.drain()


async def deletes_and_writes_again(user: User) -> None:
    await _deletes(user)
    await user.insert(SECOND)
    await user.drain()


async def rebuilds(user: User) -> None:
    await user.reindex()


async def _begins_to_rebuild(user: User) -> None:
    with suppress(DualStoreError):
        await user.manager.reindex(timeout=0)


MEANWHILE: list[Callable[[User], Awaitable[None]]] = [
    _edits,
    takes_back,
    _goes_there_and_back,
    _deletes,
    deletes_and_writes_again,
    rebuilds,
    _begins_to_rebuild,
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("meanwhile", MEANWHILE, ids=lambda each: each.__name__.strip("_"))
@pytest.mark.parametrize("name", ACTS)
async def test_whoever_is_held_up_does_no_harm(
    name: str, meanwhile: Callable[[User], Awaitable[None]], after: bool, prepared: Making
) -> None:
    """His lease is over by then, and another one has done the work."""
    copies = await prepared(preparing(ACTS[name]))
    async with copies() as house:
        calls = [each for each in await counted(ACTS[name], house) if may_wait(each)]
    stride = max(1, 10 // EFFORT)
    turn = MEANWHILE.index(meanwhile) + 5 * after
    missed: list[Call] = []
    chosen = calls[turn % stride :: stride]
    for call in chosen:
        async with copies() as house:
            pauses = Pauses(call, lambda at=house: while_paused(at, meanwhile), after=after)  # type: ignore[misc]
            try:
                await is_unharmed(ACTS[name].act, house, pauses)
            except BaseException as error:
                error.add_note(f"held up at {call}")
                raise
        missed += [] if pauses.struck else [call]
    assert len(missed) <= len(chosen) / 2, missed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_index_that_is_made_too_late_is_dropped(after: bool, prepared: Making) -> None:
    """Another one has taken its place, and the list of those to be dropped is done."""
    copies = await prepared(preparing(ACTS["refill"]))
    async with copies() as house:
        made = [
            each
            for each in await counted(ACTS["refill"], house)
            if each.name == "vectors.place.index"
        ]
    for call in made:
        async with copies() as house:
            pauses = Pauses(call, lambda at=house: while_paused(at, rebuilds), after=after)  # type: ignore[misc]
            await is_unharmed(ACTS["refill"].act, house, pauses)
            assert pauses.struck


def may_wait(call: Call) -> bool:
    """What a caller writes while another one writes the same has no certain outcome."""
    return not call.by_caller or call.name not in ("documents.put", "documents.delete")


async def while_paused(house: House, meanwhile: Callable[[User], Awaitable[None]]) -> None:
    house.promises.past = deepcopy(house.promises.legal)
    house.clock.let_leases_end()
    async with house.user() as other:
        other.damaged = True
        await meanwhile(other)


async def is_unharmed(act: Act, house: House, pauses: Pauses) -> None:
    manager = house.manager(faulty(house.backends, pauses))
    try:
        user = User(manager, house.promises)
        user.begins = pauses.turns.begins
        await asyncio.create_task(as_caller(act(user, house)))
        await pauses.end()
        house.promises.past = {}
        house.clock.let_leases_end()
        await manager.close()  # who was held up may have something to give back yet
        async with house.manager() as again:
            user.manager = again
            await house.check(user)
    finally:
        pauses.turns.end()
        await manager.close()


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_one_fails_while_another_one_works(name: str, kind: Kind, prepared: Making) -> None:
    scenario = SCENARIOS[name]
    copies = await prepared(preparing(scenario))
    async with copies() as house:
        calls = await counted(scenario, house)
    stride = max(1, 20 // EFFORT)
    for call in calls[list(Kind).index(kind) % stride :: stride]:
        faults = Strikes(call, kind, turns=Turns())
        async with copies() as house, house.user() as other:
            try:
                await _both(scenario, house, faults, other)
            except BaseException as error:
                error.add_note(f"after {call}: {kind}")
                raise


async def _both(scenario: Scenario, house: House, faults: Strikes, other: User) -> None:
    busy = asyncio.create_task(_busy(other))
    manager = house.manager(faulty(house.backends, faults))
    try:
        user = User(manager, house.promises)
        user.begins = faults.turns.begins
        task = asyncio.create_task(as_caller(scenario.act(user, house)))
        await outcome_of(task)
        faults.turns.end()
        house.clock.let_leases_end()
        if faults.kind not in OF_PROCESS:
            faults.heal()
            await manager.close()
        busy.cancel()
        await asyncio.wait([busy])
        other.damaged = user.damaged
        await house.check(other)
    finally:
        faults.turns.end()
        busy.cancel()
        await asyncio.wait([busy])
        await manager.close()


async def _busy(user: User) -> None:
    while True:
        await user.drain()
        await asyncio.sleep(0.002)
