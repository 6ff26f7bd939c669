"""What a question asks for: its terms, who it names and when. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from dualstore.entry import GENERIC_ROLES
from dualstore.search.english import ASKS_WHEN, DATES, MONTHS, STOP_WORDS
from dualstore.terms import Analyzer, Chunk, Part

EXACT: Final = 0.3
"""What it counts that a chunk is exactly what the question says, beside its wholes."""
PART_OF_WHOLE: Final = 0.4
"""What the words of an identifier count where the identifier itself is known."""
_LONGEST: Final = 4096
_MOST_TERMS: Final = 256


@dataclass(frozen=True, slots=True)
class AskedDate:
    """A month, perhaps with its year or its day."""

    year: int | None
    month: int
    day: int | None

    def fits(self, timestamp: int) -> bool:
        """Whether the time, in UTC, is in the asked month."""
        try:
            when = datetime.fromtimestamp(timestamp / 1000, UTC)
        except (ValueError, OverflowError, OSError):  # far beyond any calendar
            return False
        return when.month == self.month and self.year in (None, when.year)

    def fits_day(self, timestamp: int) -> bool:
        """Whether it is on the asked day, too."""
        return (
            self.day is not None
            and self.fits(timestamp)
            and self.day == datetime.fromtimestamp(timestamp / 1000, UTC).day
        )


@dataclass(frozen=True, slots=True)
class Sought:
    """A term that is looked for, the word it comes from, and what it counts before its rarity."""

    term: str
    surface: str | None
    factor: float


class Question:
    """A question, taken apart. Of a very long one only the head is asked."""

    def __init__(self, text: str, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self.text = text[:_LONGEST]
        self.chunks = _head(analyzer.chunks(self.text))
        self.verbatim = " ".join(chain.from_iterable(chunk.terms() for chunk in self.chunks))
        """The terms as they would stand in an entry that says just this."""
        self.asks_when = bool(ASKS_WHEN.search(self.text))
        self.date = _date(self.text.lower())
        words = {part.surface for part in self._parts()}
        self._ignored = STOP_WORDS if words - STOP_WORDS else frozenset[str]()

    @property
    def words(self) -> list[str]:
        """All its words in their order, folded, with repeats."""
        return [part.surface for part in self._parts()]

    def factors(self) -> dict[str, float]:
        """What brings in candidates."""
        found: dict[str, float] = {}
        for chunk in self.chunks:
            found |= dict.fromkeys(chunk.wholes, 1.0)
            if chunk.exact:
                found[chunk.exact] = EXACT
            found |= dict.fromkeys(self._sought_stems(chunk), 1.0)
        return found

    def sought(self, frequencies: Mapping[str, int]) -> list[Sought]:
        """What is looked for in an entry, given in how many entries each term is."""
        best: dict[str, Sought] = {}
        for chunk in self.chunks:
            for each in self._sought_in(chunk, frequencies):
                if each.term not in best or best[each.term].factor < each.factor:
                    best[each.term] = each
        return list(best.values())

    def names(self, author: str) -> bool:
        """Whether it names the author, by any word of the name."""
        return bool(self.name_words([author]))

    def name_words(self, authors: Iterable[str]) -> frozenset[str]:
        """Those of its words that name an author."""
        words = frozenset(self.words)
        names = chain.from_iterable(_names(author, self._analyzer) for author in authors)
        return frozenset[str]().union(*(name for name in names if name <= words))

    def _sought_in(self, chunk: Chunk, frequencies: Mapping[str, int]) -> Iterable[Sought]:
        wholes = [whole for whole in chunk.wholes if frequencies.get(whole)]
        yield from (Sought(whole, None, 1.0) for whole in wholes)
        if chunk.exact and frequencies.get(chunk.exact):
            yield Sought(chunk.exact, None, EXACT)
        factor = PART_OF_WHOLE if wholes else 1.0
        for part in chunk.parts:
            if part.surface not in self._ignored:
                yield Sought(part.stem, part.surface, factor)

    def _sought_stems(self, chunk: Chunk) -> list[str]:
        return [part.stem for part in chunk.parts if part.surface not in self._ignored]

    def _parts(self) -> Iterable[Part]:
        return chain.from_iterable(chunk.parts for chunk in self.chunks)


def _names(author: str, analyzer: Analyzer) -> list[frozenset[str]]:
    """What a question may call an author: a word of the name, with all that the word is made of.

    No generic role; and no stop word, where the name has another one.
    """
    words = [_told(word, analyzer) for word in author.replace("_", " ").split()]
    names = [word for word in words if word and not word <= GENERIC_ROLES]
    return [name for name in names if not name <= STOP_WORDS] or names


def _told(word: str, analyzer: Analyzer) -> frozenset[str]:
    """As the analyzer would tell it in a question."""
    surfaces = [part.surface for chunk in analyzer.chunks(word) for part in chunk.parts]
    if surfaces and surfaces[-1] == "".join(surfaces[:-1]):  # camelCase, perhaps asked without
        surfaces = surfaces[-1:]
    return frozenset(each for each in surfaces if len(each) > 1 or not each.isascii())


def _head(chunks: Collection[Chunk]) -> tuple[Chunk, ...]:
    taken: list[Chunk] = []
    terms = 0
    for chunk in chunks:
        terms += sum(1 for _ in chunk.terms())
        if terms > _MOST_TERMS:
            if not taken:  # a run without spaces
                taken.append(Chunk((), None, chunk.parts[:_MOST_TERMS]))
            break
        taken.append(chunk)
    return tuple(taken)


def _date(text: str) -> AskedDate | None:
    for pattern in DATES:
        match = pattern.search(text)
        if match:
            found = match.groupdict()
            month = found.get("number") or _number(found["month"])
            year, day = found.get("year"), found.get("day")
            return AskedDate(int(year) if year else None, int(month), int(day) if day else None)
    return None


def _number(month: str) -> int:
    return next(at for at, name in enumerate(MONTHS, 1) if name.startswith(month[:3]))
