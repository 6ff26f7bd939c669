from pathlib import Path

import pytest

from dualstore import Settings
from dualstore.documents.mongo import MongoDatabase
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.http import OllamaEmbedder, OpenAIEmbedder
from dualstore.embedders.static import StaticEmbedder
from dualstore.family import FamilySpec
from dualstore.remote.opencode import OpenCodeRemote
from dualstore.vectors.chroma import ChromaEmbedded
from dualstore.vectors.chroma_http import ChromaHttp
from dualstore.vectors.chroma_server import ChromaPrivate
from dualstore.wiring import (
    made_documents,
    made_embedder,
    made_remote,
    made_vectors,
    open_backends,
)


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


async def test_the_defaults_open_offline_and_start_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with open_backends(Settings()) as backends:
        store = await backends.documents.family(FamilySpec("default_notes"))
        assert await store.count() == 0
        assert (await backends.embedder.embed(["hello"])).shape == (1, 256)
        assert backends.clock() > 1_700_000_000_000
    assert "server.json" not in _files(tmp_path)


def test_each_setting_leads_to_its_backend(tmp_path: Path) -> None:
    folder = str(tmp_path / "v")
    for vectors, place in (
        (f"chroma:///{folder}", ChromaPrivate),
        (f"chroma+embedded:///{folder}", ChromaEmbedded),
        ("http://127.0.0.1:8000", ChromaHttp),
    ):
        assert type(made_vectors(Settings(vectors=vectors))) is place
    for embedder, kind in (
        ("static", StaticEmbedder),
        ("ollama:nomic-embed-text", OllamaEmbedder),
        ("openai:small", OpenAIEmbedder),
    ):
        assert type(made_embedder(Settings(embedder=embedder))) is kind
    at = Settings(embedder="ollama:x", embedder_url="http://127.0.0.1:1")
    assert isinstance(made_embedder(at), OllamaEmbedder)
    assert type(made_documents(Settings(documents="sqlite:////tmp/a.db"))) is SqliteDatabase


async def test_a_mongodb_address_leads_to_mongodb() -> None:
    """Made, and not opened: nobody is asked."""
    database = made_documents(Settings(documents="mongodb://127.0.0.1:1/x"))
    assert type(database) is MongoDatabase
    await database.__aexit__()


def test_a_remote_is_there_when_it_is_set() -> None:
    assert made_remote(Settings()) is None
    remote = made_remote(
        Settings(remote="http://127.0.0.1:4096/", remote_user="me", remote_password="no telling")
    )
    assert type(remote) is OpenCodeRemote
    assert "http://127.0.0.1:4096>" in repr(remote)
    assert "telling" not in repr(remote)
