"""What MongoDB is asked at once: little of what is large, and what is small in one call."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import bson
import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from dualstore.documents.base import DocumentStore
from dualstore.documents.mongo import MongoDatabase
from dualstore.documents.mongo_collection import MongoCollection
from dualstore.documents.mongo_portions import PORTION
from dualstore.filters import parse
from tests.documents.conftest import own_database
from tests.documents.writing import LEASE, NOW, SPEC, draft, ids
from tests.support.proxy import COUNTED
from tests.support.wire import WireServer

Document = dict[str, Any]
SLACK = 256 * 1024
"""What an answer has besides content."""
MIB = 2**20


class Answers(CommandListener):
    """The commands that read, and how large the answers were."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sizes: list[int] = []

    def started(self, event: CommandStartedEvent) -> None:
        """Nothing yet."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name in COUNTED:
            self.names.append(event.command_name)
            self.sizes.append(len(bson.encode(event.reply)))

    def failed(self, event: CommandFailedEvent) -> None:
        self.names.append(f"{event.command_name} failed")

    def forget(self) -> None:
        self.names.clear()
        self.sizes.clear()


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def name(wire_server: WireServer) -> Iterator[str]:
    with own_database(wire_server) as name:
        yield name


@pytest.fixture
async def raw(wire_server: WireServer, name: str, answers: Answers) -> AsyncIterator[Any]:
    client: AsyncMongoClient[Document] = AsyncMongoClient(
        wire_server.url, event_listeners=[answers]
    )
    async with client:
        yield client[name]


@pytest.fixture
async def database(raw: Any) -> AsyncIterator[MongoDatabase]:
    async with MongoDatabase(raw) as database:
        yield database


@pytest.fixture
async def store(database: MongoDatabase) -> DocumentStore:
    return await database.family(SPEC)


async def test_small_rows_take_one_call(
    store: DocumentStore, database: MongoDatabase, answers: Answers
) -> None:
    names = [f"{n:03}" for n in range(200)]
    await store.put([draft(each, at=n, session_id="s") for n, each in enumerate(names)], now=NOW)
    for n in range(20):
        await database.records.create("space", f"{n:02}", n, tokens=[f"t{n}"])

    async def calls(asked: Any) -> list[str]:
        answers.forget()
        await asked
        return list(answers.names)

    assert await calls(store.page(limit=50)) == ["aggregate"]
    assert await calls(store.page(parse({"metadata.session_id": "s"}), skip=5)) == [
        "find",
        "aggregate",
    ]
    assert await calls(store.get(names[:1])) == ["find"]
    assert await calls(store.get(names)) == ["find"]
    assert await calls(store.candidates_by_id(names)) == ["find"]
    assert await calls(store.neighbours(names[:1], before=2, after=2)) == [
        "find",
        "aggregate",
        "aggregate",
    ]
    assert await calls(store.claim(50, now=NOW, lease=LEASE)) == ["find", "update", "find"]
    assert await calls(store.delete(names, now=NOW)) == ["find", "update"]
    assert await calls(database.records.range("space")) == ["aggregate"]
    assert await calls(database.records.get("space", "07")) == ["find"]
    assert await calls(database.records.find("space", ["t1", "t2"])) == ["find"]


async def test_no_answer_is_larger_than_a_portion(
    store: DocumentStore, database: MongoDatabase, answers: Answers
) -> None:
    names = [f"{n:03}" for n in range(60)]
    large = [
        draft(each, "red A/b:1 " * 6000, at=n, session_id="s", body="x" * MIB, w=f"word {n}")
        for n, each in enumerate(names)
    ]
    await store.put(large, now=NOW)
    for n in range(6):
        await database.records.create("space", str(n), "x" * (5 * MIB), tokens=[f"t{n}"])
    answers.forget()
    wide = parse({"metadata.w": {"$contains": "WORD 7"}})
    assert ids((await store.page(wide, limit=1)).entries) == ["007"]
    assert ids((await store.page(limit=60)).entries) == names[::-1]
    assert await store.count(wide) == 1
    assert len(await store.get([*names, "nobody"])) == 60
    assert len(await store.candidates_by_id(names)) == 60
    assert len((await store.candidates({"red": 1.0}, wide)).found) == 1
    beside = await store.neighbours(["030"], before=20, after=20)
    assert [len(beside["030"].before), len(beside["030"].after)] == [20, 20]
    assert len(await store.claim(60, now=NOW, lease=LEASE)) == 60
    assert len(await database.records.range("space")) == 6
    assert len(await database.records.find("space", [f"t{n}" for n in range(6)])) == 6
    assert max(answers.sizes) <= PORTION + SLACK


async def test_what_is_larger_than_a_portion_comes_by_itself(
    store: DocumentStore, answers: Answers
) -> None:
    await store.put([draft("huge", at=99, body="x" * (11 * MIB))], now=NOW)
    await store.put([draft(f"{n:03}", at=n, body="x" * MIB) for n in range(20)], now=NOW)
    answers.forget()
    assert (await store.get(["huge"]))["huge"].body == "x" * (11 * MIB)
    assert ids((await store.page(limit=1)).entries) == ["huge"]
    assert ids((await store.page(limit=9)).entries)[:2] == ["huge", "019"]
    assert len(await store.get(["huge", *(f"{n:03}" for n in range(20))])) == 21
    assert max(answers.sizes) <= 11 * MIB + SLACK


async def test_what_is_moved_while_a_page_is_read_leads_no_reader_astray(
    store: DocumentStore, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large ones are read behind their places: the last of a page must not become its end."""
    names = [f"{n:02}" for n in range(20)]
    for n, each in enumerate(names):
        await store.put([draft(each, at=n, body="x" * 3 * MIB)], now=NOW + n)
    find = MongoCollection.find

    async def move_before(self: MongoCollection, query: Any, fields: Any, **options: Any) -> Any:
        for each in ("03", "05"):
            await raw[SPEC.name].update_one({"_id": each}, {"$set": {"updated": NOW + 10**6}})
        return await find(self, query, fields, **options)

    monkeypatch.setattr(MongoCollection, "find", move_before)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.page(order="updated", newest=False, limit=4, cursor=cursor)
        seen += ids(page.entries)
        cursor = page.next_cursor
        if cursor is None:
            break
    still = [each for each in names if each not in ("03", "05")]
    assert [each for each in seen if each in still] == still
    assert seen[-2:] == ["03", "05"]


async def test_what_shrinks_between_two_calls_is_found_all_the_same(
    store: DocumentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put([draft("a", body="x" * 6 * MIB), draft("b")], now=NOW)
    find = MongoCollection.find
    shrink: list[Callable[[], Any]] = [lambda: store.put([draft("a", body="small")], now=NOW + 1)]

    async def shrink_after(self: MongoCollection, query: Any, fields: Any, **options: Any) -> Any:
        rows = await find(self, query, fields, **options)
        if shrink:
            await shrink.pop()()
        return rows

    monkeypatch.setattr(MongoCollection, "find", shrink_after)
    found = await store.get(["a", "b"])
    assert {each: entry.body for each, entry in found.items()} == {"a": "small", "b": None}
