import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import AutoReconnect, ServerSelectionTimeoutError

from tests.support import wire
from tests.support.java_server import CannotBuildError, java_command
from tests.support.wire import WireServer

Document = dict[str, Any]
ROOT = Path(__file__).parents[2]


async def test_motor_pings_and_inserts(wire_server: WireServer) -> None:
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(wire_server.url)
    try:
        assert (await client.admin.command("ping"))["ok"] == 1
        things = client["support"]["motor"]
        await things.insert_one({"_id": "a", "n": 1})
        assert await things.find_one({"_id": "a"}) == {"_id": "a", "n": 1}
        await client.drop_database("support")
    finally:
        client.close()


async def test_pymongo_async_pings_and_inserts(wire_server: WireServer) -> None:
    async with AsyncMongoClient[Document](wire_server.url) as client:
        assert (await client.admin.command("ping"))["ok"] == 1
        things = client["support"]["pymongo"]
        await things.insert_one({"_id": "a", "n": 1})
        assert await things.find_one({"_id": "a"}) == {"_id": "a", "n": 1}
        await client.drop_database("support")


def test_a_server_of_ones_own_dies_and_returns_at_the_same_port(
    own_wire_server: WireServer,
) -> None:
    with MongoClient[Document](own_wire_server.url) as client:
        assert client.admin.command("ping")["ok"] == 1
        own_wire_server.kill()
        with pytest.raises(AutoReconnect):
            client.admin.command("ping")
        own_wire_server.restart()
        assert client.admin.command("ping")["ok"] == 1


def test_a_given_server_is_used_and_left_alone(
    own_wire_server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(wire.URL_VARIABLE, own_wire_server.url)
    with wire.find_wire_server() as server:
        assert (server.kind, server.version) == ("given", own_wire_server.version)
        with pytest.raises(TypeError, match="not ours to stop"):
            server.stop()


def test_a_given_server_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(wire.URL_VARIABLE, "mongodb://127.0.0.1:1")
    monkeypatch.setattr(wire, "FIND_SECONDS", 0.1)
    with pytest.raises(ServerSelectionTimeoutError), wire.find_wire_server():
        pass


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mongodb://db:27017", "mongodb://127.0.0.1:9/?directConnection=true"),
        ("mongodb://u:p@db/x?w=1", "mongodb://u:p@127.0.0.1:9/x?w=1&directConnection=true"),
    ],
)
def test_the_url_behind_a_proxy(url: str, expected: str) -> None:
    assert WireServer(url=url, kind="given", version="8.0.0").behind(9) == expected


def test_a_mongod_on_the_path_is_preferred_and_stopped(
    java: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = _fake_mongod(tmp_path, java)
    monkeypatch.delenv(wire.URL_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with wire.find_wire_server() as server:
        assert server.kind == "mongod"
        assert _runs(int(pid_file.read_text()))
    _eventually(lambda: not _runs(int(pid_file.read_text())))


def test_a_server_that_does_not_start_is_broken_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _script(tmp_path / "mongod", "echo no such option; exit 2")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with (
        pytest.raises(wire.WireServerBrokenError, match="no such option"),
        wire.start_wire_server(),
    ):
        pass


@pytest.mark.usefixtures("own_wire_server")
def test_no_server_outlives_a_killed_test_run(tmp_path: Path) -> None:
    with _run_that_holds_a_server(tmp_path) as (run, server):
        assert _runs(server)
        run.kill()
    _eventually(lambda: not _runs(server))


def test_no_mongod_outlives_a_killed_test_run(java: list[str], tmp_path: Path) -> None:
    pid_file = _fake_mongod(tmp_path, java)
    with _run_that_holds_a_server(tmp_path) as (run, _):
        server = int(pid_file.read_text())
        assert _runs(server)
        run.kill()
    _eventually(lambda: not _runs(server))


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_a_machine_without_a_server_says_so_last(ci: str, outcome: str) -> None:
    target = f"{__file__}::{test_motor_pings_and_inserts.__name__}"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-cov", "-p", "no:cacheprovider", target],
        env={"PATH": "", "CI": ci},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    last = run.stdout.splitlines()[-3:]
    assert outcome in last[-1]
    assert any("java is not on the PATH" in line for line in last)


@pytest.fixture
def java() -> list[str]:
    try:
        return java_command()
    except CannotBuildError as error:
        pytest.skip(f"no mongod can be played: {error}")


def _fake_mongod(folder: Path, java: list[str]) -> Path:
    """A `mongod` played by the other server; the file it writes its process id to."""
    pid_file, pipe = folder / "pid", folder / "pipe"
    os.mkfifo(pipe)
    _script(
        folder / "mongod",
        f"echo $$ > {pid_file}",
        f"exec 3<> {pipe}",  # an input that never ends
        "for port; do :; done",  # the last argument
        "echo Waiting for connections, port: $port",
        f"exec {shlex.join(java)} $port <&3",
    )
    return pid_file


def _script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


@contextmanager
def _run_that_holds_a_server(path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process of its own with a server; with the folder on the PATH. The server's process id."""
    code = """
from time import sleep
from tests.support.wire import start_wire_server
with start_wire_server() as server:
    print(server.pid, flush=True)
    sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        yield run, int(run.stdout.readline())


def _runs(pid: int) -> bool:
    """Whether it runs; one that has ended and waits for its parent doesn't."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()[:1] not in {"", "Z"}


def _eventually(holds: Callable[[], bool], *, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "still not so"
        time.sleep(0.02)
