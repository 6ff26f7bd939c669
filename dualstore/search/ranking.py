"""What an entry earns for a question. Pure.

An entry earns the rarity of each term that it, or a neighbour in its thread, holds or is close
to; and something for being by whom, when and about what the question says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualstore.documents.base import Candidate, Neighbours
from dualstore.search.asking import Question
from dualstore.search.timely import TimeWords
from dualstore.terms import ASKS

Row = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The constants. They lie on a plateau: a little more of one changes next to nothing."""

    related: float = 0.85
    """What a word earns that means just the same."""
    before: float = 0.8
    after: float = 0.5
    """What a term earns in the entry before, and in the one after."""
    decay: float = 0.8
    """What is left of that with each further entry."""
    reach: int = 3
    author: float = 0.24
    question: float = 0.06
    """What an entry loses that only asks."""
    when: float = 0.15
    month: float = 0.2
    day: float = 0.3
    meaning: float = 0.3
    passage: int = 64
    """Words of the passages that entries of over one and a half of them are cut into."""


RECIPE: Final = Recipe()


class Parts(NamedTuple):
    """Where a score comes from. The sum, divided by what could be earned, is the score."""

    terms: float = 0.0
    """The share of the question's terms, by rarity, that it or its neighbours hold."""
    author: float = 0.0
    date: float = 0.0
    when: float = 0.0
    question: float = 0.0
    """Not positive: it ends with a question mark."""
    meaning: float = 0.0


class Ranked(NamedTuple):
    """An entry with what it earned."""

    id: str
    score: float
    """From 0 to 1: of what this question could have earned at most."""
    parts: Parts


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a question wants, weighed."""

    weights: Mapping[str, float]
    """Rarity by term."""
    related: Mapping[str, Mapping[str, float]]
    """By term: other terms, and the share of its weight that they earn."""
    authors: frozenset[str]
    """Those that it names."""


class _Known(NamedTuple):
    """A candidate, looked at."""

    passages: list[dict[int, float]]
    """Of each what it earns of the terms, by their rows."""
    extra: Parts
    order: tuple[bool, int, str]
    """Who comes first of those that earned the same."""
    says_something: bool
    """If not it stands between its neighbours, and is never a hit."""

    @property
    def boost(self) -> float:
        return sum(self.extra)


class Ranker:
    """Scores candidates for one question. Candidates are added once, and scored as often."""

    def __init__(
        self, question: Question, wanted: Wanted, *, time_words: TimeWords, recipe: Recipe = RECIPE
    ) -> None:
        self._question = question
        self._wanted = wanted
        self._time_words = time_words
        self._recipe = recipe
        self._row_of = {term: row for row, term in enumerate(wanted.weights)}
        self._related = _by_word(wanted.related, self._row_of, recipe.related)
        self._weights = np.array(list(wanted.weights.values()), np.float32)
        self._known: dict[str, _Known] = {}

    def add(self, candidates: Iterable[Candidate], cosines: Mapping[str, float]) -> None:
        """Take in more of them; one that is known already stays as it is."""
        for each in candidates:
            if each.id not in self._known:
                stream = each.terms.split(" ")
                self._known[each.id] = _Known(
                    passages=[self._matched(words) for words in self._passages(stream)],
                    extra=self._extra(each, stream, cosines.get(each.id, 0.0)),
                    order=(not self._says_it(each), -each.timestamp, each.id),
                    says_something=bool(each.terms),
                )

    def ranked(self, links: Mapping[str, str] | None = None) -> list[Ranked]:
        """Best first; ties go to what says it word for word, then by time, newest first, then id.

        `links` leads from entries to the next ones in their threads; without them each entry
        counts by itself.
        """
        known = list(self._known.values())
        earned = self._earned(known, links or {})
        totals = [told_apart(own + one.boost) for own, one in zip(earned, known, strict=True)]
        order = sorted(range(len(known)), key=lambda at: (-totals[at], known[at].order))
        possible = self._possible()
        return [
            Ranked(
                known[at].order[-1],
                max(0.0, min(1.0, totals[at] / possible)),
                known[at].extra._replace(terms=earned[at]),
            )
            for at in order
            if known[at].says_something
        ]

    def _says_it(self, candidate: Candidate) -> bool:
        return f" {self._question.verbatim} " in f" {candidate.terms} "

    def _possible(self) -> float:
        recipe, asked = self._recipe, self._question
        possible = 1.0 + recipe.meaning
        if self._wanted.authors:
            possible += recipe.author
        if asked.asks_when:
            possible += recipe.when
        if asked.date:
            possible += recipe.month + (recipe.day if asked.date.day else 0.0)
        return possible

    def _passages(self, stream: Sequence[str]) -> list[set[str]]:
        size = self._recipe.passage
        return [set(stream)] if len(stream) <= size * 3 // 2 else _passages(stream, size)

    def _matched(self, words: set[str]) -> dict[int, float]:
        """What a passage earns of each term."""
        earned: dict[int, float] = {}
        for word in words & self._related.keys():
            for row, share in self._related[word]:
                earned[row] = max(share, earned.get(row, 0.0))
        for word in words & self._row_of.keys():
            earned[self._row_of[word]] = 1.0
        return earned

    def _earned(self, known: Sequence["_Known"], links: Mapping[str, str]) -> list[float]:
        """The share of all terms, each at its best place in a window around the best passage."""
        total = float(self._weights.sum())
        if not known or total <= 0:
            return [0.0] * len(known)
        starts = np.cumsum([0, *(len(each.passages) for each in known)])
        own = np.zeros((len(self._weights), int(starts[-1])), np.float32)
        passages = chain.from_iterable(each.passages for each in known)
        cells = [(row, at, share) for at, one in enumerate(passages) for row, share in one.items()]
        if cells:
            rows, columns, shares = zip(*cells, strict=True)
            own[rows, columns] = shares
        ids = [each.order[-1] for each in known]
        sums = self._weights @ self._in_windows(own, _chained(ids, starts, links)) / total
        best: list[float] = np.maximum.reduceat(sums, starts[:-1]).tolist()
        return best

    def _in_windows(self, own: Row, after: NDArray[np.intp]) -> Row:
        recipe, count = self._recipe, own.shape[1]
        before = np.full(count + 1, count)
        before[after[:-1]] = np.arange(count)
        before[count] = count
        padded = np.concatenate([own, np.zeros((len(own), 1), np.float32)], axis=1)
        found = own.copy()
        for step, share in ((before, recipe.before), (after, recipe.after)):
            at = np.arange(count)
            for distance in range(recipe.reach):
                at = step[at]
                found = np.maximum(found, share * recipe.decay**distance * padded[:, at])
        return found

    def _extra(self, candidate: Candidate, stream: Sequence[str], cosine: float) -> Parts:
        recipe, asked = self._recipe, self._question
        date = 0.0
        if asked.date and asked.date.fits(candidate.timestamp):
            date = recipe.month
            if asked.date.fits_day(candidate.timestamp):
                date += recipe.day
        return Parts(
            author=recipe.author if candidate.author in self._wanted.authors else 0.0,
            date=date,
            when=recipe.when if asked.asks_when and self._time_words.are_in(stream) else 0.0,
            question=-recipe.question if stream[-1] == ASKS else 0.0,
            meaning=recipe.meaning * max(0.0, cosine),
        )


def told_apart(earned: float) -> float:
    """The number that entries are ranked by: what differs in less depends on the machine."""
    return round(earned, 6)


def linked(neighbours: Mapping[str, Neighbours]) -> dict[str, str]:
    """From each entry to the next one of its thread, as far as is known."""
    links: dict[str, str] = {}
    for each, around in neighbours.items():
        row = [
            *(one.id for one in reversed(around.before)),
            each,
            *(one.id for one in around.after),
        ]
        links |= dict(pairwise(row))
    return links


def _by_word(
    related: Mapping[str, Mapping[str, float]], row_of: Mapping[str, int], most: float
) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for term, words in related.items():
        for word, share in words.items():
            found.setdefault(word, []).append((row_of[term], most * share))
    return found


def _passages(stream: Sequence[str], size: int) -> list[set[str]]:
    passages: list[set[str]] = [set()]
    words = 0
    for term in stream:
        if words == size and not term.startswith("="):
            passages.append(set())
            words = 0
        passages[-1].add(term)
        words += not term.startswith("=")
    return passages


def _chained(
    ids: Sequence[str], starts: NDArray[np.intp], links: Mapping[str, str]
) -> NDArray[np.intp]:
    """For each passage the next one, for the last of a chain the number of all."""
    count = int(starts[-1])
    after = np.arange(1, count + 2)
    after[count] = count
    place = {each: at for at, each in enumerate(ids)}
    for at, each in enumerate(ids):
        following = place.get(links.get(each, ""))
        after[starts[at + 1] - 1] = count if following is None else starts[following]
    return after
