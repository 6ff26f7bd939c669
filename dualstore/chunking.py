"""Long text to overlapping spans that fit an embedder, cut where a reader would cut."""

import re
import unicodedata
from typing import Final, NamedTuple

SIZE: Final = 1_600
OVERLAP: Final = 200

_BLANK: Final = re.compile(r"\s")
_INK: Final = re.compile(r"\S")
# From the best place for a cut to the worst; a cut comes after the match. The window they see has
# one character too many, because a blank there costs nothing; a full stop would.
_BORDERS: Final = (
    re.compile(r"\n[^\S\n]*\n"),
    re.compile(r"[.!?…][\"'”’)\]]*\s|[。！？।။።](?!\Z)"),
    re.compile(r"[\n\r]"),
    _BLANK,
)
_JOINER: Final = "\u200d"
_EXTENDING: Final = frozenset({"Mn", "Mc", "Me"})
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)


class Span(NamedTuple):
    """Offsets into the text, `end` not included; the first and last characters are not blank."""

    start: int
    end: int


def chunks(
    text: str, *, size: int = SIZE, overlap: int = OVERLAP, limit: int | None = None
) -> list[Span]:
    """Spans of at most `size` characters that leave out nothing but white space, in order.

    Neighbours share at most `overlap` characters. A text that fits is one span, a blank one none.
    Only the first `limit` characters count. Where there is a choice, a cut follows a paragraph,
    else a sentence, a line, a word. Raises ValueError unless 0 <= overlap <= size / 4.
    """
    if size < 1 or not 0 <= overlap <= size // 4:
        raise ValueError(f"overlap must be 0 to a quarter of size, not {overlap} of {size}")
    head = text[:limit]
    end = len(head.rstrip())
    spans: list[Span] = []
    start = _ink(head, 0)
    while end - start > size:
        cut = _cut(head, start + max(1, size // 2), start + size)
        spans.append(Span(start, start + len(head[start:cut].rstrip())))
        start = _resume(head, cut, overlap)
    return [*spans, Span(start, end)] if start < end else spans


def _cut(text: str, low: int, high: int) -> int:
    """The last border of the best kind in between, else `high` or the next character before it."""
    for border in _BORDERS:
        cuts = [match.end() for match in border.finditer(text, low - 1, high + 1)]
        if cuts:
            return min(cuts[-1], high)
    return _between_characters(text, low, high)


def _between_characters(text: str, low: int, high: int) -> int:
    at = high
    while at > low and _continues(text, at):
        at -= 1
    return at


def _resume(text: str, cut: int, overlap: int) -> int:
    """Where the next span starts: at a word before the cut, if what follows is near enough."""
    fresh = _ink(text, cut)
    if fresh - cut >= overlap:  # or the next span might hold nothing new
        return fresh
    blank = _BLANK.search(text, cut - overlap - 1, cut)
    at = blank.end() if blank else cut - overlap
    while at < cut and _continues(text, at):
        at += 1
    return _ink(text, at)


def _continues(text: str, at: int) -> bool:
    """Whether the code point there belongs to the character before it, as accents do."""
    return (
        unicodedata.category(text[at]) in _EXTENDING
        or ord(text[at]) in _SKIN_TONES
        or _JOINER in text[at - 1 : at + 1]
    )


def _ink(text: str, start: int) -> int:
    """Where the first character at or after `start` stands that is not white space."""
    found = _INK.search(text, start)
    return found.start() if found else len(text)
