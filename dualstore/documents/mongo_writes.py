"""How entries and tombstones are written: what becomes of what is there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pymongo import InsertOne, ReplaceOne, UpdateOne

from dualstore.documents.base import DeleteOutcome, Put, PutOutcome
from dualstore.documents.mongo_collection import BATCH, MongoCollection, batches
from dualstore.documents.mongo_filters import to_facts
from dualstore.documents.mongo_keys import to_key
from dualstore.documents.mongo_portions import Row
from dualstore.documents.mongo_rows import (
    BURIED_FIELDS,
    PRESENT_FIELDS,
    entry_row,
    to_present,
    tombstone_row,
)
from dualstore.documents.mongo_steps import Step, Steps, guard
from dualstore.documents.rules import (
    Present,
    acknowledged_ids,
    decide,
    decide_delete,
    mark_after_put,
    must_refile,
    next_revision,
    next_update,
    rounds,
    takes_version,
)
from dualstore.entry import LOCAL, Draft, SourceVersion
from dualstore.errors import (
    DualStoreError,
    PartialWriteError,
    StorageCorruptError,
)
from dualstore.family import FamilySpec
from dualstore.outbox import IndexMark, IndexState, fresh, renewed
from dualstore.terms import Analyzer
from dualstore.values import size_of

_WRITE_BYTES: Final = 8 * 1024 * 1024
"""Content that is written in one call; what is derived from it fits into a message beside it."""


class MongoWriter:
    """Writes the documents of one family."""

    def __init__(self, spec: FamilySpec, rows: MongoCollection) -> None:
        self._spec = spec
        self._steps = Steps(rows)
        self._analyzer = Analyzer()

    async def put(
        self, drafts: Sequence[Draft], *, now: int, expect: Mapping[str, int]
    ) -> list[Put]:
        """In the order given; repeats of an id see what the ones before them wrote."""
        puts: list[Put] = []
        for some in _portions(drafts):
            try:
                puts += await self._put_some(some, now, expect)
            except DualStoreError as error:
                acknowledged = acknowledged_ids(puts, drafts[len(puts) :])
                if not acknowledged:
                    raise
                raise PartialWriteError(str(error), acknowledged=acknowledged) from error
        return puts

    async def delete(
        self,
        ids: Sequence[str],
        *,
        now: int,
        origin: str,
        source_version: SourceVersion | None,
        expect: Mapping[str, int],
    ) -> dict[str, DeleteOutcome]:
        """Tombstones for what is there, and for what isn't when a remote says so."""
        burial = _Burial(now, origin, source_version, expect)
        outcomes: dict[str, DeleteOutcome] = {}
        for some in batches(list(dict.fromkeys(ids))):
            outcomes |= await self._steps.carry_out(some, burial.plan, fields=BURIED_FIELDS)
        return outcomes

    async def _put_some(
        self, drafts: Sequence[Draft], now: int, expect: Mapping[str, int]
    ) -> list[Put]:
        by_id = {draft.id: draft for draft in drafts}

        def plan(each: str, row: Row | None, stamp: str) -> Step[Put]:
            return self._plan_put(by_id[each], row, expect.get(each), stamp=stamp, now=now)

        # what a caller writes himself is mostly new, what comes from a remote mostly isn't
        new = not expect and all(draft.origin == LOCAL for draft in drafts)
        puts = await self._steps.carry_out(
            list(by_id), plan, fields=PRESENT_FIELDS, probably_new=new
        )
        return [puts[draft.id] for draft in drafts]

    def _plan_put(
        self, draft: Draft, row: Row | None, expected: int | None, *, stamp: str, now: int
    ) -> Step[Put]:
        present = None if row is None else to_present(row)
        outcome = decide(draft, present, expected)
        revision = present.revision if present else 0
        if outcome in (PutOutcome.CREATED, PutOutcome.UPDATED):
            put = Put(draft.id, outcome, next_revision(present))
            new = self._replacement(draft, row, present, stamp=stamp, now=now)
            return Step(put, InsertOne(new) if row is None else ReplaceOne(guard(row), new))
        put = Put(draft.id, outcome, revision)
        if row and present and outcome is PutOutcome.UNCHANGED and takes_version(draft, present):
            change = {"version": str(draft.source_version), "stamp": stamp}
            return Step(put, UpdateOne(guard(row), {"$set": change}))
        return Step(put)

    def _replacement(
        self, draft: Draft, row: Row | None, present: Present | None, *, stamp: str, now: int
    ) -> Row:
        keeps_vector = present and not present.deleted and present.text_hash == draft.text_hash
        return entry_row(
            draft,
            self._mark(draft, row, present, now),
            present,
            stream=self._analyzer.kept(draft.indexed_text),
            vector=row.get("vector") if row and keeps_vector else None,
            stamp=stamp,
            now=now,
        )

    def _mark(self, draft: Draft, row: Row | None, present: Present | None, now: int) -> IndexMark:
        if row is None or present is None:
            return fresh(indexable=bool(draft.indexed_text), now=now)
        refile = not present.deleted and self._must_refile(draft, row)
        return mark_after_put(draft, present, refile=refile, now=now)

    def _must_refile(self, draft: Draft, row: Row) -> bool:
        """A document that can't be read back is no reason to keep it."""
        try:
            return must_refile(self._spec, draft, to_facts(row))
        except StorageCorruptError:
            return True


@dataclass(frozen=True, slots=True)
class _Burial:
    """One deletion of many ids."""

    now: int
    origin: str
    source_version: SourceVersion | None
    expect: Mapping[str, int]

    def plan(self, each: str, row: Row | None, stamp: str) -> Step[DeleteOutcome]:
        present = None if row is None else to_present(row)
        outcome = decide_delete(
            present,
            origin=self.origin,
            source_version=self.source_version,
            expected=self.expect.get(each),
        )
        if row is None and self.origin != LOCAL:
            return Step(outcome, InsertOne(self._unknown(each, stamp)))
        if row and present and outcome is DeleteOutcome.DELETED:
            return Step(outcome, ReplaceOne(guard(row), self._tombstone(row, present, stamp)))
        return Step(outcome)

    def _tombstone(self, row: Row, present: Present, stamp: str) -> Row:
        return tombstone_row(
            row,
            renewed(present.mark, indexable=False, now=self.now),
            revision=next_revision(present),
            updated=next_update(present, self.now),
            version=self.source_version or present.source_version,
            stamp=stamp,
        )

    def _unknown(self, each: str, stamp: str) -> Row:
        now = self.now
        return tombstone_row(
            {"_id": to_key(each), "ts": now, "origin": self.origin, "created": now},
            IndexMark(IndexState.EXCLUDED),
            revision=next_revision(None),
            updated=now,
            version=self.source_version,
            stamp=stamp,
        )


def _portions(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    """In order, no id twice in one, none larger than a call may be."""
    for some in rounds(drafts):
        portion: list[Draft] = []
        size = 0
        for draft in some:
            more = size_of(draft.text, draft.metadata_json, draft.body_json or "")
            if portion and (size + more > _WRITE_BYTES or len(portion) == BATCH):
                yield portion
                portion, size = [], 0
            portion.append(draft)
            size += more
        yield portion
