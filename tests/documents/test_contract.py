"""What holds for a database as a whole, on every backend."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from dualstore.documents.base import Database, DocumentStore
from dualstore.documents.families import FAMILIES
from dualstore.entry import Drafter
from dualstore.errors import FamilyMismatchError, InvalidInputError, UnavailableError
from dualstore.filters import parse
from dualstore.outbox import IndexState
from tests.documents.conftest import Place
from tests.documents.writing import NOW, SPEC, claim, draft, get, ids, index, put, terms

OTHER = replace(SPEC, name="tests_other")


async def test_a_new_family_is_empty(store: DocumentStore) -> None:
    assert store.spec == SPEC
    assert await store.get(["a"]) == {}
    assert await store.count() == 0
    assert await store.tally() == {}
    assert (await store.version()) == (await store.version())
    assert await store.scan() == []
    assert await store.claim(10, now=NOW, lease=1) == []
    assert (await store.page()).entries == ()
    assert (await store.candidates({"word": 1.0})).found == ()


async def test_a_database_knows_how_its_families_are_made(database: Database) -> None:
    assert await database.specs() == []
    many = [replace(SPEC, name=f"tests_many{number:03}") for number in range(250)]
    for spec in (OTHER, SPEC, *many):
        await database.family(spec)
    assert await database.specs() == sorted((OTHER, SPEC, *many), key=lambda spec: spec.name)
    await database.respec(replace(SPEC, author_key="who"), now=NOW)
    assert replace(SPEC, author_key="who") in await database.specs()


async def test_reopening_keeps_everything(place: Place) -> None:
    async with place() as database:
        store = await database.family(SPEC)
        await put(store, [draft("a", "red", session_id="s", body=[1]), draft("b"), draft("c")])
        await index(store)
        await put(store, [draft("b", "blue")], now=NOW + 1)
        await store.delete(["c"], now=NOW + 1)
        record = await database.records.create("space", "key", {"v": 1}, tokens=["t"])
        before = await store.get(["a", "b"]), await store.scan(), await store.index_status()
    async with place() as database:
        store = await database.family(SPEC)
        after = await store.get(["a", "b"]), await store.scan(), await store.index_status()
        assert after == before
        assert await database.records.get("space", "key") == record
        assert ids((await store.candidates(terms("blue"))).found) == ["b"]
        assert sorted(await claim(store, now=NOW + 2)) == ["b", "c"]


async def test_two_databases_on_one_place_see_each_others_writes_at_once(place: Place) -> None:
    async with place() as one, place() as other:
        here, there = await one.family(SPEC), await other.family(SPEC)
        await here.put([draft("a", "red")], now=NOW)
        assert (await get(there, "a")).text == "red"
        await there.put([draft("a", "blue")], now=NOW)
        assert (await get(here, "a")).text == "blue"
        assert list(await claim(here)) == ["a"]
        assert await claim(there) == {}
        assert (await there.candidates(terms("red"))).found == ()
        record = await one.records.create("space", "key", 1)
        assert await other.records.get("space", "key") == record


async def test_families_share_nothing(database: Database) -> None:
    one, other = await database.family(SPEC), await database.family(OTHER)
    await one.put([draft("a", "red", session_id="s")], now=NOW)
    assert await other.get(["a"]) == {}
    assert await other.count() == 0
    assert await other.tally() == {}
    assert await other.scan() == []
    found = await other.candidates(terms("red"))
    assert (found.found, found.count, set(found.frequencies.values())) == ((), 0, {0})
    assert await claim(other) == {}
    assert (await other.index_status()).due == 0
    assert await other.delete(["a"], now=NOW) == {"a": "absent"}
    assert await other.mark_due(["a"], now=NOW) == []
    await other.put([draft("a", "blue")], now=NOW)
    assert (await get(one, "a")).text == "red"
    assert list(await claim(one)) == ["a"]
    assert list(await claim(other)) == ["a"]


@pytest.mark.parametrize("names", [("a_b-c", "a_b.c"), ("x_a", "x_a.b"), ("x_A", "x_a")])
async def test_families_with_similar_names_share_nothing(
    database: Database, names: tuple[str, str]
) -> None:
    stores = [await database.family(replace(SPEC, name=name)) for name in names]
    for number, store in enumerate(stores):
        await store.put([draft("a", f"text {number}")], now=NOW)
    assert [(await get(store, "a")).text for store in stores] == ["text 0", "text 1"]


async def test_a_family_of_the_longest_name_opens(database: Database) -> None:
    spec = replace(SPEC, name=f"{'a' * 100}_{'b' * 100}")
    store = await database.family(spec)
    await store.put([draft("a")], now=NOW)
    assert await (await database.family(spec)).count() == 1


async def test_a_family_opened_twice_is_one(database: Database) -> None:
    one, other = await database.family(SPEC), await database.family(SPEC)
    await one.put([draft("a")], now=NOW)
    assert await other.count() == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, text_key="content"),
        replace(SPEC, thread_key=None),
        replace(SPEC, filter_fields=("role", "kind")),
        replace(SPEC, analyzer="2"),
    ],
    ids=["text_key", "thread_key", "filter_fields", "analyzer"],
)
async def test_a_family_opened_otherwise_is_refused_with_the_way_out(
    place: Place, other: object
) -> None:
    assert isinstance(other, type(SPEC))
    async with place() as database:
        await (await database.family(SPEC)).put([draft("a")], now=NOW)
    async with place() as database:
        with pytest.raises(FamilyMismatchError, match=r"'tests_notes' was made otherwise.*reindex"):
            await database.family(other)
        assert await (await database.family(SPEC)).count() == 1


async def test_a_family_that_was_recorded_with_its_embedder_opens(database: Database) -> None:
    older = {**SPEC.to_record(), "embedder": "static-minilm-1-256"}
    await database.records.create(FAMILIES, SPEC.name, older)
    assert await (await database.family(SPEC)).count() == 0


async def test_health_says_what_and_where_it_is(database: Database) -> None:
    health = await database.health()
    assert health.backend
    assert health.location
    assert health.layout >= 1
    assert health.bytes is None or health.bytes > 0


async def test_a_database_that_was_left_is_unavailable(place: Place) -> None:
    async with place() as database:
        store = await database.family(SPEC)
        await store.put([draft("a")], now=NOW)
    with pytest.raises(UnavailableError):
        await store.get(["a"])
    with pytest.raises(UnavailableError):
        await database.records.get("space", "key")


async def test_scan_goes_through_everything_in_order_of_ids(store: DocumentStore) -> None:
    names = ["B", "a", "a b", "ä", "\ue000", "\uffff", "\U0001f600"]
    await put(store, [draft(name, f"text {name}") for name in reversed(names)])
    await store.delete(["a b"], now=NOW + 1)
    seen: list[str] = []
    after: str | None = None
    while some := await store.scan(after=after, limit=2):
        assert len(some) <= 2
        seen += ids(some)
        after = some[-1].id
    assert seen == names


async def test_scan_ends_before_an_id(store: DocumentStore) -> None:
    await store.put([draft(each, "red") for each in ("a", "a:1", "a:2", "a;", "b")], now=NOW)
    scanned = await store.scan(after="a:", before="a;")
    assert [one.id for one in scanned] == ["a:1", "a:2"]
    assert [one.id for one in await store.scan(before="a:2", limit=10)] == ["a", "a:1"]
    assert [one.id for one in await store.scan(before="b", limit=1)] == ["a"]
    assert await store.scan(before="a") == []


async def test_scan_says_what_the_document_says(store: DocumentStore) -> None:
    await put(store, [draft("a", "red"), draft("b", "blue")])
    await index(store, chunks=3)
    await store.delete(["b"], now=NOW + 1)
    entry = await get(store, "a")
    first, second = await store.scan()
    assert (first.id, first.deleted, first.revision) == ("a", False, 1)
    assert (first.text_hash, first.mark) == (entry.text_hash, entry.index)
    assert (first.mark.state, first.mark.chunks) == (IndexState.INDEXED, 3)
    assert (second.id, second.deleted, second.revision) == ("b", True, 2)
    assert (second.mark.state, second.mark.chunks) == (IndexState.DUE, 3)


async def test_scan_from_behind_an_id_that_is_not_there(store: DocumentStore) -> None:
    await put(store, [draft("a"), draft("c")])
    assert ids(await store.scan(after="b")) == ["c"]
    assert await store.scan(after="c") == []


async def test_marks_are_what_a_scan_says_of_these(store: DocumentStore) -> None:
    await put(store, [draft("a", "red"), draft("b", "blue"), draft("c", "..."), draft("d")])
    await index(store, chunks=3)
    await store.delete(["b"], now=NOW + 1)
    scanned = {one.id: one for one in await store.scan()}
    marks = await store.marks(["c", "b", "nobody", "b", "a", "", "a\0b"])
    assert marks == {name: scanned[name] for name in "abc"}
    assert [marks[name].deleted for name in "abc"] == [False, True, False]
    assert await store.marks([]) == {}


async def test_marks_of_thousands_at_once(store: DocumentStore) -> None:
    names = [f"{number:04}" for number in range(3000)]
    await put(store, [draft(name, f"text {name}") for name in names])
    marks = await store.marks([*names, "nobody", *names])
    assert sorted(marks) == names
    assert marks["2999"].mark == (await get(store, "2999")).index


WRONG_CALLS: list[tuple[str, Callable[[DocumentStore], Awaitable[Any]]]] = [
    ("ids are one text", lambda store: store.get("abc")),
    ("an id is no text", lambda store: store.get([3])),  # type: ignore[list-item]
    ("an id can't be encoded", lambda store: store.get(["\ud800"])),
    ("a candidate's id", lambda store: store.candidates_by_id([None])),  # type: ignore[list-item]
    ("a neighbour's id", lambda store: store.neighbours(["\ud800"], before=1, after=1)),
    ("a thread", lambda store: store.tally(["\ud800"])),
    ("marks of one text", lambda store: store.marks("abc")),
    ("a mark's id", lambda store: store.marks(["\ud800"])),
    ("a mark of no text", lambda store: store.marks([3])),  # type: ignore[list-item]
    ("a marked id", lambda store: store.mark_due("abc", now=NOW)),
    ("a deleted id", lambda store: store.delete(["a\0b"], now=NOW)),
    ("an empty deleted id", lambda store: store.delete([""], now=NOW)),
    ("no such order", lambda store: store.page(order="size")),  # type: ignore[arg-type]
    ("a filter as a mapping", lambda store: store.page({"id": "a"})),  # type: ignore[arg-type]
    ("a counted mapping", lambda store: store.count({"id": "a"})),  # type: ignore[arg-type]
    ("terms without factors", lambda store: store.candidates(["a"])),  # type: ignore[arg-type]
    ("a factor of nan", lambda store: store.candidates({"a": float("nan")})),
    ("a term that can't be encoded", lambda store: store.candidates({"\ud800": 1.0})),
    ("a place that can't be encoded", lambda store: store.scan(after="\ud800")),
    ("a limit of nothing", lambda store: store.page(limit=0)),
    ("a limit that is no number", lambda store: store.scan(limit=True)),
    ("a skip backwards", lambda store: store.page(skip=-1)),
]


@pytest.mark.parametrize("call", [call for _, call in WRONG_CALLS], ids=[n for n, _ in WRONG_CALLS])
async def test_a_wrong_argument_is_refused_and_changes_nothing(
    store: DocumentStore, call: Callable[[DocumentStore], Awaitable[Any]]
) -> None:
    await put(store, [draft("a")])
    with pytest.raises(InvalidInputError):
        await call(store)
    assert await store.count() == 1


async def test_what_the_caller_changes_after_the_draft_is_not_written(
    store: DocumentStore,
) -> None:
    metadata: dict[str, Any] = {"role": "user", "tags": ["x"]}
    made = Drafter(SPEC).draft({"id": "a", "text": "hi", "metadata": metadata}, now=NOW)
    metadata["role"] = "tool"
    metadata["tags"].append("y")
    await store.put([made], now=NOW)
    assert (await store.get(["a"]))["a"].metadata == {"role": "user", "tags": ["x"]}
    for role, count in (("user", 1), ("tool", 0)):
        assert await store.count(parse({"metadata.role": role})) == count


async def test_leaving_twice_is_no_error(place: Place) -> None:
    database = place()
    async with database:
        await database.records.create("space", "key", 1)
    await asyncio.wait_for(database.__aexit__(), 10)
    with pytest.raises(UnavailableError):
        await asyncio.wait_for(database.records.get("space", "key"), 10)
