"""Our filters as Chroma's `where`, as far as the two mean the same.

They differ, measured on the server: a float that isn't whole is cut before it is compared with
integers (`1` passes `$eq: 1.5`), whole numbers beyond 2**53 are compared after rounding, only
numbers can be ordered, there is no null and no `$exists`, the members of `$in` must be of one
type and at least one, two keys need an `$and`, and SQLite, which it asks, has limits of depth and
variables. Whatever isn't sure to mean the same isn't supported.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, assert_never

from dualstore.errors import EntryError, FilterError
from dualstore.filters import And, Filter, Leaf, Not, Op, Or, Scalar, normal
from dualstore.vectors.rules import check_filter, takes_field

Where = dict[str, Any] | bool
"""Chroma's filter, or what the answer always is."""

MAX_OPERANDS: Final = 250

_EXACT: Final = 2**53
_OPPOSITE: Final = {"$eq": "$ne", "$in": "$nin"}


class _DiffersError(Exception):
    """Chroma would mean something else."""


def translated(where: Filter) -> Where | None:
    """None where Chroma can't say it."""
    try:
        tree = normal(where)
        if _operands(tree) > MAX_OPERANDS:
            return None
        return _where(tree)
    except _DiffersError:
        return None


def asked(where: Filter) -> Where:
    """As `translated`; raises `FilterError` where Chroma can't say it."""
    found = translated(check_filter(where))
    if found is None:
        raise FilterError("Chroma can't be asked this filter; ask `supports` first")
    return found


def _operands(tree: Filter) -> int:
    match tree:
        case Leaf():
            return max(1, len(tree.operand)) if tree.op is Op.IN else 1
        case Not(part):
            return _operands(part)
        case And(parts) | Or(parts):
            return sum(map(_operands, parts))
        case _:
            assert_never(tree)


def _where(tree: Filter) -> Where:
    match tree:
        case Leaf():
            return _leaf(tree)
        case Not(Leaf() as leaf):
            return _not(_leaf(leaf))
        case Not():
            raise AssertionError("normal() leaves `Not` only around leaves")
        case And(parts):
            return _joined("$and", map(_where, parts), neutral=True)
        case Or(parts):
            return _joined("$or", map(_where, parts), neutral=False)
        case _:
            assert_never(tree)


def _joined(operator: str, parts: Iterable[Where], *, neutral: bool) -> Where:
    asking = [part for part in parts if part is not neutral]
    if any(isinstance(part, bool) for part in asking):
        return not neutral
    several = [part for part in asking if not isinstance(part, bool)]
    if not several:
        return neutral
    return several[0] if len(several) == 1 else {operator: several}


def _not(where: Where) -> Where:
    """The opposite of a translated leaf: `$eq`, `$in`, or several `$in` of different types."""
    if isinstance(where, bool):
        return not where
    (key, asks), *_ = where.items()
    if key == "$or":
        return {"$and": [_not(part) for part in asks]}
    (operator, operand), *_ = asks.items()
    if operator not in _OPPOSITE:
        raise _DiffersError  # what is missing or of another type is neither above nor below
    return {key: {_OPPOSITE[operator]: operand}}


def _leaf(leaf: Leaf) -> Where:
    name = leaf.path
    if name is None or not _field(name):
        raise _DiffersError
    match leaf.op:
        case Op.EQ:
            return {name: {"$eq": _operand(leaf.operand)}}
        case Op.IN:
            return _among(name, leaf.operand)
        case Op.GT | Op.GTE | Op.LT | Op.LTE:
            return {name: {leaf.op.value: _number(leaf.operand)}}
        case Op.EXISTS | Op.CONTAINS:
            raise _DiffersError
        case _:
            assert_never(leaf.op)


def _among(name: str, members: Sequence[Scalar]) -> Where:
    """Chroma wants members of one type; whole floats are asked for as integers."""
    groups: dict[type, list[str | int | float | bool]] = {}
    for member in map(_operand, members):
        groups.setdefault(type(member), []).append(member)
    return _joined("$or", ({name: {"$in": group}} for group in groups.values()), neutral=False)


def _operand(value: Scalar) -> str | int | bool:
    match value:
        case bool() | str():
            return value
        case int() | float():
            return _number(value)
        case _:
            raise _DiffersError


def _number(value: Scalar) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _DiffersError
    if abs(value) > _EXACT or value != int(value):
        raise _DiffersError
    return int(value)


def _field(name: str) -> bool:
    try:
        return takes_field(name)
    except EntryError:
        return False
