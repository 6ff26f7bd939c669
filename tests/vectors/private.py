"""The private server of a folder, for the tests."""

import json
from pathlib import Path

from dualstore.vectors.base import VectorIndex
from dualstore.vectors.chroma_server import ChromaPrivate
from tests.support.chroma_processes import chromas, watchers
from tests.support.chroma_user import DIMENSION, INDEX


def private(folder: Path, *, linger: float = 0.0) -> ChromaPrivate:
    return ChromaPrivate(folder, linger=linger)


async def index_of(place: ChromaPrivate) -> VectorIndex:
    return await place.index(INDEX, dimension=DIMENSION)


def facts_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "server.json").read_text()))


def gone(folder: Path) -> bool:
    return not watchers(folder) and not chromas(folder)
