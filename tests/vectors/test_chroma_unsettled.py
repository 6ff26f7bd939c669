"""What is being written while it is read: Chroma then answers with an error, or with a half."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from dualstore.errors import StorageCorruptError
from dualstore.vectors.chroma_http import ChromaHttp
from tests.support.chroma_stub import Answer, Asked, says, stub
from tests.vectors.making import DIMENSION, item

COLLECTION = json.dumps(
    {
        "id": "1f1c7df4-5a86-4a0e-9f3b-7a5b3b8f2a10",
        "name": "family",
        "metadata": {"dualstore": 1, "dimension": DIMENSION},
        "configuration_json": {"hnsw": {"space": "cosine"}, "spann": None},
    }
)
MOVED = says(
    '{"error": "InternalError", "message": "Error executing plan: Error finding id"}', status=500
)
WHOLE = says(json.dumps({"ids": ["a"], "embeddings": [[1.0] * DIMENSION], "metadatas": [None]}))
HALVES = [
    {"ids": ["a"], "embeddings": [], "metadatas": [None]},
    {"ids": ["a"], "embeddings": None, "metadatas": [None]},
    {"ids": ["a"], "embeddings": [None], "metadatas": [None]},
    {"ids": ["a"], "embeddings": [[1.0] * DIMENSION], "metadatas": []},
]
UNSETTLED = [MOVED, *(says(json.dumps(half)) for half in HALVES)]


def _in_turn(answers: Sequence[Answer]) -> Answer:
    remaining = list(answers)

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await remaining.pop(0)(asked, writer)

    return answer


@pytest.mark.parametrize("unsettled", UNSETTLED)
async def test_what_doesnt_fit_together_is_read_again(unsettled: Answer) -> None:
    async with stub() as server, ChromaHttp(server.url) as place:
        server.answers["/collections/family"] = says(COLLECTION)
        server.answers["/get"] = _in_turn([unsettled, unsettled, WHOLE])
        index = await place.index("family", dimension=DIMENSION)
        assert (await index.get(["a"])).keys() == {"a"}


@pytest.mark.parametrize("unsettled", UNSETTLED)
async def test_what_never_fits_together_is_damaged(unsettled: Answer) -> None:
    async with stub() as server, ChromaHttp(server.url) as place:
        server.answers["/collections/family"] = says(COLLECTION)
        server.answers["/get"] = server.answers["/query"] = unsettled
        index = await place.index("family", dimension=DIMENSION)
        with pytest.raises(StorageCorruptError, match="move the folder away"):
            await index.get(["a"])


@pytest.mark.parametrize(("count", "heals"), [(999, True), (1000, False)])
async def test_the_next_write_makes_a_graph_that_a_killed_writer_left_unmade(
    count: int, heals: bool
) -> None:
    """But none of one that was in files, and is lost."""
    said = "Error executing plan: Error creating hnsw segment reader: Nothing found on disk"
    async with stub() as server, ChromaHttp(server.url) as place:
        server.answers["/collections/family"] = says(COLLECTION)
        server.answers["/get"] = says(
            json.dumps({"error": "InternalError", "message": said}), status=500
        )
        server.answers["/count"] = says(str(count))
        server.answers["/upsert"] = says("{}")
        index = await place.index("family", dimension=DIMENSION)
        if heals:
            await index.upsert([item("a")])
        else:
            with pytest.raises(StorageCorruptError, match="lost its graph"):
                await index.upsert([item("a")])
        assert any(asked.path.endswith("/upsert") for asked in server.asked) is heals
