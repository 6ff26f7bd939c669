"""From settings to open backends: the only place that knows concrete ones."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dualstore.documents.base import Database
from dualstore.embedders.base import Embedder
from dualstore.metrics import Metrics
from dualstore.remote.base import RemoteSource
from dualstore.settings import Settings
from dualstore.vectors.base import VectorPlace


def system_clock() -> int:
    """The present, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Backends:
    """Everything a family is made of, open. Whoever opened them closes them."""

    documents: Database
    vectors: VectorPlace
    embedder: Embedder
    clock: Callable[[], int] = system_clock
    metrics: Metrics = field(default_factory=Metrics)


@asynccontextmanager
async def open_backends(
    settings: Settings, *, metrics: Metrics | None = None
) -> AsyncIterator[Backends]:
    """What the settings name. Vectors and embedder load with their first use."""
    async with (
        made_documents(settings, metrics) as documents,
        made_vectors(settings) as vectors,
        made_embedder(settings) as embedder,
    ):
        yield Backends(documents, vectors, embedder, metrics=metrics or Metrics())


def made_documents(settings: Settings, metrics: Metrics | None = None) -> Database:
    """Not open yet."""
    path = settings.sqlite_path()
    if path is None:
        from dualstore.documents.mongo import MongoDatabase

        return MongoDatabase.from_url(
            settings.documents, timeout=settings.documents_timeout, metrics=metrics
        )
    from dualstore.documents.sqlite import SqliteDatabase

    return SqliteDatabase(
        path,
        synchronous=settings.synchronous,
        busy_timeout=settings.busy_timeout,
        metrics=metrics,
    )


def made_vectors(settings: Settings) -> VectorPlace:
    """Not open yet."""
    scheme, _, rest = settings.vectors.partition(":///")
    match scheme:
        case "chroma":
            from dualstore.vectors.chroma_server import ChromaPrivate

            return ChromaPrivate(rest)
        case "chroma+embedded":
            from dualstore.vectors.chroma import ChromaEmbedded

            return ChromaEmbedded(rest)
        case _:
            from dualstore.vectors.chroma_http import ChromaHttp

            return ChromaHttp(settings.vectors)


def made_embedder(settings: Settings) -> Embedder:
    """Not open yet."""
    kind, _, model = settings.embedder.partition(":")
    if kind == "static":
        from dualstore.embedders.static import StaticEmbedder

        return StaticEmbedder()
    from dualstore.embedders.http import OllamaEmbedder, OpenAIEmbedder

    served = OllamaEmbedder if kind == "ollama" else OpenAIEmbedder
    key = settings.embedder_key.get_secret_value()
    if not settings.embedder_url:
        return served(model, key=key)
    return served(model, key=key, url=settings.embedder_url)


def made_remote(settings: Settings) -> RemoteSource | None:
    """Not open yet; None when no remote is set."""
    if not settings.remote:
        return None
    from dualstore.remote.opencode import OpenCodeRemote

    password = settings.remote_password.get_secret_value()
    return OpenCodeRemote(settings.remote, user=settings.remote_user, password=password)
