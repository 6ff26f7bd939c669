"""Contexts over the double of OpenCode's server, and over the real one."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from dualstore.documents.mongo import MongoDatabase
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.static import StaticEmbedder
from dualstore.indexing import worker
from dualstore.mirror import guarding
from dualstore.wiring import system_clock
from tests.actions.world import DoubleWorld, World, double_world, real_world
from tests.support.multikey import unique_members
from tests.support.opencode_server import OpenCodeServer

MakeWorld = Callable[..., AbstractAsyncContextManager[DoubleWorld]]


class Ticks:
    """The clock that the circuit breaker looks at."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now

    def later(self) -> None:
        """Long enough for the remote to be tried again."""
        self.now += 60_000


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    """It stands still."""
    made = Ticks()
    monkeypatch.setattr(guarding, "_ticks", made)
    return made


@pytest.fixture(scope="session")
def embedder() -> StaticEmbedder:
    """Loaded once."""
    return StaticEmbedder()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the worker looks more often."""
    monkeypatch.setattr(worker, "POLL", 0.002)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """A file of one's own."""
    async with SqliteDatabase(tmp_path / "documents.db") as database:
        yield database


@pytest.fixture
def make_world(sqlite: SqliteDatabase, embedder: StaticEmbedder) -> MakeWorld:
    """With settings of one's own."""

    def make(**given: Any) -> AbstractAsyncContextManager[DoubleWorld]:
        return double_world(sqlite, embedder, **given)

    return make


@pytest.fixture
async def world(make_world: MakeWorld) -> AsyncIterator[DoubleWorld]:
    """Over the double."""
    async with make_world() as made:
        yield made


@pytest.fixture
async def dropping(make_world: MakeWorld) -> AsyncIterator[DoubleWorld]:
    """What is gone at the remote goes here, too."""
    async with make_world(on_remote_delete="drop") as made:
        yield made


@pytest.fixture(params=("sqlite", "mongomock"))
async def anywhere(
    request: pytest.FixtureRequest, make_world: MakeWorld, embedder: StaticEmbedder
) -> AsyncIterator[DoubleWorld]:
    """Over the double, with every kind of place for documents."""
    if request.param == "sqlite":
        async with make_world() as made:
            yield made
        return
    client = request.getfixturevalue("mongomock_client")
    with unique_members():
        async with (
            MongoDatabase(client["documents"]) as database,
            double_world(database, embedder) as made,
        ):
            yield made


@pytest.fixture(params=("double", "real"))
async def everywhere(
    request: pytest.FixtureRequest, sqlite: SqliteDatabase, embedder: StaticEmbedder
) -> AsyncIterator[World]:
    """Over the double, and over the real server."""
    if request.param == "double":
        async with double_world(sqlite, embedder) as made:
            yield made
        return
    server: OpenCodeServer = request.getfixturevalue("real_server")
    where = (server.url, server.user, server.password)
    async with real_world(where, sqlite, embedder, system_clock()) as other:
        yield other
