from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.entry import Drafter, Entry
from dualstore.family import FamilySpec
from dualstore.filters import EVERYTHING, Filter, leaves, matches, parse
from dualstore.indexing.filing import fields_of, narrowed
from dualstore.outbox import fresh
from dualstore.vectors.exact import _Facts

SPEC = FamilySpec("tests_filing", filter_fields=("kind", "deep.n"))


def _entry(metadata: dict[str, Any], *, id_: str = "a", timestamp: int = 5) -> Entry:
    draft = Drafter(SPEC).compose(id=id_, text="words", timestamp=timestamp, metadata=metadata)
    return Entry(
        id=draft.id,
        text=draft.text,
        timestamp=draft.timestamp,
        metadata=draft.metadata,
        body=None,
        revision=1,
        content_hash=draft.content_hash,
        text_hash=draft.text_hash,
        index=fresh(indexable=True, now=1),
        created_at=1,
        updated_at=1,
        origin=draft.origin,
        source_version=None,
    )


def _everything(_: Filter) -> bool:
    return True


@pytest.mark.parametrize(
    ("metadata", "filed"),
    [
        ({}, {}),
        ({"session_id": "s", "author": "Ann"}, {"m.session_id": "s", "m.author": "Ann"}),
        ({"kind": True, "deep": {"n": 1.5}}, {"m.kind": True, "m.deep.n": 1.5}),
        ({"kind": None, "deep": {}}, {}),
        ({"kind": ["one"]}, {"m.kind": "one"}),
        ({"kind": ["one", "two"]}, {"odd": True}),
        ({"kind": "x" * 257}, {"odd": True}),
        ({"kind": "x" * 256}, {"m.kind": "x" * 256}),
        ({"deep.n": 1, "deep": {"n": 2}}, {"odd": True}),
        ({"other": 1}, {}),
    ],
)
def test_a_vector_is_filed_under_plain_values(
    metadata: dict[str, Any], filed: dict[str, Any]
) -> None:
    always = {"entry": "a", "timestamp": 5, "origin": "local"}
    assert fields_of(_entry(metadata), SPEC) == always | filed


@pytest.mark.parametrize(
    "where",
    [
        {"metadata.other": 1},
        {"metadata.kind": None},
        {"metadata.kind": {"$in": ["a", None]}},
        {"metadata.kind": {"$ne": 1}},
        {"metadata.kind": {"$exists": True}},
        {"metadata.kind": {"$contains": "x"}},
        {"text": "words"},
        {"$or": [{"metadata.kind": 1}, {"text": "words"}]},
    ],
)
def test_what_the_fields_cant_answer_leaves_nothing_out(where: dict[str, Any]) -> None:
    assert narrowed(parse(where), SPEC, supports=_everything) == EVERYTHING


def test_what_an_index_cant_say_leaves_nothing_out() -> None:
    where = parse({"metadata.kind": 1, "timestamp": {"$gt": 3}})

    def numbers_only(tree: Filter) -> bool:
        return all(leaf.field == "metadata.timestamp" for leaf in leaves(tree))

    (kept,) = leaves(narrowed(where, SPEC, supports=numbers_only))
    assert kept.field == "metadata.timestamp"
    assert narrowed(where, SPEC, supports=lambda _: False) == EVERYTHING


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["a", "b", ""]))
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.just("x" * 300))
DEEP = st.fixed_dictionaries({"n": VALUES})
METADATA = st.fixed_dictionaries({}, optional={"kind": VALUES, "session_id": VALUES, "deep": DEEP})
FIELDS = st.sampled_from(["metadata.kind", "metadata.session_id", "metadata.deep.n", "metadata.x"])
LEAVES = st.one_of(
    st.builds(lambda f, v: {f: v}, FIELDS, SCALARS),
    st.builds(lambda f, v: {f: {"$in": v}}, FIELDS, st.lists(SCALARS, min_size=1, max_size=3)),
    st.builds(
        lambda f, op, v: {f: {op: v}},
        FIELDS,
        st.sampled_from(["$gt", "$lte", "$ne"]),
        st.sampled_from([0, 1, "a"]),
    ),
    st.builds(lambda v: {"timestamp": {"$gte": v}}, st.integers(3, 7)),
    st.builds(lambda v: {"id": v}, st.sampled_from(["a", "b"])),
    st.just({"origin": "local"}),
)
FILTERS = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(lambda some: {"$and": some}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda some: {"$or": some}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda part: {"$not": part}, parts),
    ),
    max_leaves=6,
)


@given(FILTERS, METADATA, st.integers(3, 7), st.sampled_from(["a", "b"]))
def test_nothing_that_is_wanted_is_left_out(
    where: dict[str, Any], metadata: dict[str, Any], timestamp: int, id_: str
) -> None:
    entry = _entry(metadata, id_=id_, timestamp=timestamp)
    tree = parse(where)
    narrow = narrowed(tree, SPEC, supports=_everything)
    assert all(leaf.path for leaf in leaves(narrow))
    if matches(tree, entry):
        assert matches(narrow, _Facts(dict(fields_of(entry, SPEC))))
