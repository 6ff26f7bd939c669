"""The part of a text that answers, and where in it the terms are. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dualstore.terms import Analyzer, analysed

LENGTH: Final = 240
_ELLIPSIS: Final = "…"
_PIECE: Final = re.compile(r"\S+")
_LONG_PIECE: Final = 64
_RUN: Final = re.compile("[0-9A-Za-z]+")
_EDGE: Final = re.compile(r"[\w#$%&+@~]")
_REACH: Final = 24
"""Characters that a cut may move to fall between two words."""


class Mark(NamedTuple):
    """A match, as positions in a text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Snippet:
    """Some of an entry's text, in which matches are marked."""

    text: str
    marks: tuple[Mark, ...] = ()

    def marked(self, before: str = "**", after: str = "**") -> str:
        """The text with something around each match."""
        parts: list[str] = []
        at = 0
        for mark in self.marks:
            parts += [self.text[at : mark.start], before, self.text[mark.start : mark.end], after]
            at = mark.end
        return "".join([*parts, self.text[at:]])

    def __str__(self) -> str:
        return self.marked()


class _Found(NamedTuple):
    mark: Mark
    terms: frozenset[str]


def snippet(text: str, terms: Collection[str], analyzer: Analyzer, *, near: int = 0) -> Snippet:
    """Where the most of the terms stand together; from `near` on if there are none."""
    head = analysed(text)
    found = list(_matches(head, frozenset(terms), analyzer))
    start, end = _window(head, found, near)
    marks = [Mark(one.start - start, one.end - start) for one, _ in found if start <= one.start]
    return _cut(head, start, end, [mark for mark in marks if mark.end <= end - start])


def _matches(text: str, terms: frozenset[str], analyzer: Analyzer) -> Iterator[_Found]:
    if not terms:
        return
    for piece in _PIECE.finditer(text):
        word = piece.group()
        held = terms.intersection(analyzer.stream(word))
        if held and len(word) <= _LONG_PIECE and word.isascii():
            yield _Found(_trimmed(word, piece.start()), held)
        elif held:
            yield from _inside(word, piece.start(), held, analyzer)


def _trimmed(word: str, at: int) -> Mark:
    edges = [match.start() for match in _EDGE.finditer(word)]
    return Mark(at + edges[0], at + edges[-1] + 1) if edges else Mark(at, at + len(word))


def _inside(word: str, at: int, terms: frozenset[str], analyzer: Analyzer) -> Iterator[_Found]:
    """In a run without spaces: its words that give terms, and terms that can be seen; else all."""
    found = [*_words(word, terms, analyzer), *_seen(word, terms)]
    if not found:
        yield _Found(_trimmed(word, at), terms)
    end = 0
    for mark, held in sorted(found, key=lambda one: (one.mark.start, -one.mark.end)):
        if mark.start >= end:
            yield _Found(Mark(at + mark.start, at + mark.end), held)
            end = mark.end


def _words(word: str, terms: frozenset[str], analyzer: Analyzer) -> Iterator[_Found]:
    for run in _RUN.finditer(word):
        held = terms.intersection(analyzer.stream(run.group()))
        if held:
            yield _Found(Mark(*run.span()), held)


def _seen(word: str, terms: Iterable[str]) -> Iterator[_Found]:
    """What has no stem, or is a whole."""
    lower = word.lower()
    if len(lower) == len(word):
        for term in terms:
            if term.startswith("=") or not term.isascii():
                for match in re.finditer(re.escape(term.lstrip("=")), lower):
                    yield _Found(Mark(*match.span()), frozenset([term]))


def _window(text: str, found: Sequence[_Found], near: int) -> tuple[int, int]:
    """The stretch with the most different terms in it; the first of the best."""
    if len(text) <= LENGTH:
        return 0, len(text)
    if not found:
        return _between_words(text, near, near + LENGTH)
    best, first, last = -1, 0, 0
    for at, one in enumerate(found):
        terms: set[str] = set()
        end = at
        while end < len(found) and found[end].mark.end - one.mark.start <= LENGTH:
            terms |= found[end].terms
            end += 1
        if len(terms) > best:
            best, first, last = len(terms), at, max(at, end - 1)
    start, end = found[first].mark.start, found[last].mark.end
    spare = max(0, LENGTH - (end - start))
    return _between_words(text, start - spare // 2, start - spare // 2 + LENGTH)


def _between_words(text: str, start: int, end: int) -> tuple[int, int]:
    if start < 0:
        start, end = 0, end - start
    if end > len(text):
        start, end = max(0, start - (end - len(text))), len(text)
    if start > 0 and not text[start - 1].isspace():
        blank = text.find(" ", start, start + _REACH)
        start = start if blank < 0 else blank + 1
    if end < len(text) and not text[end].isspace():
        blank = text.rfind(" ", end - _REACH, end)
        end = end if blank < 0 else blank
    return start, end


def _cut(text: str, start: int, end: int, marks: Iterable[Mark]) -> Snippet:
    lead = _ELLIPSIS if start > 0 else ""
    tail = _ELLIPSIS if end < len(text) else ""
    moved = tuple(Mark(one.start + len(lead), one.end + len(lead)) for one in marks)
    return Snippet(f"{lead}{text[start:end]}{tail}", moved)
