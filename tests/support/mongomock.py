"""mongomock, with one thing repaired that the tests need."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

from mongomock.collection import BulkOperationBuilder


@contextmanager
def bulk_writes_with_sort() -> Iterator[None]:
    """Let `bulk_write` take UpdateOne and ReplaceOne while this is entered.

    Since 4.11 PyMongo passes each of them a `sort`, which mongomock 4.3.0 doesn't know. None, the
    default, is dropped; a sort that means something is refused, never ignored.
    """
    with (
        patch.object(BulkOperationBuilder, "add_update", _sorted(BulkOperationBuilder.add_update)),
        patch.object(
            BulkOperationBuilder, "add_replace", _sorted(BulkOperationBuilder.add_replace)
        ),
    ):
        yield


def _sorted(add: Callable[..., None]) -> Callable[..., None]:
    @wraps(add)
    def add_unsorted(*arguments: Any, sort: object = None, **options: Any) -> None:
        if sort is not None:
            raise NotImplementedError("mongomock can't sort in a bulk write")
        add(*arguments, **options)

    return add_unsorted
