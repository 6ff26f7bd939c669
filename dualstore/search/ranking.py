"""What an entry earns for a question. Pure.

An entry earns the rarity of each term that it, or a neighbour in its thread, holds or is close
to; and something for being by whom, when and about what the question says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Parts:
    """Where a score comes from. The sum, divided by what could be earned, is the score."""

    terms: float = 0.0
    """The share of the question's terms, by rarity, that it or its neighbours hold."""
    author: float = 0.0
    date: float = 0.0
    when: float = 0.0
    question: float = 0.0
    """Not positive: it ends with a question mark."""
    meaning: float = 0.0

    def total(self) -> float:
        """What it earned."""
        return float(sum(getattr(self, field.name) for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Ranked:
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


class Ranker:
    """Scores candidates for one question. Candidates are added once, and scored as often."""

    def __init__(
        self, question: Question, wanted: Wanted, *, time_words: TimeWords, recipe: Recipe = RECIPE
    ) -> None:
        self._question = question
        self._wanted = wanted
        self._time_words = time_words
        self._recipe = recipe
        self._terms = list(wanted.weights)
        self._row_of = {term: row for row, term in enumerate(self._terms)}
        self._related = _by_word(wanted.related, self._row_of, recipe.related)
        self._weights = np.array(list(wanted.weights.values()), np.float32)
        self._known: dict[str, Candidate] = {}
        self._matches: dict[str, Row] = {}
        self._extras: dict[str, Parts] = {}
        self._meaning: dict[str, float] = {}

    @property
    def candidates(self) -> Mapping[str, Candidate]:
        """All that were added."""
        return self._known

    def add(self, candidates: Iterable[Candidate], cosines: Mapping[str, float]) -> None:
        """Take in more of them; one that is known already stays as it is."""
        for each in candidates:
            if each.id not in self._known:
                self._known[each.id] = each
                stream = each.terms.split(" ")
                self._matches[each.id] = self._matched(stream)
                self._extras[each.id] = self._extra(each, stream)
                self._meaning[each.id] = max(0.0, cosines.get(each.id, 0.0))

    def ranked(self, links: Mapping[str, str] | None = None) -> list[Ranked]:
        """Best first; ties go to what says it word for word, then by time, newest first, then id.

        `links` leads from entries to the next ones in their threads; without them each entry
        counts by itself.
        """
        ids = list(self._known)
        terms = self._earned(ids, links or {})
        found = [self._ranked(each, earned) for each, earned in zip(ids, terms, strict=True)]
        verbatim = self._question.verbatim
        return sorted(
            found,
            key=lambda one: (
                -round(one.parts.total(), 6),
                verbatim not in self._known[one.id].terms,
                -self._known[one.id].timestamp,
                one.id,
            ),
        )

    def matched_terms(self) -> frozenset[str]:
        """Everything that earns something in a text."""
        return frozenset(self._row_of) | frozenset(self._related)

    def _ranked(self, id_: str, earned: float) -> Ranked:
        extra = self._extras[id_]
        parts = Parts(
            terms=earned,
            author=extra.author,
            date=extra.date,
            when=extra.when,
            question=extra.question,
            meaning=self._recipe.meaning * self._meaning[id_],
        )
        return Ranked(id_, max(0.0, min(1.0, parts.total() / self._possible())), parts)

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

    def _matched(self, stream: Sequence[str]) -> Row:
        """What each passage earns of each term: a column per passage."""
        passages = _passages(stream, self._recipe.passage)
        earned = np.zeros((len(self._terms), len(passages)), np.float32)
        for column, words in enumerate(passages):
            for word in words & self._related.keys():
                for row, share in self._related[word]:
                    earned[row, column] = max(earned[row, column], share)
            for word in words & self._row_of.keys():
                earned[self._row_of[word], column] = 1.0
        return earned

    def _earned(self, ids: Sequence[str], links: Mapping[str, str]) -> list[float]:
        """The share of all terms, each at its best place in a window around the best passage."""
        total = float(self._weights.sum())
        if not ids or total <= 0:
            return [0.0] * len(ids)
        own = np.concatenate([self._matches[each] for each in ids], axis=1)
        starts = np.cumsum([0, *(self._matches[each].shape[1] for each in ids)])
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

    def _extra(self, candidate: Candidate, stream: Sequence[str]) -> Parts:
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
        )


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
    if len(stream) <= size * 3 // 2:
        return [set(stream)]
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
