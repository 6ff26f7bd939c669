"""Making a family anew, broken off in the middle or disturbed by others, on every backend."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from dualstore.documents import families
from dualstore.documents.base import Database
from dualstore.entry import Draft, Drafter
from dualstore.errors import FamilyMismatchError, UnavailableError
from tests.documents.conftest import Place
from tests.documents.respecs import (
    CHANGES,
    LATER,
    MADE,
    TEXTS,
    answers,
    answers_when_fresh,
    drafts_of,
    fill,
    spy,
    touched_by,
)
from tests.documents.writing import claim, get


def _break_at(
    monkeypatch: pytest.MonkeyPatch, database: Database, nth: int, *, after: bool
) -> None:
    """The nth change of a record from now on fails, before or after it was made."""
    change = database.records.replace
    left = nth

    async def broken(*args: Any, **others: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and not after:
            raise UnavailableError("killed")
        result = await change(*args, **others)
        if left == 0:
            raise UnavailableError("killed")
        return result

    monkeypatch.setattr(database.records, "replace", broken)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5])
async def test_one_that_was_killed_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch, nth: int, after: bool
) -> None:
    spec = CHANGES["everything"]
    monkeypatch.setattr(families, "STEP", 3)  # nine entries: a beginning, three steps, an end
    async with place() as database:
        await fill(await database.family(MADE))
        with monkeypatch.context() as patch:
            _break_at(patch, database, nth, after=after)
            with pytest.raises(UnavailableError, match="killed"):
                await database.respec(spec, now=LATER)
    async with place() as database:
        if (nth, after) == (1, False):
            await database.family(MADE)
        elif (nth, after) != (5, True):
            for refused in (MADE, spec, CHANGES["thread_key"]):
                with pytest.raises(FamilyMismatchError, match="finish the reindexing"):
                    await database.family(refused)
        with monkeypatch.context() as patch:
            composed = spy(patch)
            await database.respec(spec, now=LATER + 1)
        steps = min(3, max(0, nth - 1 if after else nth - 2))
        assert composed == [*"abcdefghi"][3 * steps :]
        store = await database.family(spec)
        assert await answers(store) == await answers_when_fresh(database, spec)
        touched = touched_by(MADE, spec)
        assert set(await claim(store, now=LATER + 1)) == touched | {"j"}


async def test_one_that_breaks_in_every_step_ends_some_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = CHANGES["everything"]
    monkeypatch.setattr(families, "STEP", 2)
    await fill(await database.family(MADE))
    for _ in range(20):
        with monkeypatch.context() as patch:
            _break_at(patch, database, 1, after=True)
            try:
                await database.respec(spec, now=LATER)
            except UnavailableError:
                continue
            break
    store = await database.family(spec)
    assert await answers(store) == await answers_when_fresh(database, spec)


@pytest.mark.parametrize("third", ["thread_key", "made", "analyzer", "names"])
async def test_a_third_spec_takes_over(
    database: Database, monkeypatch: pytest.MonkeyPatch, third: str
) -> None:
    spec = CHANGES.get(third, MADE)
    monkeypatch.setattr(families, "STEP", 3)
    await fill(await database.family(MADE))
    with monkeypatch.context() as patch:
        _break_at(patch, database, 3, after=True)
        with pytest.raises(UnavailableError):
            await database.respec(CHANGES["everything"], now=LATER)
    with monkeypatch.context() as patch:
        composed = spy(patch)
        await database.respec(spec, now=LATER)
    assert composed == [*"abcdefghi"]
    with pytest.raises(FamilyMismatchError, match="was made otherwise"):
        await database.family(CHANGES["everything"])
    store = await database.family(spec)
    assert await answers(store) == await answers_when_fresh(database, spec)
    works = await claim(store, now=LATER)
    # what the first steps had made due stays so
    assert works.keys() >= touched_by(MADE, spec)


async def test_what_others_do_at_the_same_time_is_noticed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place() as one, place() as other:
        await fill(await one.family(MADE))
        change = one.records.replace

        async def late(*args: Any, **others: Any) -> Any:
            await other.respec(CHANGES["author_key"], now=LATER)
            return await change(*args, **others)

        monkeypatch.setattr(one.records, "replace", late)
        with pytest.raises(UnavailableError, match="somebody else is making family 'tests_respec'"):
            await one.respec(CHANGES["thread_key"], now=LATER)
        assert await (await one.family(CHANGES["author_key"])).count() == len(TEXTS) - 2


async def test_what_is_written_meanwhile_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may not have it open; if one has all the same, nothing that he wrote is lost."""
    loop = asyncio.get_running_loop()
    written: list[Future[Any]] = []
    async with place() as one, place() as other:
        store = await one.family(MADE)
        await fill(store)
        change = [each._replace(text="new", content_hash="01" * 16) for each in drafts_of(MADE)[:2]]

        def write() -> None:
            if not written:
                putting = store.put([change[0]], now=LATER)
                written.append(asyncio.run_coroutine_threadsafe(putting, loop))
                written.append(
                    asyncio.run_coroutine_threadsafe(store.delete(["b"], now=LATER), loop)
                )
                _wait_a_little(written)

        _while_deriving(monkeypatch, write)
        await other.respec(CHANGES["thread_key"], now=LATER)
        await asyncio.gather(*map(asyncio.wrap_future, written))
        store = await one.family(CHANGES["thread_key"])
        assert ((await get(store, "a")).text, (await get(store, "a")).revision) == ("new", 3)
        assert await store.get(["b"]) == {}


def _while_deriving(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Between reading an entry and writing it."""
    compose = Drafter.compose

    def interrupted(self: Drafter, **parts: Any) -> Draft:
        draft = compose(self, **parts)
        act()
        return draft

    monkeypatch.setattr(Drafter, "compose", interrupted)


def _wait_a_little(futures: list[Future[Any]]) -> None:
    """Where one writes at a time, they end after us."""
    for future in futures:
        try:
            future.result(timeout=0.3)
        except TimeoutError:
            return
