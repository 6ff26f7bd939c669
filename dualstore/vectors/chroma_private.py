"""The private server of a folder, seen by a user: found, or started, and shared until leaving.

Everything here blocks and runs in a thread. See `chroma_watcher` for what the locks mean.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import Any, Final

from dualstore.errors import StorageError, StorageFullError, UnavailableError
from dualstore.vectors import chroma_watcher as watcher
from dualstore.vectors.chroma_errors import failed
from dualstore.vectors.chroma_locks import FileLock, check_system, folder_error, held_by_one

EMBEDDED: Final = "inside a process\n"
"""What `server.lock` says while a process has the folder's files open itself."""
PROVING: Final = 1.0
PROGRAM: Final = str(Path(__file__).with_name("chroma_program.py"))


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and the database that proves which one it is."""

    port: int
    database: str


class PrivateServer:
    """One user of a folder's server. Any number of them, in any processes, share it."""

    def __init__(
        self, folder: Path, *, program: Sequence[str] = (), linger: float, patience: float
    ) -> None:
        self.folder = folder.absolute()
        self._program = tuple(program) or (sys.executable, "-P", PROGRAM)
        self._linger = linger
        self._patience = patience
        self._users = FileLock(self.folder / watcher.USERS_LOCK)
        self._starting = FileLock(self.folder / watcher.START_LOCK)
        self._mutex = threading.Lock()
        self._left = threading.Event()

    def reach(self) -> Address:
        """Where the folder's server is, started if there is none."""
        with self._mutex:
            deadline = time.monotonic() + self._patience
            self._join(deadline)
            return self._find() or self._start(deadline)

    def leave(self) -> None:
        """For good; a server without users goes after a while."""
        self._left.set()
        with self._mutex:
            self._users.release()

    def _join(self, deadline: float) -> None:
        """From here on a server stays; the lock is held only by one that is just going."""
        if self._users.held:
            if not self._users.is_still(self._users.path):
                raise StorageError(
                    f"{self.folder} was moved or removed while it was in use; open it again"
                )
            return
        check_system()
        make_folder(self.folder)
        if not self._users.share(deadline=deadline, stop=self._left):
            raise self._late("its last server doesn't end")

    def _find(self) -> Address | None:
        """The running server, when everything about it is true."""
        facts = self._announced()
        if facts is None or not held_by_one(self.folder / watcher.SERVER_LOCK):
            return None
        found = Address(facts["port"], facts["database"])
        return found if watcher.proves(found.port, found.database, PROVING) else None

    def _announced(self) -> dict[str, Any] | None:
        """What `server.json` says, unless it came with a copy of another folder or is old."""
        here = self.folder / watcher.SERVER_LOCK
        try:
            facts = json.loads((self.folder / watcher.ANNOUNCEMENT).read_bytes())
            there = Path(facts["folder"]) / watcher.SERVER_LOCK
            true = facts["inode"] == here.stat().st_ino and here.samefile(there)
            return facts if true and isinstance(facts["port"], int) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _start(self, deadline: float) -> Address:
        try:
            if not self._starting.take(deadline=deadline, stop=self._left):
                raise self._late("somebody else is starting it and doesn't get done")
            return self._start_in_turn(deadline)
        finally:
            self._starting.release()

    def _start_in_turn(self, deadline: float) -> Address:
        while time.monotonic() < deadline and not self._left.is_set():
            found = self._find()
            if found:
                return found
            if held_by_one(self.folder / watcher.SERVER_LOCK):
                self._check_owner()
                self._left.wait(0.01)
            else:
                self._launch(deadline)
        raise self._late("whoever holds it doesn't answer, or is out of reach in a container")

    def _check_owner(self) -> None:
        if owner_of(self.folder) == EMBEDDED:
            raise StorageError(
                f"{self.folder} is open inside a process (chroma+embedded:///); close it there, or "
                "use chroma:/// in both, which shares one server"
            )

    def _launch(self, deadline: float) -> None:
        """Start a watcher and wait for what it has to say."""
        receiving, sending = os.pipe()
        try:
            self._run_watcher(sending)
            os.close(sending)
            sending = -1
            facts = self._told(receiving, deadline)
        finally:
            os.close(receiving)
            if sending >= 0:
                os.close(sending)
        if "ready" not in facts and "taken" not in facts:
            raise self._failure(facts)

    def _run_watcher(self, report: int) -> None:
        options = {"program": self._program, "linger": self._linger, "patience": self._patience}
        command = (sys.executable, "-I", "-S", watcher.__file__, str(self.folder), str(report))
        try:
            with open(self.folder / watcher.LOG, "ab", opener=_private) as log:
                subprocess.run(
                    (*command, json.dumps(options)),
                    pass_fds=(report,),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    timeout=self._patience,
                    check=True,
                )
        except subprocess.SubprocessError as error:
            raise StorageError(f"no watcher could be started for {self.folder}: {error}") from error
        except OSError as error:
            raise folder_error(error, self.folder) from error

    def _told(self, receiving: int, deadline: float) -> dict[str, Any]:
        said = b""
        while not said.endswith(b"\n"):
            ready, _, _ = select([receiving], [], [], 0.05)
            if self._left.is_set() or time.monotonic() > deadline:
                raise self._late("it isn't ready yet")
            piece = os.read(receiving, 1 << 16) if ready else b""
            if ready and not piece:
                return {"said": f"its watcher died; see {self.folder / watcher.LOG}"}
            said += piece
        return dict(json.loads(said))

    def _failure(self, facts: dict[str, Any]) -> Exception:
        said = _gist(str(facts.get("said", "")))
        if facts.get("ended") == watcher.NO_PROGRAM or "No module named" in said:
            return StorageError(
                f"the chroma program can't be run ({said}); install the package chromadb again, "
                "or give the address of a Chroma server (http://host:port)"
            )
        if "slow" in facts:
            return self._late(f"it isn't ready after {facts['slow']} s: {said}")
        if "errno" in facts:
            return folder_error(OSError(facts["errno"], said), self.folder)
        return full_or(failed(said, f"the private Chroma server of {self.folder}"), self.folder)

    def _late(self, why: str) -> UnavailableError:
        if self._left.is_set():
            return UnavailableError(f"{self.folder} is closed")
        return UnavailableError(
            f"the private Chroma server of {self.folder} can't be reached: {why}; try again"
        )


def make_folder(folder: Path) -> None:
    """Makes it for this user alone, when it isn't there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise folder_error(error, folder) from error


def owner_of(folder: Path) -> str:
    """How the folder is used, as whoever holds it wrote down."""
    try:
        return (folder / watcher.SERVER_LOCK).read_text()
    except (OSError, ValueError):
        return ""


def full_or(error: Exception, folder: Path) -> Exception:
    """Chroma says that something failed, and not that the disk is full."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return error
    if not isinstance(error, StorageError) or disk.f_bavail * disk.f_frsize > _SPARE:
        return error
    return StorageFullError(f"{folder} has no space left; free some and try again ({error})")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _gist(said: str) -> str:
    """The line of Chroma's output that has the reason."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line and not line.startswith("pyo3")]
    return (errors or lines or ["it said nothing"])[-1][-300:]


_SPARE: Final = 1024 * 1024
