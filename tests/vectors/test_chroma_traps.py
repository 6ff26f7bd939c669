"""What Chroma does otherwise than one would think, tried on the real thing."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from dualstore.errors import FamilyMismatchError
from dualstore.filters import parse
from dualstore.vectors.base import VectorIndex, VectorItem, VectorPlace
from dualstore.vectors.chroma import WRITE_BATCH, ChromaEmbedded
from dualstore.vectors.chroma_http import ChromaHttp
from dualstore.vectors.chroma_server import ChromaPrivate
from dualstore.vectors.chroma_wire import HttpClient
from tests.support.chroma_processes import chroma_server, chromas, until, watchers
from tests.vectors.conftest import Open
from tests.vectors.making import DIMENSION, item, random_items, vector
from tests.vectors.private import private

HOME = "/api/v2/tenants/default_tenant/databases/default_database/collections"


@pytest.fixture
async def place(at: Open, folder: Path) -> AsyncIterator[VectorPlace]:
    async with at(folder) as one:
        yield one


@pytest.fixture
async def index(place: VectorPlace) -> VectorIndex:
    return await place.index("family", dimension=DIMENSION)


async def _raw(client: httpx.AsyncClient, path: str, body: object = None) -> Any:
    method = "GET" if body is None else "POST"
    answer = await client.request(method, HOME + path, json=body)
    return answer.raise_for_status().json()


async def test_what_is_stored_has_no_text_no_embedder_and_cosine_space(
    at: Open, folder: Path
) -> None:
    async with at(folder) as place:
        index = await place.index("family", dimension=DIMENSION)
        await index.upsert([item("a", x="one"), item("b")])
    await until(lambda: not chromas(folder))
    with chroma_server(folder) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            found = await _raw(client, "/family")
            assert found["metadata"] == {"dualstore": 1, "dimension": DIMENSION}
            configuration = found["configuration_json"]
            assert configuration["hnsw"]["space"] == "cosine"
            assert configuration["embedding_function"] in (None, {"type": "legacy"})
            held = await _raw(client, f"/{found['id']}/get", {"include": ["documents", "uris"]})
            assert held["documents"] == [None, None]
            assert held["uris"] == [None, None]


async def test_an_add_keeps_the_old_which_is_why_we_upsert(server: str) -> None:
    async with httpx.AsyncClient(base_url=server, trust_env=False) as client:
        made = await _raw(client, "", {"name": "raw-add", "get_or_create": True})
        body = {"ids": ["a"], "embeddings": [[1.0, 0.0]], "metadatas": [{"x": 1, "y": 1}]}
        await _raw(client, f"/{made['id']}/add", body)
        await _raw(client, f"/{made['id']}/add", {**body, "metadatas": [{"x": 2}]})
        held = await _raw(client, f"/{made['id']}/get", {"ids": ["a"]})
        assert held["metadatas"] == [{"x": 1, "y": 1}]
        await _raw(client, f"/{made['id']}/upsert", {**body, "metadatas": [{"x": 3}]})
        held = await _raw(client, f"/{made['id']}/get", {"ids": ["a"]})
        assert held["metadatas"] == [{"x": 3, "y": 1}]


async def test_more_at_once_than_one_call_takes_is_split(folder: Path) -> None:
    assert WRITE_BATCH < 5_461
    async with private(folder) as place:
        index = await place.index("family", dimension=DIMENSION)
        items = [VectorItem(f"v{at}", vector(1, at), {}) for at in range(5_600)]
        await index.upsert(items)
        assert await index.count() == len(items)


async def test_more_ids_than_sqlite_takes_at_once_are_split(index: VectorIndex) -> None:
    items = random_items(300)
    await index.upsert(items)
    ids = [each.id for each in items] + [f"missing-{at}" for at in range(33_000)]
    assert len(await index.get(ids)) == len(items)
    await index.delete(ids[:1_000])
    assert await index.count() == 0


async def test_one_bad_item_doesnt_reach_chroma_which_would_reject_the_batch(
    index: VectorIndex,
) -> None:
    bad = item("bad", nested={"a": 1})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nested"):
        await index.upsert([item("good"), bad])
    await index.upsert([item("good")])
    assert await index.scan() == ["good"]


async def test_after_most_is_deleted_the_rest_is_found(index: VectorIndex) -> None:
    items = random_items(1_500)
    await index.upsert(items)
    await index.delete([each.id for each in items[:1_450]])
    found = await index.query(vector(1), limit=100)
    assert {hit.id for hit in found} == {each.id for each in items[1_450:]}
    where = parse({"metadata.n": {"$in": [1_460, 3]}})
    assert [hit.id for hit in await index.query(vector(1), limit=100, where=where)] == ["v1460"]


async def test_of_two_that_make_an_index_at_once_one_decides_its_dimension(
    place: VectorPlace,
) -> None:
    made = await asyncio.gather(
        *(place.index("family", dimension=dimension) for dimension in (8, 9, 8, 9)),
        return_exceptions=True,
    )
    kinds = [getattr(each, "dimension", type(each)) for each in made]
    assert kinds in ([8, FamilyMismatchError] * 2, [FamilyMismatchError, 9] * 2)


async def test_what_is_held_already_isnt_written_again(
    index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changing a vector takes Chroma about 4 ms, and an edit of fields must not cost that."""
    items = random_items(600)
    await index.upsert(items)
    chroma = index._collections  # type: ignore[attr-defined]

    async def refuse(*_: object) -> None:
        raise AssertionError("a vector is written again")

    monkeypatch.setattr(chroma, "upsert", refuse)
    await index.upsert([replace(each, fields={"edited": True}) for each in items])
    monkeypatch.setattr(chroma, "update", refuse)
    await index.upsert([replace(each, fields={"edited": True}) for each in items])
    assert {one.fields["edited"] for one in (await index.get(["v1", "v599"])).values()} == {True}


async def test_reading_while_the_first_vectors_come_in_is_fine(folder: Path) -> None:
    """Chroma answers for a moment that there is nothing on its disk."""
    items = random_items(60)
    async with private(folder) as place:
        for number in range(12):
            index = await place.index(f"family-{number}", dimension=DIMENSION)
            await asyncio.gather(
                *(index.upsert(items[at : at + 10]) for at in range(0, 60, 10)),
                *(index.query(vector(1), limit=5) for _ in range(6)),
                *(index.get(["v1"]) for _ in range(6)),
            )
            assert await index.count() == len(items)


async def test_two_writers_of_an_id_dont_leave_fields_of_both(index: VectorIndex) -> None:
    await index.upsert([item("a", old=1)])
    for _ in range(10):
        await asyncio.gather(index.upsert([item("a", x=1)]), index.upsert([item("a", y=1)]))
        await index.upsert([item("a", z=1)])
        assert (await index.get(["a"]))["a"].fields == {"z": 1}


def _imports(script: str) -> str:
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def test_chroma_is_imported_only_inside_a_process_and_only_when_used() -> None:
    script = (
        "import sys\n"
        "import dualstore.vectors.chroma, dualstore.vectors.chroma_server\n"
        "dualstore.vectors.chroma.ChromaEmbedded('unused')\n"
        "print([name for name in sys.modules if name.startswith('chromadb')])\n"
    )
    assert _imports(script) == "[]"


def test_a_private_server_is_used_without_importing_chroma(folder: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from dualstore.vectors.chroma_server import ChromaPrivate\n"
        "async def main():\n"
        f"    async with ChromaPrivate({str(folder)!r}, linger=0) as place:\n"
        "        await place.index('family', dimension=8)\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith('chromadb')])\n"
    )
    assert _imports(script) == "[]"


async def test_telemetry_is_off(folder: Path, tmp_path: Path) -> None:
    async with ChromaEmbedded(folder) as embedded:
        await embedded.names()
        assert embedded._chroma._client.get_settings().anonymized_telemetry is False
    async with ChromaPrivate(tmp_path / "other", linger=0) as served:
        await served.names()
        (chroma,) = chromas(tmp_path / "other")
        assert "ANONYMIZED_TELEMETRY=False" in _environment(chroma)


def _environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


async def test_settings_of_other_chromas_dont_reach_ours(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHROMA_PORT", "1")
    async with ChromaPrivate(folder, linger=0) as place:
        await place.names()
        (chroma,) = chromas(folder)
        assert not [one for one in _environment(chroma) if one.startswith("CHROMA_")]


async def test_a_client_for_plain_http_loads_no_certificates(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this takes 50 ms on the loop")

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", refuse)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", refuse)
    async with ChromaHttp(server) as place:
        await place.names()


async def test_a_client_for_https_is_made_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    made_in: list[int] = []
    make = HttpClient._make

    def noted(self: HttpClient) -> httpx.AsyncClient:
        made_in.append(threading.get_ident())
        return make(self)

    monkeypatch.setattr(HttpClient, "_make", noted)
    client = HttpClient(secure=True, timeout=1)
    await client.get("https://127.0.0.1")
    await client.close()
    assert made_in
    assert made_in[0] != threading.get_ident()


async def test_the_loop_stays_responsive_while_the_private_server_takes_vectors(
    folder: Path,
) -> None:
    """Alone it is some milliseconds; this machine may be busy with others."""
    async with ChromaPrivate(folder, linger=0) as place:
        gaps: list[float] = []
        heart = asyncio.create_task(_beat(gaps))
        index = await place.index("family", dimension=256)
        await index.upsert(random_items(2_000, dimension=256))
        heart.cancel()
        assert await index.count() == 2_000
    assert len(gaps) > 50
    assert max(gaps) < 0.25
    assert sorted(gaps)[int(len(gaps) * 0.95)] < 0.05


async def _beat(gaps: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        gaps.append(time.perf_counter() - began)


async def test_only_this_machine_and_this_user_reach_the_files(folder: Path) -> None:
    async with ChromaPrivate(folder, linger=0) as place:
        await place.names()
        facts = json.loads(_text(folder / "server.json"))
        assert facts.keys() == {"port", "database", "folder", "inode"}
        assert _listening(facts["port"]) == {"0100007F"}
        (watcher,) = watchers(folder)
        assert os.getsid(watcher) == watcher


def _text(path: Path) -> str:
    return path.read_text()


def _listening(port: int) -> set[str]:
    """The addresses, as the kernel writes them, at which somebody listens on that port."""
    rows = [line.split() for line in _text(Path("/proc/net/tcp")).splitlines()[1:]]
    return {
        row[1].partition(":")[0]
        for row in rows
        if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port
    }
