"""A database whose every call goes through `Faults`.

Each method is written out, so that a change of a contract is a type error here.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

from dualstore.documents.base import (
    Candidate,
    Candidates,
    Database,
    DeleteOutcome,
    DocumentStore,
    Health,
    IndexStatus,
    Neighbours,
    Order,
    Page,
    Put,
    Record,
    Records,
    Scanned,
    Settlement,
    Tally,
    Work,
)
from dualstore.documents.journal import LAST, Behind, Journal, JournalItem, Tip
from dualstore.entry import LOCAL, Draft, Entry, SourceVersion
from dualstore.family import FamilySpec
from dualstore.filters import EVERYTHING, Filter
from dualstore.testing.faults import Faults
from dualstore.testing.wrapped import Wrapped


class FaultyDatabase(Wrapped[Database], Database):
    def __init__(self, inner: Database, faults: Faults) -> None:
        super().__init__(inner, faults)
        self.records = FaultyRecords(inner.records, faults)
        self.journal = FaultyJournal(inner.journal, faults)

    async def family(self, spec: FamilySpec) -> DocumentStore:
        store = await self._faults.call("documents.family", self._inner.family, spec)
        return FaultyDocuments(store, self._faults)

    async def specs(self) -> list[FamilySpec]:
        return await self._faults.call("documents.specs", self._inner.specs)

    async def respec(self, spec: FamilySpec, *, now: int) -> None:
        await self._faults.call("documents.respec", self._inner.respec, spec, now=now)

    async def health(self) -> Health:
        return await self._faults.call("documents.health", self._inner.health)

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._inner.__aexit__(*details)


class FaultyDocuments(Wrapped[DocumentStore], DocumentStore):
    spec: FamilySpec

    async def put(
        self, drafts: Sequence[Draft], *, now: int, expect: Mapping[str, int] | None = None
    ) -> list[Put]:
        call = self._faults.call
        return await call("documents.put", self._inner.put, drafts, now=now, expect=expect)

    async def get(self, ids: Sequence[str]) -> dict[str, Entry]:
        return await self._faults.call("documents.get", self._inner.get, ids)

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
        return await self._faults.call(
            "documents.page",
            self._inner.page,
            where,
            order=order,
            newest=newest,
            limit=limit,
            cursor=cursor,
            skip=skip,
        )

    async def count(self, where: Filter = EVERYTHING) -> int:
        return await self._faults.call("documents.count", self._inner.count, where)

    async def version(self) -> int | None:
        return await self._faults.call("documents.version", self._inner.version)

    async def tally(
        self, threads: Sequence[str] | None = None, where: Filter = EVERYTHING
    ) -> dict[str, Tally]:
        return await self._faults.call("documents.tally", self._inner.tally, threads, where)

    async def candidates(
        self, terms: Mapping[str, float], where: Filter = EVERYTHING, *, limit: int = 200
    ) -> Candidates:
        call = self._faults.call
        return await call("documents.candidates", self._inner.candidates, terms, where, limit=limit)

    async def candidates_by_id(self, ids: Sequence[str]) -> dict[str, Candidate]:
        call = self._faults.call
        return await call("documents.candidates_by_id", self._inner.candidates_by_id, ids)

    async def neighbours(
        self, ids: Sequence[str], *, before: int, after: int
    ) -> dict[str, Neighbours]:
        call = self._faults.call
        return await call(
            "documents.neighbours", self._inner.neighbours, ids, before=before, after=after
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
        return await self._faults.call(
            "documents.delete",
            self._inner.delete,
            ids,
            now=now,
            origin=origin,
            source_version=source_version,
            expect=expect,
        )

    async def claim(self, limit: int, *, now: int, lease: int) -> list[Work]:
        call = self._faults.call
        return await call("documents.claim", self._inner.claim, limit, now=now, lease=lease)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return await self._faults.call("documents.settle", self._inner.settle, settlements)

    async def mark_due(self, ids: Sequence[str], *, now: int) -> list[str]:
        return await self._faults.call("documents.mark_due", self._inner.mark_due, ids, now=now)

    async def index_status(self) -> IndexStatus:
        return await self._faults.call("documents.index_status", self._inner.index_status)

    async def marks(self, ids: Sequence[str]) -> dict[str, Scanned]:
        return await self._faults.call("documents.marks", self._inner.marks, ids)

    async def scan(
        self, *, after: str | None = None, before: str | None = None, limit: int = 1000
    ) -> list[Scanned]:
        call = self._faults.call
        return await call(
            "documents.scan", self._inner.scan, after=after, before=before, limit=limit
        )

    async def purge(self, *, deleted_before: int, limit: int = 1000) -> int:
        return await self._faults.call(
            "documents.purge", self._inner.purge, deleted_before=deleted_before, limit=limit
        )


class FaultyRecords(Wrapped[Records], Records):
    async def create(
        self, space: str, key: str, value: Any, *, tokens: Sequence[str] = ()
    ) -> Record | None:
        call = self._faults.call
        return await call("records.create", self._inner.create, space, key, value, tokens=tokens)

    async def replace(
        self, record: Record, value: Any, *, tokens: Sequence[str] | None = None
    ) -> Record | None:
        call = self._faults.call
        return await call("records.replace", self._inner.replace, record, value, tokens=tokens)

    async def delete(self, record: Record) -> bool:
        return await self._faults.call("records.delete", self._inner.delete, record)

    async def get(self, space: str, key: str) -> Record | None:
        return await self._faults.call("records.get", self._inner.get, space, key)

    async def range(
        self,
        space: str,
        *,
        after: str | None = None,
        before: str | None = None,
        limit: int = 100,
        backwards: bool = False,
    ) -> list[Record]:
        return await self._faults.call(
            "records.range",
            self._inner.range,
            space,
            after=after,
            before=before,
            limit=limit,
            backwards=backwards,
        )

    async def find(self, space: str, tokens: Sequence[str]) -> dict[str, Record]:
        return await self._faults.call("records.find", self._inner.find, space, tokens)


class FaultyJournal(Wrapped[Journal], Journal):
    async def extend(self, log: str, items: Sequence[JournalItem], *, note: str) -> bool:
        return await self._faults.call("journal.extend", self._inner.extend, log, items, note=note)

    async def tip(self, log: str) -> Tip | None:
        return await self._faults.call("journal.tip", self._inner.tip, log)

    async def read(
        self,
        log: str,
        *,
        after: int = 0,
        before: int = LAST,
        kinds: Collection[str] | None = None,
        limit: int | None = None,
        backwards: bool = False,
    ) -> list[JournalItem]:
        return await self._faults.call(
            "journal.read",
            self._inner.read,
            log,
            after=after,
            before=before,
            kinds=kinds,
            limit=limit,
            backwards=backwards,
        )

    async def find(self, log: str, ids: Sequence[str]) -> dict[str, JournalItem]:
        return await self._faults.call("journal.find", self._inner.find, log, ids)

    async def behind(self, prefix: str, *, limit: int = 100) -> list[Behind]:
        return await self._faults.call("journal.behind", self._inner.behind, prefix, limit=limit)

    async def follow(self, log: str, *, through: int) -> None:
        await self._faults.call("journal.follow", self._inner.follow, log, through=through)

    async def remove(self, log: str) -> None:
        await self._faults.call("journal.remove", self._inner.remove, log)
