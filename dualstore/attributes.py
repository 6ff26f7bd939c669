"""Metadata flattened into strings that any database can index, compare and sort alike.

Each attribute is `path NUL kind value`. Numbers are written so that the strings sort as the
numbers do, integers and floats together and exactly: no driver's idea of a number leaks in.
"""

import math
import struct
from collections.abc import Iterator
from typing import Any, Final

from dualstore.filters import Leaf, Op, Scalar

VALUE_LIMIT: Final = 256
"""Characters of a string that are kept; operands shorter than this are answered exactly."""

EXISTS: Final = "e"
_END: Final = {"b": "c", "n": "o", "s": "t"}


def attributes(metadata: dict[str, Any]) -> frozenset[str]:
    """Everything that a filter could ask about this metadata, but `$contains`."""
    return frozenset(_walk_dict(metadata, ""))


def attribute(path: str, value: Scalar) -> str:
    """The attribute that says: `path` has this value."""
    return f"{path}\0{_encode(value)}"


def span(path: str, leaf_op: Op, operand: Scalar) -> tuple[str, str]:
    """The half-open range of attributes that answer an ordering operator."""
    encoded = _encode(operand)
    low, high = f"{path}\0{encoded[0]}", f"{path}\0{_END[encoded[0]]}"
    at, above = f"{path}\0{encoded}", f"{path}\0{encoded}\0"
    match leaf_op:
        case Op.GT:
            return above, high
        case Op.GTE:
            return at, high
        case Op.LT:
            return low, at
        case _:
            return low, above


def whole_span(path: str) -> tuple[str, str]:
    """The half-open range of all attributes that `path` has."""
    return f"{path}\0", f"{path}\1"


def is_exact(leaf: Leaf) -> bool:
    """Whether attributes alone answer this leaf about metadata."""
    match leaf.op:
        case Op.CONTAINS:
            return False
        case Op.IN:
            return all(_is_short(member) for member in leaf.operand)
        case _:
            return _is_short(leaf.operand)


def _is_short(operand: object) -> bool:
    return not isinstance(operand, str) or len(operand) < VALUE_LIMIT


def _walk_dict(node: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in node.items():
        yield from _walk(value, prefix + key)


def _walk(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield f"{path}\0{EXISTS}"
        yield from _walk_dict(value, f"{path}.")
    elif isinstance(value, list):
        yield f"{path}\0{EXISTS}"
        for member in value:
            if isinstance(member, dict):
                yield from _walk_dict(member, f"{path}.")
            elif not isinstance(member, list):
                yield f"{path}\0{_encode(member)}"
    else:
        yield f"{path}\0{_encode(value)}"


def _encode(value: Scalar) -> str:
    match value:
        case None:
            return "z"
        case bool():
            return "b1" if value else "b0"
        case int():
            return _encode_integer(value)
        case float():
            return f"n{_sortable(value)}000"
        case str():
            return f"s{value[:VALUE_LIMIT]}"


def _encode_integer(value: int) -> str:
    """The greatest float that isn't above it, and how far it is above that."""
    nearest = float(value)
    if nearest > value:
        nearest = math.nextafter(nearest, -math.inf)
    return f"n{_sortable(nearest)}{value - int(nearest):03x}"


def _sortable(value: float) -> str:
    """The bits of a float as hexadecimal digits that sort as the floats do; -0.0 is 0.0."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))
    return f"{bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63):016x}"
