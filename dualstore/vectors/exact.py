"""Vectors in memory, compared one by one: exact, for small sets, and the oracle of the tests."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from dualstore.errors import FamilyMismatchError, VectorsGoneError
from dualstore.filters import EVERYTHING, Filter, leaves, matches
from dualstore.vectors.base import (
    FieldValue,
    StoredVector,
    Vector,
    VectorHealth,
    VectorHit,
    VectorIndex,
    VectorItem,
    VectorPlace,
)
from dualstore.vectors.rules import (
    check_dimension,
    check_filter,
    check_items,
    check_name,
    check_vector,
    cosines,
)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a filter sees of a vector: nothing but fields."""

    metadata: dict[str, Any]
    id: str = ""
    text: str = ""
    timestamp: int = 0
    origin: str = ""


@dataclass(slots=True)
class _Rows:
    """What all objects of one index share."""

    dimension: int
    held: dict[str, StoredVector]
    dropped: bool = False


class ExactIndex(VectorIndex):
    """An index whose answers are right by construction."""

    def __init__(self, name: str, rows: _Rows) -> None:
        self.name = name
        self.dimension = rows.dimension
        self._rows = rows

    async def upsert(self, items: Sequence[VectorItem]) -> None:
        checked = check_items(items, dimension=self.dimension)
        held = self._held()
        for item in checked:
            vector = item.vector.copy()
            vector.flags.writeable = False
            held[item.id] = StoredVector(item.id, vector, dict(item.fields))

    async def query(
        self, vector: Vector, *, limit: int, where: Filter = EVERYTHING
    ) -> list[VectorHit]:
        asked = check_vector(vector, dimension=self.dimension, whose="of the query")
        check_filter(where)
        rows = list(self._held().values())
        if limit <= 0 or not asked.any():
            return []
        return await asyncio.to_thread(_nearest, asked, rows, limit, where)

    def supports(self, where: Filter) -> bool:
        return all(leaf.path is not None for leaf in leaves(where))

    async def get(self, ids: Sequence[str]) -> dict[str, StoredVector]:
        held = self._held()
        return {each: held[each] for each in ids if each in held}

    async def delete(self, ids: Sequence[str]) -> None:
        held = self._held()
        for each in ids:
            held.pop(each, None)

    async def scan(
        self, *, offset: int = 0, limit: int = 1000, where: Filter = EVERYTHING
    ) -> list[str]:
        check_filter(where)
        held = self._held().values()
        found = [row.id for row in held if where is EVERYTHING or _holds(where, row.fields)]
        return found[offset : offset + limit]

    async def count(self) -> int:
        return len(self._held())

    def _held(self) -> dict[str, StoredVector]:
        if self._rows.dropped:
            raise VectorsGoneError(f"the index {self.name!r} was dropped; open it again")
        return self._rows.held


class ExactVectors(VectorPlace):
    """A place that lasts as long as this object, opened or not."""

    def __init__(self) -> None:
        self._indexes: dict[str, _Rows] = {}

    async def index(self, name: str, *, dimension: int) -> ExactIndex:
        self._indexes.setdefault(check_name(name), _Rows(check_dimension(dimension), {}))
        return self._open(name, dimension)

    async def find(self, name: str, *, dimension: int) -> ExactIndex | None:
        check_dimension(dimension)
        return self._open(name, dimension) if check_name(name) in self._indexes else None

    def _open(self, name: str, dimension: int) -> ExactIndex:
        rows = self._indexes[name]
        if rows.dimension != dimension:
            raise FamilyMismatchError(
                f"the index {name!r} holds vectors of {rows.dimension} numbers, not {dimension}; "
                "reindex to change the embedder"
            )
        return ExactIndex(name, rows)

    async def names(self) -> list[str]:
        return sorted(self._indexes)

    async def drop(self, name: str) -> None:
        rows = self._indexes.pop(check_name(name), None)
        if rows:
            rows.dropped = True

    async def health(self) -> VectorHealth:
        return VectorHealth(f"numpy {np.__version__}", "memory")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        return None


def _nearest(
    vector: Vector, rows: Sequence[StoredVector], limit: int, where: Filter
) -> list[VectorHit]:
    found = [row for row in rows if where is EVERYTHING or _holds(where, row.fields)]
    if not found:
        return []
    similarities = cosines(vector, np.stack([row.vector for row in found]))
    best = np.argsort(-similarities, kind="stable")[:limit]
    return [VectorHit(found[at].id, float(similarities[at])) for at in best]


def _holds(where: Filter, fields: Mapping[str, FieldValue]) -> bool:
    return matches(where, _Facts(dict(fields)))
