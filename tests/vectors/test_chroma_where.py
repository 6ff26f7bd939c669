"""What Chroma is asked means what our filters mean, or isn't asked."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualstore.errors import FilterError
from dualstore.filters import EVERYTHING, And, Or, parse
from dualstore.vectors.base import FieldValue, VectorIndex, VectorItem, VectorPlace
from dualstore.vectors.chroma import ChromaEmbedded
from dualstore.vectors.chroma_server import ChromaPrivate
from dualstore.vectors.chroma_where import MAX_OPERANDS, asked, translated
from dualstore.vectors.exact import ExactVectors
from tests.vectors.making import DIMENSION, item, vector

EDGES = (0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
NUMBERS = st.sampled_from([*EDGES, *map(float, EDGES), -0.0, 1.5, -1.5, 0.5, 1e300, 5e-324])
TEXTS = ("", "a", "A", "b", "1", "1.0", "true", "ä", "a\0b", "%", "'")
VALUES = st.one_of(
    st.integers(-3, 3),
    st.booleans(),
    st.sampled_from(TEXTS),
    st.text(max_size=3).filter(lambda text: text.isprintable()),
    NUMBERS,
)
HELD = st.one_of(VALUES, st.floats(-3, 3))
NAMES = st.sampled_from(["x", "y", "a.b", "with blank"])
OPERANDS = st.one_of(VALUES, VALUES, VALUES, st.none())
LEAVES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda name, value: {f"metadata.{name}": value}, NAMES, OPERANDS),
    st.builds(
        lambda name, operator, value: {f"metadata.{name}": {operator: value}},
        NAMES,
        st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]),
        VALUES,
    ),
    st.builds(
        lambda name, operator, values: {f"metadata.{name}": {operator: values}},
        NAMES,
        st.sampled_from(["$in", "$nin"]),
        st.lists(OPERANDS, max_size=4),
    ),
    st.builds(lambda name, holds: {f"metadata.{name}": {"$exists": holds}}, NAMES, st.booleans()),
)
FILTERS = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(
            lambda operator, several: {operator: several},
            st.sampled_from(["$and", "$or"]),
            st.lists(parts, min_size=1, max_size=3),
        ),
        st.builds(lambda part: {"$not": part}, parts),
    ),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(NAMES, HELD, max_size=3), min_size=1, max_size=8)


@pytest.fixture(scope="module", params=["embedded", "private"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[asyncio.Runner, VectorIndex]]:
    """A loop of one's own and an index that lives in it."""
    folder: Path = tmp_path_factory.mktemp("where")
    kinds = {"embedded": ChromaEmbedded, "private": ChromaPrivate}
    place: VectorPlace = kinds[request.param](folder)
    with asyncio.Runner() as runner:
        runner.run(place.__aenter__())
        yield runner, runner.run(place.index("where", dimension=DIMENSION))
        runner.run(place.__aexit__())


def test_what_is_asked_means_what_our_filters_mean(
    engine: tuple[asyncio.Runner, VectorIndex],
) -> None:
    runner, index = engine
    seen = {True: 0, False: 0}

    @settings(max_examples=100)
    @given(ROWS, st.lists(FILTERS, min_size=1, max_size=8))
    def compare(rows: list[dict[str, Any]], filters: list[dict[str, Any]]) -> None:
        items = [VectorItem(f"r{at}", vector(1, at), fields) for at, fields in enumerate(rows)]
        runner.run(_compare(index, items, filters, seen))

    compare()
    assert min(seen.values()) > 20


def test_every_edge_is_asked_about_every_edge(
    engine: tuple[asyncio.Runner, VectorIndex],
) -> None:
    runner, index = engine
    floats = (*map(float, EDGES), -0.0, 1.5, -1.5, 0.5, 1e300, 5e-324)
    edges: tuple[FieldValue, ...] = (*EDGES, *floats, True, False, *TEXTS)
    items = [item("missing"), *(item(f"e{at}", x=value) for at, value in enumerate(edges))]
    single = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
    asking: list[Any] = [{operator: edge} for operator in single for edge in edges]
    asking += [
        {operator: list(edges[at : at + 3])} for operator in ("$in", "$nin") for at in range(40)
    ]
    seen = {True: 0, False: 0}
    filters = [{"metadata.x": each} for each in asking]
    runner.run(_compare(index, items, filters, seen))
    assert min(seen.values()) > 50


async def _compare(
    index: VectorIndex,
    items: list[VectorItem],
    filters: list[dict[str, Any]],
    seen: dict[bool, int],
) -> None:
    oracle = await ExactVectors().index("where", dimension=DIMENSION)
    await oracle.upsert(items)
    await index.delete(await index.scan())
    await index.upsert(items)
    for where in filters:
        tree = parse(where)
        supported = index.supports(tree)
        seen[supported] += 1
        if not supported:
            with pytest.raises(FilterError):
                await index.query(vector(1), limit=99, where=tree)
            continue
        found = await index.query(vector(1), limit=99, where=tree)
        expected = await oracle.query(vector(1), limit=99, where=tree)
        assert {hit.id for hit in found} == {hit.id for hit in expected}, where


@pytest.mark.parametrize(
    "where",
    [
        {"metadata.x": 1.5},  # 1 passes
        {"metadata.x": {"$ne": 1.5}},  # 1 doesn't pass
        {"metadata.x": {"$gte": 1.5}},  # 1 passes
        {"metadata.x": {"$in": [1, 1.5]}},  # of different types
        {"metadata.x": 2**53 + 1},  # 2.0**53 passes
        {"metadata.x": {"$lt": float(2**63)}},  # 2**63 - 1 doesn't pass
        {"metadata.x": {"$gt": "a"}},
        {"metadata.x": {"$gt": False}},
        {"metadata.x": None},
        {"metadata.x": {"$in": [None, 1]}},
        {"metadata.x": {"$exists": True}},
        {"metadata.x": {"$contains": "a"}},
        {"metadata.x": {"$not": {"$gt": 1}}},  # what is missing or no number would have to pass
        {"metadata.#document": "a"},
        {"metadata.$x": "a"},
        {"metadata.chroma:document": "a"},
        {"metadata.": "a"},
    ],
)
def test_what_chroma_sees_otherwise_isnt_asked(where: dict[str, Any]) -> None:
    tree = parse(where)
    assert translated(tree) is None
    with pytest.raises(FilterError):
        asked(tree)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, True),
        ({"metadata.x": {"$in": []}}, False),
        ({"metadata.x": {"$nin": []}}, True),
        ({"$or": [{"metadata.x": {"$in": []}}, {"metadata.y": 1}]}, {"y": {"$eq": 1}}),
        ({"$and": [{"metadata.x": {"$in": []}}, {"metadata.y": 1}]}, False),
        ({"metadata.x": 2.0}, {"x": {"$eq": 2}}),
        (
            {"metadata.x": {"$nin": [1, "a", 2]}},
            {"$and": [{"x": {"$nin": [1, 2]}}, {"x": {"$nin": ["a"]}}]},
        ),
        (
            {"metadata.x": {"$gt": 1, "$lt": 5}},
            {"$and": [{"x": {"$gt": 1}}, {"x": {"$lt": 5}}]},
        ),
    ],
)
def test_how_it_is_asked(where: dict[str, Any], expected: object) -> None:
    assert translated(parse(where)) == expected


def test_constant_trees_are_no_questions() -> None:
    assert translated(EVERYTHING) is True
    assert translated(Or(())) is False
    assert translated(And((EVERYTHING, Or((EVERYTHING, parse({"metadata.x": 1})))))) is True


def test_the_largest_filters_are_within_the_limits_of_sqlite(
    engine: tuple[asyncio.Runner, VectorIndex],
) -> None:
    runner, index = engine
    members = {"metadata.x": {"$in": list(range(MAX_OPERANDS))}}
    chain = {"$or": [{"metadata.x": number} for number in range(MAX_OPERANDS)]}
    nots = {"$and": [{"metadata.x": {"$ne": number}} for number in range(2, MAX_OPERANDS + 2)]}
    nested: dict[str, Any] = {"metadata.x": 1}
    for level in range(30):
        nested = {("$and", "$or")[level % 2]: [nested, {"metadata.x": {"$gte": level % 2}}]}
    runner.run(index.delete(runner.run(index.scan())))
    runner.run(index.upsert([item("a", x=1), item("b", x=-5)]))
    for where in (members, chain, nots, nested):
        tree = parse(where)
        assert index.supports(tree)
        found = runner.run(index.query(vector(1), limit=9, where=tree))
        assert "a" in {hit.id for hit in found}
    assert not index.supports(parse({"metadata.x": {"$in": list(range(MAX_OPERANDS + 1))}}))
    assert not index.supports(parse({"$or": [{"metadata.x": n} for n in range(MAX_OPERANDS + 1)]}))
