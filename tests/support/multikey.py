"""mongomock, taught that each member of a list counts in a unique index."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

from mongomock.collection import Collection
from mongomock_motor import patches
from pymongo.errors import DuplicateKeyError


@contextmanager
def unique_members() -> Iterator[None]:
    """While this is entered, no two documents share a member of a uniquely indexed list.

    mongomock 4.3.0 compares the lists as a whole, and can't even do that in a sparse index; nor
    can mongomock-motor, when it looks for the details of an error that nobody asks for.
    """
    with (
        patch.object(Collection, "_ensure_uniques", _checking(Collection._ensure_uniques)),
        patch.object(patches, "_provide_error_details", _as_it_is),
    ):
        yield


def _as_it_is(_collection: object, _document: object, error: Exception) -> Exception:
    return error


def _checking(ensure: Callable[[Any, dict[str, Any]], None]) -> Callable[..., None]:
    @wraps(ensure)
    def ensure_members(self: Any, document: dict[str, Any]) -> None:
        lists = {name for name in _uniquely_indexed(self) if type(document.get(name)) is list}
        for name in lists:
            for member in document[name]:
                if len(list(self._iter_documents({name: member}))) > 1:
                    raise DuplicateKeyError("E11000 Duplicate Key Error", 11000)
        ensure(self, {name: value for name, value in document.items() if name not in lists})

    return ensure_members


def _uniquely_indexed(collection: Any) -> Iterator[str]:
    """The fields that are a unique index of their own."""
    for index in collection._store.indexes.values():
        if index.get("unique") and len(index["key"]) == 1:
            yield index["key"][0][0]
