"""A local-first memory for AI-agent conversations."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualstore.entry import Entry
    from dualstore.errors import (
        ClosedError,
        ConflictError,
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
        RemoteError,
        RemoteRefusedError,
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
    "ClosedError",
    "ConflictError",
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
    "RemoteError",
    "RemoteRefusedError",
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

_ROOMS = {
    "DualStoreManager": "manager",
    "Entry": "entry",
    "Settings": "settings",
    "Store": "store",
    "open_store": "store",
}


def __getattr__(name: str) -> Any:
    """Imported with its first use: whoever needs one room doesn't wait for all of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS.get(name, 'errors')}"), name)
