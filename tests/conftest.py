"""Fixtures that every room's tests may use."""

import os
import uuid
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NoReturn

import pytest
from hypothesis import settings
from mongomock_motor import AsyncMongoMockClient
from motor.motor_asyncio import AsyncIOMotorClient

from tests.support.chroma_processes import MARK, chroma_server, processes, wait_until
from tests.support.mongomock import bulk_writes_with_sort
from tests.support.opencode_binary import OpenCodeMissingError
from tests.support.opencode_server import OpenCodeServer, opencode_server
from tests.support.proxy import TcpProxy
from tests.support.wire import (
    WireServer,
    WireServerMissingError,
    find_wire_server,
    start_wire_server,
)

# A slow machine is no failure, and a run that others must be able to repeat is not random.
settings.register_profile("tests", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("tests")

NO_WIRE_SERVER = "no MongoDB wire server: "


@pytest.fixture(scope="session")
def wire_server() -> Iterator[WireServer]:
    """One server for the whole run: take a database of your own, and leave the server alone."""
    with _required(find_wire_server()) as server:
        yield server


@pytest.fixture
def own_wire_server() -> Iterator[WireServer]:
    """A server for one test, which may stop, kill and restart it."""
    with _required(start_wire_server()) as server:
        yield server


@pytest.fixture
def wire_proxy(wire_server: WireServer) -> Iterator[TcpProxy]:
    """A healthy proxy in front of the server, ready to be told what to break."""
    with TcpProxy(wire_server.host, wire_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """Every Chroma that these tests started, however indirectly, has to be gone at the end."""
    mark = uuid.uuid4().hex
    os.environ[MARK] = mark
    yield
    del os.environ[MARK]
    wait_until(lambda: not processes("chroma", mark=mark), seconds=15)


@pytest.fixture(scope="session")
def chroma_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Chroma server for the whole run: take a database of your own."""
    with chroma_server(tmp_path_factory.mktemp("served")) as url:
        yield url


@pytest.fixture
def mongomock_client() -> Iterator[AsyncIOMotorClient[dict[str, Any]]]:
    """An empty mongomock-motor client whose `bulk_write` works."""
    with bulk_writes_with_sort():
        yield AsyncMongoMockClient()


@pytest.fixture(scope="session")
def real_server() -> Iterator[OpenCodeServer]:
    """One for the whole run. Where the run must be complete (CI=true) its absence is a failure."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(opencode_server())
        except OpenCodeMissingError as error:
            _miss(f"NOT TESTED on a real OpenCode server: {error}")
        yield server


@contextmanager
def _required(server: AbstractContextManager[WireServer]) -> Iterator[WireServer]:
    with ExitStack() as stack:
        try:
            running = stack.enter_context(server)
        except WireServerMissingError as error:
            _miss(f"{NO_WIRE_SERVER}{error}")
        yield running


def _miss(reason: str) -> NoReturn:
    """Where the run must be complete (CI=true) a missing server is a failure, elsewhere a skip."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    """Say last, after every other report, what this machine could not test."""
    yield
    reports = terminalreporter.getreports("skipped")
    reasons = [report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple)]
    missed = [reason for reason in reasons if NO_WIRE_SERVER in reason]
    if missed:
        terminalreporter.section("NOT TESTED", yellow=True, bold=True)
        reason = missed[0].removeprefix("Skipped: ")
        terminalreporter.line(f"{len(missed)} tests on MongoDB were skipped, {reason}")
