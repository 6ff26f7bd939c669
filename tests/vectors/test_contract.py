"""What every backend must do."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from dualstore.errors import (
    FamilyMismatchError,
    FilterError,
    InvalidInputError,
    InvalidNameError,
    VectorsGoneError,
)
from dualstore.filters import parse
from dualstore.vectors.base import (
    FieldValue,
    VectorIndex,
    VectorItem,
    VectorPlace,
)
from dualstore.vectors.exact import ExactVectors
from tests.vectors.conftest import Place
from tests.vectors.making import DIMENSION, item, random_items, vector


async def test_an_index_that_is_not_there_is_not_found_nor_made(opened: VectorPlace) -> None:
    assert await opened.find("family", dimension=DIMENSION) is None
    assert await opened.names() == []
    made = await opened.index("family", dimension=DIMENSION)
    await made.upsert([item("a")])
    found = await opened.find("family", dimension=DIMENSION)
    assert found is not None
    assert await found.scan() == ["a"]
    with pytest.raises(FamilyMismatchError, match="reindex"):
        await opened.find("family", dimension=DIMENSION + 1)
    await opened.drop("family")
    assert await opened.find("family", dimension=DIMENSION) is None


async def test_a_new_index_is_empty(index: VectorIndex) -> None:
    assert (index.name, index.dimension) == ("family", DIMENSION)
    assert await index.count() == 0
    assert await index.scan() == []
    assert await index.get(["a"]) == {}
    assert await index.query(vector(1), limit=5) == []


async def test_what_is_written_is_held(index: VectorIndex) -> None:
    one = item("a", 0.6, 0.8, s="text", i=7, f=1.5, t=True, whole=2.0)
    await index.upsert([one, item("b", 0, 1)])
    found = await index.get(["b", "a", "missing", "a"])
    assert found.keys() == {"a", "b"}
    assert np.allclose(found["a"].vector, one.vector, atol=1e-6)
    assert found["a"].vector.dtype == np.float32
    assert found["a"].fields == one.fields
    assert {type(value) for value in found["a"].fields.values()} == {str, int, float, bool}
    assert found["b"].fields == {}
    assert await index.count() == 2


async def test_the_nearest_come_first_with_their_cosines(index: VectorIndex) -> None:
    await index.upsert([item("same", 2), item("near", 1, 1), item("far", 0, 1), item("off", -3)])
    found = await index.query(vector(5), limit=3)
    assert [hit.id for hit in found] == ["same", "near", "far"]
    assert [hit.similarity for hit in found] == pytest.approx([1, 0.5**0.5, 0], abs=1e-5)
    (*_, last) = await index.query(vector(5), limit=100)
    assert last.id == "off"
    assert last.similarity == pytest.approx(-1, abs=1e-5)


async def test_a_vector_of_zeros_finds_none_and_is_near_to_nothing(index: VectorIndex) -> None:
    await index.upsert([item("zero", 0), item("one", 1)])
    assert await index.query(vector(0), limit=5) == []
    found = await index.query(vector(1), limit=5)
    assert [hit.id for hit in found] == ["one", "zero"]
    assert found[1].similarity == pytest.approx(0, abs=1e-5)
    assert not (await index.get(["zero"]))["zero"].vector.any()


async def test_a_limit_of_nothing_finds_nothing(index: VectorIndex) -> None:
    await index.upsert([item("a")])
    for limit in (0, -1):
        assert await index.query(vector(1), limit=limit) == []


async def test_writing_again_replaces_the_whole(index: VectorIndex) -> None:
    await index.upsert([item("a", 1, x="old", gone=1), item("b", 1, x="old")])
    await index.upsert([item("a", 0, 1, x="new", more=2), item("b", 0, 1)])
    found = await index.get(["a", "b"])
    assert found["a"].fields == {"x": "new", "more": 2}
    assert found["b"].fields == {}
    assert np.allclose(found["a"].vector, vector(0, 1), atol=1e-6)
    assert await index.count() == 2
    for where in ({"metadata.gone": 1}, {"metadata.x": "old"}):
        assert await index.query(vector(1), limit=5, where=parse(where)) == []


async def test_a_field_may_change_its_type(index: VectorIndex) -> None:
    for value in ("1", 1, True, 1.0, "1"):
        await index.upsert([item("a", x=value)])
        found = (await index.get(["a"]))["a"].fields["x"]
        assert (type(found), found) == (type(value), value)
    assert await index.query(vector(1), limit=5, where=parse({"metadata.x": 1})) == []


async def test_new_old_and_changed_ones_may_come_together(index: VectorIndex) -> None:
    items = random_items(400)
    await index.upsert(items[:300])
    changed = [replace(each, vector=-each.vector) for each in items[50:250]]
    edited = [replace(each, fields={"m": "x"}) for each in items[250:300]]
    await index.upsert([*items[:50], *changed, *edited, *items[300:]])
    expected = {each.id: each for each in [*items[:50], *changed, *edited, *items[300:]]}
    found = await index.get(list(expected))
    assert found.keys() == expected.keys()
    for id_, one in found.items():
        assert one.fields == expected[id_].fields
        assert np.allclose(one.vector, expected[id_].vector, atol=1e-6)
    assert (await index.query(changed[7].vector, limit=1))[0].id == changed[7].id


async def test_of_an_id_given_twice_the_last_counts(index: VectorIndex) -> None:
    await index.upsert([item("a", 1, x=1, y=1), item("b"), item("a", 0, 1, x=2)])
    assert (await index.get(["a"]))["a"].fields == {"x": 2}
    assert np.allclose((await index.get(["a"]))["a"].vector, vector(0, 1), atol=1e-6)
    assert await index.count() == 2


async def test_any_number_is_written_found_and_read(index: VectorIndex) -> None:
    items = random_items(1_300)
    await index.upsert(items)
    assert await index.count() == len(items)
    found = await index.get([each.id for each in items])
    assert found.keys() == {each.id for each in items}
    assert all(np.allclose(found[each.id].vector, each.vector, atol=1e-6) for each in items)
    assert (await index.query(items[777].vector, limit=1))[0].id == items[777].id
    await index.delete([each.id for each in items[:-1]])
    assert await index.scan() == [items[-1].id]


async def test_nothing_to_do_is_fine(index: VectorIndex) -> None:
    await index.upsert([])
    await index.delete([])
    assert await index.get([]) == {}
    assert await index.scan(limit=0) == []


async def test_what_is_deleted_is_gone(index: VectorIndex) -> None:
    await index.upsert([item("a"), item("b")])
    await index.delete(["a", "never", "a"])
    assert (await index.get(["a", "b"])).keys() == {"b"}
    assert await index.count() == 1
    assert [hit.id for hit in await index.query(vector(1), limit=9)] == ["b"]
    await index.upsert([item("a", x=1)])
    assert (await index.get(["a"]))["a"].fields == {"x": 1}


async def test_a_scan_in_pages_meets_each_id_once(index: VectorIndex) -> None:
    items = random_items(25)
    await index.upsert(items)
    await index.delete(["v3"])
    met: list[str] = []
    while page := await index.scan(offset=len(met), limit=10):
        met += page
    assert sorted(met) == sorted({each.id for each in items} - {"v3"})
    assert await index.scan(offset=500) == []
    assert await index.scan(limit=100) == met


async def test_a_scan_may_ask_for_some(index: VectorIndex) -> None:
    await index.upsert(
        [item(f"{whose}{n}", 1.0, n + 1.0, entry=whose) for whose in "abc" for n in range(3)]
    )
    wanted = parse({"metadata.entry": {"$in": ["a", "c", "nobody"]}})
    met: list[str] = []
    while page := await index.scan(offset=len(met), limit=4, where=wanted):
        met += page
    assert sorted(met) == ["a0", "a1", "a2", "c0", "c1", "c2"]
    assert await index.scan(where=parse({"metadata.entry": "nobody"})) == []


NAN = float("nan")
BAD_ITEMS = {
    "too short": VectorItem("x", np.ones(DIMENSION - 1, np.float32), {}),
    "too long": VectorItem("x", np.ones(DIMENSION + 1, np.float32), {}),
    "two rows": VectorItem("x", np.ones((2, DIMENSION), np.float32), {}),
    "NaN": VectorItem("x", vector(NAN), {}),
    "infinite": VectorItem("x", vector(float("inf")), {}),
    "no id": item(""),
    "id that can't be encoded": item("\ud800"),
    "field NaN": item("x", f=NAN),
    "field infinite": item("x", f=float("-inf")),
    "field of 65 bits": item("x", f=2**63),
    "field null": item("x", f=None),  # type: ignore[arg-type]
    "field list": item("x", f=["a"]),  # type: ignore[arg-type]
    "field mapping": item("x", f={"a": 1}),  # type: ignore[arg-type]
    "field that can't be encoded": item("x", f="\udfff"),
    "field without a name": item("x", **{"": 1}),
    "field with a name that can't be encoded": item("x", **{"\ud800": 1}),
    "field $": item("x", **{"$eq": 1}),
    "field #": item("x", **{"#document": "x"}),
    "field of Chroma's": item("x", **{"chroma:document": "x"}),
}


async def test_an_item_that_cant_be_kept_is_refused_before_the_first_write(
    index: VectorIndex,
) -> None:
    for reason, bad in BAD_ITEMS.items():
        with pytest.raises(InvalidInputError):
            await index.upsert([*random_items(600), bad])
        assert await index.count() == 0, reason


async def test_a_query_that_is_no_vector_of_this_index_is_refused(index: VectorIndex) -> None:
    for bad in (np.ones(3, np.float32), vector(NAN), np.ones((1, DIMENSION), np.float32)):
        with pytest.raises(InvalidInputError):
            await index.query(bad, limit=1)


async def test_unusual_ids_fields_and_values_are_kept(index: VectorIndex) -> None:
    ids = ["a" * 32 + ":0:session:ä%3A", "🙂", "a\0b", "x" * 3000, " "]
    fields: dict[str, FieldValue] = {
        "a.b": "ä\0🙂",
        "with blank": "",
        "ü": "x" * 10_000,
        "'\";--": -(2**63),
        "\0": 2**63 - 1,
    }
    await index.upsert([VectorItem(each, vector(1), fields) for each in ids])
    found = await index.get(ids)
    assert {key: one.fields for key, one in found.items()} == dict.fromkeys(ids, fields)
    assert sorted(await index.scan()) == sorted(ids)
    where = parse({"metadata.a.b": "ä\0🙂"})
    assert len(await index.query(vector(1), limit=9, where=where)) == len(ids)
    await index.delete(ids)
    assert await index.count() == 0


async def test_numbers_of_other_kinds_are_taken_as_float32(index: VectorIndex) -> None:
    await index.upsert([VectorItem("a", np.arange(DIMENSION, dtype=np.float64), {})])  # type: ignore[arg-type]
    length = np.linalg.norm(np.arange(DIMENSION))
    found = (await index.get(["a"]))["a"].vector
    assert np.allclose(found / np.linalg.norm(found), np.arange(DIMENSION) / length, atol=1e-6)


ANSWERS: list[tuple[dict[str, object], str]] = [
    ({}, "abcd"),
    ({"metadata.thread": "one"}, "ab"),
    ({"metadata.thread": {"$ne": "one"}}, "cd"),
    ({"metadata.time": {"$gt": 10}}, "bc"),
    ({"metadata.time": {"$gte": 10, "$lt": 30}}, "ab"),
    ({"metadata.time": {"$lte": 20.0}}, "ab"),
    ({"metadata.thread": {"$in": ["two", "three", 3]}}, "c"),
    ({"metadata.thread": {"$nin": ["one"]}}, "cd"),
    ({"metadata.thread": {"$in": []}}, ""),
    ({"metadata.thread": {"$nin": []}}, "abcd"),
    ({"metadata.flag": True}, "a"),
    ({"metadata.flag": 1}, ""),
    ({"$or": [{"metadata.thread": "two"}, {"metadata.flag": True}]}, "ac"),
    ({"$and": [{"metadata.thread": "one"}, {"metadata.time": 20}]}, "b"),
    ({"metadata.thread": "one", "metadata.time": 20}, "b"),
    ({"$not": {"metadata.thread": "one", "metadata.time": 20}}, "acd"),
]


async def test_a_filter_that_can_be_asked_is_obeyed(index: VectorIndex) -> None:
    await index.upsert(
        [
            item("a", thread="one", time=10, flag=True),
            item("b", thread="one", time=20, flag=False),
            item("c", thread="two", time=30),
            item("d"),
        ]
    )
    for where, expected in ANSWERS:
        tree = parse(where)
        assert index.supports(tree)
        found = await index.query(vector(1), limit=9, where=tree)
        assert sorted(hit.id for hit in found) == list(expected), where
        assert len(await index.query(vector(1), limit=1, where=tree)) == min(1, len(expected))


async def test_a_filter_that_isnt_about_fields_cant_be_asked(index: VectorIndex) -> None:
    for where in ({"id": "a"}, {"text": "a"}, {"timestamp": 1}, {"origin": "local"}):
        tree = parse({"$or": [where, {"metadata.a": 1}]})
        assert not index.supports(tree)
        with pytest.raises(FilterError):
            await index.query(vector(1), limit=1, where=tree)


async def test_an_index_is_opened_again_by_its_name(opened: VectorPlace) -> None:
    first = await opened.index("family", dimension=DIMENSION)
    await first.upsert([item("a", x=1)])
    again = await opened.index("family", dimension=DIMENSION)
    assert (await again.get(["a"]))["a"].fields == {"x": 1}
    assert await opened.names() == ["family"]


async def test_indexes_dont_see_each_other(opened: VectorPlace) -> None:
    one = await opened.index("one", dimension=DIMENSION)
    two = await opened.index("two", dimension=DIMENSION + 1)
    await one.upsert([item("a")])
    await two.upsert([VectorItem("b", vector(1, dimension=DIMENSION + 1), {})])
    assert (await one.scan(), await two.scan()) == (["a"], ["b"])
    assert await opened.names() == ["one", "two"]


async def test_another_dimension_is_refused_with_the_way_out(opened: VectorPlace) -> None:
    index = await opened.index("family", dimension=DIMENSION)
    with pytest.raises(FamilyMismatchError, match="reindex"):
        await opened.index("family", dimension=DIMENSION * 2)
    await index.upsert([item("a")])
    assert await index.count() == 1


async def test_a_name_that_not_all_can_spell_is_refused(opened: VectorPlace) -> None:
    for name in ("", "ab", "a:b:c", "_abc", "abc_", "a b c", "äöü", "x" * 513, "abc\n"):
        with pytest.raises(InvalidNameError):
            await opened.index(name, dimension=DIMENSION)
        with pytest.raises(InvalidNameError):
            await opened.drop(name)


async def test_other_names_are_fine(opened: VectorPlace) -> None:
    names = ["A" * 512, "abc", "default_notes.g-1"]
    for name in names:
        await opened.index(name, dimension=DIMENSION)
    assert await opened.names() == names
    for name in names:
        await opened.drop(name)
    assert await opened.names() == []


async def test_a_dimension_that_cant_be_is_refused(opened: VectorPlace) -> None:
    for dimension in (0, -1, 1_000_000):
        with pytest.raises(InvalidInputError):
            await opened.index("family", dimension=dimension)


async def test_what_is_dropped_is_gone_and_its_name_is_free(opened: VectorPlace) -> None:
    old = await opened.index("family", dimension=DIMENSION)
    await old.upsert([item("a")])
    await opened.drop("family")
    await opened.drop("family")
    assert await opened.names() == []
    new = await opened.index("family", dimension=DIMENSION + 1)
    assert await new.count() == 0


async def test_a_dropped_index_says_so_whatever_it_is_asked(opened: VectorPlace) -> None:
    index = await opened.index("family", dimension=DIMENSION)
    await index.upsert([item("a")])
    await opened.drop("family")
    calls = (
        index.upsert([item("a")]),
        index.query(vector(1), limit=1),
        index.get(["a"]),
        index.delete(["a"]),
        index.scan(),
        index.count(),
    )
    for call in calls:
        with pytest.raises(VectorsGoneError):
            await call


async def test_its_health_names_backend_and_location(opened: VectorPlace) -> None:
    health = await opened.health()
    assert health.backend
    assert health.location


async def test_many_at_once_dont_disturb_each_other(index: VectorIndex) -> None:
    items = random_items(120)
    await asyncio.gather(*(index.upsert(items[at : at + 10]) for at in range(0, 120, 10)))
    assert await index.count() == 120
    answers = await asyncio.gather(*(index.query(each.vector, limit=1) for each in items[:20]))
    assert [answer[0].id for answer in answers] == [each.id for each in items[:20]]


async def test_answers_are_those_of_the_exact_index(index: VectorIndex) -> None:
    items = random_items(300, seed=5)
    oracle = await ExactVectors().index("family", dimension=DIMENSION)
    await index.upsert(items)
    await oracle.upsert(items)
    for asked in random_items(10, seed=6):
        where = parse({"metadata.n": {"$lt": 150}})
        found = await index.query(asked.vector, limit=10, where=where)
        expected = await oracle.query(asked.vector, limit=10, where=where)
        assert [hit.id for hit in found] == [hit.id for hit in expected]
        assert [hit.similarity for hit in found] == pytest.approx(
            [hit.similarity for hit in expected], abs=1e-5
        )


async def test_what_was_acknowledged_is_there_when_opened_again(lasting_place: Place) -> None:
    items = random_items(1_100)
    async with lasting_place() as one:
        index = await one.index("family", dimension=DIMENSION)
        await index.upsert(items)
        await index.delete(["v1"])
    async with lasting_place() as again:
        index = await again.index("family", dimension=DIMENSION)
        assert await index.count() == len(items) - 1
        found = await index.get(["v0", "v1", "v1099"])
        assert found.keys() == {"v0", "v1099"}
        assert found["v1099"].fields == {"n": 1099}
        assert (await index.query(items[500].vector, limit=1))[0].id == "v500"
        with pytest.raises(FamilyMismatchError):
            await again.index("family", dimension=DIMENSION + 1)


async def test_a_closed_place_says_so(lasting_place: Place) -> None:
    async with lasting_place() as one:
        index = await one.index("family", dimension=DIMENSION)
    with pytest.raises(Exception, match="is closed"):
        await index.count()


async def test_an_unused_place_costs_nothing(lasting_place: Place) -> None:
    async with lasting_place():
        pass
