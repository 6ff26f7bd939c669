"""JSON values and times: what may come in, and the one canonical way of writing it down."""

import base64
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import orjson

from dualstore.errors import EntryError, EntryTooLargeError, shown

MAX_DEPTH: Final = 64
MAX_BYTES: Final = 12 * 1024 * 1024
INT64: Final = range(-(2**63), 2**63)
YEAR_1: Final = -62_135_596_800_000
YEAR_9999: Final = 253_402_300_799_999

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_CONTAINERS: Final = frozenset({dict, list})
_PLAIN: Final = frozenset({str, bool, type(None)})


def to_json(value: Any, field: str, *, most: int = MAX_BYTES) -> str:
    """The canonical JSON text: sorted keys, no blanks. `field` names the value in errors.

    Only real JSON values are taken, so that reading the text gives the very same value back.
    `most` is what its texts may take; of members it has `MAX_BYTES` at the most.
    """
    try:
        _check(value, field, most)
    except EntryTooLargeError:
        raise
    except EntryError as error:
        raise EntryError(_place(value, field, _is_refused), error.reason) from None
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        place = _place(value, field, _holds_surrogate)
        raise EntryError(place, _unencodable(str(error))) from None


def from_json(text: str | bytes) -> Any:
    """The value that `to_json` wrote down."""
    return orjson.loads(text)


def check_text(value: object, field: str) -> str:
    """`value`, when it is a string that can be encoded; the NUL character is fine."""
    if not isinstance(value, str):
        raise EntryError(field, f"must be a string, not {type(value).__name__}")
    found = None if value.isascii() else _SURROGATE.search(value)
    if found:
        raise EntryError(field, f"holds a lone surrogate at character {found.start()}")
    return value


def size_of(*texts: str) -> int:
    """Bytes that the texts take in UTF-8."""
    return sum(len(text) if text.isascii() else len(text.encode()) for text in texts)


def to_ms(value: object, field: str = "timestamp") -> int:
    """Epoch milliseconds UTC of a number (milliseconds), a datetime or an ISO text.

    A datetime or a text without a zone is taken as UTC.
    """
    match value:
        case bool():
            raise EntryError(field, f"must be a time, not {shown(value)}")
        case int():
            ms = value
        case float() if math.isfinite(value):
            ms = math.floor(value)
        case datetime():
            ms = _datetime_ms(value)
        case str():
            ms = _datetime_ms(_datetime_of(value, field))
        case _:
            raise EntryError(
                field, f"must be milliseconds, a datetime or an ISO date text, not {shown(value)}"
            )
    if not YEAR_1 <= ms <= YEAR_9999:
        raise EntryError(field, f"{shown(ms)} ms since 1970 are outside the years 1 to 9999")
    return ms


@lru_cache(maxsize=10_000)
def iso(ms: int) -> str:
    """ISO 8601 in UTC, with milliseconds; far beyond any calendar the number itself."""
    try:
        moment = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return str(ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_base64(content: bytes) -> str:
    """A text that may stand in any address."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def from_base64(text: str) -> bytes:
    """The opposite. Raises `ValueError` for what isn't such a text."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _datetime_of(value: str, field: str) -> datetime:
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        raise EntryError(field, f"{value[:80]!r} is not an ISO date or time") from None


def _datetime_ms(value: datetime) -> int:
    aware = value.replace(tzinfo=UTC) if value.utcoffset() is None else value
    delta = aware - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def _check(value: Any, field: str, most: int) -> None:
    """Walk level by level, so that no depth, no cycle and no fan-out can exhaust anything."""
    level: list[Any] = [value]
    size = members = 0
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for item in level:
            inner = _members(item, field)
            size += _own_size(item)
            members += len(inner)
            for each in inner:
                kind = type(each)
                if kind is str:
                    size += len(each)
                elif kind in _CONTAINERS:
                    deeper.append(each)
                else:
                    size += 1
                    if kind not in _PLAIN:
                        _members(each, field)
            if size > most or members > MAX_BYTES:
                raise EntryTooLargeError(field, f"takes more than {most:,} bytes, or is a cycle")
        if not deeper:
            return
        level = deeper
    raise EntryError(field, f"is nested deeper than {MAX_DEPTH}, or contains itself")


def _place(value: Any, field: str, is_wrong: Callable[[Any], bool]) -> str:
    """The path to the first value that is wrong; the field itself where there is none."""
    level = [(field, value)]
    for _ in range(MAX_DEPTH + 1):
        for path, item in level:
            if is_wrong(item):
                return path
        level = [inner for path, item in level for inner in _inside(path, item)]
    return field


def _inside(path: str, value: Any) -> list[tuple[str, Any]]:
    if type(value) is dict:
        return [(f"{path}.{_key(key)}", member) for key, member in value.items()]
    if type(value) is list:
        return [(f"{path}[{at}]", member) for at, member in enumerate(value)]
    return []


def _key(key: Any) -> str:
    """As it is, where it can be printed."""
    return key[:80] if type(key) is str and key.isprintable() else shown(key)


def _is_refused(value: Any) -> bool:
    try:
        _members(value, "")
    except EntryError:
        return True
    return False


def _holds_surrogate(value: Any) -> bool:
    texts = [value] if type(value) is str else value if type(value) is dict else ()
    return any(_SURROGATE.search(text) for text in texts)


def _own_size(value: Any) -> int:
    """What it takes at the least, without its members."""
    kind = type(value)
    if kind is str:
        return len(value)
    return 1 + sum(map(_own_size, value)) if kind is dict else 1


def _members(value: Any, field: str) -> tuple[()] | list[Any]:
    kind = type(value)
    if kind in _PLAIN:
        return ()
    if kind is int:
        return _check_integer(value, field)
    if kind is float:
        return _check_float(value, field)
    if kind is list:
        return value  # type: ignore[no-any-return]
    if kind is dict:
        return _check_keys(value, field)
    raise EntryError(field, f"holds {kind.__name__}, which JSON doesn't have")


def _check_integer(value: int, field: str) -> tuple[()]:
    if value not in INT64:
        raise EntryError(field, f"holds an integer beyond 64 bits: {shown(value)}")
    return ()


def _check_float(value: float, field: str) -> tuple[()]:
    if not math.isfinite(value):
        raise EntryError(field, f"holds {value}, which JSON doesn't have")
    return ()


def _check_keys(value: dict[Any, Any], field: str) -> list[Any]:
    for key in value:
        if type(key) is not str:
            raise EntryError(field, f"holds the key {shown(key)}, which isn't a string")
        if "\0" in key:
            raise EntryError(field, f"holds the key {shown(key)} with a NUL character")
    return list(value.values())


def _unencodable(reason: str) -> str:
    return "holds a lone surrogate" if "surrogate" in reason else f"is not JSON: {reason}"
