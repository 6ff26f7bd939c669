from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from dualstore.errors import DualStoreError, FilterError
from dualstore.filters import (
    EVERYTHING,
    MAX_NESTING,
    And,
    Filter,
    Leaf,
    Not,
    Op,
    Or,
    kind_of,
    matches,
    negated,
    normal,
    parse,
)
from dualstore.values import YEAR_9999
from tests.documents.strategies import deep_filter, filters, items


@dataclass
class Thing:
    """All that a filter may ask about."""

    id: str = "a"
    text: str = "some text"
    timestamp: int = 1000
    origin: str = "local"
    metadata: dict[str, Any] = field(default_factory=dict)


def _holds(where: dict[str, Any], **facts: Any) -> bool:
    return matches(parse(where), Thing(**facts))


# What a filter means


def test_no_filter_asks_for_everything() -> None:
    assert parse(None) == parse({}) == EVERYTHING
    assert matches(EVERYTHING, Thing())


@pytest.mark.parametrize(
    "where", [{"id": "a"}, {"text": {"$contains": "TEXT"}}, {"timestamp": 1000}]
)
def test_the_plain_fields_can_be_asked(where: dict[str, Any]) -> None:
    assert _holds(where)
    assert not _holds({"$not": where})


ONE: dict[str, Any] = {"n": 1}
NULL: dict[str, Any] = {"n": None}
NONE: dict[str, Any] = {}
TEXT: dict[str, Any] = {"n": "1"}
YES: dict[str, Any] = {"n": True}
LIST: dict[str, Any] = {"n": [1, "x", None, [5], {"m": 7}]}
EMPTY: dict[str, Any] = {"n": []}
INNER: dict[str, Any] = {"n": {"m": 7}}
DOTTED: dict[str, Any] = {"n.m": 7}

MEANINGS: list[tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ({"metadata.n": 1}, [ONE, LIST], [NULL, NONE, TEXT, YES, EMPTY, INNER]),
    ({"metadata.n": 1.0}, [ONE, LIST], [TEXT, YES]),
    ({"metadata.n": True}, [YES], [ONE, TEXT, NONE]),
    ({"metadata.n": None}, [NULL, NONE, LIST, DOTTED], [ONE, TEXT, EMPTY, INNER]),
    ({"metadata.n": {"$ne": 1}}, [NULL, NONE, TEXT, YES, EMPTY, INNER], [ONE, LIST]),
    ({"metadata.n": {"$in": [1, None]}}, [ONE, NULL, NONE, LIST], [TEXT, YES, EMPTY]),
    ({"metadata.n": {"$in": []}}, [], [ONE, NULL, NONE, LIST]),
    ({"metadata.n": {"$nin": [1, None]}}, [TEXT, YES, EMPTY, INNER], [ONE, NULL, NONE, LIST]),
    ({"metadata.n": {"$nin": []}}, [ONE, NULL, NONE, LIST], []),
    ({"metadata.n": {"$gt": 0}}, [ONE, LIST], [NULL, NONE, TEXT, YES, EMPTY]),
    ({"metadata.n": {"$gte": 1, "$lte": 1}}, [ONE, LIST], [TEXT, YES]),
    ({"metadata.n": {"$lt": 1}}, [], [ONE, NULL, NONE, TEXT, YES, LIST]),
    ({"metadata.n": {"$lt": "2"}}, [TEXT], [ONE, YES, LIST]),
    ({"metadata.n": {"$gte": False}}, [YES], [ONE, TEXT]),
    ({"metadata.n": {"$exists": True}}, [ONE, NULL, LIST, EMPTY, INNER], [NONE, DOTTED]),
    ({"metadata.n": {"$exists": False}}, [NONE, DOTTED], [ONE, NULL, LIST, EMPTY, INNER]),
    ({"metadata.n": {"$contains": "X"}}, [LIST], [ONE, TEXT, NONE]),
    ({"metadata.n": {"$contains": ""}}, [TEXT, LIST], [ONE, NULL, NONE, EMPTY]),
    ({"metadata.n": {"$not": {"$gt": 0}}}, [NULL, NONE, TEXT, YES, EMPTY], [ONE, LIST]),
    ({"metadata.n.m": 7}, [LIST, INNER, DOTTED], [ONE, NONE]),
    ({"metadata.n.m": {"$exists": True}}, [LIST, INNER, DOTTED], [ONE, EMPTY]),
    ({"metadata.n": 5}, [], [LIST]),
    ({"metadata.n.0": 1}, [], [LIST]),
    ({"metadata.n": 1, "metadata.m": None}, [ONE, LIST], [TEXT]),
    ({"$or": [{"metadata.n": 1}, {"metadata.n": "1"}]}, [ONE, TEXT, LIST], [NULL, NONE]),
    ({"$and": [{"metadata.n": 1}, {"metadata.n": "x"}]}, [LIST], [ONE]),
    ({"$not": {"metadata.n": 1, "id": "a"}}, [NONE, TEXT], [ONE, LIST]),
]


@pytest.mark.parametrize(("where", "yes", "no"), MEANINGS, ids=lambda value: str(value)[:60])
def test_what_metadata_filters_mean(
    where: dict[str, Any], yes: list[dict[str, Any]], no: list[dict[str, Any]]
) -> None:
    assert all(_holds(where, metadata=metadata) for metadata in yes)
    assert not any(_holds(where, metadata=metadata) for metadata in no)


@pytest.mark.parametrize("key", ["", ".", "a.", ".a", "$where", "$gt", "a b", "ß"])
def test_every_key_can_be_asked_for(key: str) -> None:
    assert _holds({f"metadata.{key}": 1}, metadata={key: 1})
    assert not _holds({f"metadata.{key}": 1}, metadata={"other": 1})


def test_a_path_is_found_however_its_keys_are_split() -> None:
    for metadata in ({"a": {"b": {"c": 1}}}, {"a.b": {"c": 1}}, {"a": {"b.c": 1}}, {"a.b.c": 1}):
        assert _holds({"metadata.a.b.c": 1}, metadata=metadata)
    both = {"a": {"b": 1}, "a.b": 2}
    assert _holds({"metadata.a.b": 1}, metadata=both)
    assert _holds({"metadata.a.b": 2}, metadata=both)


@pytest.mark.parametrize(
    ("needle", "text", "found"),
    [
        ("STRASSE", "Die Straße", True),
        ("straße", "STRASSE", True),
        ("set", "ſet", True),
        ("i", "İ", True),
        ("istanbul", "İstanbul", False),
        ("fi", "ﬁ", True),
        ("é", "e\u0301", False),
        ("%", "100", False),
        ("", "", True),
        ("\0", "a\0b", True),
    ],
)
def test_contains_looks_at_case_folded_texts(needle: str, text: str, found: bool) -> None:
    assert _holds({"text": {"$contains": needle}}, text=text) is found


@pytest.mark.parametrize(
    ("operand", "same"),
    [
        (1000, True),
        (1000.0, True),
        (1000.5, False),
        ("1970-01-01T00:00:01", True),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), True),
        (None, False),
        (True, False),
    ],
)
def test_times_can_be_asked_for_as_they_come_in(operand: object, same: bool) -> None:
    assert _holds({"timestamp": {"$eq": operand}}) is same
    assert _holds({"timestamp": {"$in": [operand]}}) is same


def test_integers_and_floats_are_compared_exactly() -> None:
    big = {"n": 2**53 + 1}
    assert not _holds({"metadata.n": 2.0**53}, metadata=big)
    assert _holds({"metadata.n": {"$gt": 2.0**53}}, metadata=big)
    assert _holds({"metadata.n": -0.0}, metadata={"n": 0})


# What can't be asked


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"$where": "1"}, r"unknown operator '\$where'; the dialect has \$eq"),
        ({"metadata.a": {"$where": "1"}}, r"metadata.a: unknown operator '\$where'"),
        ({"metadata.a": {"$regex": "x"}}, r"metadata.a: unknown operator '\$regex'"),
        ({"$nor": [{"id": "a"}]}, r"unknown operator '\$nor'"),
        ({"$gt": 5}, r"unknown operator '\$gt'"),
        ({"metadata.a": {"b": 5}}, "metadata.a: unknown operator 'b'"),
        ({"metadata.a": {"$and": [{"$gt": 1}]}}, r"metadata.a: unknown operator '\$and'"),
        ({"role": "user"}, r"unknown field 'role'; .*did you mean 'metadata.role'\?"),
        ({"metadata": {}}, "unknown field 'metadata'"),
        ({"": 1}, "unknown field ''"),
        ({5: 1}, "unknown operator 5"),
        ({"revision": 1}, "unknown field 'revision'"),
        ({"metadata.a\0b": 1}, "can't hold a NUL"),
        ({"metadata.\ud800": 1}, "lone surrogate"),
        ({"metadata.a": {}}, "metadata.a: {} asks nothing"),
        ({"metadata.a": []}, r"metadata.a: \$eq takes a string, a finite number"),
        ({"metadata.a": float("nan")}, r"metadata.a: \$eq takes"),
        ({"metadata.a": {"$gt": float("inf")}}, r"metadata.a: \$gt takes"),
        ({"metadata.a": 2**63}, r"metadata.a: \$eq takes .* 64 bits"),
        ({"metadata.a": 10**5000}, r"metadata.a: \$eq takes .* 64 bits"),
        ({"metadata.a": b"x"}, r"metadata.a: \$eq takes"),
        ({"metadata.a": {"$eq": {"b": 1}}}, r"metadata.a: \$eq takes"),
        ({"metadata.a": {"$gt": None}}, r"metadata.a: \$gt can't order null"),
        ({"metadata.a": {"$in": "abc"}}, r"metadata.a: \$in takes a list"),
        ({"metadata.a": {"$in": [[1]]}}, r"metadata.a: \$in takes a string"),
        ({"metadata.a": {"$nin": 5}}, r"metadata.a: \$in takes a list"),
        ({"metadata.a": {"$exists": 1}}, r"metadata.a: \$exists takes true or false"),
        ({"metadata.a": {"$contains": 1}}, r"metadata.a: \$contains asks for a string"),
        ({"timestamp": {"$contains": "1"}}, r"timestamp: \$contains asks for a string"),
        ({"text": "\ud800"}, r"text: \$eq: holds a lone surrogate"),
        ({"text": {"$contains": "\ud800"}}, "lone surrogate"),
        ({"timestamp": "soon"}, r"timestamp: \$eq: 'soon' is not an ISO"),
        ({"timestamp": {"$gt": []}}, r"timestamp: \$gt: must be milliseconds"),
        ({"timestamp": {"$gt": 10**5000}}, r"timestamp: \$gt takes .* 64 bits"),
        ({"metadata.a": {"$not": 5}}, r"metadata.a: \$not takes operators"),
        ({"metadata.a": {"$not": {}}}, "asks nothing"),
        ({"$and": []}, r"\$and takes a list of at least one"),
        ({"$or": {"id": "a"}}, r"\$or takes a list"),
        ({"$and": ["a"]}, "a filter must be a mapping, not str"),
        ({"$not": []}, "a filter must be a mapping, not list"),
        ("id", "a filter must be a mapping, not str"),
        (deep_filter({"id": "a"}, MAX_NESTING + 1), "nested deeper than 32"),
    ],
    ids=lambda value: f"{type(value).__name__}" if not isinstance(value, str) else value[:40],
)
def test_what_the_dialect_lacks_is_refused_naming_it(where: Any, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        parse(where)
    assert isinstance(caught.value, DualStoreError)
    assert len(str(caught.value)) < 400


def test_the_deepest_filter_is_taken() -> None:
    assert _holds(deep_filter({"id": "a"})) is (MAX_NESTING % 2 == 0)
    condition: dict[str, Any] = {"$eq": "a"}
    for _ in range(MAX_NESTING + 1):
        condition = {"$not": condition}
    with pytest.raises(FilterError, match="nested deeper"):
        parse({"id": condition})


def test_a_filter_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["$not"] = loop
    with pytest.raises(FilterError, match="nested deeper"):
        parse(loop)


# The tree


@given(filters(), items())
def test_a_filter_its_normal_form_and_its_opposite_agree(
    where: dict[str, Any], facts: dict[str, Any]
) -> None:
    tree, thing = parse(where), Thing(id="a", **facts)
    assert matches(normal(tree), thing) is matches(tree, thing)
    assert matches(negated(tree), thing) is not matches(tree, thing)
    assert _nots_are_on_leaves(normal(tree))
    assert _nots_are_on_leaves(negated(tree))


def _nots_are_on_leaves(tree: Filter) -> bool:
    match tree:
        case Leaf():
            return True
        case Not(part):
            return isinstance(part, Leaf)
        case And(parts) | Or(parts):
            return all(_nots_are_on_leaves(part) for part in parts)


def test_only_metadata_leaves_have_a_path() -> None:
    assert Leaf("metadata.a.b", Op.EQ, 1).path == "a.b"
    assert Leaf("metadata.", Op.EQ, 1).path == ""
    assert Leaf("timestamp", Op.EQ, YEAR_9999).path is None


def test_values_of_different_kinds_are_told_apart() -> None:
    values: list[Any] = [None, True, 1, 1.0, "1", [], {}]
    kinds = [kind_of(value) for value in values]
    assert kinds == ["null", "bool", "number", "number", "string", "other", "other"]
