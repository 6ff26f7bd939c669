"""The filter dialect: parsed and validated once into a small tree, then compiled by each backend.

`matches` evaluates the tree in plain Python. It is the oracle: what it says is what a filter
means, and a backend whose own query can't say it exactly asks `matches`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Any, Final, Protocol, assert_never

from dualstore.errors import EntryError, FilterError, shown
from dualstore.paths import exists_at, values_at
from dualstore.values import INT64, check_text, to_ms

MAX_NESTING: Final = 32
METADATA: Final = "metadata."

Scalar = str | int | float | bool | None


class Op(StrEnum):
    """What a leaf asks. `$ne`, `$nin` and `$not` are negations of these."""

    EQ = "$eq"
    GT = "$gt"
    GTE = "$gte"
    LT = "$lt"
    LTE = "$lte"
    IN = "$in"
    EXISTS = "$exists"
    CONTAINS = "$contains"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One question about one field: `id`, `text`, `timestamp`, `origin`, or `metadata.` a path."""

    field: str
    op: Op
    operand: Any

    @property
    def path(self) -> str | None:
        """The path into metadata; None for the other fields."""
        return self.field.removeprefix(METADATA) if self.field.startswith(METADATA) else None


@dataclass(frozen=True, slots=True)
class And:
    """Every part holds; with no parts, always."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The part doesn't hold."""

    part: "Filter"


Filter = Leaf | And | Or | Not
EVERYTHING: Final = And(())


class Facts(Protocol):
    """What a filter may ask about; an `Entry` has it, and so has a `Draft`."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def origin(self) -> str: ...
    @property
    def metadata(self) -> dict[str, Any]: ...


def parse(where: Mapping[str, Any] | None) -> Filter:
    """The tree of a caller's filter; None and `{}` ask for everything."""
    return EVERYTHING if where is None else _parse(where, nesting=0)


def matches(tree: Filter, facts: Facts) -> bool:
    """Whether the entry is what the filter asks for."""
    match tree:
        case Leaf():
            return _leaf_matches(tree, facts)
        case And(parts):
            return all(matches(part, facts) for part in parts)
        case Or(parts):
            return any(matches(part, facts) for part in parts)
        case Not(part):
            return not matches(part, facts)
        case _:
            assert_never(tree)


def holds(leaf: Leaf, metadata: dict[str, Any]) -> bool:
    """Whether a leaf about metadata holds."""
    path = leaf.path or ""
    if leaf.op is Op.EXISTS:
        return exists_at(metadata, path) is leaf.operand
    values = list(values_at(metadata, path))
    if _asks_for_null(leaf) and not exists_at(metadata, path):
        return True
    return any(_compare(leaf.op, value, leaf.operand) for value in values)


def fold(text: str) -> str:
    """How `$contains` sees a text."""
    return text.casefold()


def negated(tree: Filter) -> Filter:
    """The opposite, with every `Not` pushed down to a leaf."""
    match tree:
        case Leaf():
            return Not(tree)
        case And(parts):
            return Or(tuple(negated(part) for part in parts))
        case Or(parts):
            return And(tuple(negated(part) for part in parts))
        case Not(part):
            return normal(part)
        case _:
            assert_never(tree)


def normal(tree: Filter) -> Filter:
    """The same, with `Not` only around leaves."""
    match tree:
        case Leaf():
            return tree
        case And(parts):
            return And(tuple(normal(part) for part in parts))
        case Or(parts):
            return Or(tuple(normal(part) for part in parts))
        case Not(part):
            return negated(part)
        case _:
            assert_never(tree)


def leaves(where: Filter) -> Iterable[Leaf]:
    """Every single question of a filter."""
    match where:
        case Leaf():
            yield where
        case Not(part):
            yield from leaves(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)


def _leaf_matches(leaf: Leaf, facts: Facts) -> bool:
    if leaf.field.startswith(METADATA):
        return holds(leaf, facts.metadata)
    if leaf.op is Op.EXISTS:
        return bool(leaf.operand)
    return _compare(leaf.op, getattr(facts, leaf.field), leaf.operand)


def _asks_for_null(leaf: Leaf) -> bool:
    return (leaf.op is Op.EQ and leaf.operand is None) or (
        leaf.op is Op.IN and None in leaf.operand
    )


def _compare(op: Op, value: Any, operand: Any) -> bool:
    match op:
        case Op.IN:
            return any(_equal(value, member) for member in operand)
        case Op.CONTAINS:
            return isinstance(value, str) and fold(operand) in fold(value)
        case Op.EQ:
            return _equal(value, operand)
        case Op.EXISTS:
            return bool(operand)
        case _:
            return kind_of(value) == kind_of(operand) and _ordered(op, value, operand)


def _ordered(op: Op, value: Any, operand: Any) -> bool:
    match op:
        case Op.GT:
            return bool(value > operand)
        case Op.GTE:
            return bool(value >= operand)
        case Op.LT:
            return bool(value < operand)
        case _:
            return bool(value <= operand)


def _equal(value: Any, operand: Any) -> bool:
    return kind_of(value) == kind_of(operand) and bool(value == operand)


def kind_of(value: Any) -> str:
    """Values of different kinds are neither equal nor ordered; 1 and 1.0 are of one kind."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case _:
            return "other"


def _parse(where: object, nesting: int) -> Filter:
    if not isinstance(where, Mapping):
        raise FilterError(f"a filter must be a mapping, not {type(where).__name__}")
    if nesting > MAX_NESTING:
        raise FilterError(f"the filter is nested deeper than {MAX_NESTING}")
    return _all(_parse_item(key, value, nesting) for key, value in where.items())


def _parse_item(key: object, value: object, nesting: int) -> Filter:
    match key:
        case "$and":
            return And(_parse_list(key, value, nesting))
        case "$or":
            return Or(_parse_list(key, value, nesting))
        case "$not":
            return Not(_parse(value, nesting + 1))
        case str() if not key.startswith("$"):
            return _parse_field(_check_field(key), value, nesting)
        case _:
            raise FilterError(f"unknown operator {shown(key)}; {_DIALECT}")


def _parse_list(key: str, value: object, nesting: int) -> tuple[Filter, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise FilterError(f"{key} takes a list of at least one filter, not {shown(value)}")
    return tuple(_parse(part, nesting + 1) for part in value)


def _parse_field(field: str, value: object, nesting: int) -> Filter:
    if not isinstance(value, Mapping):
        return _leaf(field, Op.EQ, value)
    if not value:
        raise FilterError(f"{field}: {{}} asks nothing; give a value or an operator")
    if nesting > MAX_NESTING:
        raise FilterError(f"the filter is nested deeper than {MAX_NESTING}")
    return _all(_parse_operator(field, key, operand, nesting) for key, operand in value.items())


def _parse_operator(field: str, key: object, operand: object, nesting: int) -> Filter:
    match key:
        case "$not":
            if not isinstance(operand, Mapping):
                raise FilterError(f"{field}: $not takes operators, not {shown(operand)}")
            return Not(_parse_field(field, operand, nesting + 1))
        case "$ne":
            return Not(_leaf(field, Op.EQ, operand))
        case "$nin":
            return Not(_leaf(field, Op.IN, operand))
        case str() if key in _OPERATORS:
            return _leaf(field, Op(key), operand)
        case _:
            raise FilterError(f"{field}: unknown operator {shown(key)}; {_DIALECT}")


def _all(parts: Iterable[Filter]) -> Filter:
    several = tuple(parts)
    return several[0] if len(several) == 1 else And(several)


def _check_field(key: str) -> str:
    if key in _FIELDS or key.startswith(METADATA):
        if "\0" in key:
            raise FilterError(f"{shown(key)}: a path can't hold a NUL character")
        return _encodable(key, "a field")
    raise FilterError(
        f"unknown field {shown(key)}; there are {', '.join(_FIELDS)} and metadata.* "
        f"(did you mean {shown(METADATA + key)}?)"
    )


def _leaf(field: str, op: Op, operand: Any) -> Leaf:
    where = f"{field}: {op}"
    match op:
        case Op.IN:
            if not isinstance(operand, list | tuple):
                raise FilterError(f"{where} takes a list of values, not {shown(operand)}")
            return Leaf(field, op, tuple(_scalar(field, member, where) for member in operand))
        case Op.EXISTS:
            if not isinstance(operand, bool):
                raise FilterError(f"{where} takes true or false, not {shown(operand)}")
            return Leaf(field, op, operand)
        case Op.CONTAINS:
            if not isinstance(operand, str) or field == "timestamp":
                raise FilterError(f"{where} asks for a string in a string, not {shown(operand)}")
            return Leaf(field, op, _encodable(operand, where))
        case Op.EQ:
            return Leaf(field, op, _scalar(field, operand, where))
        case _:
            scalar = _scalar(field, operand, where)
            if scalar is None:
                raise FilterError(f"{where} can't order null")
            return Leaf(field, op, scalar)


def _scalar(field: str, value: object, where: str) -> Scalar:
    if field == "timestamp" and not isinstance(value, int | float | None):
        return _time(value, where)
    match value:
        case str():
            return _encodable(value, where)
        case bool() | None:
            return value
        case int() if value in INT64:
            return value
        case float() if isfinite(value):
            return value
        case _:
            raise FilterError(
                f"{where} takes a string, a finite number of 64 bits, a bool or null, "
                f"not {shown(value)}"
            )


def _time(value: object, where: str) -> int:
    try:
        return to_ms(value, where)
    except EntryError as error:
        raise FilterError(str(error)) from None


def _encodable(text: str, where: str) -> str:
    try:
        return check_text(text, where)
    except EntryError as error:
        raise FilterError(str(error)) from None


_FIELDS: Final = ("id", "text", "timestamp", "origin")
_OPERATORS: Final = frozenset(Op)
_DIALECT: Final = (
    "the dialect has $eq $ne $gt $gte $lt $lte $in $nin $exists $contains $and $or $not"
)
