"""Whichever call fails, and however: nothing that was acknowledged is lost, and no read lies."""

import asyncio

import pytest

from dualstore.settings import Settings
from dualstore.testing import faulty
from tests.faults.conftest import EFFORT, Making
from tests.faults.places import EVENTUAL, STRICT, House, Prepare
from tests.faults.scenarios import NOTES, SCENARIOS, Scenario
from tests.faults.strikes import (
    OF_CALLER,
    OF_PROCESS,
    Call,
    Kind,
    Strikes,
    Turns,
    as_caller,
    outcome_of,
)
from tests.faults.user import User


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_call_may_fail(name: str, kind: Kind, prepared: Making) -> None:
    await _sweep(SCENARIOS[name], kind, prepared, EVENTUAL)


@pytest.mark.parametrize("kind", Kind)
async def test_every_call_may_fail_below_a_strict_write(kind: Kind, prepared: Making) -> None:
    await _sweep(SCENARIOS["write"], kind, prepared, STRICT)


async def _sweep(scenario: Scenario, kind: Kind, prepared: Making, settings: Settings) -> None:
    copies = await prepared(preparing(scenario), settings)
    async with copies() as house:
        calls = await counted(scenario, house)
    stride = max(1, 6 // EFFORT)
    missed: list[Call] = []
    chosen = calls[list(Kind).index(kind) % stride :: stride]
    for number, call in enumerate(chosen):
        faults = Strikes(call, kind, turns=Turns(always=settings is STRICT))
        reopened = number % 2 == 1
        async with copies() as house:
            try:
                await survives(scenario, house, faults, reopened=reopened)
            except BaseException as error:
                error.add_note(f"after {call}: {kind}, reopened: {reopened}")
                raise
        missed += [call] if not faults.struck else []
    assert len(missed) <= len(chosen) / 2, missed


def preparing(scenario: Scenario) -> Prepare:
    """What was there before the scenario, done with nothing in the way."""

    async def prepare(house: House) -> None:
        async with house.user() as user:
            await scenario.before(user, house)

    return prepare


async def counted(scenario: Scenario, house: House) -> list[Call]:
    """All calls of a run in which nothing fails."""
    turns = Turns(always=house.settings is STRICT)
    faults = Strikes(turns=turns)
    manager = house.manager(faulty(house.backends, faults))
    user = User(manager, house.promises)
    user.begins = turns.begins
    await asyncio.create_task(as_caller(scenario.act(user, house)))
    turns.end()
    await manager.close()
    return list(turns.seen)


async def survives(scenario: Scenario, house: House, faults: Strikes, *, reopened: bool) -> None:
    """Everything is in step again once nothing is in the way."""
    faults.claimed = house.clock.let_leases_end
    manager = house.manager(faulty(house.backends, faults))
    try:
        user = User(manager, house.promises)
        user.begins = faults.turns.begins
        task = asyncio.create_task(as_caller(scenario.act(user, house)))
        if faults.kind in OF_CALLER:
            faults.victim = task
        await outcome_of(task)
        faults.turns.end()
        if reopened or faults.kind in OF_PROCESS:  # others give back what they had claimed
            house.clock.let_leases_end()
        if faults.kind in OF_PROCESS:  # the dead one stays as it is
            user.manager = house.manager()
            if faults.kind is Kind.DEATH_AFTER:  # what it left half done is of an old text then
                await user.insert(
                    *({**each, "text": f"{each['id']} says at last"} for each in NOTES)
                )
        else:
            faults.heal()
            if reopened:
                await manager.close()
                user.manager = house.manager()
        await house.check(user)
    finally:
        await user.manager.close()
        await manager.close()
