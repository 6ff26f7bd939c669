"""A server of the user's own: down, slow, of another version, emptied, or not Chroma at all."""

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest

from dualstore.errors import (
    FamilyMismatchError,
    SettingsError,
    StorageError,
    StoragePermissionError,
    UnavailableError,
    VectorsGoneError,
)
from dualstore.vectors.chroma_http import ChromaHttp
from tests.support.chroma_processes import chroma_server, free_port, new_database
from tests.support.chroma_stub import drips, hangs_up, says, stalls, stub
from tests.vectors.making import DIMENSION, item, random_items, vector

COLLECTION = json.dumps(
    {
        "id": "1f1c7df4-5a86-4a0e-9f3b-7a5b3b8f2a10",
        "name": "family",
        "metadata": {"dualstore": 1, "dimension": DIMENSION},
        "configuration_json": {"hnsw": {"space": "cosine"}, "spann": None},
    }
)


async def test_a_server_that_is_down_is_unavailable() -> None:
    async with ChromaHttp(f"http://127.0.0.1:{free_port()}") as place:
        with pytest.raises(UnavailableError, match="check that it runs"):
            await place.index("family", dimension=DIMENSION)
        with pytest.raises(UnavailableError):
            await place.health()


async def test_a_server_that_comes_up_later_is_used(tmp_path: Path) -> None:
    port = free_port()
    async with ChromaHttp(f"http://127.0.0.1:{port}") as place:
        with pytest.raises(UnavailableError):
            await place.names()
        with chroma_server(tmp_path, port=port):
            assert await place.names() == []


async def test_a_server_that_is_slow_is_unavailable_in_time() -> None:
    async with stub() as server, ChromaHttp(server.url, timeout=0.3) as place:
        for slow in (stalls, drips):
            server.answers["/collections/family"] = slow
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="too slow"):
                await place.index("family", dimension=DIMENSION)
            assert time.monotonic() - began < 3


async def test_a_server_that_hangs_up_is_unavailable() -> None:
    async with stub() as server, ChromaHttp(server.url) as place:
        server.answers["/collections"] = hangs_up
        with pytest.raises(UnavailableError):
            await place.names()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/version", '"0.5.23"', 200),
        ("/version", '{"version": 1}', 200),
        ("/version", "<html>It works!</html>", 200),
        ("/version", "", 404),
        ("/version", '{"detail": "Not Found"}', 404),
        ("/pre-flight-checks", "[]", 200),
        ("/collections", "{}", 200),
        ("/collections", '[{"id": 1}]', 200),
        ("/collections", "", 301),
    ],
)
async def test_what_isnt_chroma_1_is_told_clearly(path: str, body: str, status: int) -> None:
    async with stub() as server, ChromaHttp(server.url) as place:
        server.answers[path] = says(body, status=status)
        with pytest.raises(StorageError, match=r"version") as caught:
            await place.names()
        assert server.url in str(caught.value)


async def test_answers_of_another_shape_are_told_clearly() -> None:
    async with stub() as server, ChromaHttp(server.url) as place:
        server.answers["/collections/family"] = says(COLLECTION)
        index = await place.index("family", dimension=DIMENSION)
        for path in ("/query", "/get", "/count"):
            server.answers[path] = says('{"ids": 5}')
        for call in (
            index.query(vector(1), limit=1),
            index.get(["a"]),
            index.scan(),
            index.count(),
            index.upsert([item("a")]),
        ):
            with pytest.raises(StorageError, match="doesn't answer as Chroma"):
                await call


async def test_vectors_travel_as_the_server_takes_them_and_in_its_batches() -> None:
    async with stub() as server, ChromaHttp(server.url) as place:
        server.answers["/collections/family"] = says(COLLECTION)
        server.answers["/get"] = says('{"ids": [], "metadatas": [], "embeddings": null}')
        server.answers["/upsert"] = says("{}")
        index = await place.index("family", dimension=DIMENSION)
        await index.upsert(random_items(250))
        bodies = [json.loads(one.body) for one in server.asked if one.path.endswith("/upsert")]
        assert [len(body["ids"]) for body in bodies] == [100, 100, 50]
        assert all(isinstance(number, float) for number in bodies[0]["embeddings"][0])


async def test_user_password_and_token_are_sent_and_never_shown() -> None:
    async with stub() as server:
        address = server.url.replace("http://", "http://me:s%3Acret@")
        async with ChromaHttp(address, token="t0ken") as place:
            server.answers["/collections"] = says("[]")
            assert await place.names() == []
            assert server.asked[-1].headers["authorization"] == "Basic bWU6czpjcmV0"
            assert server.asked[-1].headers["x-chroma-token"] == "t0ken"
            assert place.location == server.url
            assert (await place.health()).location == server.url
            server.answers["/collections"] = says("", status=401)
            with pytest.raises(StoragePermissionError) as caught:
                await place.names()
            assert "cret" not in str(caught.value)


async def test_a_path_before_the_api_is_kept() -> None:
    async with stub() as server, ChromaHttp(f"{server.url}/behind/") as place:
        server.answers["/collections"] = says("[]")
        await place.names()
        assert server.asked[0].path == "/behind/api/v2/version"


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://127.0.0.1:x"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        ChromaHttp(url)


async def test_https_that_nobody_speaks_is_unavailable() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, ChromaHttp(f"https://127.0.0.1:{port}") as place:
        with pytest.raises(UnavailableError):
            await place.names()


async def test_a_database_that_isnt_there_is_told(server: str) -> None:
    async with ChromaHttp(server, database="nowhere") as place:
        with pytest.raises(StorageError, match="nowhere") as caught:
            await place.index("family", dimension=DIMENSION)
        assert not isinstance(caught.value, VectorsGoneError)


async def test_a_server_restarted_empty_says_that_the_vectors_are_gone(tmp_path: Path) -> None:
    port = free_port()
    async with ChromaHttp(f"http://127.0.0.1:{port}") as place:
        with chroma_server(tmp_path / "full", port=port):
            index = await place.index("family", dimension=DIMENSION)
            await index.upsert([item("a")])
        with chroma_server(tmp_path / "empty", port=port):
            for call in (index.count(), index.upsert([item("a")]), index.query(vector(1), limit=1)):
                with pytest.raises(VectorsGoneError, match="open it again"):
                    await call
            again = await place.index("family", dimension=DIMENSION)
            await again.upsert([item("a")])
            assert await again.count() == 1


async def test_a_server_restarted_with_its_data_goes_on(tmp_path: Path) -> None:
    port = free_port()
    async with ChromaHttp(f"http://127.0.0.1:{port}") as place:
        with chroma_server(tmp_path, port=port):
            index = await place.index("family", dimension=DIMENSION)
            await index.upsert([item("a")])
        with pytest.raises(UnavailableError):
            await index.count()
        with chroma_server(tmp_path, port=port):
            assert await index.scan() == ["a"]


@pytest.mark.parametrize(
    "made",
    [
        {"name": "family", "configuration": {"hnsw": {"space": "cosine"}}},
        {"name": "family", "metadata": {"dualstore": 1, "dimension": DIMENSION}},
    ],
)
async def test_a_collection_that_isnt_ours_is_left_alone(
    server: str, made: dict[str, object], request: pytest.FixtureRequest
) -> None:
    database = f"foreign-{abs(hash(request.node.name))}"
    new_database(server, database)
    home = f"{server}/api/v2/tenants/default_tenant/databases/{database}/collections"
    async with httpx.AsyncClient(trust_env=False) as client:
        (await client.post(home, json=made)).raise_for_status()
        async with ChromaHttp(server, database=database) as place:
            with pytest.raises(FamilyMismatchError, match="wasn't made by dualstore"):
                await place.index("family", dimension=DIMENSION)
            with pytest.raises(FamilyMismatchError):
                await place.drop("family")
            assert await place.names() == (["family"] if "metadata" in made else [])
        assert (await client.get(f"{home}/family")).status_code == 200


async def test_more_indexes_than_one_page_are_all_named(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualstore.vectors.chroma_api.LIST_BATCH", 3)
    new_database(server, "paged")
    async with ChromaHttp(server, database="paged") as place:
        for number in range(7):
            await place.index(f"index-{number}", dimension=DIMENSION)
        assert await place.names() == [f"index-{number}" for number in range(7)]


async def test_a_cancelled_call_leaves_the_place_usable() -> None:
    async with stub() as server, ChromaHttp(server.url) as place:
        server.answers["/collections"] = stalls
        task = asyncio.create_task(place.names())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.answers["/collections"] = says("[]")
        assert await place.names() == []
