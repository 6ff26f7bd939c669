"""Asks both sides for candidates, ranks them, and shows what is true and wanted of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final, NamedTuple, assert_never

from dualstore.documents.base import Candidate, Candidates, DocumentStore
from dualstore.documents.weights import idf
from dualstore.embedders.base import Embedder
from dualstore.entry import Drafter, Entry
from dualstore.errors import DualStoreError
from dualstore.filters import Filter, matches
from dualstore.indexing.copies import compared
from dualstore.indexing.preparing import Preparer
from dualstore.search.asking import Question, Sought
from dualstore.search.meaning import Meaning
from dualstore.search.nearest import Nearest
from dualstore.search.pins import Pin, Pinned, from_cursor, sign_of, to_cursor
from dualstore.search.ranking import RECIPE, Ranker, Ranking, Wanted, by_cosine
from dualstore.search.results import Hit, Mode, SearchResult
from dualstore.search.snippets import Snippet, snippet
from dualstore.search.timely import TimeWords
from dualstore.search.windows import linked
from dualstore.terms import Analyzer
from dualstore.vectors.base import Vector

CANDIDATES: Final = 200
"""Of each side."""
BEST: Final = 50
"""Whose neighbours are looked at, too."""
_AT_ONCE: Final = 25
"""Candidates that are looked at before others get their turn on the loop."""
Related = Mapping[str, Mapping[str, float]]
"""By term: words that mean about the same, with the share that they earn."""


class _Asked(NamedTuple):
    """One question, and what is asked along with it."""

    question: Question
    mode: Mode
    where: Filter


class _Pool:
    """What one search has gathered."""

    def __init__(self, text: Candidates) -> None:
        self.text = text
        self.degraded: list[str] = []
        self.vector: Vector | None = None
        self.nearest: list[Candidate] = []
        self.is_cut = False
        self.cosines: dict[str, float] = {}
        self.chunks: dict[str, int] = {}
        """Of some entries the nearest chunk, of the others it is the first."""


class Finder:
    """Searches one family."""

    def __init__(
        self,
        store: DocumentStore,
        *,
        nearest: Nearest,
        embedder: Embedder,
        missing: Callable[[], Awaitable[str | None]],
    ) -> None:
        """`missing` says what no search by meaning can find yet; None if there is nothing."""
        self._store = store
        self._nearest = nearest
        self._embedder = embedder
        self._missing = missing
        self._recipe = RECIPE
        self._analyzer = Analyzer()
        self._meaning = Meaning(embedder, self._analyzer)
        self._time_words = TimeWords(self._analyzer)
        self._preparer = Preparer(store.spec, embedder)
        self._drafter = Drafter(store.spec)

    async def search(
        self, text: str, *, mode: Mode, where: Filter, limit: int, cursor: str | None = None
    ) -> SearchResult:
        """One page. A search by meaning alone raises what is in its way; a hybrid one says so."""
        sign = sign_of(self._store.spec.name, text, mode, where)
        question = Question(text, self._analyzer)
        asked = _Asked(question, mode, where)
        if cursor is None:
            pinned, related = await self._ranked(asked)
        else:
            pinned, related = from_cursor(cursor, sign), await self._related(asked, [])
        shown, rest = await self._true(pinned, where, limit)
        terms = frozenset(each.term for each in _sought(question)).union(*related.values())
        return SearchResult(
            hits=tuple(self._hit(pin, entry, terms) for pin, entry in shown),
            next_cursor=to_cursor(pinned.part(rest), sign) if rest < len(pinned) else None,
            candidates=pinned.candidates,
            cut=pinned.cut,
            degraded=pinned.degraded,
        )

    async def _related(self, asked: _Asked, degraded: list[str]) -> Related:
        if asked.mode != "hybrid":
            return {}
        if not self._meaning.knows_words:
            degraded.append("without related words: the embedder has no word vectors")
        try:
            return await self._meaning.related(_sought(asked.question))
        except DualStoreError as error:
            degraded.append(f"without related words: {error}")
            return {}

    # Ranking

    async def _ranked(self, asked: _Asked) -> tuple[Pinned, Related]:
        reasons: list[str] = []
        factors = asked.question.factors()
        found, related = await asyncio.gather(
            self._store.candidates(factors, asked.where, limit=CANDIDATES),
            self._related(asked, reasons),
        )
        pool = _Pool(found)
        match asked.mode:
            case "semantic":
                await self._ask_vectors(asked, pool)
                pool.text = replace(found, found=(), cut=False)
                ranked = self._by_meaning(pool)
            case "text" | "hybrid":
                ranked = await self._by_all(asked, pool, related)
            case _:
                assert_never(asked.mode)
        pool.degraded += reasons
        return _pinned(ranked, pool), related

    def _by_meaning(self, pool: _Pool) -> Ranking:
        self._compare(pool.nearest, pool)
        return by_cosine(pool.cosines, {each.id: each.timestamp for each in pool.nearest})

    async def _by_all(self, asked: _Asked, pool: _Pool, related: Related) -> Ranking:
        """What was found by words is looked at while the vectors are asked."""
        ranker = self._ranker(asked, pool.text, related)
        if asked.mode == "hybrid":
            await asyncio.gather(self._ask_vectors(asked, pool), _add(ranker, pool.text.found))
        await _add(ranker, [*pool.text.found, *pool.nearest])
        self._compare([*pool.text.found, *pool.nearest], pool)
        best = ranker.ranked(pool.cosines).ids[:BEST]
        reach = self._recipe.reach
        around = await self._store.neighbours(best, before=reach, after=reach)
        beside = [*chain.from_iterable((*each.before, *each.after) for each in around.values())]
        await _add(ranker, beside)
        self._compare(beside, pool)
        return ranker.ranked(pool.cosines, linked(around))

    def _ranker(self, asked: _Asked, found: Candidates, related: Related) -> Ranker:
        rarity = found.frequencies
        weights = {
            each.term: each.factor * idf(rarity.get(each.term, 0), found.count)
            for each in asked.question.sought(rarity)
        }
        recipe = self._recipe if asked.mode == "hybrid" else replace(self._recipe, meaning=0.0)
        return Ranker(
            asked.question,
            Wanted(weights, related),
            time_words=self._time_words,
            recipe=recipe,
        )

    async def _ask_vectors(self, asked: _Asked, pool: _Pool) -> None:
        missing = await self._missing()
        try:
            await self._find_nearest(asked, pool)
            missing = missing or await self._missing()  # what was there may have been lost
        except DualStoreError as error:
            if asked.mode == "semantic":
                raise
            pool.degraded.append(f"without meaning: {error}")
        if missing:
            pool.degraded.append(missing)

    async def _find_nearest(self, asked: _Asked, pool: _Pool) -> None:
        found = pool.text
        vector = await self._meaning.vector(
            asked.question,
            authors={each.author for each in found.found if each.author},
            frequencies=found.frequencies,
            count=found.count,
        )
        if vector.any():
            pool.vector = vector
            pool.nearest, pool.is_cut = await self._nearest.find(
                vector, where=asked.where, limit=CANDIDATES
            )

    def _compare(self, candidates: Iterable[Candidate], pool: _Pool) -> None:
        """Note the cosines of those that have a copy of their vectors."""
        if pool.vector is None:
            return
        copies = {each.id: each.vector for each in candidates if each.id not in pool.cosines}
        found = compared(list(copies.values()), pool.vector, self._embedder.identity)
        for each, near in zip(copies, found, strict=True):
            if near is not None:
                pool.cosines[each] = near.cosine
                if near.chunk:
                    pool.chunks[each] = near.chunk

    # Showing

    async def _true(
        self, pinned: Pinned, where: Filter, limit: int
    ) -> tuple[list[tuple[Pin, Entry]], int]:
        """The first of them that are there and wanted; and where the next one is."""
        shown: list[tuple[Pin, Entry]] = []
        size = limit + 1
        for start in range(0, len(pinned), size):
            ids = pinned.ranking.ids[start : start + size]
            entries = await self._store.get(ids)
            for at, each in enumerate(ids, start):
                entry = entries.get(each)
                if entry is not None and matches(where, entry):
                    if len(shown) == limit:
                        return shown, at
                    shown.append((pinned[at], entry))
        return shown, len(pinned)

    def _hit(self, pin: Pin, entry: Entry, terms: frozenset[str]) -> Hit:
        return Hit(
            entry,
            score=pin.score,
            snippet=self._snippet(pin, entry, terms),
            modes=pin.modes,
            explanation=pin.parts,
        )

    def _snippet(self, pin: Pin, entry: Entry, terms: frozenset[str]) -> Snippet:
        near = 0
        if pin.chunk:
            spans = self._preparer.spans(entry)
            lead = len(self._drafter.indexed_text(entry)) - len(entry.text)
            near = max(0, spans[pin.chunk].start - lead) if pin.chunk < len(spans) else 0
        return snippet(entry.text, terms, self._analyzer, near=near)


async def _add(ranker: Ranker, candidates: Sequence[Candidate]) -> None:
    """Letting others have the loop now and then."""
    for start in range(0, len(candidates), _AT_ONCE):
        ranker.add(candidates[start : start + _AT_ONCE])
        await asyncio.sleep(0)


def _pinned(ranking: Ranking, pool: _Pool) -> Pinned:
    """Those that earned something, and how they were found."""
    by_words = {each.id for each in pool.text.found}
    by_meaning = {each.id for each in pool.nearest}
    nothing = next((at for at, score in enumerate(ranking.scores) if score <= 0), len(ranking))
    pinned = Pinned(
        ranking,
        [(each in by_words) + 2 * (each in by_meaning) for each in ranking.ids],
        [pool.chunks.get(each, 0) for each in ranking.ids],
        candidates=nothing,
        cut=pool.text.cut or pool.is_cut,
        degraded=tuple(pool.degraded),
    )
    return pinned.part(0, nothing)


def _sought(question: Question) -> list[Sought]:
    """What is looked for if every identifier is known: what is marked in snippets."""
    return question.sought(dict.fromkeys(question.factors(), 1))
