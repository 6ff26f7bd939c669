"""Filters as SQL conditions. None of them is ever NULL, so that NOT is the opposite."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, assert_never

from dualstore.attributes import attribute, is_exact, span, whole_span
from dualstore.family import FamilySpec
from dualstore.filters import And, Filter, Leaf, Not, Op, Or, fold, holds, kind_of
from dualstore.values import from_json, to_json

ODD: Final = b"\0"
"""Stands in the thread's column when metadata has something there that isn't one string."""

_MOST_PARAMETERS: Final = 10_000
"""Of one statement; what goes beyond is given as one list."""

_COMPARISONS: Final = {Op.EQ: "=", Op.GT: ">", Op.GTE: ">=", Op.LT: "<", Op.LTE: "<="}


def register_functions(connection: sqlite3.Connection) -> None:
    """What SQL itself can't say the way the filters mean it."""
    connection.create_function("dual_holds", 2, _holds, deterministic=True)
    connection.create_function("dual_among", 2, _among, deterministic=True)
    connection.create_function("dual_contains", 2, _contains, deterministic=True)


@dataclass(frozen=True, slots=True)
class Scope:
    """A compiled filter."""

    condition: str
    parameters: Sequence[Any]
    narrow: bool
    """An index finds what it asks for, so asking it first is cheap."""


EVERYWHERE: Final = Scope("1", (), narrow=False)


def compile_filter(tree: Filter, spec: FamilySpec, number: int, *, odd_threads: bool) -> Scope:
    """`odd_threads`: some entry of the family has `ODD` in its thread's column."""
    compiler = _Compiler(spec, number, odd_threads)
    condition = compiler.compile(tree)
    return Scope(condition, compiler.parameters, narrow=compiler.is_narrow(tree))


@dataclass(slots=True)
class _Compiler:
    """`parameters` grow in the order of the question marks."""

    spec: FamilySpec
    number: int
    odd_threads: bool
    parameters: list[Any] = field(default_factory=list)

    def compile(self, tree: Filter) -> str:
        """The condition, in brackets where it needs them."""
        match tree:
            case Leaf():
                return self._leaf(tree)
            case And(parts):
                return self._joined(parts, " AND ", "1")
            case Or(parts):
                return self._joined(parts, " OR ", "0")
            case Not(part):
                return f"NOT {self.compile(part)}"
            case _:
                assert_never(tree)

    def is_narrow(self, tree: Filter) -> bool:
        """Whether it asks for a thread, an id or a declared field before anything else."""
        match tree:
            case And(parts):
                return any(self.is_narrow(part) for part in parts)
            case Leaf(name, op, _):
                path = tree.path
                indexed = name == "id" or path in (self.spec.thread_key, *self.spec.filter_fields)
                return indexed and op in (Op.EQ, Op.IN) and is_exact(tree)
            case _:
                return False

    def _joined(self, parts: tuple[Filter, ...], word: str, nothing: str) -> str:
        return _balanced([self.compile(part) for part in parts], word) if parts else nothing

    def _leaf(self, leaf: Leaf) -> str:
        if leaf.path is None:
            return self._column(leaf)
        if leaf.path == self.spec.thread_key and _asks_for_texts(leaf):
            return self._thread(leaf)
        if leaf.path in self.spec.filter_fields and is_exact(leaf):
            return self._attribute(leaf, leaf.path)
        return self._metadata(leaf)

    def _column(self, leaf: Leaf) -> str:
        match leaf.op:
            case Op.EXISTS:
                return "1" if leaf.operand else "0"
            case Op.CONTAINS:
                return self._with(f"dual_contains(?, {leaf.field})", fold(leaf.operand))
            case Op.IN:
                return self._in(leaf.field, leaf.operand)
            case _:
                if not _fits(leaf.field, leaf.operand):
                    return "0"
                return self._with(f"({leaf.field} {_COMPARISONS[leaf.op]} ?)", leaf.operand)

    def _in(self, column: str, members: tuple[Any, ...]) -> str:
        return self._among_many(column, [item for item in members if _fits(column, item)])

    def _thread(self, leaf: Leaf) -> str:
        wanted = list(leaf.operand) if leaf.op is Op.IN else [leaf.operand]
        plain = f"(thread IS NOT NULL AND {self._among_many('thread', wanted)})"
        if not self.odd_threads:
            return plain
        self.parameters.append(ODD)
        return f"({plain} OR (thread IS NOT NULL AND thread = ? AND {self._metadata(leaf)}))"

    def _attribute(self, leaf: Leaf, path: str) -> str:
        match leaf.op:
            case Op.EXISTS:
                found = self._among("attribute >= ? AND attribute < ?", *whole_span(path))
                return found if leaf.operand else f"NOT {found}"
            case Op.EQ | Op.IN:
                return self._equal(path, leaf.operand if leaf.op is Op.IN else (leaf.operand,))
            case _:
                return self._among(
                    "attribute >= ? AND attribute < ?", *span(path, leaf.op, leaf.operand)
                )

    def _equal(self, path: str, members: tuple[Any, ...]) -> str:
        condition = self._among_many("attribute", [attribute(path, item) for item in members])
        found = self._among(condition)
        if None not in members:
            return found
        there = self._among("attribute >= ? AND attribute < ?", *whole_span(path))
        return f"({found} OR NOT {there})"

    def _among_many(self, column: str, members: list[Any]) -> str:
        room = _MOST_PARAMETERS - len(self.parameters)
        condition, parameters = among(column, members, room=room)
        return self._with(condition, *parameters)

    def _among(self, condition: str, *parameters: Any) -> str:
        self.parameters.extend(parameters)
        return f"(seq IN (SELECT seq FROM attributes_{self.number} WHERE {condition}))"

    def _metadata(self, leaf: Leaf) -> str:
        operand = list(leaf.operand) if leaf.op is Op.IN else leaf.operand
        return self._with("dual_holds(?, metadata)", _listed([leaf.field, leaf.op.value, operand]))

    def _with(self, condition: str, *parameters: Any) -> str:
        self.parameters.extend(parameters)
        return condition


def among(
    column: str, members: Sequence[Any], *, room: int = _MOST_PARAMETERS
) -> tuple[str, Sequence[Any]]:
    """Not through JSON functions, which end a string at its first NUL."""
    if len(members) == 1:
        return f"({column} = ?)", members
    if len(members) > room:
        return f"dual_among(?, {column})", [_listed(list(members))]
    return f"({column} IN ({', '.join('?' * len(members))}))", members


def _balanced(conditions: list[str], word: str) -> str:
    """SQLite allows a depth of 1,000, and a plain chain is as deep as it is long."""
    if len(conditions) == 1:
        return conditions[0]
    half = len(conditions) // 2
    return f"({_balanced(conditions[:half], word)}{word}{_balanced(conditions[half:], word)})"


def _listed(values: list[Any]) -> str:
    return to_json(values, "filter")


def _fits(column: str, operand: Any) -> bool:
    return kind_of(operand) == ("number" if column == "timestamp" else "string")


def _asks_for_texts(leaf: Leaf) -> bool:
    if leaf.op is Op.EQ:
        return isinstance(leaf.operand, str)
    return leaf.op is Op.IN and all(isinstance(member, str) for member in leaf.operand)


@lru_cache(maxsize=256)
def _parsed(leaf_json: str) -> Leaf:
    name, op, operand = from_json(leaf_json)
    return Leaf(name, Op(op), tuple(operand) if op == Op.IN else operand)


def _holds(leaf_json: str, metadata: str) -> bool:
    return holds(_parsed(leaf_json), from_json(metadata))


@lru_cache(maxsize=16)
def _members(listed: str) -> frozenset[Any]:
    return frozenset(from_json(listed))


def _among(listed: str, value: Any) -> bool:
    return value in _members(listed)


def _contains(folded: str, text: str) -> bool:
    return folded in fold(text)
