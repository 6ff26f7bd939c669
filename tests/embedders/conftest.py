"""A stub server, and every kind of embedder on the same terms."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dualstore.embedders.base import Embedder
from dualstore.embedders.http import OllamaEmbedder, OpenAIEmbedder
from dualstore.embedders.http_asking import Patience
from dualstore.embedders.static import StaticEmbedder
from tests.embedders.stub import MODEL, StubServer, stub_server

Kind = type[OllamaEmbedder] | type[OpenAIEmbedder]

HASTE = Patience(
    attempts=3, connect=1.0, attempt=1.0, total=3.0, first_pause=0.01, longest_pause=0.05
)


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with stub_server() as server:
        yield server


@pytest.fixture(params=["static", "ollama", "openai"])
async def embedder(request: pytest.FixtureRequest, stub: StubServer) -> AsyncIterator[Embedder]:
    kinds: dict[str, Embedder] = {
        "static": StaticEmbedder(),
        "ollama": OllamaEmbedder(MODEL, url=stub.url, patience=HASTE),
        "openai": OpenAIEmbedder(MODEL, url=stub.url, patience=HASTE),
    }
    async with kinds[request.param] as opened:
        await opened.load()
        yield opened


@pytest.fixture(params=[OllamaEmbedder, OpenAIEmbedder])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Both that are asked over HTTP."""
    found: Kind = request.param
    return found


def made(kind: Kind, stub: StubServer, **options: Any) -> OllamaEmbedder | OpenAIEmbedder:
    """Ready to be opened at the stub, in haste."""
    given: dict[str, Any] = {"model": MODEL, "url": stub.url, "patience": HASTE} | options
    return kind(**given)


@asynccontextmanager
async def loaded(
    kind: Kind, stub: StubServer, **options: Any
) -> AsyncIterator[OllamaEmbedder | OpenAIEmbedder]:
    """One that knows what it is."""
    async with made(kind, stub, **options) as embedder:
        await embedder.load()
        yield embedder
