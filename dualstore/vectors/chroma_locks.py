"""Locks on files that the kernel releases when their holder is gone, however it went."""

import errno
import os
import threading
import time
import weakref
from pathlib import Path
from typing import Final

from dualstore.errors import StorageError, StorageFullError, StoragePermissionError

try:
    import fcntl
except ImportError:  # a system without it can only use a server of the user's own
    fcntl = None  # type: ignore[assignment]

POLL: Final = 0.02

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class FileLock:
    """A lock on a file, shared by many or held by one. Waiting for it blocks the thread.

    It belongs to this process: a child that is forked has a copy of the descriptor, which would
    keep the lock alive, and therefore closes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        forget = weakref.WeakMethod(self.release)
        os.register_at_fork(after_in_child=lambda: (method := forget()) and method())

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def share(self, *, deadline: float, stop: threading.Event) -> bool:
        """Hold it with others; False when the time is up or a stop was asked for."""
        return self._wait(fcntl.LOCK_SH, deadline, stop)

    def take(self, *, deadline: float, stop: threading.Event) -> bool:
        """Hold it alone; False when the time is up or a stop was asked for."""
        return self._wait(fcntl.LOCK_EX, deadline, stop)

    def release(self) -> None:
        """Give it back; nothing happens when it isn't held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def write(self, text: str) -> None:
        """Say in the file who holds it."""
        assert self._descriptor is not None
        try:
            os.truncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)
        except OSError as error:
            raise folder_error(error, self.path) from error

    def is_still(self, path: Path) -> bool:
        """Whether `path` leads to the file that is held."""
        try:
            return self._descriptor is not None and os.path.samestat(
                os.fstat(self._descriptor), path.stat()
            )
        except OSError:
            return False

    def _wait(self, how: int, deadline: float, stop: threading.Event) -> bool:
        self.release()
        descriptor = _opened(self.path)
        while not _locked(descriptor, how):
            if time.monotonic() >= deadline or stop.wait(POLL):
                os.close(descriptor)
                return False
        self._descriptor = descriptor
        return True


def held_by_one(path: Path) -> bool:
    """Whether somebody holds it alone right now."""
    descriptor = _opened(path)
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def folder_error(error: OSError, path: Path) -> StorageError:
    """What to raise when something in the folder can't be opened, read or written."""
    kind = StorageFullError if error.errno in _FULL else StoragePermissionError
    return kind(f"{path} can't be used: {error.strerror or error}; check the folder and its rights")


def check_system() -> None:
    """Raises where there are no such locks."""
    if fcntl is None:
        raise StorageError(
            "this system has no file locks that tell who uses a folder; run a Chroma server and "
            "give its address (http://host:port)"
        )


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise folder_error(error, path) from error


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
