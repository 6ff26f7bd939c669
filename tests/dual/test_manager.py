"""What the manager promises, on every pair of real parts."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from dualstore.errors import (
    ClosedError,
    CursorError,
    EntryError,
    FamilyMismatchError,
    FilterError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
)
from dualstore.manager import DualStoreManager
from dualstore.outbox import IndexState
from dualstore.settings import Settings
from dualstore.wiring import Backends
from tests.dual.listening import Listening
from tests.dual.looking import held
from tests.dual.pairs import Pair

CATS = [
    {"id": "a", "text": "The kitten sleeps on the sofa", "timestamp": 10},
    {"id": "b", "text": "Quarterly tax report", "timestamp": 20, "metadata": {"kind": "office"}},
    {"id": "c", "text": "A dog barks at the mailman", "timestamp": 30},
    {"id": "d", "text": "   ", "timestamp": 40, "body": {"parts": [1, 2.5, None]}},
]


async def test_what_is_inserted_is_there_as_it_was_given(notes: DualStoreManager) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    item = {"text": "words", "timestamp": when, "metadata": {"n": 2**62}, "body": [{"x": "ü"}]}
    id_ = await notes.insert(item)
    await notes.drain()  # its mark stays as it is from here on
    entry = await notes.get(id_)
    assert entry is not None
    assert (entry.text, entry.metadata, entry.body) == ("words", {"n": 2**62}, [{"x": "ü"}])
    assert entry.timestamp == int(when.timestamp() * 1000)
    assert (entry.revision, entry.origin) == (1, "local")
    assert await notes.get("nobody") is None
    assert await notes.get_many([id_, "nobody"]) == {id_: entry}


async def test_ids_come_back_in_the_order_of_the_items(notes: DualStoreManager) -> None:
    assert await notes.insert_many(CATS) == ["a", "b", "c", "d"]
    assert await notes.insert_many([]) == []
    assert await notes.insert_many(dict(each) for each in CATS[:2]) == ["a", "b"]
    assert await notes.count() == 4


async def test_a_batch_with_a_wrong_item_is_refused_whole(notes: DualStoreManager) -> None:
    wrong = [{"text": "fine"}, {"text": "when?", "timestamp": "yesterday"}]
    with pytest.raises(EntryError, match="item 1: timestamp"):
        await notes.insert_many(wrong)
    assert await notes.count() == 0


async def test_drained_is_indexed_and_found_by_meaning(notes: DualStoreManager) -> None:
    await notes.insert_many(CATS)
    await notes.drain()
    status = await notes.index_status()
    assert (status.due, status.leased, status.failed, status.lag_ms) == (0, 0, 0, 0)
    assert not status.rebuilding
    result = await notes.search("a cat naps on the couch", limit=2)
    assert result.hits[0].entry.id == "a"
    assert result.hits[0].snippet.text == "The kitten sleeps on the sofa"
    assert 0 < result.hits[1].score <= result.hits[0].score <= 1
    assert result.degraded == ()
    assert await notes.search("", limit=2) == type(result)(())


async def test_the_most_relevant_of_several_texts_share_one_limit(notes: DualStoreManager) -> None:
    await notes.insert_many(CATS)
    await notes.drain()
    hits = await notes.get_most_relevant(["kitten", "tax report"], limit=2)
    assert [hit.entry.id for hit in hits] == ["b", "a"]
    (alone,) = await notes.get_most_relevant("a puppy barking", limit=1)
    assert alone.entry.id == "c"
    assert await notes.get_most_relevant([], limit=3) == []


async def test_a_filter_leaves_out_what_it_does_not_want(notes: DualStoreManager) -> None:
    await notes.insert_many(CATS)
    await notes.drain()
    hits = await notes.get_most_relevant("kitten", where={"metadata.kind": "office"})
    assert [hit.entry.id for hit in hits] == ["b"]
    assert await notes.get_most_relevant("kitten", where={"metadata.kind": "home"}) == []
    late = await notes.get_most_relevant("kitten", where={"timestamp": {"$gte": 20}})
    assert {hit.entry.id for hit in late} == {"b", "c"}


async def test_what_is_not_indexed_yet_is_said(
    notes: DualStoreManager, embedder: Listening
) -> None:
    async def refuse(texts: object) -> None:
        if texts != ["sofa"]:
            raise ConnectionResetError("the embedder sleeps")

    await notes.insert(CATS[0])
    await notes.drain()
    embedder.fails = refuse
    await notes.insert(CATS[1])
    result = await notes.search("sofa")
    assert [hit.entry.id for hit in result.hits] == ["a"]
    assert result.degraded == ("documents not indexed yet: 1",)


async def test_the_newest_come_first_without_blank_ones(notes: DualStoreManager) -> None:
    await notes.insert_many(CATS)
    assert [entry.id for entry in await notes.get_most_recent(2)] == ["c", "b"]
    blank = await notes.get_most_recent(where={"text": {"$ne": "x"}})
    assert [entry.id for entry in blank] == ["d", "c", "b", "a"]
    await notes.insert({**CATS[0], "body": 1})
    assert [entry.id for entry in await notes.get_most_recent(1, sort="updated")] == ["a"]
    for number in range(30):
        await notes.insert({"id": f"blank{number}", "text": "", "timestamp": 1000 + number})
    assert [entry.id for entry in await notes.get_most_recent(3)] == ["c", "b", "a"]


async def test_pages_lead_to_the_end(notes: DualStoreManager) -> None:
    await notes.insert_many({"id": f"m{n:02}", "text": "x", "timestamp": n} for n in range(25))
    seen: list[str] = []
    cursor = None
    while True:
        page = await notes.page(limit=10, newest=False, cursor=cursor)
        seen += [entry.id for entry in page.entries]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [f"m{n:02}" for n in range(25)]
    assert [each.id for each in (await notes.page(skip=23)).entries] == ["m01", "m00"]
    assert await notes.count({"timestamp": {"$lt": 5}}) == 5


async def test_deleted_is_gone_from_both_sides(notes: DualStoreManager, backends: Backends) -> None:
    await notes.insert_many(CATS)
    await notes.drain()
    assert await held(backends) == {"a": 1, "b": 1, "c": 1}
    assert await notes.delete("a")
    assert not await notes.delete("a")
    assert not await notes.delete("nobody")
    assert await notes.get("a") is None
    assert "a" not in [hit.entry.id for hit in (await notes.search("kitten")).hits]
    await notes.drain()
    assert await held(backends) == {"b": 1, "c": 1}


async def test_a_filter_deletes_what_it_finds(notes: DualStoreManager) -> None:
    items = [
        {"id": f"m{n}", "text": "x", "metadata": {"kind": "odd" if n % 2 else "even"}}
        for n in range(250)
    ]
    await notes.insert_many(items)
    assert await notes.delete_where({"metadata.kind": "odd"}) == 125
    assert await notes.count() == 125
    assert await notes.delete_where({"metadata.kind": "odd"}) == 0
    nothing: Any
    for nothing in ({}, None):
        with pytest.raises(InvalidInputError, match="needs a filter"):
            await notes.delete_where(nothing)


async def test_an_entry_says_whether_it_is_in_step(
    notes: DualStoreManager, embedder: Listening
) -> None:
    await notes.insert(CATS[0])
    await notes.drain()
    found = await notes.check_consistency("a")
    assert (found.state, found.expected, found.found, found.problems) == (
        IndexState.INDEXED,
        1,
        1,
        (),
    )
    assert found.in_step

    async def refuse(_: object) -> None:
        raise ConnectionResetError("the embedder sleeps")

    embedder.fails = refuse
    await notes.insert({**CATS[0], "text": "other words"})
    found = await notes.check_consistency("a")
    assert not found.in_step
    with pytest.raises(NotFoundError, match="nobody"):
        await notes.check_consistency("nobody")


async def test_wrong_questions_are_refused(notes: DualStoreManager) -> None:
    await notes.insert(CATS[0])
    with pytest.raises(FilterError, match=r"\$where"):
        await notes.page({"$where": "1"})
    with pytest.raises(InvalidInputError, match="limit"):
        await notes.get_most_recent(0)
    with pytest.raises(InvalidInputError, match="limit"):
        await notes.search("x", limit=0)
    with pytest.raises(InvalidInputError, match="there is no mode 'magic'"):
        await notes.search("x", mode="magic")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="query"):
        await notes.search(3)  # type: ignore[arg-type]
    with pytest.raises(CursorError):
        await notes.page(cursor="nonsense")
    with pytest.raises(EntryError, match="id"):
        await notes.delete("")


async def test_a_family_opens_again_with_what_it_held(pair: Pair, settings: Settings) -> None:
    async with (
        pair.open() as backends,
        await DualStoreManager.create("notes", settings=settings, backends=backends) as notes,
    ):
        await notes.insert_many(CATS)
        await notes.drain()
    async with (
        pair.open() as backends,
        await DualStoreManager.create("notes", settings=settings, backends=backends) as notes,
    ):
        assert (await notes.search("a cat naps on the couch")).hits[0].entry.id == "a"
        assert await notes.count() == 4
        with pytest.raises(FamilyMismatchError, match="author_key"):
            await DualStoreManager.create(
                "notes", author_key="who", settings=settings, backends=backends
            )
        assert (await notes.consistency_report()).clean


async def test_closing_leaves_what_is_due_and_ends_the_use(
    backends: Backends, settings: Settings, embedder: Listening
) -> None:
    async def refuse(_: object) -> None:
        raise ConnectionResetError("the embedder sleeps")

    embedder.fails = refuse
    notes = await DualStoreManager.create("notes", settings=settings, backends=backends)
    await notes.insert(CATS[0])
    await notes.close()
    await notes.close()
    with pytest.raises(ClosedError, match="closed"):
        await notes.get("a")
    embedder.fails = None
    async with await DualStoreManager.create(
        "notes", settings=settings, backends=backends
    ) as again:
        assert (await again.index_status()).due == 1
        await again.drain()
        assert await held(backends) == {"a": 1}


async def test_what_waits_when_it_is_closed_is_told(
    backends: Backends, settings: Settings, embedder: Listening
) -> None:
    async def refuse(_: object) -> None:
        raise ConnectionResetError("the embedder sleeps")

    embedder.fails = refuse
    notes = await DualStoreManager.create("notes", settings=settings, backends=backends)
    await notes.insert(CATS[0])
    waiting = asyncio.create_task(notes.drain())
    await asyncio.sleep(0.05)
    await notes.close()
    with pytest.raises(ClosedError):
        await asyncio.wait_for(waiting, 10)
    assert not [task for task in asyncio.all_tasks() if "dualstore-index" in task.get_name()]


async def test_pages_of_one_ranking_say_the_same_of_what_is_missing(
    notes: DualStoreManager, embedder: Listening
) -> None:
    async def refuse(_: object) -> None:
        raise ConnectionResetError("the embedder sleeps")

    await notes.insert_many(CATS)
    await notes.drain()
    embedder.fails = refuse
    await notes.insert({"id": "e", "text": "The kitten is back"})
    first = await notes.search("kitten sofa report", limit=1)
    embedder.fails = None
    await notes.drain()
    assert first.degraded == ("documents not indexed yet: 1",)
    second = await notes.search("kitten sofa report", limit=1, cursor=first.next_cursor)
    assert second.degraded == first.degraded


async def test_wrong_arguments_are_refused_by_name(notes: DualStoreManager) -> None:
    nothing: Any = None
    for wrong in (
        notes.get_most_relevant(nothing),
        notes.get_most_relevant([], limit=-3),
        notes.compile_context("x", max_chars=-3),
    ):
        with pytest.raises(InvalidInputError):
            await wrong
    with pytest.raises(EntryError) as caught:
        await notes.insert("x")  # type: ignore[arg-type]
    assert caught.value.position is None


async def test_families_do_not_meet(backends: Backends, settings: Settings) -> None:
    for agent, name in (("one", "notes"), ("two", "notes")):
        async with await DualStoreManager.create(
            name, agent_name=agent, settings=settings, backends=backends
        ) as family:
            await family.insert({"id": "a", "text": f"words of {agent}"})
            await family.drain()
            (hit,) = (await family.search("words")).hits
            assert hit.entry.text == f"words of {agent}"
    with pytest.raises(InvalidNameError):
        await DualStoreManager.create("a:b", settings=settings, backends=backends)
