"""What embedders over HTTP learn, send and show."""

import asyncio
import logging
import time

import httpx
import numpy as np
import pytest

from dualstore.embedders.http import OllamaEmbedder, OpenAIEmbedder
from dualstore.errors import DualStoreError, EmbedderError, SettingsError
from tests.embedders.conftest import Kind, loaded, made
from tests.embedders.stub import (
    DIGEST,
    DIMENSION,
    MODEL,
    Fault,
    StubServer,
    vector,
)

KEY = "sk-very-secret-0123456789"


async def test_ollama_learns_dimension_and_version(stub: StubServer) -> None:
    async with loaded(OllamaEmbedder, stub) as embedder:
        assert embedder.identity == f"ollama:{MODEL}/{DIGEST[:12]}/{DIMENSION}"


async def test_ollama_behind_something_without_a_list_of_models_has_no_version(
    stub: StubServer,
) -> None:
    stub.tags = False
    async with loaded(OllamaEmbedder, stub) as embedder:
        assert embedder.identity == f"ollama:{MODEL}//{DIMENSION}"


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
async def test_openai_learns_its_dimension_at_any_spelling_of_its_address(
    stub: StubServer, path: str
) -> None:
    async with loaded(OpenAIEmbedder, stub, url=stub.url + path) as embedder:
        assert embedder.identity == f"openai:{MODEL}//{DIMENSION}"


async def test_gives_the_vectors_of_the_server(kind: Kind, stub: StubServer) -> None:
    async with loaded(kind, stub) as embedder:
        rows = await embedder.embed(["one word", "and two"])
    expected = np.array([vector(text, dimension=DIMENSION) for text in ("one word", "and two")])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, expected, atol=1e-6)


async def test_opening_asks_nobody_and_loading_asks_once(kind: Kind, stub: StubServer) -> None:
    async with made(kind, stub) as embedder:
        assert not stub.asked
        assert embedder.dimension == 0
        await asyncio.gather(*(embedder.load() for _ in range(5)))
        asked = len(stub.asked)
        await embedder.load()
        assert len(stub.asked) == asked == (2 if kind is OllamaEmbedder else 1)
        assert embedder.dimension == DIMENSION


async def test_it_loads_with_its_first_text(kind: Kind, stub: StubServer) -> None:
    async with made(kind, stub) as embedder:
        assert (await embedder.embed([])).shape == (0, DIMENSION)
        assert (await embedder.embed(["text"])).any()


async def test_loading_is_tried_again_after_a_failure(kind: Kind, stub: StubServer) -> None:
    async with made(kind, stub) as embedder:
        stub.key = "another"
        with pytest.raises(EmbedderError):
            await embedder.load()
        stub.key = ""
        await embedder.load()
        assert embedder.dimension == DIMENSION


# What it sends


async def test_sends_batches_bounded_in_count_and_characters(kind: Kind, stub: StubServer) -> None:
    long, short = ["x" * 3_000] * 50, ["y"] * 70
    async with loaded(kind, stub) as embedder:
        stub.asked.clear()
        await embedder.embed([*long, *short])
    batches = stub.texts()
    assert [text for batch in batches for text in batch] == [*long, *short]
    assert all(len(batch) <= 32 and sum(map(len, batch)) <= 65_536 for batch in batches)
    assert len(batches) <= 6


async def test_blank_text_is_never_sent_and_long_text_is_cut(kind: Kind, stub: StubServer) -> None:
    async with loaded(kind, stub, chunk_chars=10) as embedder:
        stub.asked.clear()
        await embedder.embed(["", "  \n", "z" * 10_000])
        await embedder.embed([" "])
    assert stub.texts() == [["z" * 20]]


async def test_says_who_it_is_with_its_key(kind: Kind, stub: StubServer) -> None:
    stub.key = KEY
    async with loaded(kind, stub, key=f" {KEY}\n") as embedder:
        assert (await embedder.embed(["text"])).any()


async def test_a_login_in_the_address_is_used_and_not_shown(kind: Kind, stub: StubServer) -> None:
    url = stub.url.replace("http://", "http://user:pass%20word@")
    async with loaded(kind, stub, url=url) as embedder:
        assert "pass" not in repr(embedder)
    assert stub.asked[-1].headers["Authorization"] == "Basic dXNlcjpwYXNzIHdvcmQ="


async def test_a_transport_can_be_given_and_is_left_open(kind: Kind) -> None:
    class Transport(httpx.AsyncBaseTransport):
        closed = False

        async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
            row = {"index": 0, "embedding": [1, 0]}
            return httpx.Response(200, json={"embeddings": [[1, 0]], "data": [row], "models": []})

        async def aclose(self) -> None:
            self.closed = True

    transport = Transport()
    async with kind(MODEL, url="http://nowhere.invalid", transport=transport) as embedder:
        await embedder.load()
        assert embedder.dimension == 2
    assert not transport.closed


# The way out


async def test_ollama_without_the_model_says_how_to_get_it(stub: StubServer) -> None:
    with pytest.raises(EmbedderError, match="`ollama pull nomic-embed-text`"):
        await loaded(OllamaEmbedder, stub, model="nomic-embed-text").__aenter__()


async def test_openai_without_the_model_names_it(stub: StubServer) -> None:
    with pytest.raises(EmbedderError, match="has it a model 'other'"):
        await loaded(OpenAIEmbedder, stub, model="other").__aenter__()


async def test_a_wrong_address_asks_for_the_address(kind: Kind, stub: StubServer) -> None:
    with pytest.raises(EmbedderError, match="is this its address"):
        await loaded(kind, stub, url=f"{stub.url}/elsewhere").__aenter__()


@pytest.mark.parametrize(
    "url", ["nowhere", "ftp://host", "http://", "http://[half", "http://host:port", "http://h/?a=b"]
)
def test_what_is_no_address_is_refused_when_it_is_given(kind: Kind, url: str) -> None:
    with pytest.raises(SettingsError, match="address"):
        kind(MODEL, url=url)


async def test_must_be_opened_first(kind: Kind, stub: StubServer) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await made(kind, stub).embed(["text"])


# The key


@pytest.mark.parametrize("key", [KEY, ""])
async def test_a_refused_key_is_final_and_never_shown(
    kind: Kind, stub: StubServer, key: str
) -> None:
    stub.key = "another"
    with pytest.raises(EmbedderError, match=r"\(401\)") as caught:
        await loaded(kind, stub, key=key).__aenter__()
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "\x00"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    kind: Kind, key: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        kind(MODEL, key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("status", [400, 500])
async def test_the_key_is_in_no_error_log_or_representation(
    kind: Kind, stub: StubServer, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = f'{{"error": "I do not like {KEY}"}}'.encode()
    async with loaded(kind, stub, key=KEY) as embedder:
        stub.faults.extend([Fault(status=status, body=body)] * 3)
        with pytest.raises(DualStoreError) as caught:
            await embedder.embed(["text"])
        shown = f"{caught.value!r} {caught.value.__cause__!r} {embedder!r} {vars(embedder)}"
    assert KEY not in shown
    assert "***" in shown
    assert KEY not in caplog.text


async def test_opening_does_not_stall_the_loop(kind: Kind, stub: StubServer) -> None:
    longest = 0.0
    running = True

    async def heart() -> None:
        nonlocal longest
        while running:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)

    beating = asyncio.create_task(heart())
    for _ in range(3):
        async with loaded(kind, stub):
            pass
    running = False
    await beating
    assert longest < 0.5
