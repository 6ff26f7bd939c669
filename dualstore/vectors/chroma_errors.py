"""Every error that can come from Chroma, or from the way to it, as one of ours."""

import re
from typing import Any, Final

import httpx
import orjson

from dualstore.errors import (
    DualStoreError,
    FamilyMismatchError,
    SettingsError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StoragePermissionError,
    UnavailableError,
    VectorsGoneError,
)


class ServerLostError(UnavailableError):
    """The connection broke or there was nobody to take it: the server may be gone."""


class UnsettledError(StorageCorruptError):
    """What a collection holds doesn't fit together: damaged, or just being written."""


Driver = httpx.HTTPError | httpx.InvalidURL | httpx.CookieConflict | httpx.StreamError

REBUILD: Final = "move the folder away: vectors are made again from the documents by a repair"

_Meaning = tuple[type[DualStoreError], str]

_FAILED: Final[_Meaning] = (StorageError, "failed")
_OTHER: Final[_Meaning] = (
    StorageError,
    "doesn't answer as Chroma 1.x does; check the address and the version of what runs there",
)
_SILENT: Final[_Meaning] = (
    UnavailableError,
    "doesn't answer; check that it runs and can be reached from here, and try again",
)
_BUSY: Final[_Meaning] = (UnavailableError, "can't do it right now; try again")
_DENIED: Final[_Meaning] = (StoragePermissionError, "refuses; check the password or token")

_STATUS: Final[dict[int, _Meaning]] = {
    **dict.fromkeys((401, 403, 407), _DENIED),
    **dict.fromkeys((408, 425, 429, 502, 503, 504), _BUSY),
    413: (StorageError, "won't take as much at once; allow larger requests there"),
    507: (StorageFullError, "has no space left; free some and try again"),
}
_SAID: Final[tuple[tuple[str, _Meaning], ...]] = (
    (
        r"disk is full|no space left|disk quota",
        (StorageFullError, "has no space left; free some and try again"),
    ),
    (r"nothing found on disk", (UnsettledError, f"has lost its graph; {REBUILD}")),
    (r"error finding id", (UnsettledError, f"is damaged; {REBUILD}")),
    (
        r"not a database|malformed|hnsw|pickle|deserializ\w+ .*file",
        (StorageCorruptError, f"is damaged; {REBUILD}"),
    ),
    (r"(database|table) is locked", _BUSY),
    (
        r"permission denied|readonly|read-only|unable to open|not a directory|file exists",
        (StoragePermissionError, "can't be read or written; check the folder and its rights"),
    ),
    (
        r"dimension",
        (FamilyMismatchError, "holds vectors of another dimension; reindex to change the embedder"),
    ),
    (r"already exists", (UnavailableError, "was changed by somebody else meanwhile; try again")),
    (r"migration|schema version", (StorageError, "was written by another version of Chroma")),
)


def unanswered(error: Driver | TimeoutError, location: str) -> DualStoreError:
    """What to raise when no answer came; it names the address and the way out."""
    kind, meaning = _unanswered(error)
    return kind(f"{location} {meaning} ({type(error).__name__}: {error!s:.300})")


def refused(status: int, body: bytes, location: str) -> DualStoreError:
    """What to raise for an answer that says no; it has Chroma's own words."""
    kind, name, said = status, *_words(body)
    if kind == 404:
        return _absent(name, said, location)
    if name is None and kind not in _STATUS:
        meaning = _BUSY if kind >= 500 else _OTHER
    else:
        meaning = _STATUS.get(kind) or meaning_of(said)
    return meaning[0](f"{location} {meaning[1]} ({status}: {said:.300})")


def garbled(body: bytes, location: str) -> DualStoreError:
    """What to raise for an answer that isn't what Chroma says."""
    return _OTHER[0](f"{location} {_OTHER[1]} (it said {body[:80]!r})")


def failed(said: str, location: str) -> DualStoreError:
    """What to raise for an error that has only words."""
    kind, meaning = meaning_of(said)
    return kind(f"{location} {meaning} ({said:.300})")


def meaning_of(said: str) -> _Meaning:
    """What Chroma, or the SQLite inside it, means by these words."""
    return next((each for words, each in _SAID if re.search(words, said, re.IGNORECASE)), _FAILED)


def _unanswered(error: Driver | TimeoutError) -> _Meaning:
    match error:
        case httpx.TimeoutException() | TimeoutError():
            return (UnavailableError, "is too slow; try again, or allow it more time")
        case httpx.NetworkError() | httpx.RemoteProtocolError():
            return (ServerLostError, _SILENT[1])
        case httpx.ProxyError():
            return _SILENT
        case httpx.UnsupportedProtocol() | httpx.InvalidURL() | httpx.LocalProtocolError():
            return (SettingsError, "can't be asked; check the address and the token")
        case _:
            return _OTHER


def _absent(name: str | None, said: str, location: str) -> DualStoreError:
    if name is None:
        return _OTHER[0](f"{location} {_OTHER[1]} (404: {said:.300})")
    if re.match(r"\s*(database|tenant)", said, re.IGNORECASE):
        return StorageError(f"{location} has no such place: make it there first ({said:.300})")
    return VectorsGoneError(
        f"{location} no longer has this index ({said:.300}); open it again and repair"
    )


def _words(body: bytes) -> tuple[str | None, str]:
    """The name and the message of Chroma's own error; no name for what isn't one."""
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = None
    if isinstance(parsed, dict) and isinstance(parsed.get("error"), str):
        return parsed["error"], str(parsed.get("message") or parsed["error"])
    return None, body.decode(errors="replace").strip() or "no words"
