"""Where servers that speak MongoDB's protocol differ, and what we do about it.

Each test asks the bare driver. When one goes red, a server has changed, and what was built around
the difference may go.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from bson.int64 import Int64
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tests.documents.conftest import own_database
from tests.support.wire import WireServer

Document = dict[str, Any]


@pytest.fixture
def client(wire_server: WireServer) -> Iterator[MongoClient[Document]]:
    with MongoClient[Document](wire_server.url) as client:
        yield client


@pytest.fixture
def bare(wire_server: WireServer, client: MongoClient[Document]) -> Iterator[Any]:
    """A database of one's own on mongo-java-server."""
    if wire_server.kind != "mongo-java-server":
        pytest.skip(f"it is about mongo-java-server, and this is {wire_server.kind}")
    with own_database(wire_server) as name:
        yield client[name]


def test_the_java_server_compares_texts_by_utf_16_units(bare: Any) -> None:
    """Elsewhere they go by code points. So keys are escaped (mongo_keys), and ranges of texts that
    hold such characters are checked in Python (mongo_filters)."""
    bare.c.insert_many([{"_id": "\uffee"}, {"_id": "\U0001f600"}])
    assert [row["_id"] for row in bare.c.find().sort("_id")] == ["\U0001f600", "\uffee"]


def test_the_java_server_gives_a_document_twice_that_matches_a_list_twice(bare: Any) -> None:
    """`$in` over a unique index of a list. So what is found by tokens goes through a dict."""
    bare.c.create_index("tokens", unique=True, sparse=True)
    bare.c.insert_one({"_id": 1, "tokens": ["a", "b"]})
    assert len(list(bare.c.find({"tokens": {"$in": ["a", "b"]}}))) == 2


def test_the_java_server_takes_names_of_128_characters_at_most(bare: Any) -> None:
    """Old servers of MongoDB take 120, new ones 255. So long families' names are shortened."""
    with pytest.raises(OperationFailure, match="too long"):
        bare["x" * 129].insert_one({"_id": 1})


def test_the_java_server_does_not_say_how_large_it_is(bare: Any) -> None:
    """So `Health.bytes` is what the server says, and means nothing there."""
    bare.c.insert_one({"_id": 1, "text": "x" * 10_000})
    assert bare.command("dbStats")["storageSize"] == 0


def test_the_java_server_does_not_cut_its_answers(bare: Any) -> None:
    """MongoDB cuts an answer at 16 MiB and gives the rest later. So rows with content are asked
    for in portions, by the sizes they are written with."""
    bare.c.insert_many([{"_id": n, "body": "x" * 2**20} for n in range(50)])
    with pytest.raises(PyMongoError, match="larger than"):
        list(bare.c.find(batch_size=1000))


def test_whole_numbers_come_back_as_the_drivers_own_type(bare: Any) -> None:
    """From every server. Our JSON refuses it, so rows are made plain where they come in."""
    bare.c.insert_one({"_id": 1, "n": 2**40})
    assert type(bare.c.find_one()["n"]) is Int64


async def test_mongomock_has_no_write_concern(mongomock_client: Any) -> None:
    """So a database that refuses it is used as it is."""
    with pytest.raises(NotImplementedError):
        mongomock_client["a"].with_options(write_concern=object(), read_preference=object())


async def test_mongomock_does_not_say_how_large_it_is(mongomock_client: Any) -> None:
    """So `Health.bytes` may be None."""
    with pytest.raises((NotImplementedError, PyMongoError)):
        await mongomock_client["a"].command("dbStats")


async def test_mongomock_can_not_keep_lists_unique(mongomock_client: Any) -> None:
    """The tests teach it (tests/support/multikey.py)."""
    rows = mongomock_client["a"]["c"]
    await rows.create_index("tokens", unique=True, sparse=True)
    with pytest.raises(TypeError):
        await rows.insert_many([{"_id": 1, "tokens": ["a"]}, {"_id": 2, "tokens": ["b"]}])


async def test_motor_and_pymongo_differ_in_what_is_awaited(wire_server: WireServer) -> None:
    """One gives a cursor where the other gives a promise of it. So each answer goes through
    `mongo_line.resolved`."""
    motor: AsyncIOMotorClient[Document] = AsyncIOMotorClient(wire_server.url)
    pymongo: AsyncMongoClient[Document] = AsyncMongoClient(wire_server.url)
    with own_database(wire_server) as name:
        promise = pymongo[name].c.aggregate([])
        assert inspect.isawaitable(promise)
        assert not inspect.isawaitable(motor[name].c.aggregate([]))
        await (await promise).close()
    motor.close()
    await pymongo.close()
