"""The server that speaks MongoDB's protocol to the tests.

The first that there is: the one DUALSTORE_TEST_MONGO_URL names, a `mongod` on the PATH,
mongo-java-server. The last two are started on a free port of 127.0.0.1, and end with the process
that started them, however that ends.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

from tests.support.java_server import CannotBuildError, java_command

URL_VARIABLE = "DUALSTORE_TEST_MONGO_URL"
START_SECONDS = 30.0
FIND_SECONDS = 10.0
STOP_SECONDS = 10.0

ServerKind = Literal["given", "mongod", "mongo-java-server"]


class WireServerMissingError(Exception):
    """This machine has no wire server; the message says what was looked for."""


class WireServerBrokenError(Exception):
    """There is a wire server, but it doesn't start: never a reason to skip."""


@dataclass(frozen=True)
class Program:
    """A server that can be started: its command for a port, and the line that says it is ready."""

    kind: ServerKind
    command: Callable[[int], list[str]]
    ready: re.Pattern[str]


@dataclass
class Process:
    """One run of a program after the other, on one port and, where it keeps data, one folder."""

    program: Program
    folder: Path
    port: int = 0
    _running: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        log = self.folder / "server.log"
        with log.open("wb") as output:
            self._running = subprocess.Popen(
                self.program.command(self.port),
                stdin=subprocess.PIPE,  # its end is how the server learns that we are gone
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop the server
            )
        try:
            self.port = self._wait_until_ready(self._running, log)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        if self._running is None:
            raise TypeError("a server that doesn't run has no process id")
        return self._running.pid

    def _wait_until_ready(self, running: subprocess.Popen[bytes], log: Path) -> int:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and running.poll() is None:
            if ready := self.program.ready.search(log.read_text(errors="replace")):
                return int(ready[1])
            time.sleep(0.02)
        raise WireServerBrokenError(
            f"{self.program.kind} did not start: {log.read_text(errors='replace')[-500:]}"
        )

    def stop(self) -> None:
        """Ask it to leave, insist after a while. Nothing happens if it doesn't run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Let it crash. Nothing happens if it doesn't run."""
        self._end(signal.SIGKILL)

    def _end(self, first: signal.Signals) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        with running:
            for number in (first, signal.SIGKILL):
                _signal_group(running, number)
                try:
                    running.wait(STOP_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    continue


def _signal_group(running: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if running.poll() is None:
        os.killpg(running.pid, number)


@dataclass
class WireServer:
    """A running server. Only one of our own can be stopped, killed and restarted.

    A restart keeps the port. It keeps the data of mongod, and loses that of mongo-java-server.
    """

    url: str
    kind: ServerKind
    version: str
    process: Process | None = None

    @property
    def host(self) -> str:
        return str(_nodes(self.url)[0][0])

    @property
    def port(self) -> int:
        return int(_nodes(self.url)[0][1])

    @property
    def pid(self) -> int:
        return self._own().pid

    def behind(self, port: int) -> str:
        """The URL for a client that shall come through a proxy at this port."""
        parts = urlsplit(self.url)
        user, at, _ = parts.netloc.rpartition("@")
        query = "&".join(filter(None, [parts.query, "directConnection=true"]))
        address = f"{user}{at}127.0.0.1:{port}"
        return urlunsplit(parts._replace(netloc=address, path=parts.path or "/", query=query))

    def stop(self) -> None:
        self._own().stop()

    def kill(self) -> None:
        self._own().kill()

    def restart(self) -> None:
        self._own().stop()
        self._own().start()

    def _own(self) -> Process:
        if self.process is None:
            raise TypeError(
                f"the server of {URL_VARIABLE} is not ours to stop: use start_wire_server()"
            )
        return self.process


@contextmanager
def find_wire_server() -> Iterator[WireServer]:
    """The first server there is, stopped at the end if it is ours; else WireServerMissingError."""
    if url := os.environ.get(URL_VARIABLE):
        yield WireServer(url=url, kind="given", version=_version(url))
        return
    with start_wire_server() as server:
        yield server


@contextmanager
def start_wire_server() -> Iterator[WireServer]:
    """A server to be stopped and restarted at will; WireServerMissingError if there is none."""
    with tempfile.TemporaryDirectory(prefix="dualstore-wire-") as name:
        process = Process(_find_program(Path(name)), Path(name))
        process.start()
        try:
            url = f"mongodb://127.0.0.1:{process.port}"
            yield WireServer(
                url=url, kind=process.program.kind, version=_version(url), process=process
            )
        finally:
            process.stop()


def _find_program(folder: Path) -> Program:
    if mongod := shutil.which("mongod"):
        return _mongod(mongod, folder)
    try:
        command = java_command()
    except CannotBuildError as error:
        raise WireServerMissingError(
            f"{URL_VARIABLE} is not set, there is no mongod, and {error}"
        ) from error
    return Program(
        "mongo-java-server",
        lambda port: [*command, str(port)],
        re.compile(r"^ready (\d+)$", re.MULTILINE),
    )


def _mongod(mongod: str, folder: Path) -> Program:
    data = folder / "data"
    data.mkdir()
    leash = [sys.executable, str(Path(__file__).with_name("leash.py"))]
    options = ["--dbpath", str(data), "--bind_ip", "127.0.0.1", "--nounixsocket"]

    def command(port: int) -> list[str]:
        return [*leash, mongod, *options, "--port", str(port or _free_port())]

    return Program("mongod", command, re.compile(r"[Ww]aiting for connections\D*(\d+)"))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _nodes(url: str) -> list[tuple[str, int]]:
    nodes: list[tuple[str, int]] = parse_uri(url)["nodelist"]
    return nodes


def _version(url: str) -> str:
    with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=FIND_SECONDS * 1_000) as client:
        return str(client.server_info()["version"])
