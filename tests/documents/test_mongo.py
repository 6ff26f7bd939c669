"""What only MongoDB does: clients, indexes, the layout, and documents out of the ordinary."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient

from dualstore.documents.base import DeleteOutcome, DocumentStore, PutOutcome, Tally
from dualstore.documents.mongo import LAYOUT, LAYOUT_KEY, LAYOUT_SPACE, MongoDatabase
from dualstore.documents.mongo_documents import INDEXES
from dualstore.documents.mongo_filters import compile_filter
from dualstore.documents.mongo_keys import to_key, to_name
from dualstore.documents.mongo_rows import DERIVED_LIMIT
from dualstore.entry import Draft, SourceVersion
from dualstore.errors import StorageCorruptError, StorageLayoutError, UnavailableError
from dualstore.family import KEY_LIMIT
from dualstore.filters import EVERYTHING, parse
from dualstore.outbox import IndexState
from dualstore.values import MAX_BYTES
from tests.documents.conftest import own_database
from tests.documents.writing import LEASE, NOW, SPEC, draft
from tests.support.wire import WireServer

Document = dict[str, Any]
BSON_LIMIT = 16 * 1024 * 1024


@pytest.fixture
def name(wire_server: WireServer) -> Iterator[str]:
    with own_database(wire_server) as name:
        yield name


@pytest.fixture
def raw(wire_server: WireServer, name: str) -> Iterator[Any]:
    """The same database, past the store."""
    with MongoClient[Document](wire_server.url) as client:
        yield client[name]


@pytest.fixture
async def database(wire_server: WireServer, name: str) -> AsyncIterator[MongoDatabase]:
    async with MongoDatabase.from_url(f"{wire_server.url}/{name}") as database:
        yield database


@pytest.fixture
async def store(database: MongoDatabase) -> DocumentStore:
    return await database.family(SPEC)


# Clients


async def test_a_users_client_is_used_and_never_closed(wire_server: WireServer, name: str) -> None:
    motor: AsyncIOMotorClient[Document] = AsyncIOMotorClient(wire_server.url)
    pymongo: AsyncMongoClient[Document] = AsyncMongoClient(wire_server.url)
    try:
        for client in (motor, pymongo):
            async with MongoDatabase(client[name]) as database:
                store = await database.family(SPEC)
                await store.put([draft("a")], now=NOW)
            with pytest.raises(UnavailableError, match="was left"):
                await store.get(["a"])
            assert await client[name][SPEC.name].count_documents({}) == 1
    finally:
        motor.close()
        await pymongo.close()


async def test_a_client_of_ones_own_is_closed(wire_server: WireServer, name: str) -> None:
    client: AsyncMongoClient[Document] = AsyncMongoClient(wire_server.url)
    async with MongoDatabase(client[name], close_client=True):
        pass
    with pytest.raises(UnavailableError, match="closed"):
        async with MongoDatabase(client[name]):
            pass


async def test_a_url_without_a_path_leads_to_the_database_named_after_us() -> None:
    database = MongoDatabase.from_url("mongodb://127.0.0.1:1", timeout=0.2)
    with pytest.raises(UnavailableError, match=r"//127\.0\.0\.1:1/dualstore "):
        async with database:
            pass


# Names, indexes, layout


async def test_a_family_is_a_collection_of_its_name_with_all_indexes(
    store: DocumentStore, raw: Any
) -> None:
    await store.put([draft("a")], now=NOW)
    assert raw[SPEC.name].count_documents({"_id": "a"}) == 1
    made = raw[SPEC.name].index_information().values()
    keys = {tuple(field for field, _ in index["key"]) for index in made}
    assert keys == {("_id",), *(index.fields for index in INDEXES)}


async def test_the_layout_is_recorded_and_a_newer_one_is_left_untouched(
    wire_server: WireServer, name: str, raw: Any
) -> None:
    async with MongoDatabase.from_url(f"{wire_server.url}/{name}") as database:
        record = await database.records.get(LAYOUT_SPACE, LAYOUT_KEY)
        assert record is not None
        assert record.value == (await database.health()).layout == LAYOUT
        await database.records.replace(record, LAYOUT + 1)
    before = list(raw["dualstore.records"].find())
    with pytest.raises(StorageLayoutError, match=f"layout {LAYOUT + 1}.*newer release"):
        async with MongoDatabase.from_url(f"{wire_server.url}/{name}"):
            pass
    assert list(raw["dualstore.records"].find()) == before


async def test_a_database_from_before_there_were_journals_gets_their_indexes(
    wire_server: WireServer, name: str, raw: Any
) -> None:
    async with MongoDatabase.from_url(f"{wire_server.url}/{name}") as database:
        record = await database.records.get(LAYOUT_SPACE, LAYOUT_KEY)
        assert record is not None
        await database.records.replace(record, 1)
    raw["dualstore.journal"].drop()
    async with MongoDatabase.from_url(f"{wire_server.url}/{name}") as database:
        record = await database.records.get(LAYOUT_SPACE, LAYOUT_KEY)
        assert record is not None
        assert record.value == LAYOUT
    made = raw["dualstore.journal"].index_information().values()
    assert {index["key"][0][0] for index in made} == {"_id", "ids", "due"}


async def test_what_somebody_broke_is_corrupt(store: DocumentStore, raw: Any) -> None:
    await store.put([draft("a")], now=NOW)
    raw[SPEC.name].update_one({"_id": "a"}, {"$set": {"metadata": "{"}})
    with pytest.raises(StorageCorruptError, match="'a'"):
        await store.get(["a"])


@given(st.lists(st.text(), min_size=2, max_size=2))
def test_keys_sort_as_ids_do_whatever_way_texts_are_compared(names: list[str]) -> None:
    low, high = sorted(names)
    assert (to_name(to_key(low)), to_name(to_key(high))) == (low, high)
    for units in ("utf-8", "utf-16-be"):
        assert to_key(low).encode(units) <= to_key(high).encode(units)


# Documents out of the ordinary


ROOM = MAX_BYTES - 100
LARGEST: dict[str, Callable[[], Draft]] = {
    "text": lambda: draft("a", "word " * (ROOM // 5)),
    "wide text": lambda: draft("a", "\u0390" * (ROOM // 2)),
    "one string": lambda: draft("a", n="x" * ROOM),
    "many keys": lambda: draft("a", metadata={f"{n:07}": 1 for n in range(ROOM // 13)}),
    "one key": lambda: draft("a", metadata={"k" * ROOM: 1}),
    "thread": lambda: draft("a", session_id="x" * ROOM),
    "author": lambda: draft("a", author="x" * ROOM),
    "body": lambda: draft("a", body=["x" * ROOM]),
    "all that is derived": lambda: draft(
        "a",
        "A/b:1 " * (DERIVED_LIMIT // 6),
        metadata={f"k{n}": "v" * 200 for n in range(4400)},
        body="x" * (MAX_BYTES - 2_200_000),
    ),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("what", LARGEST)
async def test_the_largest_entries_fit_and_come_back(
    store: DocumentStore, raw: Any, what: str
) -> None:
    large = LARGEST[what]()
    await store.put([large, draft("small")], now=NOW)
    found = (await store.get(["a"]))["a"]
    assert (found.text, found.metadata) == (large.text, large.metadata)
    size = sum(len(part) for part in raw[SPEC.name].find_raw_batches({"_id": "a"}))
    assert size < BSON_LIMIT
    works = await store.claim(9, now=NOW, lease=LEASE)
    assert {work.id for work in works} == {"a", "small"}
    assert (await store.put([large._replace(content_hash="other")], now=NOW))[0].revision == 2


async def test_what_filters_cannot_be_asked_about_is_asked_itself(store: DocumentStore) -> None:
    keys = {f"k{number}": number for number in range(DERIVED_LIMIT // 20)}
    odd = [
        draft("attributes", at=1, session_id="s", role="user", metadata={**keys, "role": "user"}),
        draft("text", "Needle " + "x" * DERIVED_LIMIT, at=2, role="user", session_id="s"),
        draft("threads", at=3, role="user", session_id=["s", "t"]),
        draft("long thread", at=4, role="user", session_id="s" * (KEY_LIMIT + 1)),
        draft("other", at=5, role="system", session_id=7),
    ]
    await store.put([*odd, draft("plain", "a needle", at=6, role="user", session_id="s")], now=NOW)
    users = parse({"metadata.role": "user"})
    expected = ["plain", "long thread", "threads", "text", "attributes"]
    assert await _pages(store, users) == expected
    assert await store.count(users) == 5
    assert await store.count(parse({"metadata.session_id": "s"})) == 3
    assert await store.count(parse({"metadata.session_id": {"$ne": "s"}})) == 3
    assert await store.count(parse({"text": {"$contains": "NEEDLE"}})) == 2
    assert await store.count(EVERYTHING) == 6
    assert (await store.page(users, limit=2, skip=2)).entries[0].id == "threads"
    assert await store.tally(where=users) == {"s": Tally(2, 6)}
    assert [each.id for each in (await store.candidates({"word": 1.0}, users)).found] == [
        "long thread",
        "threads",
        "attributes",
    ]


async def _pages(store: DocumentStore, where: Any) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.page(where, limit=2, cursor=cursor)
        found += [entry.id for entry in page.entries]
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.mark.parametrize(
    ("where", "exact"),
    [
        ({"metadata.role": "user", "timestamp": {"$gt": 5}}, True),
        ({"metadata.role": {"$ne": "x" * 255}}, True),
        ({"metadata.role": "x" * 256}, False),
        ({"metadata.session_id": "x" * 256}, True),
        ({"metadata.role": {"$contains": "x"}}, False),
        ({"metadata.role": {"$gt": "\ud7ff"}}, True),
        ({"metadata.role": {"$gt": "a\U0001f600"}}, False),
        ({"text": {"$lt": "\ue000"}}, False),
        ({"id": {"$lt": "\ue000"}}, True),
        ({"text": {"$contains": "a\0"}}, False),
        ({"text": {"$contains": "x" * 9000}}, False),
        ({"text": {"$contains": "x.*"}}, True),
        ({"origin": {"$contains": "x"}}, False),
    ],
)
def test_which_filters_a_query_says_exactly(where: dict[str, Any], exact: bool) -> None:
    assert compile_filter(parse(where), SPEC).exact is exact


# Many writers


async def test_writers_of_one_document_take_turns(wire_server: WireServer, name: str) -> None:
    places = [MongoDatabase.from_url(f"{wire_server.url}/{name}") for _ in range(4)]
    for place in places:
        await place.__aenter__()
    stores = [await place.family(SPEC) for place in places]
    puts = await asyncio.gather(
        *(stores[n % 4].put([draft("a", f"text {n}")], now=NOW) for n in range(40))
    )
    assert sorted(put.revision for (put,) in puts) == list(range(1, 41))
    assert [put.outcome for (put,) in puts].count(PutOutcome.CREATED) == 1
    assert (await stores[0].get(["a"]))["a"].revision == 40
    for place in places:
        await place.__aexit__()


async def test_a_confirmed_version_is_written_beside_a_claim(store: DocumentStore) -> None:
    first = draft("a", origin="opencode", version=SourceVersion("sequence", 1))
    newer = draft("a", origin="opencode", version=SourceVersion("sequence", 2**70))
    await store.put([first], now=NOW)
    await asyncio.gather(store.put([newer], now=NOW), store.claim(1, now=NOW, lease=LEASE))
    entry = (await store.get(["a"]))["a"]
    assert entry.source_version == SourceVersion("sequence", 2**70)
    assert entry.index.attempts == 1


# Damage, and size


@pytest.mark.parametrize("change", [{"metadata": "{{"}, {"body": "{{"}, {"version": "time:x"}])
async def test_a_damaged_document_fails_by_itself_and_the_others_are_indexed(
    store: DocumentStore, raw: Any, change: Document
) -> None:
    await store.put([draft("bad", "red"), draft("good", "red")], now=NOW)
    raw[SPEC.name].update_one({"_id": "bad"}, {"$set": change})
    works = await store.claim(5, now=NOW, lease=LEASE)
    assert [work.id for work in works] == ["good"]
    marks = {scanned.id: scanned.mark for scanned in await store.scan()}
    assert marks["bad"].state is IndexState.FAILED
    assert "entry 'bad' can't be read back" in str(marks["bad"].error)
    assert await store.claim(5, now=NOW, lease=LEASE) == []


async def test_a_damaged_document_is_named_replaced_and_deleted(
    store: DocumentStore, raw: Any
) -> None:
    await store.put([draft("bad", "red", role="user"), draft("good", "red")], now=NOW)
    for _ in range(2):
        raw[SPEC.name].update_one({"_id": "bad"}, {"$set": {"metadata": "{{"}})
        with pytest.raises(StorageCorruptError, match="entry 'bad' can't be read back"):
            await store.count(parse({"metadata.x": {"$contains": "y"}}))
        (put,) = await store.put([draft("bad", "blue", role="tool")], now=NOW + 1)
        raw[SPEC.name].update_one({"_id": "bad"}, {"$set": {"metadata": "{{"}})
    assert put.id == "bad"
    assert await store.delete(["bad"], now=NOW) == {"bad": DeleteOutcome.DELETED}


async def test_what_is_said_of_a_damaged_mark_or_record_names_it(
    store: DocumentStore, database: MongoDatabase, raw: Any
) -> None:
    await store.put([draft("bad", "red"), draft("good", "red")], now=NOW)
    await database.records.create("space", "key", 1, tokens=["token"])
    raw[SPEC.name].update_one({"_id": "bad"}, {"$set": {"held": None}, "$unset": {"chunks": 1}})
    raw["dualstore.records"].update_one({"key": "key"}, {"$set": {"value": "{{"}})
    assert [work.id for work in await store.claim(5, now=NOW, lease=LEASE)] == ["good"]
    with pytest.raises(StorageCorruptError, match="entry 'bad' can't be read back"):
        await store.scan()
    assert (await store.index_status()).failed == 1
    for asked in (
        database.records.get("space", "key"),
        database.records.range("space"),
        database.records.find("space", ["token"]),
    ):
        with pytest.raises(StorageCorruptError, match=r"record .*key' can't be read back"):
            await asked


async def test_metadata_that_are_no_object_are_damaged(store: DocumentStore, raw: Any) -> None:
    await store.put([draft("bad")], now=NOW)
    raw[SPEC.name].update_one({"_id": "bad"}, {"$set": {"metadata": "[]"}})
    with pytest.raises(StorageCorruptError, match="'bad' can't be read back"):
        await store.get(["bad"])


async def test_what_is_due_equally_long_is_claimed_by_id(store: DocumentStore) -> None:
    await store.put([draft(each, "red") for each in "dbca"], now=NOW)
    for pair in ("ab", "cd"):
        works = await store.claim(2, now=NOW, lease=LEASE)
        assert [work.id for work in works] == list(pair)
