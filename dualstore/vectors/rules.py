"""What every backend takes and refuses, so that none of them can differ in it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dualstore.errors import FilterError, InvalidInputError, InvalidNameError
from dualstore.filters import Filter, leaves
from dualstore.values import INT64, check_text
from dualstore.vectors.base import FieldValue, Vector, VectorItem

RESERVED: Final = ("$", "#", "chroma:")
"""How the name of a field can't begin."""

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")


def check_name(name: str) -> str:
    """The name of an index, when every backend can spell it."""
    if not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"an index can't be called {name!r:.80}: it takes 3 to 512 of a-z, A-Z, 0-9, '.', "
            "'_' and '-', and the first and the last one must be a letter or a digit"
        )
    return name


def check_dimension(dimension: int) -> int:
    """How many numbers a vector has, when that can be."""
    if not 1 <= dimension <= 65_536:
        raise InvalidInputError(f"vectors can't have {dimension} numbers; 1 to 65,536 are fine")
    return dimension


def check_items(items: Iterable[VectorItem], *, dimension: int) -> list[VectorItem]:
    """The same items with float32 vectors, each of which can be kept whole."""
    return [
        VectorItem(
            check_id(item.id),
            check_vector(item.vector, dimension=dimension, whose=item.id),
            check_fields(item.fields, whose=item.id),
        )
        for item in items
    ]


def check_id(text: str) -> str:
    """The id of a vector, when it can be kept."""
    if not check_text(text, "vector id"):
        raise InvalidInputError("a vector's id can't be empty")
    return text


def check_vector(vector: Vector, *, dimension: int, whose: str) -> Vector:
    """The vector as float32, when it has that many finite numbers."""
    numbers: Vector = np.asarray(vector, dtype=np.float32)
    if numbers.shape != (dimension,):
        raise InvalidInputError(
            f"vector {whose!r:.80} has the shape {numbers.shape}, this index holds {dimension} "
            "numbers a vector"
        )
    if not np.isfinite(numbers).all():
        raise InvalidInputError(f"vector {whose!r:.80} holds a number that isn't finite")
    return numbers


def check_fields(fields: Mapping[str, FieldValue], *, whose: str) -> Mapping[str, FieldValue]:
    """The fields, when all of them come back as they were given."""
    for name, value in fields.items():
        if not takes_field(name):
            raise InvalidInputError(f"vector {whose!r:.80}: a field can't be called {name!r:.80}")
        _check_value(value, f"vector {whose!r:.80}: field {name!r:.80}")
    return fields


def takes_field(name: str) -> bool:
    """Whether a field may be called so."""
    return bool(name) and not name.startswith(RESERVED) and bool(check_text(name, "field"))


def last_of_each(items: Sequence[VectorItem]) -> list[VectorItem]:
    """One item per id, the last one."""
    return list({item.id: item for item in items}.values())


def check_filter(where: Filter) -> Filter:
    """The filter, when it asks about fields only."""
    for leaf in leaves(where):
        if leaf.path is None:
            raise FilterError(f"{leaf.field}: vectors know only metadata.*, not {leaf.field}")
    return where


def cosines(vector: Vector, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosine with each row; 0 where one of the two has no direction."""
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    found: NDArray[np.float32] = np.zeros(len(rows), dtype=np.float32)
    np.divide(rows @ vector, lengths, out=found, where=lengths > 0)
    return found.clip(-1.0, 1.0)


def _check_value(value: Any, where: str) -> None:
    match value:
        case str():
            check_text(value, where)
        case bool():
            pass
        case int() if value in INT64:
            pass
        case float() if np.isfinite(value):
            pass
        case _:
            raise InvalidInputError(
                f"{where} takes a string, a bool or a finite number of 64 bits, not {value!r:.80}"
            )
