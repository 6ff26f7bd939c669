"""A local-first memory for AI-agent conversations."""

from dualstore.entry import Entry
from dualstore.errors import (
    CursorError,
    DualStoreError,
    EmbedderError,
    EntryError,
    EntryTooLargeError,
    FamilyMismatchError,
    FilterError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    PartialWriteError,
    SettingsError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageLayoutError,
    StoragePermissionError,
    UnavailableError,
    VectorsGoneError,
    VectorWriteError,
)
from dualstore.manager import DualStoreManager
from dualstore.settings import Settings
from dualstore.store import Store, open_store

__all__ = [
    "CursorError",
    "DualStoreError",
    "DualStoreManager",
    "EmbedderError",
    "Entry",
    "EntryError",
    "EntryTooLargeError",
    "FamilyMismatchError",
    "FilterError",
    "InvalidInputError",
    "InvalidNameError",
    "NotFoundError",
    "PartialWriteError",
    "Settings",
    "SettingsError",
    "StorageCorruptError",
    "StorageError",
    "StorageFullError",
    "StorageLayoutError",
    "StoragePermissionError",
    "Store",
    "UnavailableError",
    "VectorWriteError",
    "VectorsGoneError",
    "open_store",
]
