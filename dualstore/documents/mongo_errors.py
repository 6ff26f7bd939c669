"""Every error that MongoDB's drivers can raise, as one of ours."""

import struct
import traceback
from typing import Final

from bson.errors import BSONError, InvalidBSON
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    CursorNotFound,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)

from dualstore.errors import (
    DualStoreError,
    EntryTooLargeError,
    SettingsError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StoragePermissionError,
    UnavailableError,
)

DUPLICATE_KEY: Final = 11000
WRITE_CONFLICT: Final = 112
SILENT: Final = "doesn't answer; check that it runs and can be reached from here, and try again"

STUMBLES: Final = (LookupError, TypeError, ValueError, AttributeError, struct.error)
"""What a driver trips over when an answer isn't what the protocol says."""
_DRIVERS: Final = frozenset({"bson", "motor", "pymongo"})

_Meaning = tuple[type[DualStoreError], str]

_BUSY: Final[_Meaning] = (UnavailableError, "can't do it right now; try again")
_UNCONFIRMED: Final[_Meaning] = (UnavailableError, "didn't confirm that it is durable; try again")
_DENIED: Final[_Meaning] = (StoragePermissionError, "refuses; check user, password and rights")
_FULL: Final[_Meaning] = (StorageFullError, "has no space left; free some and write again")
_LARGE: Final[_Meaning] = (EntryTooLargeError, "can't keep anything this large")
_FAILED: Final[_Meaning] = (StorageError, "failed")

_BUSY_CODES: Final = (
    6,  # HostUnreachable
    7,  # HostNotFound
    24,  # LockTimeout
    43,  # CursorNotFound
    46,  # LockBusy
    50,  # MaxTimeMSExpired
    89,  # NetworkTimeout
    91,  # ShutdownInProgress
    WRITE_CONFLICT,
    133,  # FailedToSatisfyReadPreference
    175,  # QueryPlanKilled
    189,  # PrimarySteppedDown
    202,  # NetworkInterfaceExceededTimeLimit
    237,  # CursorKilled
    262,  # ExceededTimeLimit
    9001,  # SocketException
    10107,  # NotWritablePrimary
    11600,  # InterruptedAtShutdown
    11601,  # Interrupted
    11602,  # InterruptedDueToReplStateChange
    13435,  # NotPrimaryNoSecondaryOk
    13436,  # NotPrimaryOrSecondary
)
_MEANINGS: Final[dict[int, _Meaning]] = {
    **dict.fromkeys(_BUSY_CODES, _BUSY),
    64: _UNCONFIRMED,  # WriteConcernTimeout
    11: _DENIED,  # UserNotFound
    13: _DENIED,  # Unauthorized
    18: _DENIED,  # AuthenticationFailed
    8000: _DENIED,  # AtlasError, which is how Atlas says "bad auth"
    12501: _FULL,  # QuotaExceeded
    14031: _FULL,  # OutOfDiskSpace
    10334: _LARGE,  # BSONObjectTooLarge
    17280: _LARGE,  # KeyTooLong
    17419: _LARGE,  # the document that an update would make
    17420: _LARGE,  # the document that a replacement would make
}
_KINDS: Final[tuple[tuple[type[Exception], _Meaning], ...]] = (
    (ConnectionFailure, (UnavailableError, SILENT)),
    (ExecutionTimeout, _BUSY),
    (CursorNotFound, _BUSY),
    (WriteConcernError, _UNCONFIRMED),
    (InvalidOperation, (UnavailableError, "can't be asked; its client may be closed")),
    (ConfigurationError, (SettingsError, "can't be used with these settings")),
    (DocumentTooLarge, _LARGE),
    (InvalidBSON, (StorageCorruptError, "answered what can't be read")),
)


def mapped(error: PyMongoError | BSONError, location: str) -> DualStoreError:
    """What to raise instead of a driver's error; it names the address and the way out."""
    kind, meaning = _meaning(error)
    text = f"{location} {meaning} ({_reason(error):.300})"
    return EntryTooLargeError("entry", text) if kind is EntryTooLargeError else kind(text)


def is_drivers(error: Exception) -> bool:
    """Whether it comes out of the driver's own code, not out of ours."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    origin: str = frames[-1].f_globals.get("__name__", "") if frames else ""
    return origin.partition(".")[0] in _DRIVERS


def _meaning(error: PyMongoError | BSONError) -> _Meaning:
    code = _code(error)
    if code in _MEANINGS:
        return _MEANINGS[code]
    if isinstance(error, BulkWriteError) and not error.details.get("writeErrors"):
        return _UNCONFIRMED
    return next((meaning for kind, meaning in _KINDS if isinstance(error, kind)), _FAILED)


def _code(error: PyMongoError | BSONError) -> int | None:
    if isinstance(error, BulkWriteError):
        return next((each.get("code") for each in error.details.get("writeErrors", ())), None)
    return error.code if isinstance(error, OperationFailure) else None


def _reason(error: PyMongoError | BSONError) -> str:
    """The server's own words: the driver's text has whole documents in it."""
    details = (error.details if isinstance(error, OperationFailure) else None) or {}
    wrongs = (*details.get("writeErrors", ()), *details.get("writeConcernErrors", ()), details)
    said = next((each["errmsg"] for each in wrongs if each.get("errmsg")), None)
    return str(said or str(error) or type(error).__name__)
