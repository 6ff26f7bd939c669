"""One fixture over all backends: the tests that use it run on each, and never ask which it is."""

import multiprocessing
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from dualstore.documents.base import Database, DocumentStore, Records
from dualstore.documents.mongo import MongoDatabase
from tests.documents.places import DRIVERS, Address
from tests.documents.writing import SPEC
from tests.support.multikey import unique_members
from tests.support.wire import WireServer

Place = Callable[[], Database]
"""Makes a database object, not yet entered; all that one place makes share what is stored."""

SHARED = ("sqlite", *DRIVERS)
"""What several processes may use at once."""


@pytest.fixture(params=(*SHARED, "mongomock"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place of one's own, empty, and gone afterwards."""
    if request.param == "mongomock":
        client = request.getfixturevalue("mongomock_client")
        with unique_members():
            yield lambda: MongoDatabase(client["documents"])
    else:
        with _address(request, tmp_path) as address:
            yield address.open


@pytest.fixture(params=SHARED)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Address]:
    """A place of one's own that other processes can be led to."""
    with _address(request, tmp_path) as found:
        yield found


@contextmanager
def _address(request: pytest.FixtureRequest, folder: Path) -> Iterator[Address]:
    if request.param == "sqlite":
        yield Address("sqlite", str(folder / "documents.db"))
    else:
        server: WireServer = request.getfixturevalue("wire_server")
        with own_database(server) as name:
            yield Address(request.param, server.url, name)


@contextmanager
def own_database(server: WireServer) -> Iterator[str]:
    """The name of a database on the server that nobody else has, dropped on leaving."""
    name = f"test-{uuid.uuid4().hex}"
    try:
        yield name
    finally:
        with MongoClient[dict[str, Any]](server.url) as client:
            client.drop_database(name)


@pytest.fixture
async def database(place: Place) -> AsyncIterator[Database]:
    """An open database."""
    async with place() as opened:
        yield opened


@pytest.fixture
async def store(database: Database) -> DocumentStore:
    """A family that holds nothing yet."""
    return await database.family(SPEC)


@pytest.fixture
def records(database: Database) -> Records:
    """The records beside the families."""
    return database.records


@pytest.fixture(scope="session")
def forkserver() -> ForkServerContext:
    """Starts processes that have imported everything, in a few milliseconds each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.documents.crash_writer", "tests.documents.racers"])
    return context
