"""Chroma's HTTP API, version 2, as far as it is needed here."""

import asyncio
from binascii import b2a_base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

import numpy as np

from dualstore.errors import StorageError, VectorsGoneError
from dualstore.vectors.base import Vector, VectorItem
from dualstore.vectors.chroma_errors import REBUILD, UnsettledError, garbled
from dualstore.vectors.chroma_index import Collection, Collections, Fields, Row
from dualstore.vectors.chroma_wire import Wire

TENANT: Final = "default_tenant"
DATABASE: Final = "default_database"
WRITE_BATCH: Final = 500
LIST_BATCH: Final = 1000


class HttpCollections(Collections):
    """Chroma asked over a wire."""

    def __init__(self, wire: Wire, *, tenant: str = TENANT, database: str = DATABASE) -> None:
        self.batch = WRITE_BATCH
        self._wire = wire
        self._home = f"/tenants/{quote(tenant, safe='')}/databases/{quote(database, safe='')}"
        self._base64 = True
        self._version = ""
        self._greeting = asyncio.Lock()

    async def version(self) -> str:
        """Asks; raises when who answers isn't Chroma 1.x."""
        await self._wire.prove()
        return _check_version(await self._wire.ask("GET", "/version"), self._wire.location)

    async def find(self, name: str) -> Collection | None:
        await self._wire.prove()
        try:
            return await self._collection("GET", f"/{_quoted(name)}")
        except VectorsGoneError:
            return None

    async def create(self, name: str, metadata: Mapping[str, Any]) -> Collection:
        await self._wire.prove()
        wanted = {
            "name": name,
            "metadata": metadata,
            "configuration": {"hnsw": {"space": "cosine"}, "embedding_function": None},
            "get_or_create": True,
        }
        return await self._collection("POST", "", wanted)

    async def all(self) -> list[Collection]:
        await self._wire.prove()
        found: list[Collection] = []
        while True:
            page = await self._ask("GET", f"?limit={LIST_BATCH}&offset={len(found)}")
            with self._reading(page):
                found += [_parsed(each) for each in _listed(page)]
            if len(page) < LIST_BATCH:
                return found

    async def remove(self, name: str) -> None:
        await self._wire.prove()
        try:
            await self._ask("DELETE", f"/{_quoted(name)}")
        except VectorsGoneError:
            return

    async def upsert(
        self, collection: str, items: Sequence[VectorItem], fields: Sequence[Fields]
    ) -> None:
        await self._greet()
        wanted = {
            "ids": [item.id for item in items],
            "embeddings": [self._encoded(item.vector) for item in items],
            "metadatas": [each or None for each in fields],
        }
        await self._ask("POST", f"/{collection}/upsert", wanted)

    async def update(self, collection: str, ids: Sequence[str], fields: Sequence[Fields]) -> None:
        await self._ask("POST", f"/{collection}/update", {"ids": ids, "metadatas": fields})

    async def nearest(
        self, collection: str, vector: Vector, limit: int, where: Fields | None
    ) -> list[tuple[str, float]]:
        wanted = {
            "query_embeddings": [vector],
            "n_results": limit,
            "where": where,
            "include": ["distances"],
        }
        answer = await self._ask("POST", f"/{collection}/query", wanted)
        with self._reading(answer):
            (ids,), (distances,) = answer["ids"], answer["distances"]
            return list(zip(ids, distances, strict=True))

    async def rows(self, collection: str, ids: Sequence[str]) -> list[Row]:
        wanted = {"ids": ids, "include": ["metadatas", "embeddings"]}
        answer = await self._ask("POST", f"/{collection}/get", wanted)
        with self._reading(answer):
            vectors, metadata = answer["embeddings"] or (), answer["metadatas"] or ()
            if {len(vectors), len(metadata)} != {len(answer["ids"])} or None in vectors:
                raise UnsettledError(f"{self._wire.location} has ids without vectors; {REBUILD}")
            found = zip(answer["ids"], vectors, metadata, strict=True)
            return [
                Row(id_, np.asarray(vector, np.float32), fields or {})
                for id_, vector, fields in found
            ]

    async def ids(
        self, collection: str, *, offset: int, limit: int, where: Fields | None
    ) -> list[str]:
        wanted: dict[str, Any] = {"offset": offset, "limit": limit, "where": where, "include": []}
        answer = await self._ask("POST", f"/{collection}/get", wanted)
        with self._reading(answer):
            return list(answer["ids"])

    async def delete(self, collection: str, ids: Sequence[str]) -> None:
        await self._ask("POST", f"/{collection}/delete", {"ids": ids})

    async def count(self, collection: str) -> int:
        answer = await self._ask("GET", f"/{collection}/count")
        with self._reading(answer):
            return int(answer)

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        await self._greet()
        return await self._wire.ask(method, f"{self._home}/collections{path}", body)

    async def _collection(self, method: str, path: str, body: object = None) -> Collection:
        answer = await self._ask(method, path, body)
        with self._reading(answer):
            return _parsed(answer)

    async def _greet(self) -> None:
        """Before anything else: is it Chroma, of a version we know, and what does it take?"""
        async with self._greeting:
            if not self._version:
                version = await self.version()
                answer = await self._wire.ask("GET", "/pre-flight-checks")
                with self._reading(answer):
                    self.batch = min(WRITE_BATCH, int(answer.get("max_batch_size") or WRITE_BATCH))
                    self._base64 = bool(answer.get("supports_base64_encoding"))
                self._version = version

    def _encoded(self, vector: Vector) -> object:
        if not self._base64:
            return vector
        return b2a_base64(vector.astype("<f4", copy=False).tobytes(), newline=False).decode()

    @contextmanager
    def _reading(self, answer: object) -> Iterator[None]:
        """An answer of another shape than Chroma's is no answer."""
        try:
            yield
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise garbled(repr(answer).encode(), self._wire.location) from None


def _parsed(answer: Any) -> Collection:
    kinds = (answer.get("configuration_json") or {}).values()
    space = next((each["space"] for each in kinds if _has_space(each)), "unknown")
    return Collection(answer["id"], answer["name"], answer["metadata"] or {}, space)


def _listed(answer: Any) -> list[Any]:
    if not isinstance(answer, list):
        raise TypeError
    return answer


def _has_space(settings: object) -> bool:
    """One kind of index is configured, the others are null."""
    return isinstance(settings, dict) and "space" in settings


def _check_version(answer: object, location: str) -> str:
    if not isinstance(answer, str):
        raise garbled(repr(answer).encode(), location)
    major = answer.partition(".")[0]
    if not major.isdigit() or int(major) < 1:
        raise StorageError(f"{location} is Chroma {answer:.40}; version 1.0 or newer is needed")
    return answer


def _quoted(name: str) -> str:
    return quote(name, safe="")
