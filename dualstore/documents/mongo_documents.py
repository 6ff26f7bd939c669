"""One family's documents in MongoDB."""

from collections.abc import Mapping, Sequence
from typing import Final

from dualstore.documents.base import (
    Candidate,
    Candidates,
    DeleteOutcome,
    DocumentStore,
    IndexStatus,
    Neighbours,
    Page,
    Put,
    Scanned,
    Settlement,
    Tally,
    Work,
)
from dualstore.documents.base import Order as PageOrder
from dualstore.documents.cursors import Position, cut_page, from_cursor, query_sign
from dualstore.documents.doors import (
    check_bounds,
    check_factors,
    check_filter,
    check_ids,
    check_limit,
    check_new_ids,
    check_order,
    check_skip,
    was_settled,
    was_written,
)
from dualstore.documents.mongo_collection import Index, MongoCollection, Order, Query
from dualstore.documents.mongo_filters import ODD, Compiled, compile_filter
from dualstore.documents.mongo_keys import to_key
from dualstore.documents.mongo_portions import Row
from dualstore.documents.mongo_rows import ENTRY_FIELDS, FACT_FIELDS, to_entry
from dualstore.documents.mongo_terms import LIVE, MongoTerms
from dualstore.documents.mongo_work import MongoWork
from dualstore.documents.mongo_writes import MongoWriter
from dualstore.entry import LOCAL, Draft, Entry, SourceVersion
from dualstore.family import FamilySpec
from dualstore.filters import EVERYTHING, Filter
from dualstore.metrics import Metrics, WorkClaimed

INDEXES: Final = (
    Index(("live", "ts", "_id")),  # pages by time, counts
    Index(("live", "updated", "_id")),  # pages by update, purges
    Index(("thread", "ts", "_id")),  # pages of a thread, neighbours, tallies
    Index(("terms",)),  # candidates
    Index(("attrs",)),  # every filter on metadata
    # what can be claimed, in the order of claims; a sparse index would have every `_id`
    Index(
        ("claim_at", "due_since", "_id"),
        {"partialFilterExpression": {"claim_at": {"$exists": True}}},
    ),
    Index(("token",), {"sparse": True}),  # what a claim took
    Index(("state", "due_since")),  # the index status
    # beside each filter: what it can't be asked about, in the order of pages
    Index(("odd", "ts", "_id"), {"partialFilterExpression": ODD}),
)
_TIME_FIELDS: Final[dict[PageOrder, str]] = {"timestamp": "ts", "updated": "updated"}


class MongoDocuments(DocumentStore):
    """Reads pages and counts itself; writes, words and index work have a room each."""

    def __init__(self, spec: FamilySpec, rows: MongoCollection, metrics: Metrics) -> None:
        self.spec = spec
        self._metrics = metrics
        self._rows = rows
        self._writer = MongoWriter(spec, rows)
        self._terms = MongoTerms(rows)
        self._work = MongoWork(spec, rows)

    async def prepare(self) -> None:
        """Make the indexes that aren't there yet; others may do the same at the same time."""
        await self._rows.create_indexes(INDEXES)

    async def put(
        self, drafts: Sequence[Draft], *, now: int, expect: Mapping[str, int] | None = None
    ) -> list[Put]:
        puts = await self._writer.put(drafts, now=now, expect=expect or {})
        self._metrics.emit(was_written(self.spec.name, puts))
        return puts

    async def get(self, ids: Sequence[str]) -> dict[str, Entry]:
        return await self._rows.pick(LIVE, check_ids(ids), ENTRY_FIELDS, to_entry)

    async def page(
        self,
        where: Filter = EVERYTHING,
        *,
        order: PageOrder = "timestamp",
        newest: bool = True,
        limit: int = 50,
        cursor: str | None = None,
        skip: int = 0,
    ) -> Page:
        check_filter(where)
        check_order(order)
        sign = query_sign(self.spec.name, where, order, newest=newest)
        position = None if cursor is None else from_cursor(cursor, sign)
        limit, skip = check_limit(limit), check_skip(skip)
        compiled = compile_filter(where, self.spec)
        skipped = skip if await self._is_certain(compiled, skip) else 0
        found = await self._rows.collect(
            {**LIVE, **compiled.possible},
            ENTRY_FIELDS,
            lambda row: row if compiled.holds(row) else None,
            enough=skip - skipped + limit + 1,
            order=Order(_TIME_FIELDS[order], -1 if newest else 1),
            after=position and Position(position.at, to_key(position.id)),
            skip=skipped,
        )
        entries = [to_entry(row) for row in found[skip - skipped :]]
        return cut_page(entries, limit, order=order, sign=sign)

    async def _is_certain(self, compiled: Compiled, skip: int) -> bool:
        """Whether the server can skip: whatever it finds does match."""
        if not skip or compiled.is_everything:
            return True
        return compiled.exact and not await self._rows.find({**LIVE, **ODD}, {"_id": 1}, limit=1)

    async def count(self, where: Filter = EVERYTHING) -> int:
        check_filter(where)
        compiled = compile_filter(where, self.spec)
        certain, doubtful = compiled.certain, compiled.doubtful
        count = 0
        if certain is not None:
            count += await self._rows.count({**LIVE, **certain})
        if doubtful is not None:
            count += len(await self._held(compiled, {**LIVE, **doubtful}))
        return count

    async def _held(self, compiled: Compiled, query: Query) -> list[tuple[str | None, int]]:
        """Thread and time of each entry that was asked about itself, and matches."""

        def check(row: Row) -> tuple[str | None, int] | None:
            return (row.get("thread"), row["ts"]) if compiled.holds(row) else None

        return await self._rows.collect(query, {**FACT_FIELDS, "thread": 1}, check)

    async def version(self) -> int | None:
        """One document that every write would have to change is a queue that all stand in."""
        return None

    async def tally(
        self, threads: Sequence[str] | None = None, where: Filter = EVERYTHING
    ) -> dict[str, Tally]:
        check_filter(where)
        compiled = compile_filter(where, self.spec)
        # only entries have a thread; that it is a text is what the index can be asked
        wanted: Query = {
            "thread": {"$gte": ""} if threads is None else {"$in": list(check_ids(threads))}
        }
        tallies: dict[str, Tally] = {}
        if compiled.certain is not None:
            tallies = await self._grouped({"$and": [wanted, compiled.certain]})
        if compiled.doubtful is not None:
            query = {"$and": [wanted, compiled.doubtful]}
            for thread, time in await self._held(compiled, query):
                if thread is not None:
                    _add(tallies, thread, time)
        return tallies

    async def _grouped(self, query: Query) -> dict[str, Tally]:
        group = {"_id": "$thread", "count": {"$sum": 1}, "newest": {"$max": "$ts"}}
        rows = await self._rows.aggregate([{"$match": query}, {"$group": group}])
        return {row["_id"]: Tally(row["count"], row["newest"]) for row in rows}

    async def candidates(
        self, terms: Mapping[str, float], where: Filter = EVERYTHING, *, limit: int = 200
    ) -> Candidates:
        check_filter(where)
        check_factors(terms)
        limit = check_limit(limit)
        return await self._terms.candidates(terms, compile_filter(where, self.spec), limit=limit)

    async def candidates_by_id(self, ids: Sequence[str]) -> dict[str, Candidate]:
        return await self._terms.by_id(check_ids(ids))

    async def neighbours(
        self, ids: Sequence[str], *, before: int, after: int
    ) -> dict[str, Neighbours]:
        before, after = check_skip(before), check_skip(after)
        return await self._terms.neighbours(check_ids(ids), before=before, after=after)

    async def delete(
        self,
        ids: Sequence[str],
        *,
        now: int,
        origin: str = LOCAL,
        source_version: SourceVersion | None = None,
        expect: Mapping[str, int] | None = None,
    ) -> dict[str, DeleteOutcome]:
        return await self._writer.delete(
            check_new_ids(ids),
            now=now,
            origin=origin,
            source_version=source_version,
            expect=expect or {},
        )

    async def claim(self, limit: int, *, now: int, lease: int) -> list[Work]:
        works = await self._work.claim(check_limit(limit), now=now, lease=lease)
        self._metrics.emit(WorkClaimed(self.spec.name, claimed=len(works)))
        return works

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        kept = await self._work.settle(settlements)
        self._metrics.emit(was_settled(self.spec.name, kept))
        return kept

    async def mark_due(self, ids: Sequence[str], *, now: int) -> list[str]:
        return await self._work.mark_due(check_ids(ids), now=now)

    async def index_status(self) -> IndexStatus:
        return await self._work.status()

    async def marks(self, ids: Sequence[str]) -> dict[str, Scanned]:
        return await self._work.marks(check_ids(ids))

    async def scan(
        self, *, after: str | None = None, before: str | None = None, limit: int = 1000
    ) -> list[Scanned]:
        check_bounds(after, before)
        return await self._work.scan(after, before, check_limit(limit))

    async def purge(self, *, deleted_before: int, limit: int = 1000) -> int:
        return await self._work.purge(deleted_before=deleted_before, limit=check_limit(limit))


def _add(tallies: dict[str, Tally], thread: str, time: int) -> None:
    known = tallies.get(thread, Tally(0, time))
    tallies[thread] = Tally(known.count + 1, max(known.newest, time))
