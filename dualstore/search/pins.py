"""Cursors of searches: they hold what was ranked, so that nothing written since can move it."""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import orjson

from dualstore.errors import CursorError
from dualstore.search.ranking import Parts, Ranked

_LARGEST: Final = 8 * 1024 * 1024
_DIGITS: Final = 4
_STEPS: Final = 10**_DIGITS


class Pin(NamedTuple):
    """A ranked entry, and how it was found."""

    id: str
    score: float
    parts: Parts
    modes: tuple[str, ...]
    chunk: int
    """Of its text, the one that is nearest to the question."""


def pin_of(ranked: Ranked, *, modes: tuple[str, ...], chunk: int) -> Pin:
    """Its numbers are rounded right here: the first page says what a cursor's would."""
    parts = Parts(*(round(each, _DIGITS) for each in ranked.parts))
    return Pin(ranked.id, round(ranked.score, _DIGITS), parts, modes, chunk)


@dataclass(frozen=True, slots=True)
class Pinned:
    """A ranking, or what is left of it."""

    pins: tuple[Pin, ...]
    candidates: int
    cut: bool
    degraded: tuple[str, ...]


def sign_of(*question: object) -> str:
    """What ties a cursor to its question."""
    return blake2b(repr(question).encode(errors="surrogatepass"), digest_size=12).hexdigest()


def to_cursor(pinned: Pinned, sign: str) -> str:
    """As a text that can be handed around."""
    rows = [
        (pin.id, _steps(pin.score), [*map(_steps, pin.parts)], pin.modes, pin.chunk)
        for pin in pinned.pins
    ]
    packed = orjson.dumps([sign, pinned.candidates, pinned.cut, pinned.degraded, rows])
    return base64.urlsafe_b64encode(zlib.compress(packed, 6)).decode().rstrip("=")


def from_cursor(cursor: object, sign: str) -> Pinned:
    """The opposite. Raises `CursorError` for what isn't one, or is another question's."""
    try:
        mine, candidates, cut, degraded, rows = _unpacked(cursor)
        pins = tuple(_pin(row) for row in rows)
        pinned = Pinned(pins, int(candidates), bool(cut), tuple(map(str, degraded)))
    except (ValueError, TypeError, OverflowError, zlib.error) as error:
        raise CursorError("the cursor is damaged, or none of a search") from error
    if mine != sign:
        raise CursorError("the cursor belongs to another search: query, mode or filter differ")
    return pinned


def _unpacked(cursor: object) -> Sequence[Any]:
    if not isinstance(cursor, str):
        raise TypeError("no text")
    packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    unzipping = zlib.decompressobj()
    content = unzipping.decompress(packed, _LARGEST)
    if not unzipping.eof:
        raise ValueError("too large, or cut off")
    found: Sequence[Any] = orjson.loads(content)
    return found


def _pin(row: Sequence[Any]) -> Pin:
    id_, score, parts, modes, chunk = row
    if not isinstance(id_, str):
        raise TypeError("no id")
    earned = Parts(*(float(each) / _STEPS for each in parts))
    return Pin(id_, score / _STEPS, earned, tuple(map(str, modes)), int(chunk))


def _steps(number: float) -> int:
    return round(number * _STEPS)
