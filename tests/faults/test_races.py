"""Moments at which only one order of steps is right; another manager comes in at each of them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

import pytest

from dualstore.errors import DualStoreError, UnavailableError
from dualstore.indexing.generations import GenerationBook
from dualstore.indexing.indexes import Indexes
from dualstore.indexing.rebuilding import Rebuilding
from dualstore.testing import faulty
from dualstore.vectors.base import VectorId
from tests.dual.looking import all_ids, copied, index_of
from tests.faults.conftest import Making
from tests.faults.places import House
from tests.faults.scenarios import NOTES, SCENARIOS, A, C, Scenario
from tests.faults.strikes import Call, Pauses, as_caller
from tests.faults.test_draining import removals_of
from tests.faults.test_every_step import counted, preparing
from tests.faults.test_two_indexers import (
    ACTS,
    SECOND,
    deletes_and_writes_again,
    is_unharmed,
    takes_back,
    while_paused,
)
from tests.faults.user import User

P = ParamSpec("P")
R = TypeVar("R")

BOTH = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


async def _calls(scenario: Scenario, house: House, *names: str) -> list[Call]:
    """The worker's of these names, or all of them."""
    calls = await counted(scenario, house)
    return [each for each in calls if not each.by_caller and (not names or each.name in names)]


@BOTH
async def test_work_goes_into_the_generation_that_there_is_after_its_claim(
    after: bool, prepared: Making
) -> None:
    """Somebody begins a new one and marks everything due for it, just before or after a claim."""
    scenario = ACTS["write"]
    copies = await prepared(preparing(scenario))
    async with copies() as house:
        calls = await _calls(scenario, house, "documents.claim", "records.get")
    for call in calls:
        async with copies() as house:
            pauses = Pauses(call, lambda at=house: _mark_for_a_rebuild(at), after=after)  # type: ignore[misc]
            await _unharmed(scenario, house, pauses, call)


async def _unharmed(scenario: Scenario, house: House, pauses: Pauses, call: Call) -> None:
    try:
        await is_unharmed(scenario.act, house, pauses)
    except BaseException as error:
        error.add_note(f"held up at {call}")
        raise


async def _mark_for_a_rebuild(house: House) -> None:
    backends = house.backends
    book = GenerationBook(backends.documents.records, house.spec.name)
    rebuilding = Rebuilding(
        await backends.documents.family(house.spec),
        indexes=Indexes(backends.vectors, book, backends.embedder),
        book=book,
        embedder=backends.embedder,
        clock=house.clock,
    )
    await rebuilding.begin()
    while (present := await book.read()) and present.walked is not None:
        await rebuilding.step()


async def _put_back(user: User, house: House) -> None:
    """A vector of what an entry said before it was changed."""
    await user.insert(*NOTES)
    await user.drain()
    entry = await user.manager.get("a")
    await user.insert(SECOND)
    await user.drain()
    changed = await user.manager.get("a")
    assert entry
    assert changed
    present, old = (VectorId("a", each.text_hash, 0) for each in (changed, entry))
    await copied(await index_of(house.backends, house.spec.name), str(present), old)


async def _remove(user: User, _: House) -> None:
    await user.search(SECOND["text"])
    await user.drain()


@BOTH
@pytest.mark.parametrize("meanwhile", [takes_back, deletes_and_writes_again])
async def test_what_is_removed_may_be_wanted_again_at_any_moment(
    meanwhile: Callable[[User], Awaitable[None]], after: bool, prepared: Making
) -> None:
    scenario = Scenario(_put_back, _remove)
    copies = await prepared(preparing(scenario))
    async with copies() as house:
        calls = await _calls(scenario, house)
    assert "vectors.index.delete" in [each.name for each in calls]
    for call in calls:
        async with copies() as house:
            pauses = Pauses(call, lambda at=house: while_paused(at, meanwhile), after=after)  # type: ignore[misc]
            await _unharmed(scenario, house, pauses, call)


async def test_a_removal_that_failed_is_looked_at_again(prepared: Making) -> None:
    """Though others have taken it off the queue: the entry may have been indexed before it."""
    async with (await prepared(preparing(Scenario(_put_back, _remove))))() as house:

        async def back() -> None:
            async with house.user() as other:
                await takes_back(other)

        backends = house.backends
        (old,) = await _said_no_longer(house)
        faults = _Fails(Call("vectors.index.delete", False, after=0, nth=1), back, after=False)
        faults.turns.end()
        removals = await removals_of(house, faulty(backends, faults))
        await (await removals_of(house, backends)).add([old])
        with pytest.raises(UnavailableError):
            await removals.step()
        assert not await (await removals_of(house, backends)).are_queued()
        assert await removals.are_queued()
        await removals.step()
        async with house.user() as user:
            await house.check(user)


class _Fails(Pauses):
    """The call that was held up takes effect, and raises."""

    async def call(
        self, name: str, method: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        before = len(self.struck)
        result = await super().call(name, method, *args, **kwargs)
        if len(self.struck) > before:
            raise UnavailableError("injected")
        return result


async def _said_no_longer(house: House) -> list[str]:
    index = await index_of(house.backends, house.spec.name)
    ids = [VectorId.parse(each) for each in await all_ids(index)]
    marks = (await house.backends.documents.family(house.spec)).marks
    hashes = {each: scanned.text_hash for each, scanned in (await marks(["a"])).items()}
    return [str(each) for each in ids if each and hashes.get(each.entry, "") not in ("", each[1])]


@BOTH
async def test_while_a_new_index_is_filled_the_old_one_answers(
    after: bool, prepared: Making
) -> None:
    """Also when another one looks whether it is full already."""
    scenario = SCENARIOS["reindex"]
    copies = await prepared(preparing(scenario))
    async with copies() as house:
        calls = await _calls(scenario, house)
    for call in calls[after::2]:
        async with copies() as house:
            pauses = Pauses(call, lambda at=house: _is_found(at), after=after)  # type: ignore[misc]
            manager = house.manager(faulty(house.backends, pauses))
            user = User(manager, house.promises)
            user.begins = pauses.turns.begins
            await asyncio.create_task(as_caller(scenario.act(user, house)))
            await pauses.end()
            await manager.close()


async def _is_found(house: House) -> None:
    async with house.user() as other:
        with suppress(DualStoreError):
            await other.manager.drain(timeout=0.03)
        for each in (A, C):
            result = await other.manager.search(each["text"], "semantic")
            assert result.hits, each
            assert result.hits[0].entry.id == each["id"]
