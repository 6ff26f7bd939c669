"""Making a family anew in MongoDB: damaged documents, and large ones."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pymongo import MongoClient

from dualstore.documents import mongo_portions
from dualstore.documents.base import Database
from tests.documents.conftest import own_database
from tests.documents.places import Address
from tests.documents.writing import NOW, SPEC, draft, put
from tests.support.wire import WireServer

OTHER = replace(SPEC, thread_key="role", filter_fields=("kind",), author_key="kind")


@pytest.fixture
def name(wire_server: WireServer) -> Iterator[str]:
    with own_database(wire_server) as name:
        yield name


@pytest.fixture
def raw(wire_server: WireServer, name: str) -> Iterator[Any]:
    """The family's documents as they are kept."""
    with MongoClient[dict[str, Any]](wire_server.url) as client:
        yield client[name][SPEC.name]


@pytest.fixture
async def database(wire_server: WireServer, name: str) -> AsyncIterator[Database]:
    async with Address("pymongo", wire_server.url, name).open() as database:
        yield database


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"metadata": "{{"}},
        {"$set": {"metadata": "[]"}},
        {"$set": {"version": "time:x"}},
        {"$set": {"ts": None}},
        {"$set": {"held": "x", "state": 77}},
        {"$unset": {"stamp": 1}},
        {"$unset": {"rev": 1, "bytes": 1}},
    ],
)
async def test_a_damaged_document_is_left_alone(
    database: Database, raw: Any, change: dict[str, Any]
) -> None:
    store = await database.family(SPEC)
    await put(store, [draft(name, "red", role="user") for name in ("a", "bad", "z")])
    raw.update_one({"_id": "bad"}, change)
    before = raw.find_one({"_id": "bad"})
    await database.respec(OTHER, now=NOW + 1)
    assert raw.find_one({"_id": "bad"}) == before
    assert (await (await database.family(OTHER)).tally())["user"].count == 2


async def test_large_entries_are_made_anew_a_few_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_portions, "PORTION", 2000)
    store = await database.family(SPEC)
    await put(store, [draft(name, f"{name} " * 300, role="user") for name in "abcdefg"])
    await database.respec(OTHER, now=NOW)
    assert (await (await database.family(OTHER)).tally())["user"].count == 7


async def test_a_document_has_what_it_would_have_been_written_with(
    database: Database, raw: Any
) -> None:
    drafts = [
        draft(f"{number}", f"Red w{number}", role=["user"], kind="k", body=number)
        for number in range(9)
    ]
    store = await database.family(SPEC)
    await put(store, drafts)
    before = list(raw.find(sort=[("_id", 1)]))
    await database.respec(OTHER, now=NOW)
    await database.respec(SPEC, now=NOW)
    after = list(raw.find(sort=[("_id", 1)]))
    assert all(row.pop("stamp") for row in (*before, *after))
    assert after == before
