"""Processes that use a private server, seen from the test that starts them."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.chroma_processes import until


class User:
    """One process; `said` grows with each thing that it says it has done."""

    def __init__(self, folder: Path, what: str, name: str) -> None:
        self.said: list[Any] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.chroma_user", str(folder), what, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    async def has_said(self, count: int = 1) -> None:
        """Waits until it has said so much in all."""
        await until(lambda: len(self.said) >= count or self._process.poll() is not None)
        assert len(self.said) >= count, f"it ended with {self._process.returncode}"

    async def says_more(self, count: int = 10) -> None:
        """Waits until it has said so much from now on."""
        await self.has_said(len(self.said) + count)

    def leave(self) -> int:
        """In order; its exit code."""
        assert self._process.stdin
        if not self._process.stdin.closed:
            self._process.stdin.close()
        return self._ended()

    def kill(self) -> None:
        """With SIGKILL."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._ended()

    def _ended(self) -> int:
        code = self._process.wait(timeout=30)
        self._listener.join()
        assert self._process.stdout
        assert self._process.stdin
        self._process.stdout.close()
        self._process.stdin.close()
        return code

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.said.append(json.loads(line))


@contextmanager
def user(folder: Path, what: str = "stay", name: str = "") -> Iterator[User]:
    """A process that is gone at the end, one way or another."""
    one = User(folder, what, name)
    try:
        yield one
    finally:
        if one._process.poll() is None:
            one._process.kill()
        one._ended()
