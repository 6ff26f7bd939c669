"""Chroma's processes: those that the private servers started, and servers of the tests' own."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from dualstore.vectors.chroma_watcher import ask

MARK: Final = "DUALSTORE_TEST_RUN"
"""An environment variable that every process started by a test run inherits."""

SECONDS: Final = 30.0


def processes(*words: str, mark: str = "") -> list[int]:
    """Those whose command line has an argument for each of the words that contains it."""
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and _is_meant(folder, words, mark)
    ]


def watchers(folder: Path) -> list[int]:
    """The watchers of a folder's private server."""
    return processes("chroma_watcher.py", str(folder))


def chromas(folder: Path) -> list[int]:
    """The Chroma servers on a folder that a watcher started."""
    return processes("--path", str(folder))


def kill(pids: list[int]) -> None:
    """As the kernel does when memory runs out."""
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def wait_until(happens: Callable[[], object], *, seconds: float = SECONDS) -> None:
    """Fails when it doesn't happen."""
    until = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < until, "it doesn't happen"
        time.sleep(0.02)


async def until(happens: Callable[[], object], *, seconds: float = SECONDS) -> None:
    """As `wait_until`, beside others."""
    await asyncio.to_thread(wait_until, happens, seconds=seconds)


def free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


@contextmanager
def chroma_server(folder: Path, *, port: int = 0) -> Iterator[str]:
    """A `chroma run` as a user starts it; yields its address."""
    port = port or free_port()
    program = Path(sys.executable).with_name("chroma")
    command = [
        str(program),
        "run",
        "--path",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    environment = os.environ | {"RUST_LOG": "error"}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as server:
        try:
            wait_until(lambda: _answers(port) or server.poll() is not None)
            assert server.poll() is None
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def new_database(url: str, name: str) -> None:
    """One that nobody else uses, so that tests can share a server."""
    path = f"{url}/api/v2/tenants/default_tenant/databases"
    httpx.post(path, json={"name": name}, trust_env=False).raise_for_status()


def _answers(port: int) -> bool:
    return ask(port, "GET", "/api/v2/heartbeat")[0] == 200


def _is_meant(process: Path, words: tuple[str, ...], mark: str) -> bool:
    try:
        arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        environment = (process / "environ").read_bytes().decode(errors="replace") if mark else ""
    except OSError:
        return False
    has_words = all(any(word in argument for argument in arguments) for word in words)
    return has_words and (not mark or f"{MARK}={mark}" in environment.split("\0"))
