"""Asks both sides for candidates, ranks them, and shows what is true and wanted of them."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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
from dualstore.search.pins import Pin, Pinned, from_cursor, pin_of, sign_of, to_cursor
from dualstore.search.ranking import RECIPE, Parts, Ranked, Ranker, Wanted, linked, told_apart
from dualstore.search.results import Hit, Mode, SearchResult
from dualstore.search.snippets import Snippet, snippet
from dualstore.search.timely import TimeWords
from dualstore.terms import Analyzer
from dualstore.vectors.base import Vector

CANDIDATES: Final = 200
"""Of each side."""
BEST: Final = 50
"""Whose neighbours are looked at, too."""
_MODES: Final = {
    (True, True): ("text", "semantic"),
    (True, False): ("text",),
    (False, True): ("semantic",),
    (False, False): ("neighbours",),
}
"""By whether it was found by words, and by meaning."""


class _Near(NamedTuple):
    """What the vector side knows of a candidate."""

    cosine: float
    chunk: int


@dataclass(slots=True)
class _Pool:
    """What one search has gathered."""

    text: Candidates
    near_ids: list[str]
    vector: Vector | None
    degraded: list[str]
    near: dict[str, _Near]


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
        if cursor is None:
            pinned = await self._ranked(question, mode, where)
        else:
            pinned = from_cursor(cursor, sign)
        shown, rest = await self._true(pinned.pins, where, limit)
        terms = await self._terms(question, mode)
        return SearchResult(
            hits=tuple(self._hit(pin, entry, terms) for pin, entry in shown),
            next_cursor=to_cursor(replace(pinned, pins=rest), sign) if rest else None,
            candidates=pinned.candidates,
            cut=pinned.cut,
            degraded=pinned.degraded,
        )

    # Ranking

    async def _ranked(self, question: Question, mode: Mode, where: Filter) -> Pinned:
        pool = await self._gathered(question, mode, where)
        match mode:
            case "semantic":
                ranked = await self._by_meaning(pool)
            case "text" | "hybrid":
                ranked = await self._by_all(question, mode, pool)
            case _:
                assert_never(mode)
        pins = [each for each in self._pins(ranked, pool) if each.score > 0]
        return Pinned(
            pins=tuple(pins),
            candidates=len(pins),
            cut=pool.text.cut or len(pool.near_ids) >= CANDIDATES,
            degraded=tuple(pool.degraded),
        )

    async def _gathered(self, question: Question, mode: Mode, where: Filter) -> _Pool:
        found = await self._store.candidates(question.factors(), where, limit=CANDIDATES)
        pool = _Pool(found, [], None, [], {})
        if mode == "text":
            return pool
        missing = await self._missing()
        try:
            await self._ask_vectors(question, where, pool)
            missing = missing or await self._missing()  # what was there may have been lost
        except DualStoreError as error:
            if mode == "semantic":
                raise
            pool.degraded.append(f"without meaning: {error}")
        if missing:
            pool.degraded.append(missing)
        if not self._meaning.knows_words:
            pool.degraded.append("without related words: the embedder has no word vectors")
        if mode == "semantic":
            pool.text = replace(found, found=(), cut=False)
        return pool

    async def _ask_vectors(self, question: Question, where: Filter, pool: _Pool) -> None:
        vector = await self._meaning.vector(
            question,
            authors={each.author for each in pool.text.found if each.author},
            frequencies=pool.text.frequencies,
            count=pool.text.count,
        )
        if vector.any():
            pool.vector = vector
            pool.near_ids = await self._nearest.ids(vector, where=where, limit=CANDIDATES)

    async def _by_meaning(self, pool: _Pool) -> list[Ranked]:
        candidates = await self._store.candidates_by_id(pool.near_ids)
        cosines = self._compare(candidates.values(), pool)
        ranked = [
            Ranked(each, max(0.0, min(1.0, told_apart(cosine))), Parts(meaning=cosine))
            for each, cosine in cosines.items()
        ]
        newest = {each: -candidate.timestamp for each, candidate in candidates.items()}
        return sorted(ranked, key=lambda one: (-one.score, newest[one.id], one.id))

    async def _by_all(self, question: Question, mode: Mode, pool: _Pool) -> list[Ranked]:
        known = {each.id for each in pool.text.found}
        more = await self._store.candidates_by_id(
            [each for each in pool.near_ids if each not in known]
        )
        candidates = [*pool.text.found, *more.values()]
        ranker = await self._ranker(question, mode, pool, candidates)
        ranker.add(candidates, self._compare(candidates, pool))
        best = [each.id for each in ranker.ranked()[:BEST]]
        reach = self._recipe.reach
        around = await self._store.neighbours(best, before=reach, after=reach)
        beside = [*chain.from_iterable((*each.before, *each.after) for each in around.values())]
        ranker.add(beside, self._compare(beside, pool))
        return ranker.ranked(linked(around))

    async def _ranker(
        self, question: Question, mode: Mode, pool: _Pool, candidates: Iterable[Candidate]
    ) -> Ranker:
        sought = question.sought(pool.text.frequencies)
        rarity = pool.text.frequencies
        weights = {
            each.term: each.factor * idf(rarity.get(each.term, 0), pool.text.count)
            for each in sought
        }
        authors = {each.author for each in candidates if each.author}
        wanted = Wanted(
            weights=weights,
            related={} if mode == "text" else await self._related(sought, pool.degraded),
            authors=question.names(authors),
        )
        recipe = self._recipe if mode == "hybrid" else replace(self._recipe, meaning=0.0)
        return Ranker(question, wanted, time_words=self._time_words, recipe=recipe)

    async def _related(
        self, sought: Sequence[Sought], degraded: list[str]
    ) -> dict[str, dict[str, float]]:
        try:
            return await self._meaning.related(sought)
        except DualStoreError as error:
            degraded.append(f"without related words: {error}")
            return {}

    def _compare(self, candidates: Iterable[Candidate], pool: _Pool) -> dict[str, float]:
        """The cosines of those that have a copy of their vectors; notes the nearest chunks."""
        if pool.vector is None:
            return {}
        some = [each for each in candidates if each.id not in pool.near]
        copies = [each.vector for each in some]
        found = compared(copies, pool.vector, self._embedder.identity)
        near = {each.id: _Near(*one) for each, one in zip(some, found, strict=True) if one}
        pool.near |= near
        return {each: one.cosine for each, one in near.items()}

    def _pins(self, ranked: Iterable[Ranked], pool: _Pool) -> Iterable[Pin]:
        by_words = {each.id for each in pool.text.found}
        by_meaning = set(pool.near_ids)
        for each in ranked:
            modes = _MODES[each.id in by_words, each.id in by_meaning]
            near = pool.near.get(each.id)
            yield pin_of(each, modes=modes, chunk=near.chunk if near else 0)

    # Showing

    async def _true(
        self, pins: tuple[Pin, ...], where: Filter, limit: int
    ) -> tuple[list[tuple[Pin, Entry]], tuple[Pin, ...]]:
        """The first of them that are there and wanted; and what is left, if any of it is."""
        shown: list[tuple[Pin, Entry]] = []
        size = limit + 1
        for start in range(0, len(pins), size):
            some = pins[start : start + size]
            entries = await self._store.get([pin.id for pin in some])
            for at, pin in enumerate(some, start):
                entry = entries.get(pin.id)
                if entry is not None and matches(where, entry):
                    if len(shown) == limit:
                        return shown, pins[at:]
                    shown.append((pin, entry))
        return shown, ()

    async def _terms(self, question: Question, mode: Mode) -> frozenset[str]:
        """What is marked in snippets."""
        sought = question.sought(dict.fromkeys(question.factors(), 1))
        terms = frozenset(each.term for each in sought)
        if mode != "hybrid":
            return terms
        related = await self._related(sought, [])
        return terms.union(*related.values())

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
