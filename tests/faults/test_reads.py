"""What a read says while something else goes on."""

import asyncio

from dualstore.entry import Drafter
from dualstore.testing import faulty
from tests.faults.conftest import Making
from tests.faults.places import House
from tests.faults.scenarios import A, B
from tests.faults.strikes import Call, Pauses, Turns, as_caller


async def test_a_search_says_what_was_missing_when_it_asked(prepared: Making) -> None:
    """Indexed in the middle of it is too late to be found, and no longer missing at its end."""

    async def prepare(house: House) -> None:
        async with house.user() as user:
            await user.insert(A)
            await user.drain()
        store = await house.backends.documents.family(house.spec)
        await store.put([Drafter(house.spec).draft(B, now=house.clock())], now=house.clock())

    async with (await prepared(prepare))() as house, house.user() as other:
        asked = Call("vectors.index.query", by_caller=True, after=1, nth=1)
        pauses = Pauses(asked, other.drain, after=True, turns=Turns(always=True))
        async with house.user(faulty(house.backends, pauses)) as user:
            search = user.manager.search("a kitten on a sofa", "semantic")
            result = await asyncio.create_task(as_caller(search))
        assert pauses.struck == ["vectors.index.query"]
        assert [hit.entry.id for hit in result.hits] == ["a"]
        assert result.degraded == ("documents not indexed yet: 1",)
