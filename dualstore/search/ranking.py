"""What an entry earns for a question. Pure.

An entry earns the rarity of each term that it, or a neighbour in its thread, holds or is close
to; and something for being by whom, when and about what the question says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualstore.documents.base import Candidate
from dualstore.search.asking import Question
from dualstore.search.timely import TimeWords
from dualstore.search.windows import Row, chained, in_windows
from dualstore.terms import ASKS


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

    @property
    def shares(self) -> list[tuple[float, float]]:
        """What a term earns so many entries before, and after."""
        left = [self.decay**distance for distance in range(self.reach)]
        return [(self.before * each, self.after * each) for each in left]


RECIPE: Final = Recipe()
DIGITS: Final = 4
"""Of a score and its parts, as they are shown."""
_TOLD_APART: Final = 6


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
class Ranking:
    """Entries with what they earned, best first. In columns: there are hundreds, and few are shown.

    Whoever makes a thousand objects for each question pays for collecting them.
    """

    ids: list[str]
    scores: list[float]
    parts: list[list[float]]
    """A column for each field of `Parts`."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, at: int) -> Ranked:
        return Ranked(self.ids[at], self.scores[at], Parts(*(column[at] for column in self.parts)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a question wants, weighed."""

    weights: Mapping[str, float]
    """Rarity by term."""
    related: Mapping[str, Mapping[str, float]]
    """By term: other terms, and the share of its weight that they earn."""


@dataclass(slots=True)
class _Table:
    """All candidates so far, in columns."""

    places: dict[str, int] = field(default_factory=dict)
    """By id."""
    newest: list[int] = field(default_factory=list)
    in_other_words: list[bool] = field(default_factory=list)
    says_something: list[bool] = field(default_factory=list)
    """If not it stands between its neighbours, and is never a hit."""
    extras: list[float] = field(default_factory=list)
    """Several of each: what `_extra` gives."""
    starts: list[int] = field(default_factory=lambda: [0])
    """Of each the first of its passages, and the number of all."""
    rows: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    """What passages (columns) earn of terms (rows)."""


class Ranker:
    """Scores candidates for one question. Candidates are added once, and scored as often."""

    def __init__(
        self, question: Question, wanted: Wanted, *, time_words: TimeWords, recipe: Recipe = RECIPE
    ) -> None:
        self._question = question
        self._time_words = time_words
        self._recipe = recipe
        self._weights = np.array(list(wanted.weights.values()), np.float32)
        self._shares = _shares(wanted, recipe.related)
        self._vocabulary = frozenset(self._shares)
        self._is_named: dict[str, bool] = {}
        self._table = _Table()

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Take in more of them; one that is known already stays as it is."""
        table = self._table
        for each in candidates:
            if each.id not in table.places:
                table.places[each.id] = len(table.places)
                stream = each.terms.split(" ")
                table.newest.append(-each.timestamp)
                table.in_other_words.append(not self._says_it(each))
                table.says_something.append(bool(each.terms))
                table.extras += self._extra(each, stream)
                self._add_passages(stream)

    def ranked(
        self, cosines: Mapping[str, float], links: Mapping[str, str] | None = None
    ) -> Ranking:
        """Best first; ties go to what says it word for word, then by time, newest first, then id.

        `cosines` say how near to the question each is in meaning. `links` leads from entries to
        the next ones in their threads; without them each entry counts by itself. What has no
        words is not ranked.
        """
        table = self._table
        ids = list(table.places)
        parts = np.zeros((len(Parts._fields), len(ids)))
        parts[0] = self._earned(links or {})
        parts[1:-1] = np.reshape(table.extras, (len(ids), len(parts) - 2)).T
        near = np.array([cosines.get(each, 0.0) for each in ids])
        parts[-1] = self._recipe.meaning * near.clip(0.0)
        totals = parts.sum(axis=0).round(_TOLD_APART)
        tied = np.array(_sorted_by(ids, table.newest, table.in_other_words), np.intp)
        order = tied[np.argsort(-totals[tied], kind="stable")]
        order = order[np.array(table.says_something, bool)[order]]
        return Ranking(
            [ids[at] for at in order],
            _shown(totals[order] / self._possible()),
            parts[:, order].round(DIGITS).tolist(),
        )

    def _says_it(self, candidate: Candidate) -> bool:
        verbatim, terms = self._question.verbatim, candidate.terms
        return verbatim in terms and f" {verbatim} " in f" {terms} "

    def _possible(self) -> float:
        recipe, asked = self._recipe, self._question
        possible = 1.0 + recipe.meaning
        if any(self._is_named.values()):
            possible += recipe.author
        if asked.asks_when:
            possible += recipe.when
        if asked.date:
            possible += recipe.month + (recipe.day if asked.date.day else 0.0)
        return possible

    def _add_passages(self, stream: Sequence[str]) -> None:
        table = self._table
        at = table.starts[-1]
        for words in _passages(stream, self._recipe.passage):
            for row, share in self._matched(words).items():
                table.rows.append(row)
                table.columns.append(at)
                table.shares.append(share)
            at += 1
        table.starts.append(at)

    def _matched(self, words: Sequence[str]) -> dict[int, float]:
        """What a passage earns of each term."""
        earned: dict[int, float] = {}
        for word in self._vocabulary.intersection(words):
            for row, share in self._shares[word]:
                if share > earned.get(row, 0.0):
                    earned[row] = share
        return earned

    def _earned(self, links: Mapping[str, str]) -> Row:
        """The share of all terms, each at its best place in a window around the best passage."""
        table, total = self._table, float(self._weights.sum())
        if not table.places or total <= 0:
            return np.zeros(len(table.places), np.float32)
        own = np.zeros((len(self._weights), table.starts[-1]), np.float32)
        own[table.rows, table.columns] = table.shares
        after = chained(table.places, table.starts, links)
        sums = self._weights @ in_windows(own, after, shares=self._recipe.shares) / total
        best: Row = np.maximum.reduceat(sums, table.starts[:-1])
        return best

    def _extra(
        self, candidate: Candidate, stream: Sequence[str]
    ) -> tuple[float, float, float, float]:
        """For the author, the date, a time that it tells, and for only asking: as in `Parts`."""
        recipe, asked = self._recipe, self._question
        date = 0.0
        if asked.date and asked.date.fits(candidate.timestamp):
            date = recipe.month
            if asked.date.fits_day(candidate.timestamp):
                date += recipe.day
        return (
            recipe.author if self._names(candidate.author) else 0.0,
            date,
            recipe.when if asked.asks_when and self._time_words.are_in(stream) else 0.0,
            -recipe.question if stream[-1] == ASKS else 0.0,
        )

    def _names(self, author: str | None) -> bool:
        if author is None:
            return False
        if author not in self._is_named:
            self._is_named[author] = self._question.names(author)
        return self._is_named[author]


def by_cosine(cosines: Mapping[str, float], timestamps: Mapping[str, int]) -> Ranking:
    """By meaning alone; ties go by time, newest first, then id."""
    totals = {each: told_apart(cosine) for each, cosine in cosines.items()}
    ids = sorted(totals, key=lambda each: (-totals[each], -timestamps[each], each))
    scores = _shown(np.array([totals[each] for each in ids]))
    nothing = [0.0] * len(ids)
    meaning = [round(cosines[each], DIGITS) for each in ids]
    return Ranking(ids, scores, [*[nothing] * (len(Parts._fields) - 1), meaning])


def _shown(shares: NDArray[np.floating[Any]]) -> list[float]:
    shown: list[float] = shares.clip(0.0, 1.0).round(DIGITS).tolist()
    return shown


def told_apart(earned: float) -> float:
    """The number that entries are ranked by: what differs in less depends on the machine."""
    return round(earned, _TOLD_APART)


def _shares(wanted: Wanted, most: float) -> dict[str, list[tuple[int, float]]]:
    """By word: the rows of the terms that it earns something of, and how much."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row, term in enumerate(wanted.weights):
        found.setdefault(term, []).append((row, 1.0))
        for word, share in wanted.related.get(term, {}).items():
            found.setdefault(word, []).append((row, most * share))
    return found


def _passages(stream: Sequence[str], size: int) -> list[Sequence[str]]:
    """As many words each; the wholes that stand behind a word are its, and don't count."""
    if len(stream) <= size * 3 // 2:
        return [stream]
    words = [at for at, term in enumerate(stream) if not term.startswith("=")]
    cuts = [0, *words[size::size], len(stream)]
    return [stream[start:end] for start, end in pairwise(cuts)]


def _sorted_by(
    ids: Sequence[str], newest: Sequence[int], in_other_words: Sequence[bool]
) -> list[int]:
    """Places in order of the last column, then of those before it."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    order.sort(key=newest.__getitem__)
    order.sort(key=in_other_words.__getitem__)
    return order
