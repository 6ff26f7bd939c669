"""Chroma inside this process: no server, one process per folder."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import numpy as np

from dualstore.errors import DualStoreError, StorageError, UnavailableError, VectorsGoneError
from dualstore.vectors.base import Vector, VectorHealth, VectorItem
from dualstore.vectors.chroma_errors import failed
from dualstore.vectors.chroma_index import ChromaPlace, Collection, Collections, Fields, Row
from dualstore.vectors.chroma_locks import FileLock, check_system
from dualstore.vectors.chroma_private import EMBEDDED, full_or, make_folder, owner_of
from dualstore.vectors.chroma_watcher import SERVER_LOCK

WRITE_BATCH: Final = 50
"""A write holds the GIL: 50 vectors about 70 ms, 1,000 about 400."""
PATIENCE: Final = 1.0

T = TypeVar("T")


class EmbeddedCollections(Collections):
    """The one thread that uses Chroma. Chroma is loaded at the first call, which takes a second."""

    def __init__(self, folder: Path) -> None:
        self.batch = WRITE_BATCH
        self.folder = folder.absolute()
        self._lock = FileLock(self.folder / SERVER_LOCK)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dualstore-chroma")
        self._closing = threading.Event()
        self._client: Any = None
        self._opened: dict[str, Any] = {}

    async def close(self) -> None:
        if not self._closing.is_set():
            closed = self._submit(self._close)
            self._closing.set()
            await closed
            self._thread.shutdown(wait=False)

    async def version(self) -> str:
        def job(_: Any) -> str:
            import chromadb

            return chromadb.__version__

        return await self._run(job)

    async def find(self, name: str) -> Collection | None:
        try:
            return await self._run(
                lambda client: self._noted(client.get_collection(name, embedding_function=None))
            )
        except VectorsGoneError:
            return None

    async def create(self, name: str, metadata: Mapping[str, Any]) -> Collection:
        return await self._run(
            lambda client: self._noted(
                client.get_or_create_collection(
                    name,
                    metadata=dict(metadata),
                    configuration={"hnsw": {"space": "cosine"}, "embedding_function": None},
                    embedding_function=None,
                )
            )
        )

    async def all(self) -> list[Collection]:
        return await self._run(
            lambda client: [_described(each) for each in client.list_collections()]
        )

    async def remove(self, name: str) -> None:
        try:
            await self._run(lambda client: client.delete_collection(name))
        except VectorsGoneError:
            return

    async def upsert(
        self, collection: str, items: Sequence[VectorItem], fields: Sequence[Fields]
    ) -> None:
        ids = [item.id for item in items]
        vectors = np.stack([item.vector for item in items])
        await self._run(
            lambda _: self._opened[collection].upsert(
                ids=ids, embeddings=vectors, metadatas=[each or None for each in fields]
            )
        )

    async def update(self, collection: str, ids: Sequence[str], fields: Sequence[Fields]) -> None:
        await self._run(
            lambda _: self._opened[collection].update(ids=list(ids), metadatas=list(fields))
        )

    async def nearest(
        self, collection: str, vector: Vector, limit: int, where: Fields | None
    ) -> list[tuple[str, float]]:
        def job(_: Any) -> list[tuple[str, float]]:
            answer = self._opened[collection].query(
                query_embeddings=[vector], n_results=limit, where=where, include=["distances"]
            )
            return list(zip(answer["ids"][0], answer["distances"][0], strict=True))

        return await self._run(job)

    async def rows(self, collection: str, ids: Sequence[str]) -> list[Row]:
        def job(_: Any) -> list[Row]:
            include = ["metadatas", "embeddings"]
            answer = self._opened[collection].get(ids=list(ids), include=include)
            found = zip(answer["ids"], answer["embeddings"], answer["metadatas"], strict=True)
            return [
                Row(id_, np.asarray(vector, np.float32), fields or {})
                for id_, vector, fields in found
            ]

        return await self._run(job)

    async def ids(
        self, collection: str, *, offset: int, limit: int, where: Fields | None
    ) -> list[str]:
        def job(_: Any) -> list[str]:
            answer = self._opened[collection].get(
                offset=offset, limit=limit, where=where, include=[]
            )
            return list(answer["ids"])

        return await self._run(job)

    async def delete(self, collection: str, ids: Sequence[str]) -> None:
        await self._run(lambda _: self._opened[collection].delete(ids=list(ids)))

    async def count(self, collection: str) -> int:
        return await self._run(lambda _: int(self._opened[collection].count()))

    async def _run(self, job: Callable[[Any], T]) -> T:
        if self._closing.is_set():
            raise UnavailableError(f"{self.folder} is closed")
        return await self._submit(lambda: self._do(job))

    async def _submit(self, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    def _do(self, job: Callable[[Any], T]) -> T:
        try:
            if self._client is None:
                self._client = self._connect()
            return job(self._client)
        except DualStoreError:
            raise
        except BaseException as error:  # Chroma's Rust half panics outside of Exception
            raise full_or(_mapped(error, self.folder), self.folder) from error

    def _connect(self) -> Any:
        check_system()
        make_folder(self.folder)
        if not self._lock.take(deadline=time.monotonic() + PATIENCE, stop=self._closing):
            raise _in_use(self.folder)
        try:
            self._lock.write(EMBEDDED)
            return _client(self.folder)
        except BaseException:
            self._lock.release()
            raise

    def _close(self) -> None:
        self._opened.clear()
        if self._client is not None:
            self._client.close()
            self._client = None
        self._lock.release()

    def _noted(self, collection: Any) -> Collection:
        self._opened[str(collection.id)] = collection
        return _described(collection)


class ChromaEmbedded(ChromaPlace):
    """`chroma+embedded:///folder`. Writes hold the GIL: `ChromaPrivate` spares the event loop."""

    def __init__(self, folder: Path | str) -> None:
        self._chroma = EmbeddedCollections(Path(folder))
        self._collections = self._chroma
        self.location = str(self._chroma.folder)

    async def health(self) -> VectorHealth:
        version = await self._chroma.version()
        await self._chroma.all()
        return VectorHealth(f"Chroma in this process {version}", self.location)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._chroma.close()


def _client(folder: Path) -> Any:
    import chromadb
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False)
    try:
        return chromadb.PersistentClient(path=str(folder), settings=settings)
    except BaseException:
        _forget_broken(str(folder))
        raise


def _forget_broken(folder: str) -> None:
    """Chroma keeps what it couldn't open in a cache, and would go on with it the next time."""
    from chromadb.api.shared_system_client import SharedSystemClient

    for cache in ("_identifier_to_system", "_identifier_to_refcount"):
        getattr(SharedSystemClient, cache, {}).pop(folder, None)


def _described(collection: Any) -> Collection:
    configuration = collection.configuration_json
    kinds = [each for each in configuration.values() if isinstance(each, dict)]
    space = next((each["space"] for each in kinds if "space" in each), "unknown")
    return Collection(str(collection.id), collection.name, collection.metadata or {}, space)


def _in_use(folder: Path) -> StorageError:
    who = "another process" if owner_of(folder) == EMBEDDED else "a private server"
    return StorageError(
        f"{folder} is in use by {who}, and chroma+embedded:/// is for one process alone; use "
        f"chroma:///{folder} in all of them, which shares one server"
    )


def _mapped(error: BaseException, folder: Path) -> DualStoreError:
    said = f"{type(error).__name__}: {error}"
    if type(error).__name__ == "NotFoundError":
        return VectorsGoneError(f"{folder} no longer has this index ({said}); open it again")
    if isinstance(error, ImportError):
        return StorageError(f"Chroma can't be loaded ({said}); install the package chromadb again")
    return failed(said, str(folder))
