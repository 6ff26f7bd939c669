"""The contract on Chroma, whichever way it is reached.

`Collections` is what the ways have in common, in Chroma's own terms; everything that Chroma does
otherwise than the contract says is made good here, once.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np

from dualstore.errors import FamilyMismatchError
from dualstore.filters import EVERYTHING, Filter
from dualstore.vectors.base import (
    FieldValue,
    StoredVector,
    Vector,
    VectorHit,
    VectorIndex,
    VectorItem,
    VectorPlace,
)
from dualstore.vectors.chroma_errors import UnsettledError
from dualstore.vectors.chroma_where import Where, asked, translated
from dualstore.vectors.rules import (
    check_dimension,
    check_items,
    check_name,
    check_vector,
    last_of_each,
)

OURS: Final = "dualstore"
"""The key in a collection's metadata that says it is ours; the value is the layout."""
LAYOUT: Final = 1
READ_BATCH: Final = 250
CHECK_BATCH: Final = 80
CHANGE_BATCH: Final = 100
WRITTEN_DOWN: Final = 1000
"""With as many vectors Chroma keeps the graph in files; until then it makes it from its log."""
SETTLING: Final = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Seconds between looks at a collection in which something is missing, perhaps not for long."""

T = TypeVar("T")
Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Collection:
    """What Chroma says of a collection."""

    id: str
    name: str
    metadata: Mapping[str, Any]
    space: str

    @property
    def ours(self) -> bool:
        return OURS in self.metadata


class Row(NamedTuple):
    """What Chroma holds under an id."""

    id: str
    vector: Vector
    fields: Fields


_Pair = tuple[VectorItem, Row]
"""What is to be held under an id, and what is."""


class Collections(Protocol):
    """Chroma's own operations. Collections go by id, except where a name is asked for."""

    batch: int
    """How many vectors are written at once."""

    @abstractmethod
    async def find(self, name: str) -> Collection | None: ...
    @abstractmethod
    async def create(self, name: str, metadata: Mapping[str, Any]) -> Collection:
        """Make it with cosine space and no embedder of Chroma's; an existing one stays as it is."""

    @abstractmethod
    async def all(self) -> list[Collection]: ...
    @abstractmethod
    async def remove(self, name: str) -> None: ...
    @abstractmethod
    async def upsert(
        self, collection: str, items: Sequence[VectorItem], fields: Sequence[Fields]
    ) -> None:
        """Fields are merged into what is there; one that is None goes."""

    @abstractmethod
    async def update(self, collection: str, ids: Sequence[str], fields: Sequence[Fields]) -> None:
        """As `upsert`, and the vectors stay; absent ids stay absent."""

    @abstractmethod
    async def nearest(
        self, collection: str, vector: Vector, limit: int, where: Fields | None
    ) -> list[tuple[str, float]]:
        """Ids and distances, nearest first."""

    @abstractmethod
    async def rows(self, collection: str, ids: Sequence[str]) -> list[Row]: ...
    @abstractmethod
    async def ids(
        self, collection: str, *, offset: int, limit: int, where: Fields | None
    ) -> list[str]: ...
    @abstractmethod
    async def delete(self, collection: str, ids: Sequence[str]) -> None: ...
    @abstractmethod
    async def count(self, collection: str) -> int: ...


class ChromaIndex(VectorIndex):
    """A collection. It stays usable while its server comes and goes."""

    def __init__(self, collections: Collections, collection: Collection, dimension: int) -> None:
        self.name = collection.name
        self.dimension = dimension
        self._id = collection.id
        self._collections = collections

    async def upsert(self, items: Sequence[VectorItem]) -> None:
        checked = []
        for some in _batches(items, CHECK_BATCH):
            checked += check_items(some, dimension=self.dimension)
            await asyncio.sleep(0)
        for batch in _batches(last_of_each(checked), self._collections.batch):
            await self._write(batch)

    async def query(
        self, vector: Vector, *, limit: int, where: Filter = EVERYTHING
    ) -> list[VectorHit]:
        wanted = check_vector(vector, dimension=self.dimension, whose="of the query")
        condition = asked(where)
        if limit <= 0 or condition is False or not wanted.any():
            return []
        found = await _settled(
            lambda: self._collections.nearest(self._id, wanted, limit, _or_none(condition))
        )
        return [VectorHit(id_, max(-1.0, min(1.0, 1.0 - distance))) for id_, distance in found]

    def supports(self, where: Filter) -> bool:
        return translated(where) is not None

    async def get(self, ids: Sequence[str]) -> dict[str, StoredVector]:
        found = await self._rows(list(dict.fromkeys(ids)))
        return {
            row.id: StoredVector(row.id, row.vector, _scalars(row.fields)) for row in found.values()
        }

    async def delete(self, ids: Sequence[str]) -> None:
        for batch in _batches(list(dict.fromkeys(ids)), READ_BATCH):
            await self._collections.delete(self._id, batch)

    async def scan(
        self, *, offset: int = 0, limit: int = 1000, where: Filter = EVERYTHING
    ) -> list[str]:
        condition = asked(where)
        if limit <= 0 or condition is False:
            return []
        return await self._collections.ids(
            self._id, offset=offset, limit=limit, where=_or_none(condition)
        )

    async def count(self) -> int:
        return await self._collections.count(self._id)

    async def _write(self, items: Sequence[VectorItem]) -> None:
        """Changing a vector costs Chroma ten times what a new one does, so none is for nothing."""
        held = await self._held([item.id for item in items])
        old = [(item, held[item.id]) for item in items if item.id in held]
        same = _with_same_vector(old)
        await self._insert([item for item in items if item.id not in held])
        await self._update([pair for pair in old if pair[0].id in same])
        await self._change([pair for pair in old if pair[0].id not in same])

    async def _held(self, ids: Sequence[str]) -> dict[str, Row]:
        """What is there; nothing where the graph isn't, and the next write makes it.

        That happens when somebody who writes the first vectors is killed.
        """
        try:
            return await self._rows(ids)
        except UnsettledError:
            if await self.count() >= WRITTEN_DOWN:
                raise
            return {}

    async def _insert(self, items: Sequence[VectorItem]) -> None:
        if items:
            fields = [dict(item.fields) for item in items]
            await self._collections.upsert(self._id, items, fields)

    async def _update(self, pairs: Sequence[_Pair]) -> None:
        """Of these the vectors are right."""
        wrong = [pair for pair in pairs if _typed(pair[0].fields) != _typed(pair[1].fields)]
        if wrong:
            ids = [item.id for item, _ in wrong]
            await self._collections.update(self._id, ids, [_merging(*pair) for pair in wrong])

    async def _change(self, pairs: Sequence[_Pair]) -> None:
        for batch in _batches(pairs, CHANGE_BATCH):
            items = [item for item, _ in batch]
            await self._collections.upsert(self._id, items, [_merging(*pair) for pair in batch])

    async def _rows(self, ids: Sequence[str]) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for batch in _batches(ids, READ_BATCH):
            rows = await _settled(partial(self._collections.rows, self._id, batch))
            found |= {row.id: row for row in rows}
        return found


class ChromaPlace(VectorPlace):
    """What the three ways of reaching Chroma share. `_collections` connects at its first use."""

    _collections: Collections
    location: str

    async def index(self, name: str, *, dimension: int) -> ChromaIndex:
        found = await self.find(name, dimension=dimension)
        if found is not None:
            return found
        metadata = {OURS: LAYOUT, "dimension": dimension}
        return self._open(await self._collections.create(name, metadata), dimension)

    async def find(self, name: str, *, dimension: int) -> ChromaIndex | None:
        check_dimension(dimension)
        found = await self._collections.find(check_name(name))
        return None if found is None else self._open(found, dimension)

    async def names(self) -> list[str]:
        return sorted(each.name for each in await self._collections.all() if each.ours)

    async def drop(self, name: str) -> None:
        found = await self._collections.find(check_name(name))
        if found is not None:
            self._check_ours(found)
            await self._collections.remove(name)

    def _open(self, found: Collection, dimension: int) -> ChromaIndex:
        self._check_ours(found)
        held = found.metadata.get("dimension")
        if held != dimension:
            raise FamilyMismatchError(
                f"the index {found.name!r} at {self.location} holds vectors of {held} numbers, "
                f"not {dimension}; reindex to change the embedder"
            )
        return ChromaIndex(self._collections, found, dimension)

    def _check_ours(self, found: Collection) -> None:
        if not found.ours or found.space != "cosine":
            raise FamilyMismatchError(
                f"the collection {found.name!r} at {self.location} wasn't made by dualstore; "
                "give the family or the agent another name, or use another Chroma database"
            )


async def _settled(call: Callable[[], Awaitable[T]]) -> T:
    """What is being written right now, by whomever, can't always be read for a moment."""
    for pause in SETTLING:
        try:
            return await call()
        except UnsettledError:
            await asyncio.sleep(pause)
    return await call()


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def _with_same_vector(pairs: Sequence[_Pair]) -> set[str]:
    """Chroma keeps direction and length, and rounds when it puts them together again."""
    if not pairs:
        return set()
    wanted = np.stack([item.vector for item, _ in pairs])
    held = np.stack([row.vector for _, row in pairs])
    same = np.isclose(wanted, held, rtol=1e-5, atol=1e-6).all(axis=1)
    return {pairs[int(at)][0].id for at in np.flatnonzero(same)}


def _typed(fields: Mapping[str, Any]) -> dict[str, tuple[type, Any]]:
    """As Python sees it, 1, 1.0 and True are equal."""
    return {name: (type(value), value) for name, value in fields.items()}


def _merging(item: VectorItem, row: Row) -> Fields:
    """What the id had and no longer has must be named, as None: Chroma would keep it."""
    return {**dict.fromkeys(row.fields), **item.fields}


def _or_none(condition: Where) -> Fields | None:
    return None if isinstance(condition, bool) else condition


def _scalars(fields: Mapping[str, Any]) -> dict[str, FieldValue]:
    """What others have put there may hold lists."""
    return {name: value for name, value in fields.items() if isinstance(value, FieldValue)}
