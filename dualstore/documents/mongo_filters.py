"""Filters as MongoDB queries, over the fields that are derived for them.

A query finds at least what the filter asks for. Where it may find more, for a filter that no
query says exactly and for documents that are odd, `holds` asks the oracle.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from dualstore.attributes import attribute, is_exact, span, whole_span
from dualstore.documents.mongo_collection import Query
from dualstore.documents.mongo_keys import to_key, to_name
from dualstore.documents.mongo_portions import Row
from dualstore.documents.mongo_rows import legible, to_metadata
from dualstore.family import FamilySpec
from dualstore.filters import And, Filter, Leaf, Not, Op, Or, fold, kind_of, matches, normal

ODD: Final[Query] = {"odd": True}

_PATTERN_LIMIT: Final = 8_000
"""Characters of a pattern; the server takes 32,764 bytes."""
_COLUMNS: Final = {"id": "_id", "text": "text", "origin": "origin", "timestamp": "ts"}

_Part = tuple[Query, bool]
"""A query, and whether it says exactly what is asked; `{}` asks nothing."""

_ALL: Final[_Part] = ({}, True)
_UNSURE: Final[_Part] = ({}, False)
_NONE: Final[Query] = {"_id": {"$in": []}}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A filter, ready to be asked."""

    where: Filter
    query: Query
    exact: bool

    @property
    def is_everything(self) -> bool:
        """Every entry is asked for."""
        return self.exact and not self.query

    @property
    def possible(self) -> Query:
        """All that may match, odd ones included."""
        return {"$or": [self.query, ODD]} if self.query else {}

    @property
    def certain(self) -> Query | None:
        """What surely matches, leaving out what `doubtful` finds; None for nothing."""
        if not self.exact:
            return None
        return {**self.query, "odd": None} if self.query else {}

    @property
    def doubtful(self) -> Query | None:
        """What has to be asked `holds`; None for nothing."""
        if self.is_everything:
            return None
        return ODD if self.exact else self.possible

    def holds(self, row: Row) -> bool:
        """Whether a row that the query found matches; it must have `FACT_FIELDS`."""
        if self.exact and not (self.query and row.get("odd")):
            return True
        return matches(self.where, to_facts(row))


def compile_filter(where: Filter, spec: FamilySpec) -> Compiled:
    """The query for one family's documents."""
    query, exact = _compile(normal(where), spec.thread_key)
    return Compiled(where, query, exact)


class Facts:
    """A row as pure decisions want to see it; what nobody asks for needn't be in it."""

    def __init__(self, row: Row) -> None:
        self.id: str = to_name(row["_id"])
        self.text: str = row.get("text", "")
        self.timestamp: int = row["ts"]
        self.origin: str = row["origin"]
        self.metadata: dict[str, Any] = to_metadata(row)


@legible("entry")
def to_facts(row: Row) -> Facts:
    """Of `FACT_FIELDS`."""
    return Facts(row)


def _compile(tree: Filter, thread_key: str | None) -> _Part:
    match tree:
        case And(parts):
            return _both([_compile(part, thread_key) for part in parts])
        case Or(parts):
            return _either([_compile(part, thread_key) for part in parts])
        case Not(part):
            return _opposite(_compile(part, thread_key))
        case Leaf(path=None):
            return _field(tree)
        case Leaf():
            return _metadata(tree, thread_key)


def _both(parts: list[_Part]) -> _Part:
    exact = all(exact for _, exact in parts)
    queries = [query for query, _ in parts if query]
    return (queries[0] if len(queries) == 1 else {"$and": queries} if queries else {}), exact


def _either(parts: list[_Part]) -> _Part:
    if _ALL in parts:
        return _ALL
    exact = all(exact for _, exact in parts)
    queries = [query for query, _ in parts]
    return ({"$or": queries} if queries and all(queries) else {} if queries else _NONE), exact


def _opposite(part: _Part) -> _Part:
    query, exact = part
    if not exact:
        return _UNSURE
    if query == _NONE:
        return _ALL
    return ({"$nor": [query]} if query else _NONE), True


def _metadata(leaf: Leaf, thread_key: str | None) -> _Part:
    path, operand = leaf.path or "", leaf.operand
    if path == thread_key and leaf.op in (Op.EQ, Op.IN) and _are_texts(_operands(leaf)):
        return {"thread": {"$in": list(_operands(leaf))}}, True
    if not (is_exact(leaf) and _orders_alike(leaf)):
        return _UNSURE
    match leaf.op:
        case Op.EXISTS:
            exists = {"attrs": _within(*whole_span(path))}
            return (exists if operand else {"$nor": [exists]}), True
        case Op.EQ | Op.IN:
            return _equal(path, _operands(leaf)), True
        case _:
            return {"attrs": _within(*span(path, leaf.op, operand))}, True


def _equal(path: str, operands: tuple[Any, ...]) -> Query:
    one_of = {"attrs": {"$in": [attribute(path, operand) for operand in operands]}}
    if not any(operand is None for operand in operands):
        return one_of
    return {"$or": [one_of, {"$nor": [{"attrs": _within(*whole_span(path))}]}]}


def _within(low: str, high: str) -> Query:
    """One and the same member between both bounds."""
    return {"$elemMatch": {"$gte": low, "$lt": high}}


def _field(leaf: Leaf) -> _Part:
    column, kind = _COLUMNS[leaf.field], "number" if leaf.field == "timestamp" else "string"
    asked = [_stored(leaf, each) for each in _operands(leaf) if kind_of(each) == kind]
    match leaf.op:
        case Op.EXISTS:
            return _ALL if leaf.operand else (_NONE, True)
        case Op.CONTAINS:
            return _contains(leaf)
        case _ if not asked:
            return _NONE, True
        case Op.EQ | Op.IN:
            return {column: {"$in": asked}}, True
        case _ if leaf.field == "id" or _orders_alike(leaf):
            return {column: {str(leaf.op): asked[0]}}, True
        case _:
            return _UNSURE


def _stored(leaf: Leaf, operand: Any) -> Any:
    return to_key(operand) if leaf.field == "id" and isinstance(operand, str) else operand


def _contains(leaf: Leaf) -> _Part:
    """A pattern can't hold a NUL. Of id and origin no folded text is kept."""
    pattern = re.escape(fold(leaf.operand))
    if not pattern:
        return _ALL
    if leaf.field != "text" or "\0" in pattern or len(pattern) > _PATTERN_LIMIT:
        return _UNSURE
    found = {"$regex": pattern}
    return {"$or": [{"folded": found}, {"folded": None, "text": found}]}, True


def _operands(leaf: Leaf) -> tuple[Any, ...]:
    return tuple(leaf.operand) if leaf.op is Op.IN else (leaf.operand,)


def _are_texts(operands: tuple[Any, ...]) -> bool:
    return bool(operands) and all(isinstance(operand, str) for operand in operands)


def _orders_alike(leaf: Leaf) -> bool:
    """Whether all servers put other texts on the same side of this one.

    Some compare by UTF-16 units, where U+FFFD is above U+1F600; below U+D800 it is all the same.
    """
    if leaf.op in (Op.EQ, Op.IN) or not isinstance(leaf.operand, str):
        return True
    return max(leaf.operand, default="") < "\ud800"
