"""The one analyzer: text to terms, the same for entries and queries on every backend.

Text is cut into *chunks* (runs without white space, quotes, brackets and most punctuation). A chunk
gives *parts*, the folded and stemmed words in it, and, when it is more than plain words (an
identifier, a path, a version), *wholes*, which are kept beside the parts under the mark "=". An
*exact* term, under "==", says that the chunk is just this.

A term is lower-case, at most `TERM_CHARS` long, and made of word characters and ``# $ % & + - . / :
= @ \\ ^ _ ~``: never white space, quotes or control characters, so terms joined by spaces can be
split again without loss.
"""

import re
import threading
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

import Stemmer

# Changes when terms change: what was indexed under another version can't be searched.
VERSION: Final = "2"
ANALYSED_BYTES: Final = 64 * 1024
TERM_CHARS: Final = 128
ASKS: Final = "?"
"""No word gives this term, so no question asks for it."""

_QUESTION_MARKS: Final = ("?", "？", "؟")
_GENERATION: Final = 50_000
_REMEMBERED_CHARS: Final = 64
_FOLDED_AT_ONCE: Final = 512

# Vowel signs and the like belong to their word, but Python's \w leaves them out.
_WORD: Final = (
    r"\w\u07a6-\u07b0\u0900-\u0963\u0966-\u0df3\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ebc\u0ec8-\u0ece"
    r"\u0f71-\u0f84\u0f8d-\u0fbc\u102b-\u103e\u1056-\u1059\u105e-\u1074\u1082-\u108f\u17b4-\u17d3"
    r"\u3099\u309a"
)
# Thai, Lao, Myanmar, Khmer, kana and Han are written without spaces, so they are cut into bigrams.
_UNSPACED: Final = (
    r"\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u109f\u1780-\u17d3\u3005-\u3007\u3021-\u3029\u3041-\u30ff"
    r"\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_ENDS: Final = ".:-/\\~"
_CHUNK: Final = re.compile(rf"[{_WORD}#$%&+\-./:@\\^~]+")
_RUN: Final = re.compile(rf"[{_WORD}]+")
_STRETCH: Final = re.compile(rf"[{_UNSPACED}]+|[^{_UNSPACED}_]+")
_FROM_UNSPACED: Final = re.compile(rf"[{_UNSPACED}]")
_ENGLISH: Final = re.compile(r"[A-Z]?[a-z]+")  # most chunks: the short way for them
_HUMP: Final = re.compile(r"[A-Z]+[0-9]+|[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_JOINED: Final = re.compile(rf"[{_WORD}][./:\\@#$\-]+[{_WORD}]")
_HYPHENATED: Final = re.compile(r"[^\W\d_]+(?:-+[^\W\d_]+)+")
_LINE_NUMBER: Final = re.compile(r"(?::[0-9]{1,9}){1,2}\Z")
_ALPHANUMERIC: Final = re.compile(r"[^\W_]")
_ASCII_ALPHANUMERIC: Final = re.compile(r"[0-9A-Za-z]")
# What NFKD leaves: letters with a stroke, ligatures, the unseen (soft hyphen, joiners, directions).
_UNSEEN: Final = (
    "\u00ad\u034f\u061c\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067"
    "\u2068\u2069\ufeff"
)
_PLAIN: Final = str.maketrans("øØłŁđĐħĦı", "oOlLdDhHi", _UNSEEN)
_LIGATURES: Final = str.maketrans({"æ": "ae", "œ": "oe"})


@dataclass(frozen=True, slots=True)
class Part:
    """A word: `surface` is folded and lower-case (what word vectors know), `stem` is its term."""

    surface: str
    stem: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """`wholes` and `exact` carry their marks; no exact without wholes. There is always a part."""

    wholes: tuple[str, ...]
    exact: str | None
    parts: tuple[Part, ...]

    def terms(self) -> Iterator[str]:
        yield from self.wholes
        if self.exact is not None:
            yield self.exact
        for part in self.parts:
            yield part.stem


def analysed(text: str) -> str:
    """The head that is analysed: the first `ANALYSED_BYTES` in UTF-8, cut between characters."""
    head = text[:ANALYSED_BYTES]
    if len(head) * 4 <= ANALYSED_BYTES or head.isascii():
        return head
    return head.encode(errors="replace")[:ANALYSED_BYTES].decode(errors="ignore")


def has_words(text: str) -> bool:
    """Whether the text gives any term: one alphanumeric is enough, emoji are not."""
    head = analysed(text)
    return bool(_ASCII_ALPHANUMERIC.search(head) or _ALPHANUMERIC.search(_fold(head)))


class Analyzer:
    """Remembers what pieces of text gave, in bounded memory. Threads may share one."""

    def __init__(self) -> None:
        self._stemmer = Stemmer.Stemmer("porter", 0)
        self._lock = threading.Lock()
        self._memo = _Memo(self._terms, generation=_GENERATION)

    def stream(self, text: str) -> list[str]:
        """All terms in order, with repeats."""
        return list(chain.from_iterable(map(self._memo.__getitem__, analysed(text).split())))

    def kept(self, text: str) -> list[str]:
        """What is kept of an entry: its stream, and `ASKS` at the end of a question's."""
        terms = self.stream(text)
        if terms and text.rstrip().endswith(_QUESTION_MARKS):
            terms.append(ASKS)
        return terms

    def chunks(self, text: str) -> list[Chunk]:
        """What `stream` flattens. Nothing is remembered here, so it is for queries."""
        return [chunk for piece in analysed(text).split() for chunk in self._chunks(piece)]

    def _terms(self, piece: str) -> tuple[str, ...]:
        return tuple(term for chunk in self._chunks(piece) for term in chunk.terms())

    def _chunks(self, piece: str) -> Iterator[Chunk]:
        for found in _CHUNK.findall(_fold(piece)):
            core = f"--{found.strip(_ENDS)}" if found.startswith("--") else found.strip(_ENDS)
            if _ENGLISH.fullmatch(core):
                yield Chunk((), None, (self._part(core),))
            else:
                yield from self._chunk(core)

    def _chunk(self, core: str) -> Iterator[Chunk]:
        words, identifiers = _read(core)
        if words:
            names = (*identifiers, *_names(core))
            wholes = tuple(dict.fromkeys(_marked("=", name) for name in names))
            exact = _marked("==", core) if wholes else None
            yield Chunk(wholes, exact, tuple(self._part(word) for word in words))

    def _part(self, word: str) -> Part:
        surface = _lower(word)[:TERM_CHARS]
        return Part(surface, self._stem(surface) if surface.isascii() else surface)

    def _stem(self, word: str) -> str:
        with self._lock:  # a stemmer has one buffer for all its calls
            return self._stemmer.stemWord(word) or word


class _Memo(dict[str, tuple[str, ...]]):
    """Terms by piece, in two generations: emptying a single one would forget the common words."""

    def __init__(self, analyse: Callable[[str], tuple[str, ...]], *, generation: int) -> None:
        super().__init__()
        self._analyse = analyse
        self._generation = generation
        self._old: dict[str, tuple[str, ...]] = {}

    def __missing__(self, piece: str) -> tuple[str, ...]:
        terms = self._old.get(piece)
        if terms is None:
            terms = self._analyse(piece)
        if len(piece) <= _REMEMBERED_CHARS:
            self._keep(piece, terms)
        return terms

    def _keep(self, piece: str, terms: tuple[str, ...]) -> None:
        if len(self) >= self._generation:
            self._old = dict(self)
            self.clear()
        self[piece] = terms


def _read(chunk: str) -> tuple[list[str], list[str]]:
    """The words of a chunk, and which of its runs are identifiers, with `_` or in camelCase."""
    words: list[str] = []
    identifiers: list[str] = []
    for run in _RUN.findall(chunk):
        if _ALPHANUMERIC.search(run):
            found, camel = _split(run)
            words += found
            if camel or "_" in run:
                identifiers.append(run)
    return words, identifiers


def _split(run: str) -> tuple[list[str], bool]:
    """The words of a run, and whether it holds camelCase."""
    words: list[str] = []
    camel = False
    for stretch in _STRETCH.findall(run):
        found = _spread(stretch)
        words += found
        camel = camel or (stretch.isascii() and len(found) > 1)
    return words, camel


def _spread(stretch: str) -> list[str]:
    if not stretch.isascii():
        return _bigrams(stretch) if _FROM_UNSPACED.match(stretch) else [stretch]
    # SHA256 and 3F9AC1D have no humps, and those of base64 are not words.
    if stretch.isupper() or len(stretch) > TERM_CHARS:
        return [stretch]
    humps = _HUMP.findall(stretch)
    return humps if len(humps) == 1 else [*humps, stretch]  # github is to find GitHub


def _bigrams(stretch: str) -> list[str]:
    return [stretch[at : at + 2] for at in range(max(1, len(stretch) - 1))]


def _names(core: str) -> Iterator[str]:
    """A flag; all of the chunk, the same without a line number, its base name, if not words."""
    if core.startswith("--"):
        yield core
    core = core.lstrip("-")
    if _JOINED.search(core):
        place = _LINE_NUMBER.sub("", core)
        base = place[max(place.rfind("/"), place.rfind("\\")) + 1 :]
        yield from filter(_is_name, (core, place, base))


def _is_name(text: str) -> bool:
    return bool(_JOINED.search(text)) and not _HYPHENATED.fullmatch(text)


def _marked(mark: str, text: str) -> str:
    return (mark + _lower(text))[:TERM_CHARS]


def _lower(text: str) -> str:
    if text.isascii():
        return text.lower()
    return text.casefold().lower().translate(_LIGATURES)  # casefold alone makes Cherokee capital


def _fold(text: str) -> str:
    """Compatibility forms made plain and accents taken off."""
    if text.isascii():
        return text
    # In slices: the marks on one letter are sorted, which takes the square of their number.
    starts = range(0, len(text), _FOLDED_AT_ONCE)
    return "".join(_folded(text[at : at + _FOLDED_AT_ONCE]) for at in starts)


def _folded(text: str) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not _is_accent(c))
    return unicodedata.normalize("NFC", bare.translate(_PLAIN))


def _is_accent(character: str) -> bool:
    """Not nukta, virama, kana voicing, vowels and tones of Asia: these tell words apart."""
    rank = unicodedata.combining(character)
    return rank != 0 and not 7 <= rank <= 9 and not 84 <= rank <= 132
