"""Comparing both sides completely, and having repaired what differs.

It asks the index itself and believes no flag. Repair writes no vector: it marks entries due and
queues vectors nobody speaks for, and the indexer does the work. What looks wrong is looked at
twice, so that work under way isn't taken for damage.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from dualstore.documents.base import Candidate, DocumentStore, Scanned
from dualstore.embedders.base import Embedder, Vectors
from dualstore.entry import Entry
from dualstore.errors import EmbedderError, VectorsGoneError
from dualstore.family import FamilySpec
from dualstore.indexing.copies import from_copy
from dualstore.indexing.filing import fields_of
from dualstore.indexing.generations import GenerationBook
from dualstore.indexing.indexes import Indexes
from dualstore.indexing.preparing import Preparer
from dualstore.indexing.removals import Removals
from dualstore.outbox import IndexState
from dualstore.vectors.base import StoredVector, VectorId, VectorIndex

PAGE: Final = 250
ALIKE: Final = 0.995
"""The cosine that a vector has with its int8 copy at least."""


class Problem(StrEnum):
    """How the two sides can differ."""

    MISSING = "missing"  # an entry that is indexed, and whose vectors aren't all there
    CHANGED = "changed"  # an entry whose vectors aren't what was written, or filed otherwise
    LYING = "lying"  # an entry whose mark can't be true, whatever the index holds
    ORPHANED = "orphaned"  # a vector whose entry is gone
    STALE = "stale"  # a vector of what its entry says no longer
    FOREIGN = "foreign"  # a vector that nobody here ever wrote


OF_ENTRIES: Final = (Problem.MISSING, Problem.CHANGED, Problem.LYING)
"""These name entries, the others vectors."""


@dataclass(frozen=True, slots=True)
class Found:
    """One difference, and the id of the entry or the vector that it is about."""

    problem: Problem
    id: str


@dataclass(frozen=True, slots=True)
class ConsistencyReport:
    """Everything that is wrong, by the ids of entries (the first three) or of vectors."""

    entries: int
    """How many were compared."""
    vectors: int
    pending: int
    """Entries that an indexer has still to see to; nothing is said about them."""
    failed: int
    """Entries that couldn't be indexed, each with its reason in its mark."""
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    lying: tuple[str, ...] = ()
    orphaned: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Both sides agree on everything that isn't pending."""
        return not any(getattr(self, problem) for problem in Problem)


@dataclass(frozen=True, slots=True)
class EntryConsistency:
    """What both sides say of one entry."""

    id: str
    state: IndexState
    error: str | None
    """Why it couldn't be indexed."""
    expected: int
    """Vectors that the document says there are."""
    found: int
    """Vectors that the index holds of its present text."""
    problems: tuple[Problem, ...]

    @property
    def in_step(self) -> bool:
        """The index holds what it should, and nothing is left to do."""
        done = self.state in (IndexState.INDEXED, IndexState.EXCLUDED)
        return done and not self.problems


@dataclass(slots=True)
class _Seen:
    """What one comparison has counted."""

    entries: int = 0
    vectors: int = 0
    failed: int = 0


class Consistency:
    """Compares the documents of one family with its index."""

    def __init__(
        self,
        store: DocumentStore,
        *,
        indexes: Indexes,
        book: GenerationBook,
        removals: Removals,
        embedder: Embedder,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._indexes = indexes
        self._book = book
        self._removals = removals
        self._embedder = embedder
        self._clock = clock
        self._preparer = Preparer(store.spec, embedder)

    async def check(self, id_: str) -> EntryConsistency | None:
        """About one entry; None if there is no such entry."""
        scanned = (await self._store.marks([id_])).get(id_)
        if scanned is None or scanned.deleted:
            return None
        index = await self._index()
        expected = _expected(scanned)
        held = await index.get(expected) if index else {}
        problems = await self._differing(index, [scanned])
        return EntryConsistency(
            id_,
            state=scanned.mark.state,
            error=scanned.mark.error,
            expected=len(expected),
            found=len(held),
            problems=tuple(each.problem for each in problems),
        )

    async def report(self) -> ConsistencyReport:
        """Compare everything, a page at a time."""
        seen = _Seen()
        named: dict[Problem, list[str]] = {problem: [] for problem in Problem}
        async for found in self._all(seen):
            named[found.problem].append(found.id)
        status = await self._store.index_status()
        return ConsistencyReport(
            entries=seen.entries,
            vectors=seen.vectors,
            pending=status.due + status.leased,
            failed=seen.failed,
            **{problem.value: tuple(sorted(ids)) for problem, ids in named.items()},
        )

    async def repair(self) -> int:
        """Have everything put right that a report would name; how much that is."""
        count = 0
        some: list[Found] = []
        async for found in self._all(_Seen()):
            some.append(found)
            count += 1
            if len(some) == PAGE:
                await self._order(some)
                some = []
        await self._order(some)
        return count

    async def _order(self, some: Collection[Found]) -> None:
        entries = {each.id for each in some if each.problem in OF_ENTRIES}
        await self._store.mark_due(sorted(entries), now=self._clock())
        await self._removals.add([each.id for each in some if each.problem not in OF_ENTRIES])

    async def _index(self) -> VectorIndex | None:
        """None if there is none, and so nothing in it."""
        try:
            return await self._indexes.written()
        except VectorsGoneError:  # which is on record now: another one is to be filled
            return await self._indexes.written()

    async def _all(self, seen: _Seen) -> AsyncIterator[Found]:
        index = await self._index()
        try:
            async for found in self._of_entries(index, seen):
                yield found
            if index is not None:
                async for found in self._of_vectors(index, seen):
                    yield found
        except VectorsGoneError:
            self._indexes.forget()
            raise

    async def _of_entries(self, index: VectorIndex | None, seen: _Seen) -> AsyncIterator[Found]:
        after: str | None = None
        while page := await self._store.scan(after=after, limit=PAGE):
            after = page[-1].id
            live = [each for each in await self._settled(page) if not each.deleted]
            seen.entries += len(live)
            seen.failed += sum(each.mark.state is IndexState.FAILED for each in live)
            first = await self._differing(index, live)
            if first:
                again = await self._store.marks([each.id for each in first])
                second = await self._differing(index, await self._settled(again.values()))
                for found in first:
                    if found in second:
                        yield found

    async def _of_vectors(self, index: VectorIndex, seen: _Seen) -> AsyncIterator[Found]:
        while ids := await index.scan(offset=seen.vectors, limit=PAGE):
            seen.vectors += len(ids)
            first = await self._unwanted(ids)
            if first:
                held = await index.get([each.id for each in first])
                second = await self._unwanted(list(held))
                for found in first:
                    if found in second:
                        yield found

    async def _settled(self, page: Iterable[Scanned]) -> list[Scanned]:
        """Those that are said to be done, in the index that is being written."""
        present = await self._book.read()
        walked = present.walked if present else None
        return [
            each
            for each in page
            if each.mark.claim_at is None and (walked is None or each.id <= walked)
        ]

    async def _differing(self, index: VectorIndex | None, page: Iterable[Scanned]) -> list[Found]:
        """What is wrong with the vectors of these, which are live and settled."""
        done = [each for each in page if not each.deleted and each.mark.claim_at is None]
        wanted = [each for each in done if each.mark.state is IndexState.INDEXED]
        ids = [each.id for each in done]
        entries = await self._store.get(ids)
        copies = await self._store.candidates_by_id([each.id for each in wanted])
        held = await index.get([one for each in wanted for one in _expected(each)]) if index else {}
        found = [
            Found(problem, each.id)
            for each in wanted
            if each.id in entries
            and (problem := self._judged(each, entries[each.id], copies.get(each.id), held))
        ]
        return found + [
            Found(Problem.LYING, each.id)
            for each in done
            if each.mark.state is IndexState.EXCLUDED
            and each.id in entries
            and await self._should_have_vectors(entries[each.id])
        ]

    def _judged(
        self,
        scanned: Scanned,
        entry: Entry,
        candidate: Candidate | None,
        held: Mapping[str, StoredVector],
    ) -> Problem | None:
        mark = scanned.mark
        copy = from_copy(candidate.vector, self._embedder.identity) if candidate else None
        if copy is None or len(copy) != mark.chunks or mark.held != scanned.text_hash:
            return Problem.LYING
        expected = [
            (held.get(each), row)
            for each, row in zip(_expected(scanned), copy, strict=True)
            if row.any()
        ]
        return _compared(expected, entry, self._store.spec)

    async def _should_have_vectors(self, entry: Entry) -> bool:
        """Whether an entry without vectors has text with a direction."""
        try:
            return await self._preparer.has_direction(entry)
        except EmbedderError:
            return False

    async def _unwanted(self, ids: Collection[str]) -> list[Found]:
        """Of these vectors, what shouldn't be in the index."""
        parsed = {each: VectorId.parse(each) for each in ids}
        marks = await self._store.marks(list({each.entry for each in parsed.values() if each}))
        judged = ((each, _judged_vector(vector, marks)) for each, vector in parsed.items())
        return [Found(problem, each) for each, problem in judged if problem]


def _expected(scanned: Scanned) -> list[str]:
    """The ids of the vectors that the mark speaks of."""
    mark = scanned.mark
    return [str(VectorId(scanned.id, mark.held, chunk)) for chunk in range(mark.chunks)]


def _compared(
    expected: Iterable[tuple[StoredVector | None, Vectors]], entry: Entry, spec: FamilySpec
) -> Problem | None:
    fields = fields_of(entry, spec)
    changed = False
    for stored, row in expected:
        if stored is None:
            return Problem.MISSING
        length = max(float(np.linalg.norm(stored.vector)), 1e-30)
        alike = float(stored.vector @ row) / length >= ALIKE
        changed = changed or not alike or stored.fields != fields
    return Problem.CHANGED if changed else None


def _judged_vector(vector: VectorId | None, marks: Mapping[str, Scanned]) -> Problem | None:
    if vector is None:
        return Problem.FOREIGN
    scanned = marks.get(vector.entry)
    if scanned is None:
        return Problem.ORPHANED
    mark = scanned.mark
    if mark.claim_at is not None:
        return None
    if scanned.deleted:
        return Problem.ORPHANED
    spoken_for = mark.held == vector.text_hash and vector.chunk < mark.chunks
    return None if spoken_for else Problem.STALE
