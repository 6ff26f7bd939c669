"""Waiting for the index beside those who work on it."""

import asyncio

from dualstore.indexing.generations import GenerationBook
from dualstore.indexing.indexes import Indexes
from dualstore.indexing.removals import Removals
from dualstore.testing import faulty
from dualstore.wiring import Backends
from tests.dual.looking import all_ids, index_of
from tests.faults.conftest import Making
from tests.faults.places import House
from tests.faults.scenarios import SCENARIOS
from tests.faults.strikes import Call, Pauses, Turns, as_caller
from tests.faults.test_every_step import preparing


async def test_what_a_removal_makes_due_meanwhile_is_waited_for(prepared: Making) -> None:
    """The documents were counted before it, and the queue after it."""
    copies = await prepared(preparing(SCENARIOS["update"]))
    async with copies() as house:
        removals = await removals_of(house, house.backends)
        await removals.add(await all_ids(await index_of(house.backends)))

        async def somebody_removes() -> None:
            assert await removals.step()

        looked = Call("records.range", by_caller=True, after=1, nth=1)
        pauses = Pauses(looked, somebody_removes, after=False, turns=Turns(always=True))
        async with house.user(faulty(house.backends, pauses)) as user:
            await asyncio.create_task(as_caller(user.manager.drain(timeout=10)))
            assert pauses.struck
            assert (await user.manager.index_status()).due == 0


async def removals_of(house: House, backends: Backends) -> Removals:
    book = GenerationBook(backends.documents.records, house.spec.name)
    return Removals(
        backends.documents.records,
        await backends.documents.family(house.spec),
        indexes=Indexes(backends.vectors, book, backends.embedder),
        clock=house.clock,
    )
