"""Cursors of searches: they hold what was ranked, so that nothing written since can move it."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from dualstore.errors import CursorError
from dualstore.search.ranking import Parts, Ranking
from dualstore.values import from_base64, to_base64

_Kind = TypeVar("_Kind", str, float, int)

_LARGEST: Final = 8 * 1024 * 1024
_MOST_CHUNKS: Final = 2**16
_FAST: Final = 1
"""The level of compression: a cursor is made for every page, and read by few."""


MODES: Final = (("neighbours",), ("text",), ("semantic",), ("text", "semantic"))
"""What found an entry: by words counts 1, and by meaning 2."""


class Pin(NamedTuple):
    """A ranked entry, and how it was found."""

    id: str
    score: float
    parts: Parts
    modes: tuple[str, ...]
    chunk: int
    """Of its text, the one that is nearest to the question."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A ranking, or what is left of it, in columns."""

    ranking: Ranking
    found_by: list[int]
    """Places in `MODES`."""
    chunks: list[int]
    candidates: int
    cut: bool
    degraded: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ranking)

    def __getitem__(self, at: int) -> Pin:
        return Pin(*self.ranking[at], MODES[self.found_by[at]], self.chunks[at])

    def part(self, start: int, end: int | None = None) -> "Pinned":
        """Some of them, the numbers for all."""
        ranking, some = self.ranking, slice(start, end)
        parts = [column[some] for column in ranking.parts]
        return replace(
            self,
            ranking=Ranking(ranking.ids[some], ranking.scores[some], parts),
            found_by=self.found_by[some],
            chunks=self.chunks[some],
        )


def sign_of(*question: object) -> str:
    """What ties a cursor to its question."""
    return blake2b(repr(question).encode(errors="surrogatepass"), digest_size=12).hexdigest()


def to_cursor(pinned: Pinned, sign: str) -> str:
    """As a text that can be handed around."""
    ranking = pinned.ranking
    columns = [ranking.ids, ranking.scores, *ranking.parts, pinned.found_by, pinned.chunks]
    packed = orjson.dumps([sign, pinned.candidates, pinned.cut, pinned.degraded, columns])
    return to_base64(zlib.compress(packed, _FAST))


def from_cursor(cursor: object, sign: str) -> Pinned:
    """The opposite. Raises `CursorError` for what isn't one, or is another question's."""
    try:
        mine, candidates, cut, degraded, columns = _unpacked(cursor)
        ids, scores, *parts, found_by, chunks = columns
        if len({len(each) for each in columns}) != 1 or len(parts) != len(Parts._fields):
            raise ValueError("columns that don't fit together")
        pinned = Pinned(
            Ranking(_all(str, ids), _all(float, scores), [_all(float, each) for each in parts]),
            _all(int, found_by, below=len(MODES)),
            _all(int, chunks, below=_MOST_CHUNKS),
            candidates=int(candidates),
            cut=bool(cut),
            degraded=tuple(_all(str, degraded)),
        )
    except (ValueError, TypeError, OverflowError, zlib.error) as error:
        raise CursorError("the cursor is damaged, or none of a search") from error
    if mine != sign:
        raise CursorError("the cursor belongs to another search: query, mode or filter differ")
    return pinned


def _unpacked(cursor: object) -> Sequence[Any]:
    if not isinstance(cursor, str):
        raise TypeError("no text")
    unzipping = zlib.decompressobj()
    content = unzipping.decompress(from_base64(cursor), _LARGEST)
    if not unzipping.eof:
        raise ValueError("too large, or cut off")
    found: Sequence[Any] = orjson.loads(content)
    return found


def _all(kind: type[_Kind], values: object, *, below: int | None = None) -> list[_Kind]:
    if not isinstance(values, list) or not all(type(each) is kind for each in values):
        raise TypeError(f"not all {kind.__name__}")
    if below is not None and not all(0 <= each < below for each in values):
        raise ValueError("a number that is none of ours")
    return values
