"""Real OpenCode servers whose turns a model's stub makes."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from dualstore.embedders.static import StaticEmbedder
from dualstore.indexing import worker
from dualstore.mirror import keeping_up, news_reading
from tests.actions import following
from tests.support.model_stub import ModelStub, model_stub
from tests.support.opencode_binary import OpenCodeMissingError, opencode_binary
from tests.support.opencode_server import OpenCodeServer, opencode_server
from tests.sync.world import PATIENCE, LastingServer, Place, place


@pytest.fixture(scope="session")
def embedder() -> StaticEmbedder:
    """Loaded once."""
    return StaticEmbedder()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that comes back is found soon, and one that is slow is waited for."""
    monkeypatch.setattr(following, "PATIENCE", PATIENCE)
    monkeypatch.setattr(worker, "POLL", 0.002)
    monkeypatch.setattr(news_reading, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(keeping_up, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(keeping_up, "LONGEST_PAUSE", 0.5)
    monkeypatch.setattr(keeping_up, "AGAIN", 0.05)


@pytest.fixture(scope="session")
def _model() -> Iterator[ModelStub]:
    with model_stub() as stub:
        yield stub


@pytest.fixture
def model(_model: ModelStub) -> Iterator[ModelStub]:
    """It holds where a scenario says so."""
    _model.hold()
    yield _model
    _model.release()


@pytest.fixture(scope="session")
def _installed() -> None:
    """Where the run must be complete (CI=true) its absence is a failure."""
    try:
        opencode_binary()
    except OpenCodeMissingError as error:
        reason = f"NOT TESTED on a real OpenCode server: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def server(_installed: None, _model: ModelStub) -> Iterator[OpenCodeServer]:
    """One for the tests of a file, who leave it alive."""
    with opencode_server(model=_model.url) as running:
        yield running


@pytest.fixture
async def lasting(_lasting: LastingServer) -> AsyncIterator[LastingServer]:
    """One for the tests of a file, who may kill it and start it again."""
    yield _lasting
    await _lasting.start()


@pytest.fixture(scope="module")
def _lasting(
    _installed: None, _model: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LastingServer]:
    with ExitStack() as stack:
        made = LastingServer(tmp_path_factory.mktemp("lasting"), model=_model.url)
        stack.callback(made.close)
        yield made


@pytest.fixture
async def here(
    server: OpenCodeServer, tmp_path: Path, embedder: StaticEmbedder
) -> AsyncIterator[Place]:
    """A memory before the one that stays alive."""
    async with place(server, tmp_path / "documents.db", embedder) as made:
        yield made


@pytest.fixture
async def wire() -> AsyncIterator[httpx.AsyncHTTPTransport]:
    """What a transport of one's own can build on."""
    async with httpx.AsyncHTTPTransport() as made:
        yield made
