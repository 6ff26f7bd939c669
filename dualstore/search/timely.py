"""Whether a text says when something was, seen from its terms. Pure."""

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Final

from dualstore.search.english import TIME_LEADS, TIME_UNITS, TIME_WORDS
from dualstore.terms import Analyzer

_YEARS: Final = ("19", "20")
_YEAR_DIGITS: Final = 4


class TimeWords:
    """The words of the table, as the analyzer writes them."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._alone = _stems(analyzer, TIME_WORDS)
        self._leads = _stems(analyzer, TIME_LEADS)
        self._units = _stems(analyzer, TIME_UNITS)

    def are_in(self, stream: Sequence[str]) -> bool:
        """A word for a time, a year, `3 days`, `last summer`."""
        words = [term for term in stream if not term.startswith("=")]
        if any(word in self._alone or _is_year(word) for word in words):
            return True
        return any(
            second in self._units and (first in self._leads or first.isdigit())
            for first, second in pairwise(words)
        )


def _stems(analyzer: Analyzer, words: Iterable[str]) -> frozenset[str]:
    return frozenset(chain.from_iterable(map(analyzer.stream, words)))


def _is_year(word: str) -> bool:
    return len(word) == _YEAR_DIGITS and word.isdigit() and word.startswith(_YEARS)
