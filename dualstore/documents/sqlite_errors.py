"""Every error that SQLite can raise, as one of ours."""

import sqlite3
from pathlib import Path
from typing import Final

from dualstore.errors import (
    DualStoreError,
    EntryTooLargeError,
    InvalidInputError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StoragePermissionError,
    UnavailableError,
)

_RESTORE: Final = "restore it from a copy, or move it away and begin anew"

_MEANINGS: Final[dict[int, tuple[type[DualStoreError], str]]] = {
    sqlite3.SQLITE_BUSY: (UnavailableError, "is in use by another process for too long; try again"),
    sqlite3.SQLITE_LOCKED: (UnavailableError, "is locked for too long; try again"),
    sqlite3.SQLITE_INTERRUPT: (UnavailableError, "was interrupted; try again"),
    sqlite3.SQLITE_PROTOCOL: (UnavailableError, "can't get its locks; try again"),
    sqlite3.SQLITE_FULL: (StorageFullError, "has no space left; free some and write again"),
    sqlite3.SQLITE_CORRUPT: (StorageCorruptError, f"is damaged; {_RESTORE}"),
    sqlite3.SQLITE_NOTADB: (StorageCorruptError, f"is not an SQLite database; {_RESTORE}"),
    sqlite3.SQLITE_FORMAT: (StorageCorruptError, f"has a format that isn't known; {_RESTORE}"),
    sqlite3.SQLITE_CANTOPEN: (StoragePermissionError, "can't be opened; check folder and rights"),
    sqlite3.SQLITE_READONLY: (StoragePermissionError, "can't be written; check its rights"),
    sqlite3.SQLITE_PERM: (StoragePermissionError, "can't be accessed; check its rights"),
    sqlite3.SQLITE_AUTH: (StoragePermissionError, "can't be accessed; check its rights"),
    sqlite3.SQLITE_IOERR: (StorageError, "can't be read or written; check the disk"),
    sqlite3.SQLITE_NOMEM: (StorageError, "ran out of memory"),
    sqlite3.SQLITE_NOLFS: (StorageError, "is larger than this system allows"),
}


def mapped(
    error: sqlite3.Error | OSError | UnicodeEncodeError | OverflowError, path: Path
) -> DualStoreError:
    """What to raise instead of a driver's error; it names the file and the way out."""
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return InvalidInputError(f"an argument can't be given to SQLite: {error}")
    if isinstance(error, OSError):
        return StoragePermissionError(f"{path} can't be opened: {error.strerror or error}")
    if "user-defined function" in str(error):
        return StorageCorruptError(f"{path} holds an entry whose metadata can't be read back")
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError):
        return EntryTooLargeError("entry", f"is more than SQLite can keep ({error})")
    kind, meaning = _MEANINGS.get((code or 0) & 0xFF, (StorageError, "failed"))
    return kind(f"{path} {meaning} ({error})")
