"""Comparing both sides completely, and having repaired what differs.

It asks the index itself and believes no flag. Repair writes no vector: it marks entries due and
queues vectors nobody speaks for, and the indexer does the work. What looks wrong is looked at
again, so that work under way isn't taken for damage.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from dualstore.differences import (
    OF_ENTRIES,
    ConsistencyReport,
    EntryConsistency,
    Found,
    Problem,
    expected_ids,
    judged_entry,
    judged_vector,
    settled,
)
from dualstore.documents.base import DocumentStore, Scanned
from dualstore.embedders.base import Embedder
from dualstore.entry import Entry
from dualstore.errors import EmbedderError, VectorsGoneError
from dualstore.indexing.copies import from_copy
from dualstore.indexing.generations import GenerationBook
from dualstore.indexing.indexes import Indexes
from dualstore.indexing.preparing import Preparer
from dualstore.indexing.removals import Removals
from dualstore.outbox import IndexState
from dualstore.vectors.base import VectorId, VectorIndex

PAGE: Final = 250
TRIES: Final = 5
"""Comparisons that are begun; each ends where the index is lost, or another one takes its place."""
PAUSES: Final = (0.1, 0.3, 1.0)
"""Seconds between looks. There are more than two only while somebody has something to index."""

T = TypeVar("T")


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
        return await self._steadily(partial(self._check, id_))

    async def _check(self, id_: str) -> EntryConsistency | None:
        scanned = (await self._store.marks([id_])).get(id_)
        if scanned is None or scanned.deleted:
            return None
        index = await self._index()
        expected = expected_ids(scanned)
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
            done = settled(page, walked)
            live = [each for each in done if not each.deleted]
            seen.entries += len(live)
            seen.pending += len(page) - len(done)
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
        second = await self._differing(settled(before.values(), walked))
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
        identity = self._embedder.identity
        rows = {each: from_copy(copy.vector, identity) for each, copy in copies.items()}
        index = await self._index()
        held = (
            await index.get([one for each in wanted for one in expected_ids(each)]) if index else {}
        )
        found = [
            Found(problem, each.id)
            for each in wanted
            if each.id in entries
            and (
                problem := judged_entry(
                    each, entries[each.id], rows.get(each.id), held, self._store.spec
                )
            )
        ]
        return found + [
            Found(Problem.LYING, each.id)
            for each in done
            if each.mark.state is IndexState.EXCLUDED
            and each.id in entries
            and await self._should_have_vectors(entries[each.id])
        ]

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
        judged = ((each, judged_vector(vector, marks)) for each, vector in parsed.items())
        return [Found(problem, each) for each, problem in judged if problem]


def _is_same(one: VectorIndex | None, other: VectorIndex | None) -> bool:
    return (one and one.name) == (other and other.name)
