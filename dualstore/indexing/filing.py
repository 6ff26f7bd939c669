"""What vectors are filed under, so that an index can leave out what a filter doesn't want. Pure.

Declared fields, thread and author are filed where they are one plain value. Where one of them is
several or too long the vector is `odd`, and no filter about fields leaves it out.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from dualstore.entry import Entry
from dualstore.family import FamilySpec
from dualstore.filters import EVERYTHING, METADATA, And, Filter, Leaf, Not, Op, Or
from dualstore.outbox import IndexMark
from dualstore.paths import values_at
from dualstore.vectors.base import FieldValue, VectorId

ENTRY_FIELD: Final = "entry"
"""Says whose a vector is."""
LONGEST: Final = 256
_ODD: Final = "odd"
_NAMES: Final = {"id": ENTRY_FIELD, "timestamp": "timestamp", "origin": "origin"}
_PREFIX: Final = "m."
_ASKED: Final = (Op.EQ, Op.GT, Op.GTE, Op.LT, Op.LTE, Op.IN)

Supports = Callable[[Filter], bool]


def fields_of(entry: Entry, spec: FamilySpec) -> dict[str, FieldValue]:
    """What the vectors of an entry are filed under."""
    filed: dict[str, FieldValue] = {
        ENTRY_FIELD: entry.id,
        "timestamp": entry.timestamp,
        "origin": entry.origin,
    }
    for path in filed_paths(spec):
        values = [value for value in values_at(entry.metadata, path) if value is not None]
        if len(values) == 1 and not _is_long(values[0]):
            filed[_PREFIX + path] = values[0]
        elif values:
            filed[_ODD] = True
    return filed


def filed_paths(spec: FamilySpec) -> list[str]:
    """The paths into metadata that vectors are filed under."""
    paths = (spec.thread_key, spec.author_key, *spec.filter_fields)
    return [path for path in dict.fromkeys(paths) if path is not None]


def narrowed(where: Filter, spec: FamilySpec, *, supports: Supports) -> Filter:
    """A filter about fields that holds wherever `where` does, and perhaps elsewhere."""
    paths = frozenset(filed_paths(spec))

    def narrow(tree: Filter) -> Filter:
        match tree:
            case Leaf():
                found = _asked(tree, paths)
                return found if supports(found) else EVERYTHING
            case And(parts):
                return And(tuple(each for each in map(narrow, parts) if each != EVERYTHING))
            case Or(parts):
                some = tuple(map(narrow, parts))
                return EVERYTHING if EVERYTHING in some else Or(some)
            case Not():
                return EVERYTHING

    found = narrow(where)
    return found if supports(found) else EVERYTHING


def is_held(vector: VectorId, mark: IndexMark) -> bool:
    """Whether the mark says that the index holds this very vector."""
    return mark.held == vector.text_hash and vector.chunk < mark.chunks


def _asked(leaf: Leaf, paths: frozenset[str]) -> Filter:
    if leaf.op not in _ASKED or any(operand is None for operand in _operands(leaf)):
        return EVERYTHING
    if leaf.field in _NAMES:
        return Leaf(METADATA + _NAMES[leaf.field], leaf.op, leaf.operand)
    if leaf.path in paths:
        return Or(
            (
                Leaf(f"{METADATA}{_PREFIX}{leaf.path}", leaf.op, leaf.operand),
                Leaf(METADATA + _ODD, Op.EQ, True),
            )
        )
    return EVERYTHING


def _operands(leaf: Leaf) -> Iterator[Any]:
    if leaf.op is Op.IN:
        yield from leaf.operand
    else:
        yield leaf.operand


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > LONGEST
