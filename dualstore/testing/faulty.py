"""Backends whose every call goes through `Faults`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from dualstore.embedders.base import Embedder, Vectors, WordVectors
from dualstore.filters import EVERYTHING, Filter
from dualstore.testing.faults import Faults
from dualstore.testing.faulty_documents import FaultyDatabase
from dualstore.testing.wrapped import Wrapped
from dualstore.vectors.base import (
    StoredVector,
    Vector,
    VectorHealth,
    VectorHit,
    VectorIndex,
    VectorItem,
    VectorPlace,
)
from dualstore.wiring import Backends


def faulty(backends: Backends, faults: Faults) -> Backends:
    """The same backends, which can still be used past the faults; whoever opened them closes them.

    Calls are named by what they ask: `documents.put`, `records.replace`, `vectors.place.find`,
    `vectors.index.upsert`, `embedder.embed`. Opening, closing and what answers at once
    (`supports`, `word_vectors`, `related_words`) is neither counted nor failed.
    """
    return replace(
        backends,
        documents=FaultyDatabase(backends.documents, faults),
        vectors=_Place(backends.vectors, faults),
        embedder=_embedder(backends.embedder, faults),
    )


class _Place(Wrapped[VectorPlace], VectorPlace):
    async def index(self, name: str, *, dimension: int) -> VectorIndex:
        call = self._faults.call
        index = await call("vectors.place.index", self._inner.index, name, dimension=dimension)
        return _Index(index, self._faults)

    async def find(self, name: str, *, dimension: int) -> VectorIndex | None:
        call = self._faults.call
        index = await call("vectors.place.find", self._inner.find, name, dimension=dimension)
        return None if index is None else _Index(index, self._faults)

    async def names(self) -> list[str]:
        return await self._faults.call("vectors.place.names", self._inner.names)

    async def drop(self, name: str) -> None:
        await self._faults.call("vectors.place.drop", self._inner.drop, name)

    async def health(self) -> VectorHealth:
        return await self._faults.call("vectors.place.health", self._inner.health)

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._inner.__aexit__(*details)


class _Index(Wrapped[VectorIndex], VectorIndex):
    name: str
    dimension: int

    async def upsert(self, items: Sequence[VectorItem]) -> None:
        await self._faults.call("vectors.index.upsert", self._inner.upsert, items)

    async def query(
        self, vector: Vector, *, limit: int, where: Filter = EVERYTHING
    ) -> list[VectorHit]:
        call = self._faults.call
        return await call(
            "vectors.index.query", self._inner.query, vector, limit=limit, where=where
        )

    def supports(self, where: Filter) -> bool:
        return self._inner.supports(where)

    async def get(self, ids: Sequence[str]) -> dict[str, StoredVector]:
        return await self._faults.call("vectors.index.get", self._inner.get, ids)

    async def delete(self, ids: Sequence[str]) -> None:
        await self._faults.call("vectors.index.delete", self._inner.delete, ids)

    async def scan(
        self, *, offset: int = 0, limit: int = 1000, where: Filter = EVERYTHING
    ) -> list[str]:
        call = self._faults.call
        return await call(
            "vectors.index.scan", self._inner.scan, offset=offset, limit=limit, where=where
        )

    async def count(self) -> int:
        return await self._faults.call("vectors.index.count", self._inner.count)


class _Embedder(Wrapped[Embedder], Embedder):
    name: str
    version: str
    dimension: int
    chunk_chars: int
    takes_images: bool

    @property
    def identity(self) -> str:
        return self._inner.identity

    async def load(self) -> None:
        await self._faults.call("embedder.load", self._inner.load)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await self._faults.call("embedder.embed", self._inner.embed, texts)

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._inner.__aexit__(*details)


class _WordEmbedder(_Embedder, WordVectors):
    def __init__(self, inner: Embedder, faults: Faults, *, words: WordVectors) -> None:
        super().__init__(inner, faults)
        self._words = words

    def word_vectors(self, words: Sequence[str]) -> Vectors:
        return self._words.word_vectors(words)

    def related_words(
        self, words: Sequence[str], *, at_least: float = 0.5
    ) -> list[list[tuple[str, float]]]:
        return self._words.related_words(words, at_least=at_least)


def _embedder(inner: Embedder, faults: Faults) -> Embedder:
    if isinstance(inner, WordVectors):
        return _WordEmbedder(inner, faults, words=inner)
    return _Embedder(inner, faults)
