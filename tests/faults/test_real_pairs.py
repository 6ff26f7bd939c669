"""The same on every pair of real parts; each call fails in one way, the next one in the next."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count

import pytest

from dualstore.embedders.static import StaticEmbedder
from dualstore.wiring import Backends
from tests.dual.pairs import Pair
from tests.faults.conftest import EFFORT
from tests.faults.hurried import Hurried
from tests.faults.places import SPEC, House
from tests.faults.scenarios import SCENARIOS
from tests.faults.strikes import Call, Kind, Strikes, Turns
from tests.faults.test_every_step import counted, preparing, survives

_NUMBERS = count()


@pytest.fixture
async def backends(pair: Pair, embedder: StaticEmbedder) -> AsyncIterator[Backends]:
    async with pair.open(embedder=embedder) as opened:
        yield opened


@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_call_may_fail(name: str, backends: Backends) -> None:
    scenario = SCENARIOS[name]

    async def house() -> House:
        clock = Hurried()
        spec = replace(SPEC, name=f"default_n{next(_NUMBERS)}")
        made = House(replace(backends, clock=clock), clock, spec=spec)
        await preparing(scenario)(made)
        return made

    turn = list(SCENARIOS).index(name)
    calls = await counted(scenario, await house())
    stride = max(1, 16 // EFFORT)
    missed: list[Call] = []
    chosen = calls[turn % stride :: stride]
    for number, call in enumerate(chosen, turn):
        kind = list(Kind)[number % len(Kind)]
        faults = Strikes(call, kind, turns=Turns())
        try:
            await survives(scenario, await house(), faults, reopened=number % 2 == 1)
        except BaseException as error:
            error.add_note(f"after {call}: {kind}")
            raise
        missed += [] if faults.struck else [call]
    assert len(missed) <= len(chosen) / 2, missed
