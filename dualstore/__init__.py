"""A local-first memory for AI-agent conversations."""

from dualstore.entry import Entry
from dualstore.errors import (
    CursorError,
    DualStoreError,
    EntryError,
    EntryTooLargeError,
    FamilyMismatchError,
    FilterError,
    InvalidInputError,
    InvalidNameError,
    PartialWriteError,
    SettingsError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageLayoutError,
    StoragePermissionError,
    UnavailableError,
)
from dualstore.settings import Settings

__all__ = [
    "CursorError",
    "DualStoreError",
    "Entry",
    "EntryError",
    "EntryTooLargeError",
    "FamilyMismatchError",
    "FilterError",
    "InvalidInputError",
    "InvalidNameError",
    "PartialWriteError",
    "Settings",
    "SettingsError",
    "StorageCorruptError",
    "StorageError",
    "StorageFullError",
    "StorageLayoutError",
    "StoragePermissionError",
    "UnavailableError",
]
