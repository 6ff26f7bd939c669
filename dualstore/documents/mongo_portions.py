"""How much is asked for at once: an answer has a bounded number of bytes, whatever it is about.

Every document says in `bytes` what its content takes. A first answer brings the content of those
rows that keep to their share of a portion; the others are asked for behind it, as many at once as
fit. So small rows take one call, and large ones as many as they must.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Row = dict[str, Any]
Fields = Mapping[str, int]

SIZE: Final = "bytes"
"""The field that says how large the content of a document is."""
CONTENT: Final = frozenset({"text", "metadata", "body", "stream", "value"})
"""The fields that make a document large."""
PORTION: Final = 8 * 1024 * 1024
"""Bytes of content that are asked for in one call, unless a single document has more."""
EVERYTHING: Final = math.inf
NOTHING: Final = -1
WITHIN: Final = "$lte"


def has_content(fields: Fields) -> bool:
    """Whether rows of these fields may be large."""
    return not CONTENT.isdisjoint(fields)


def share_of(rows: int) -> int:
    """Bytes that each of so many rows may bring along."""
    return PORTION // rows


def only_small(fields: Fields, share: int) -> Row:
    """The projection of a pipeline that leaves out the content of larger rows."""
    content = {
        field: {"$cond": [{WITHIN: [f"${SIZE}", share]}, f"${field}", None]}
        for field in CONTENT.intersection(fields)
    }
    return {**fields, SIZE: 1, **content}


def is_whole(row: Row, share: float) -> bool:
    """Whether `only_small` gave all of this row."""
    return bool(row.get(SIZE, EVERYTHING) <= share)


def portions(rows: Sequence[Row], share: float) -> Iterator[list[Row]]:
    """In order, with as many that aren't whole in each as may be asked for at once."""
    portion: list[Row] = []
    room = PORTION
    for row in rows:
        size = 0 if is_whole(row, share) else row.get(SIZE, PORTION)
        if size > room and portion:
            yield portion
            portion, room = [], PORTION
        portion.append(row)
        room -= size
    if portion:
        yield portion
