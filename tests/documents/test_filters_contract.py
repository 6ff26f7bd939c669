"""What filters mean, case by case, on every backend."""

from typing import Any

import pytest

from dualstore.documents.base import DocumentStore
from dualstore.filters import matches, parse
from tests.documents.strategies import PREFIX
from tests.documents.writing import draft, ids, put

METADATA: list[dict[str, Any]] = [
    {},
    {"n": 1},
    {"n": 1.0},
    {"n": 1.5},
    {"n": True},
    {"n": "1"},
    {"n": None},
    {"n": []},
    {"n": {}},
    {"n": [1, "x", None, [5], {"m": 7}]},
    {"n": {"m": 7}},
    {"n.m": 7},
    {"n": [{"m": 7}, {"m": "ß"}]},
    {"n": 2**53 + 1},
    {"n": 2**63 - 1},
    {"n": -(2**63)},
    {"n": 1e308},
    {"n": 5e-324},
    {"n": "Straße"},
    {"n": "İstanbul"},
    {"n": "a\0b"},
    {"n": "\ue000"},
    {"n": "\U0001f600"},
    {"n": PREFIX},
    {"n": PREFIX + "a"},
    {"n": PREFIX + "b"},
    {"": 1},
    {".": 1},
    {"$where": 1},
    {"a.b": {"c.d": [1]}},
    {"role": "user"},
    {"role": ["user", "tool"]},
    {"role": None},
    {"role": {"kind": "user"}},
    {"session_id": "s"},
    {"session_id": ["s", "t"]},
    {"session_id": 5},
    {"session_id": {"s": "s"}},
    {"session_id": "x" * 3000},
]
OPERANDS = [
    *(None, True, 1, 1.5, 0, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 5e-324, 7),
    *("1", "", "x", "strasse", "a\0b", "\ue000", "\uffff", PREFIX, PREFIX + "a", "user", "s"),
    "x" * 3000,
]
FIELDS = ["n", "n.m", "", ".", "$where", "a.b.c.d", "role", "role.kind", "session_id", "absent"]


def _wheres(field: str) -> list[dict[str, Any]]:
    key = f"metadata.{field}"
    wheres: list[dict[str, Any]] = [{key: {"$exists": there}} for there in (True, False)]
    wheres += [{key: {"$in": []}}, {key: {"$nin": []}}, {key: {"$in": OPERANDS}}]
    for operand in OPERANDS:
        wheres += [{key: operand}, {key: {"$ne": operand}}, {key: {"$in": [operand, "other"]}}]
        if operand is not None:
            wheres += [{key: {op: operand}} for op in ("$gt", "$gte", "$lt", "$lte")]
            wheres.append({key: {"$not": {"$gte": operand}}})
        if isinstance(operand, str):
            wheres.append({key: {"$contains": operand.upper()}})
    return wheres


@pytest.mark.parametrize("field", FIELDS)
async def test_every_operator_means_the_same_about_metadata(
    store: DocumentStore, field: str
) -> None:
    drafts = [draft(f"{at:02}", metadata=metadata) for at, metadata in enumerate(METADATA)]
    await put(store, drafts)
    for where in _wheres(field):
        tree = parse(where)
        wanted = [one.id for one in drafts if matches(tree, one)]
        page = await store.page(tree, newest=False, limit=100)
        assert ids(page.entries) == wanted, where


PLAIN: list[dict[str, Any]] = [
    {"id": "a"},
    {"id": {"$gt": "B"}},
    {"id": {"$in": ["a", "ä", "nobody", 5, None]}},
    {"id": {"$contains": "STRASSE"}},
    {"id": {"$exists": False}},
    {"id": None},
    {"id": 5},
    {"text": "red\0"},
    {"text": {"$contains": "red"}},
    {"text": {"$contains": "SS"}},
    {"text": {"$contains": "%"}},
    {"text": {"$contains": ""}},
    {"text": {"$lte": "red"}},
    {"text": {"$ne": "..."}},
    {"timestamp": 5},
    {"timestamp": 5.0},
    {"timestamp": {"$gt": 4.5}},
    {"timestamp": {"$lt": "1970-01-01"}},
    {"timestamp": {"$in": [5, None, "1970-01-01T00:00:00.007Z"]}},
    {"timestamp": {"$gte": -1e300}},
    {"timestamp": {"$lt": -(2**63)}},
    {"origin": "opencode"},
    {"origin": {"$nin": ["local"]}},
    {"origin": {"$contains": "CODE"}},
    {"$and": [{"id": {"$gte": "a"}}, {"$or": [{"text": "red\0"}, {"timestamp": 7}]}]},
    {"$not": {"$or": [{"id": "a"}, {"$not": {"metadata.role": "user"}}]}},
    {"$or": [{}, {"id": "a"}]},
    {"$not": {}},
]


@pytest.mark.parametrize("where", PLAIN, ids=str)
async def test_the_plain_fields_can_be_asked(store: DocumentStore, where: dict[str, Any]) -> None:
    drafts = [
        draft("a", "red\0", at=5, role="user"),
        draft("B", "Straße 100%", at=-7),
        draft("ä", "...", at=7, origin="opencode", role="user"),
        draft("strasse", "", at=0),
    ]
    await put(store, drafts)
    tree = parse(where)
    wanted = {one.id for one in drafts if matches(tree, one)}
    assert set(ids((await store.page(tree)).entries)) == wanted
    assert await store.count(tree) == len(wanted)


async def test_a_filter_follows_what_is_written(store: DocumentStore) -> None:
    role = parse({"metadata.role": "user"})
    odd = parse({"metadata.session_id": "s"})
    await put(store, [draft("a", role="user"), draft("b", session_id=["s"])])
    assert (await store.count(role), await store.count(odd)) == (1, 1)
    await put(store, [draft("a", role="tool"), draft("b", session_id=["s", "t"])])
    assert (await store.count(role), await store.count(odd)) == (0, 1)
    await put(store, [draft("a", role=["user"]), draft("b", session_id="t")])
    assert (await store.count(role), await store.count(odd)) == (1, 0)
    await store.delete(["a"], now=0)
    assert await store.count(role) == 0
    await put(store, [draft("a", role="user")])
    assert await store.count(role) == 1
