"""One family's documents in an SQLite file."""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from dualstore.documents import sqlite_terms
from dualstore.documents.base import (
    Candidate,
    Candidates,
    DeleteOutcome,
    DocumentStore,
    IndexStatus,
    Neighbours,
    Order,
    Page,
    Put,
    Scanned,
    Settlement,
    Tally,
    Work,
)
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
from dualstore.documents.rules import acknowledged_ids
from dualstore.documents.sqlite_filters import EVERYWHERE, ODD, Scope, among, compile_filter
from dualstore.documents.sqlite_lanes import Job, Lanes, writing
from dualstore.documents.sqlite_rows import (
    ENTRY,
    fetch_by_ids,
    to_entry,
)
from dualstore.documents.sqlite_work import SqliteWork
from dualstore.documents.sqlite_writes import Writer
from dualstore.entry import LOCAL, Draft, Entry, SourceVersion
from dualstore.errors import DualStoreError, PartialWriteError
from dualstore.family import FamilySpec
from dualstore.filters import EVERYTHING, Filter
from dualstore.metrics import Metrics, WorkClaimed

T = TypeVar("T")

TRANSACTION: Final = 10_000
"""Drafts written under one lock: for about half a second, other processes wait."""

_TIME_COLUMN: Final[dict[Order, str]] = {"timestamp": "timestamp", "updated": "updated_at"}


class SqliteDocuments(DocumentStore):
    """Writes go through the file's one writing lane, reads through any of the others."""

    def __init__(
        self, spec: FamilySpec, number: int, *, writer: Lanes, readers: Lanes, metrics: Metrics
    ) -> None:
        self.spec = spec
        self._metrics = metrics
        self._n = number
        self._writer = writer
        self._readers = readers
        self._writes = Writer(spec, number)
        self._work = SqliteWork(spec, number)
        self._common = sqlite_terms.Common()

    async def put(
        self, drafts: Sequence[Draft], *, now: int, expect: Mapping[str, int] | None = None
    ) -> list[Put]:
        puts: list[Put] = []
        for start in range(0, len(drafts), TRANSACTION):
            some = drafts[start : start + TRANSACTION]
            try:
                puts += await self._write(
                    partial(self._writes.put, drafts=some, now=now, expect=expect or {})
                )
            except DualStoreError as error:
                acknowledged = acknowledged_ids(puts, drafts[start:])
                if not acknowledged:
                    raise
                raise PartialWriteError(str(error), acknowledged=acknowledged) from error
        self._metrics.emit(was_written(self.spec.name, puts))
        return puts

    async def get(self, ids: Sequence[str]) -> dict[str, Entry]:
        query = (
            f"SELECT {ENTRY} FROM entries_{self._n} WHERE deleted = 0"
            " AND id IN (SELECT value FROM json_each(?))"
        )

        checked = check_ids(ids)

        def job(connection: sqlite3.Connection) -> dict[str, Entry]:
            return {row[0]: to_entry(row) for row in fetch_by_ids(connection, query, checked)}

        return await self._read(job)

    async def page(
        self,
        where: Filter = EVERYTHING,
        *,
        order: Order = "timestamp",
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
        column = _TIME_COLUMN[order]

        def job(connection: sqlite3.Connection) -> list[Entry]:
            scope = self._scope(connection, where)
            after, bounds = _after(position, column, newest=newest)
            direction = "DESC" if newest else "ASC"
            rows = connection.execute(
                f"SELECT {ENTRY} FROM entries_{self._n} WHERE deleted = 0"
                f" AND {scope.condition}{after}"
                f" ORDER BY {column} {direction}, id {direction} LIMIT ? OFFSET ?",
                (*scope.parameters, *bounds, limit + 1, skip),
            )
            return [to_entry(row) for row in rows]

        found = await self._read(job)
        return cut_page(found, limit, order=order, sign=sign)

    async def count(self, where: Filter = EVERYTHING) -> int:
        check_filter(where)

        def job(connection: sqlite3.Connection) -> int:
            if where == EVERYTHING:
                return sqlite_terms.live_count(connection, self._n)
            scope = self._scope(connection, where)
            (count,) = connection.execute(
                f"SELECT count(*) FROM entries_{self._n} WHERE deleted = 0 AND {scope.condition}",
                scope.parameters,
            ).fetchone()
            return int(count)

        return await self._read(job)

    async def version(self) -> int | None:
        return await self._read(partial(sqlite_terms.next_seq, number=self._n))

    async def tally(
        self, threads: Sequence[str] | None = None, where: Filter = EVERYTHING
    ) -> dict[str, Tally]:
        check_filter(where)
        wanted = None if threads is None else check_ids(threads)

        def job(connection: sqlite3.Connection) -> list[Any]:
            scope = self._scope(connection, where)
            named, names = ("1", ()) if wanted is None else among("thread", wanted)
            return connection.execute(
                f"SELECT thread, count(*), max(timestamp) FROM entries_{self._n}"
                f" WHERE deleted = 0 AND thread IS NOT NULL AND {scope.condition} AND {named}"
                " GROUP BY thread",
                (*scope.parameters, *names),
            ).fetchall()

        rows = await self._read(job)
        return {thread: Tally(count, newest) for thread, count, newest in rows if thread != ODD}

    async def candidates(
        self, terms: Mapping[str, float], where: Filter = EVERYTHING, *, limit: int = 200
    ) -> Candidates:
        check_filter(where)
        check_factors(terms)
        limit = check_limit(limit)

        def job(connection: sqlite3.Connection) -> Candidates:
            return sqlite_terms.candidates(
                connection,
                number=self._n,
                factors=terms,
                scope=self._scope(connection, where),
                limit=limit,
                common=self._common,
            )

        return await self._read(job)

    async def candidates_by_id(self, ids: Sequence[str]) -> dict[str, Candidate]:
        found = await self._read(partial(sqlite_terms.by_id, number=self._n, ids=check_ids(ids)))
        return {candidate.id: candidate for candidate in found}

    async def neighbours(
        self, ids: Sequence[str], *, before: int, after: int
    ) -> dict[str, Neighbours]:
        return await self._read(
            partial(
                sqlite_terms.neighbours,
                number=self._n,
                ids=check_ids(ids),
                before=check_skip(before),
                after=check_skip(after),
            )
        )

    async def delete(
        self,
        ids: Sequence[str],
        *,
        now: int,
        origin: str = LOCAL,
        source_version: SourceVersion | None = None,
        expect: Mapping[str, int] | None = None,
    ) -> dict[str, DeleteOutcome]:
        return await self._write(
            partial(
                self._writes.delete,
                ids=check_new_ids(ids),
                now=now,
                origin=origin,
                source_version=source_version,
                expect=expect or {},
            )
        )

    async def claim(self, limit: int, *, now: int, lease: int) -> list[Work]:
        works = await self._write(
            partial(self._work.claim, limit=check_limit(limit), now=now, lease=lease)
        )
        self._metrics.emit(WorkClaimed(self.spec.name, claimed=len(works)))
        return works

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        kept = await self._write(partial(self._work.settle, settlements=settlements))
        self._metrics.emit(was_settled(self.spec.name, kept))
        return kept

    async def mark_due(self, ids: Sequence[str], *, now: int) -> list[str]:
        return await self._write(partial(self._work.mark_due, ids=check_ids(ids), now=now))

    async def index_status(self) -> IndexStatus:
        return await self._read(self._work.status)

    async def marks(self, ids: Sequence[str]) -> dict[str, Scanned]:
        found = await self._read(partial(self._work.marks, ids=check_ids(ids)))
        return {scanned.id: scanned for scanned in found}

    async def scan(
        self, *, after: str | None = None, before: str | None = None, limit: int = 1000
    ) -> list[Scanned]:
        check_bounds(after, before)
        most = check_limit(limit)
        return await self._read(
            partial(self._work.scan, after=after or "", before=before, limit=most)
        )

    async def purge(self, *, deleted_before: int, limit: int = 1000) -> int:
        return await self._write(
            partial(self._work.purge, deleted_before=deleted_before, limit=check_limit(limit))
        )

    def _scope(self, connection: sqlite3.Connection, where: Filter) -> Scope:
        if where == EVERYTHING:
            return EVERYWHERE
        (odd,) = connection.execute(
            f"SELECT EXISTS (SELECT 1 FROM entries_{self._n} WHERE deleted = 0 AND thread = ?)",
            (ODD,),
        ).fetchone()
        return compile_filter(where, self.spec, self._n, odd_threads=bool(odd))

    async def _read(self, job: Job[T]) -> T:
        return await self._readers.run(job)

    async def _write(self, job: Job[T]) -> T:
        def transaction(connection: sqlite3.Connection) -> T:
            with writing(connection):
                return job(connection)

        return await self._writer.run(transaction)


def _after(
    position: Position | None, column: str, *, newest: bool
) -> tuple[str, tuple[int, str] | tuple[()]]:
    if position is None:
        return "", ()
    return f" AND ({column}, id) {'<' if newest else '>'} (?, ?)", position
