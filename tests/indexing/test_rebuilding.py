from dataclasses import replace

import pytest

from dualstore.errors import FamilyMismatchError, VectorsGoneError
from dualstore.indexing import rebuilding as rooms
from dualstore.indexing.generations import Generations
from tests.dual.listening import Listening
from tests.indexing.conftest import Family


async def _present(family: Family) -> Generations:
    found = await family.book.read()
    assert found is not None
    return found


async def _fill(family: Family, count: int = 5) -> None:
    for number in range(count):
        await family.put(f"m{number}", f"word {number}")
    await _drain(family)


async def _drain(family: Family, *, steps: int = 100) -> None:
    work = family.work()
    for _ in range(steps):
        if not await work.step():
            return
    pytest.fail("it doesn't come to an end")


async def test_a_new_generation_takes_over_and_the_old_index_goes(family: Family) -> None:
    await _fill(family)
    old = (await _present(family)).live
    await family.rebuilding().begin()
    assert await family.rebuilding().is_under_way()
    await _drain(family)
    present = await _present(family)
    assert present.at_rest
    assert present.live.number == old.number + 1
    assert await family.place.names() == [present.live.index_name("tests_indexing")]
    assert await family.held() == {f"m{number}": 1 for number in range(5)}
    assert len(family.embedder.given) == 5, "the copies served"


async def test_the_old_one_answers_until_the_new_one_has_all(family: Family) -> None:
    await _fill(family)
    await family.rebuilding().begin()
    old = await family.indexes().live()
    assert old is not None
    while (await _present(family)).walked is not None:
        await family.rebuilding().step()
    assert await family.rebuilding().step() == 0, "it waits for the indexers"
    assert await family.indexer().step(2) == 2
    live = await family.indexes().live()
    assert live is not None
    assert (live.name, await live.count()) == (old.name, 5)
    assert (await family.index()).name != old.name
    await _drain(family)
    live = await family.indexes().live()
    assert live is not None
    assert (live.name, await live.count()) == ((await family.index()).name, 5)


async def test_beginning_again_goes_on(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "PAGE", 2)
    await _fill(family)
    await family.rebuilding().begin()
    await family.rebuilding().step()
    before = await _present(family)
    assert before.walked == "m1"
    await family.rebuilding().begin()
    assert await _present(family) == before
    await _drain(family)
    assert (await _present(family)).live.number == 2


async def test_what_is_written_while_it_is_built_goes_into_the_new_one(family: Family) -> None:
    await _fill(family)
    await family.rebuilding().begin()
    await family.put("a", "comes before the others")
    await family.put("z", "comes behind them")
    await family.indexer().step()
    assert (await family.held()).keys() == {"a", "z"}
    await family.store.delete(["m1"], now=family.now)
    await _drain(family)
    assert (await family.held()).keys() == {"a", "m0", "m2", "m3", "m4", "z"}


async def test_another_embedder_builds_while_the_first_one_asks(family: Family) -> None:
    await _fill(family)
    other = Listening()
    other.version = "2"
    await family.rebuilding(other).begin()
    await family.book.check(family.embedder)
    assert await family.indexes().live() is not None
    with pytest.raises(FamilyMismatchError, match="static-minilm/2/256"):
        await family.indexer().step()
    with pytest.raises(FamilyMismatchError, match="made by static-minilm/1/256"):
        await family.indexes(other).live()
    work = replace_embedder(family, other)
    await _drain(work)
    assert len(other.given) == 5
    with pytest.raises(FamilyMismatchError, match="reindex"):
        await family.book.check(family.embedder)
    with pytest.raises(FamilyMismatchError, match="reindex"):
        await family.indexes().live()


def replace_embedder(family: Family, other: Listening) -> Family:
    return replace(family, embedder=other)


async def test_a_third_embedder_takes_over_and_leaves_nothing(family: Family) -> None:
    await _fill(family)
    for version in ("2", "3"):
        other = Listening()
        other.version = version
        await family.rebuilding(other).begin()
        await family.indexes(other).target()
    assert len(await family.place.names()) == 3
    await _drain(replace_embedder(family, other))
    live = (await _present(family)).live
    assert live.embedder == "static-minilm/3/256"
    assert await family.place.names() == [live.index_name("tests_indexing")]


async def test_a_lost_index_is_filled_again_without_embedding(family: Family) -> None:
    await _fill(family)
    indexes = family.indexes()
    assert await indexes.live() is not None
    (name,) = await family.place.names()
    await family.place.drop(name)
    indexes.forget()
    with pytest.raises(VectorsGoneError, match="made again"):
        await indexes.live()
    assert await indexes.live() is None
    assert (await _present(family)).walked == ""
    await _drain(family)
    assert await family.held() == {f"m{number}": 1 for number in range(5)}
    assert len(family.embedder.given) == 5
    assert (await _present(family)).at_rest


async def test_an_index_that_is_lost_while_it_is_built_is_begun_again(family: Family) -> None:
    await _fill(family)
    await family.rebuilding().begin()
    await family.indexer().step()
    await family.rebuilding().step()
    await family.indexer().step()
    present = await _present(family)
    assert present.building is not None
    await family.place.drop(present.building.index_name("tests_indexing"))
    await family.put("late", "comes late")
    await _drain(family)
    present = await _present(family)
    assert present.at_rest
    assert (await family.held()).keys() == {"late", *(f"m{number}" for number in range(5))}
    assert await family.place.names() == [present.live.index_name("tests_indexing")]


async def test_two_databases_may_share_a_place(family: Family) -> None:
    """Each has an index of its own, whatever its families are called."""
    await _fill(family)
    mine = (await _present(family)).live.index_name("tests_indexing")
    theirs = replace((await _present(family)).live, token="00000000").index_name("tests_indexing")
    assert mine != theirs
    await family.place.index(theirs, dimension=256)
    await family.rebuilding().begin()
    await _drain(family)
    assert theirs in await family.place.names()
