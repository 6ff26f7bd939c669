"""Comparing both sides completely, and having repaired what differs.

It asks the index itself and believes no flag. Repair writes no vector: it marks entries due and
queues vectors nobody speaks for, and the indexer does the work. What looks wrong is looked at
again, so that work under way isn't taken for damage.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

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
TRIES: Final = 5
"""Comparisons that are begun; each ends where the index is lost, or another one takes its place."""
PAUSES: Final = (0.1, 0.3, 1.0)
"""Seconds between looks. There are more than two only while somebody has something to index."""
ALIKE: Final = 0.995
"""The cosine that a vector has with its int8 copy at least."""

T = TypeVar("T")


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
    pending: int = 0
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
        problems = await self._differing([scanned])
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
        return await self._steadily(self._report)

    async def repair(self) -> int:
        """Have everything put right that a report would name; how much that is."""
        return await self._steadily(self._repair)

    async def _steadily(self, compare: Callable[[], Awaitable[T]]) -> T:
        """From the beginning when the index is another one in the middle."""
        for _ in range(TRIES - 1):
            try:
                return await compare()
            except VectorsGoneError:
                self._indexes.forget()
        return await compare()

    async def _report(self) -> ConsistencyReport:
        seen = _Seen()
        named: dict[Problem, list[str]] = {problem: [] for problem in Problem}
        async for found in self._all(seen):
            named[found.problem].append(found.id)
        return ConsistencyReport(
            entries=seen.entries,
            vectors=seen.vectors,
            pending=seen.pending,
            failed=seen.failed,
            **{problem.value: tuple(sorted(ids)) for problem, ids in named.items()},
        )

    async def _repair(self) -> int:
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
        found = [each async for each in self._of_entries(seen)]
        found += [each async for each in self._of_vectors(seen)]
        for pause in PAUSES if found else ():
            await asyncio.sleep(pause)
            parts = [found[start : start + PAGE] for start in range(0, len(found), PAGE)]
            found = [each for part in parts for each in await self._believed(part)]
            status = await self._store.index_status()
            if not (status.due or status.leased):
                break
        for each in found:
            yield each

    async def _of_entries(self, seen: _Seen) -> AsyncIterator[Found]:
        walked = await self._walked()
        after: str | None = None
        while page := await self._store.scan(after=after, limit=PAGE):
            after = page[-1].id
            settled = _settled(page, walked)
            live = [each for each in settled if not each.deleted]
            seen.entries += len(live)
            seen.pending += len(page) - len(settled)
            seen.failed += sum(each.mark.state is IndexState.FAILED for each in live)
            for found in await self._differing(live):
                yield found
            walked = await self._walked()

    async def _of_vectors(self, seen: _Seen) -> AsyncIterator[Found]:
        index = await self._index()
        while index and (ids := await index.scan(offset=seen.vectors, limit=PAGE)):
            seen.vectors += len(ids)
            for found in await self._unwanted(ids):
                yield found

    async def _believed(self, first: Collection[Found]) -> list[Found]:
        """Those that are found again while nothing happens to their entries, or the index."""
        index = await self._index()
        entries = [each.id for each in first if each.problem in OF_ENTRIES]
        vectors = [each.id for each in first if each.problem not in OF_ENTRIES]
        walked, before = await self._walked(), await self._store.marks(entries)
        second = await self._differing(_settled(before.values(), walked))
        after = await self._store.marks(entries)
        changed = {each for each in entries if before.get(each) != after.get(each)}
        if index:
            second += await self._unwanted(list(await index.get(vectors)))
        if not _is_same(index, await self._index()):
            return []
        return [each for each in first if each in second and each.id not in changed]

    async def _walked(self) -> str | None:
        """Only what comes no later than this has been marked for the index that is being written.

        To be asked before the marks are.
        """
        await self._index()  # one that is gone is on record after that
        present = await self._book.read()
        return present.walked if present else None

    async def _differing(self, page: Iterable[Scanned]) -> list[Found]:
        """What is wrong with the vectors of these, of which the live and settled ones count."""
        done = [each for each in page if not each.deleted and each.mark.claim_at is None]
        wanted = [each for each in done if each.mark.state is IndexState.INDEXED]
        ids = [each.id for each in done]
        entries = await self._store.get(ids)
        copies = await self._store.candidates_by_id([each.id for each in wanted])
        index = await self._index()
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


def _settled(page: Iterable[Scanned], walked: str | None) -> list[Scanned]:
    """Those that are said to be done, in the index that is being written.

    A tombstone says nothing of vectors, and so nothing of the index.
    """
    return [
        each
        for each in page
        if each.mark.claim_at is None and (walked is None or each.id <= walked or each.deleted)
    ]


def _is_same(one: VectorIndex | None, other: VectorIndex | None) -> bool:
    return (one and one.name) == (other and other.name)


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
