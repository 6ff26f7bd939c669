"""One fixture over all backends: the tests that use it run on each, and never ask which it is."""

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dualstore.vectors.base import VectorIndex, VectorPlace
from dualstore.vectors.chroma import ChromaEmbedded
from dualstore.vectors.chroma_http import ChromaHttp
from dualstore.vectors.exact import ExactVectors
from tests.support.chroma_processes import new_database
from tests.vectors.making import DIMENSION
from tests.vectors.private import private

Place = Callable[[], VectorPlace]
"""Makes a place, not yet entered; all that one of these makes share what is stored."""

Open = Callable[[Path], VectorPlace]
"""How a folder is used."""

LASTING = ("embedded", "private", "served")


@pytest.fixture(scope="session")
def server(chroma_url: str) -> str:
    return chroma_url


@pytest.fixture(params=("exact", *LASTING))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place of one's own, empty."""
    return _place(request, tmp_path)


@pytest.fixture(params=LASTING)
def lasting_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """As `place`, where what is stored outlives the object."""
    return _place(request, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "vectors"


@pytest.fixture(params=[ChromaEmbedded, private], ids=["embedded", "private"])
def at(request: pytest.FixtureRequest) -> Open:
    found: Open = request.param
    return found


def _place(request: pytest.FixtureRequest, folder: Path) -> Place:
    match request.param:
        case "exact":
            return _one(ExactVectors())
        case "embedded":
            return lambda: ChromaEmbedded(folder / "vectors")
        case "private":
            return lambda: private(folder / "vectors")
        case _:
            return _served(request.getfixturevalue("server"))


def _one(place: VectorPlace) -> Place:
    return lambda: place


def _served(url: str) -> Place:
    database = f"test-{uuid.uuid4().hex}"
    new_database(url, database)
    return lambda: ChromaHttp(url, database=database)


@pytest.fixture
async def opened(place: Place) -> AsyncIterator[VectorPlace]:
    """An open place."""
    async with place() as one:
        yield one


@pytest.fixture
async def index(opened: VectorPlace) -> VectorIndex:
    """An index that holds nothing yet."""
    return await opened.index("family", dimension=DIMENSION)
