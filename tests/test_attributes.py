from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.attributes import (
    EXISTS,
    VALUE_LIMIT,
    attribute,
    attributes,
    is_exact,
    span,
    whole_span,
)
from dualstore.filters import Leaf, Op, holds, kind_of
from tests.documents.strategies import (
    FLOATS,
    INT64,
    POOL_METADATA,
    POOL_NUMBERS,
    POOL_PATHS,
    POOL_SCALARS,
    POOL_STRINGS,
    PREFIX,
)

NUMBERS = INT64 | FLOATS | st.sampled_from(POOL_NUMBERS)
ORDERS = st.sampled_from([Op.GT, Op.GTE, Op.LT, Op.LTE])


@given(NUMBERS, NUMBERS)
def test_numbers_sort_as_their_attributes_do_integers_and_floats_together(
    one: int | float, other: int | float
) -> None:
    a, b = attribute("n", one), attribute("n", other)
    assert (a < b) is (one < other)
    assert (a == b) is (one == other)


@given(NUMBERS)
def test_a_numbers_neighbours_are_told_apart(number: int | float) -> None:
    if isinstance(number, int):
        assert attribute("n", number - 1) < attribute("n", number) < attribute("n", number + 1)


@pytest.mark.parametrize("value", [None, True, False, 1, 1.5, "", "text", "a\0b"])
def test_a_plain_value_is_one_attribute(value: Any) -> None:
    assert attributes({"key": value}) == {attribute("key", value)}


def test_containers_say_that_they_exist_and_what_they_hold() -> None:
    assert attributes({}) == frozenset()
    assert attributes({"a": {}, "b": []}) == {f"a\0{EXISTS}", f"b\0{EXISTS}"}
    assert attributes({"a": {"b": 1}}) == {f"a\0{EXISTS}", attribute("a.b", 1)}
    assert attributes({"a": [1, [2], {"b": 3}]}) == {
        f"a\0{EXISTS}",
        attribute("a", 1),
        attribute("a.b", 3),
    }


def test_long_strings_are_cut_and_questions_about_them_are_not_exact() -> None:
    (found,) = attributes({"k": PREFIX + "tail"})
    assert found == f"k\0s{PREFIX}"
    assert len(PREFIX) == VALUE_LIMIT
    assert is_exact(Leaf("metadata.k", Op.EQ, PREFIX[:-1]))
    assert not is_exact(Leaf("metadata.k", Op.EQ, PREFIX))
    assert not is_exact(Leaf("metadata.k", Op.IN, ("a", PREFIX)))
    assert not is_exact(Leaf("metadata.k", Op.CONTAINS, "a"))


def _answer(leaf: Leaf, held: frozenset[str]) -> bool:
    """What a database that knows only the attributes says."""
    path = leaf.path or ""
    low, high = whole_span(path)
    exists = any(low <= one < high for one in held)
    match leaf.op:
        case Op.EXISTS:
            return exists is leaf.operand
        case Op.EQ:
            return attribute(path, leaf.operand) in held or (leaf.operand is None and not exists)
        case Op.IN:
            return any(_answer(Leaf(leaf.field, Op.EQ, one), held) for one in leaf.operand)
        case _:
            low, high = span(path, leaf.op, leaf.operand)
            return any(low <= one < high for one in held)


@st.composite
def metadata_leaves(draw: st.DrawFn) -> Leaf:
    """A leaf about metadata that isn't `$contains`."""
    field = f"metadata.{draw(st.sampled_from(POOL_PATHS))}"
    op = draw(st.sampled_from([Op.EQ, Op.IN, Op.EXISTS, Op.GT, Op.GTE, Op.LT, Op.LTE]))
    if op is Op.EXISTS:
        return Leaf(field, op, draw(st.booleans()))
    if op is Op.IN:
        return Leaf(field, op, tuple(draw(st.lists(POOL_SCALARS, max_size=3))))
    scalar = draw(POOL_SCALARS)
    return Leaf(field, Op.EQ if scalar is None else op, scalar)


@given(metadata_leaves(), POOL_METADATA)
def test_attributes_answer_exactly_what_the_oracle_says(
    leaf: Leaf, metadata: dict[str, Any]
) -> None:
    if is_exact(leaf):
        assert _answer(leaf, attributes(metadata)) is holds(leaf, metadata)


@given(st.sampled_from(POOL_STRINGS), st.sampled_from(POOL_STRINGS), ORDERS)
def test_spans_of_long_strings_leave_out_nothing_that_holds_the_operand(
    value: str, operand: str, op: Op
) -> None:
    """Equality is asked first among attributes and then of the text itself: never too narrow."""
    if value == operand:
        assert attribute("k", operand) in attributes({"k": value})
    if len(operand) < VALUE_LIMIT:
        low, high = span("k", op, operand)
        (found,) = attributes({"k": value})
        assert (low <= found < high) is holds(Leaf("metadata.k", op, operand), {"k": value})


@given(POOL_SCALARS, POOL_SCALARS)
def test_equal_values_and_only_they_share_an_attribute(one: Any, other: Any) -> None:
    if all(not isinstance(value, str) or len(value) < VALUE_LIMIT for value in (one, other)):
        same = kind_of(one) == kind_of(other) and one == other
        assert (attribute("k", one) == attribute("k", other)) is same


@given(st.sampled_from(POOL_PATHS), st.sampled_from(POOL_PATHS), POOL_SCALARS)
def test_a_span_holds_nothing_of_another_path(path: str, other: str, value: Any) -> None:
    low, high = whole_span(path)
    assert (low <= attribute(other, value) < high) is (path == other)
