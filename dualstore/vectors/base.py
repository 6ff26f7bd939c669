"""The contract of the vector side, and how a vector's id says what it was made from.

A `VectorPlace` is one place for vectors (a folder, a server). It gives the `VectorIndex` of each
generation of a family. An index holds no text: embeddings, ids and the few flat fields that
filters use. Everything in it can be made again from the documents.

Any method may raise `UnavailableError` (nobody answered in time; trying again may help) or a
`StorageError` (it says that it can't). A write that raised may have taken effect in part; writing
it again is safe.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dualstore.filters import EVERYTHING, Filter

Vector = NDArray[np.float32]
FieldValue = str | int | float | bool

_HASH_CHARS: Final = 32
_CHUNK: Final = re.compile(r"0|[1-9][0-9]{0,8}")


class VectorId(NamedTuple):
    """Which entry a vector is of, which of its texts it was made from, and which chunk."""

    entry: str
    text_hash: str
    chunk: int

    def __str__(self) -> str:
        return f"{self.text_hash}:{self.chunk}:{self.entry}"

    @classmethod
    def parse(cls, text: str) -> "VectorId | None":
        """None for an id that isn't one of ours."""
        text_hash, colon, rest = text[:_HASH_CHARS], text[_HASH_CHARS : _HASH_CHARS + 1], ""
        if colon == ":":
            chunk, _, rest = text[_HASH_CHARS + 1 :].partition(":")
            if rest and _CHUNK.fullmatch(chunk):
                return cls(rest, text_hash, int(chunk))
        return None


@dataclass(frozen=True, slots=True, eq=False)
class VectorItem:
    """What is written: the whole of it takes the place of what the id had before."""

    id: str
    vector: Vector
    fields: Mapping[str, FieldValue]


class VectorHit(NamedTuple):
    """What a query found."""

    id: str
    similarity: float
    """The cosine, from -1 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredVector:
    """What the index holds under an id, for comparing with the documents."""

    id: str
    vector: Vector
    fields: Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True)
class VectorHealth:
    """What the place says of itself."""

    backend: str
    """The technology and its version."""
    location: str
    """Where it is, without any password."""


class VectorIndex(Protocol):
    """The vectors of one generation of one family."""

    name: str
    dimension: int

    @abstractmethod
    async def upsert(self, items: Sequence[VectorItem]) -> None:
        """Write them all; fields that an id had before and has no longer are gone.

        Any number, in batches that the backend accepts. An id given twice ends as its last item.
        Raises `InvalidInputError` before the first write when an item has another dimension, a
        number that isn't finite, or a field that can't be kept.
        """

    @abstractmethod
    async def query(
        self, vector: Vector, *, limit: int, where: Filter = EVERYTHING
    ) -> list[VectorHit]:
        """The nearest by cosine, nearest first, at most `limit`; a vector of zeros finds none.

        `where` is about the fields, each named as in `metadata.{field}`, with `$eq $ne $gt $gte
        $lt $lte $in $nin`, `$and` and `$or`; `supports` says whether it can be asked.
        """

    @abstractmethod
    def supports(self, where: Filter) -> bool:
        """Whether `query` can be asked with this filter, meaning what `filters.matches` means."""

    @abstractmethod
    async def get(self, ids: Sequence[str]) -> dict[str, StoredVector]:
        """What is held under these ids; absent ones are missing."""

    @abstractmethod
    async def delete(self, ids: Sequence[str]) -> None:
        """Remove them; absent ones are no error."""

    @abstractmethod
    async def scan(
        self, *, offset: int = 0, limit: int = 1000, where: Filter = EVERYTHING
    ) -> list[str]:
        """Ids in an order that stays the same while nobody writes; empty at the end.

        `where` as in `query`.
        """

    @abstractmethod
    async def count(self) -> int:
        """How many vectors there are."""


class VectorPlace(Protocol):
    """One place for vectors. `async with` opens it; leaving closes what it opened itself."""

    @abstractmethod
    async def index(self, name: str, *, dimension: int) -> VectorIndex:
        """The index of that name, made when it is new.

        Raises `FamilyMismatchError` when it holds vectors of another dimension.
        """

    @abstractmethod
    async def find(self, name: str, *, dimension: int) -> VectorIndex | None:
        """As `index`, but None when it isn't there."""

    @abstractmethod
    async def names(self) -> list[str]:
        """Of all indexes there are."""

    @abstractmethod
    async def drop(self, name: str) -> None:
        """Remove an index with all it holds; an absent one is no error."""

    @abstractmethod
    async def health(self) -> VectorHealth:
        """Asks the place itself; raises when it doesn't answer."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Open it. Nothing may be started or asked before the first use."""

    @abstractmethod
    async def __aexit__(self, *details: object) -> None:
        """Close it; whatever was acknowledged is durable."""
