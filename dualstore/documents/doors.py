"""Checks that every backend makes of its callers' arguments before it touches anything."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, get_args

from dualstore.documents.base import Order, Put
from dualstore.documents.journal import JournalItem
from dualstore.entry import check_key
from dualstore.errors import (
    EntryTooLargeError,
    FilterError,
    InvalidInputError,
    InvalidNameError,
    shown,
)
from dualstore.filters import Filter
from dualstore.metrics import DocumentsWritten, WorkSettled
from dualstore.values import MAX_BYTES, check_text, size_of, to_json

NAME_LIMIT: Final = 4096
MOST_FACTOR: Final = 1_000_000
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def check_limit(limit: object) -> int:
    """`limit`, when it is a whole number of at least one; there is no upper cap."""
    if type(limit) is not int or limit < 1:
        raise InvalidInputError(f"limit must be a whole number from 1 on, not {shown(limit)}")
    return min(limit, 2**31 - 1)


def check_skip(skip: object) -> int:
    """`skip`, when it is a whole number of at least zero."""
    if type(skip) is not int or skip < 0:
        raise InvalidInputError(f"skip must be a whole number from 0 on, not {shown(skip)}")
    return min(skip, 2**31 - 1)


def check_ids(ids: object) -> Sequence[str]:
    """Ids that are asked by; one that nobody can have is fine."""
    if isinstance(ids, str | bytes) or not isinstance(ids, Sequence):
        raise InvalidInputError(f"ids must be a list of strings, not {shown(ids)}")
    for each in ids:
        check_text(each, "id")
    return ids


def check_new_ids(ids: object) -> Sequence[str]:
    """Ids that a tombstone may be left under."""
    checked = check_ids(ids)
    for each in checked:
        check_key(each, "id")
    return checked


def check_order(order: object) -> None:
    """One of the two orders of pages."""
    if order not in get_args(Order):
        raise InvalidInputError(
            f"order must be one of {', '.join(get_args(Order))}, not {shown(order)}"
        )


def check_filter(where: object) -> None:
    """A parsed filter, not a mapping."""
    if not isinstance(where, Filter):
        raise FilterError(f"where must be a parsed filter (filters.parse), not {shown(where)}")


def check_factors(factors: object) -> None:
    """Terms with what each counts."""
    if not isinstance(factors, Mapping):
        raise InvalidInputError(f"terms must be a mapping of factors, not {shown(factors)}")
    for term, factor in factors.items():
        check_text(term, "term")
        if not isinstance(factor, int | float) or not 0 <= factor <= MOST_FACTOR:
            raise InvalidInputError(
                f"the factor of {shown(term)} must be from 0 to {MOST_FACTOR}, not {shown(factor)}"
            )


def check_bounds(after: object, before: object) -> None:
    """Ids to go on behind, and to end before; None for the beginning, and for the end."""
    for name, bound in (("after", after), ("before", before)):
        if bound is not None:
            check_text(bound, name)


def check_record(space: str, key: str, tokens: Sequence[str], value: Any) -> str:
    """The value's JSON text, when all of it can be kept."""
    for what, name in (("space", space), ("key", key), *(("token", token) for token in tokens)):
        check_record_name(what, name)
    text = to_json(value, "value")
    size = size_of(text)
    if size > MAX_BYTES:
        raise EntryTooLargeError(
            "value", f"record {shown(key)} takes {size:,} bytes; {MAX_BYTES:,} are the most"
        )
    return text


def check_record_name(what: str, name: str) -> None:
    """Names are plain text: they are joined with control characters inside."""
    check_text(name, what)
    if not 1 <= len(name) <= NAME_LIMIT or _CONTROL.search(name):
        raise InvalidNameError(
            f"a record's {what} has 1 to {NAME_LIMIT} characters, none of them a control "
            f"character; {shown(name)} can't be one"
        )


def check_log(name: str) -> str:
    """The name of a log."""
    check_record_name("log", name)
    return name


def check_items(items: Sequence[JournalItem], note: str) -> None:
    """They are a row, and fit into one document of any backend."""
    numbers = [item.seq for item in items]
    if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise InvalidInputError("items must be numbered without gaps, and at least one")
    if numbers[0] < 1 or len({item.id for item in items}) < len(items):
        raise InvalidInputError("items are numbered from 1, and each has an id of its own")
    size = size_of(note, *(item.text for item in items))
    if size > MAX_BYTES:
        raise EntryTooLargeError(
            "items", f"take {size:,} bytes together; {MAX_BYTES:,} are the most in one step"
        )


def check_kinds(kinds: Iterable[str] | None) -> list[str] | None:
    """In an order of their own, each once; None for all."""
    return None if kinds is None else sorted(set(kinds))


def check_question(**names: str | None) -> None:
    """Names that are asked by; one that nobody can have is fine, unless it can't be encoded."""
    for what, name in names.items():
        if name is not None:
            check_text(name, what)


def was_written(family: str, puts: Sequence[Put]) -> DocumentsWritten:
    """What to tell the metrics of a batch."""
    counts = Counter(put.outcome.value for put in puts)
    return DocumentsWritten(family, **counts)


def was_settled(family: str, kept: Sequence[bool]) -> WorkSettled:
    """What to tell the metrics of settlements."""
    return WorkSettled(family, settled=sum(kept), lost=len(kept) - sum(kept))
