"""The index work of one family: claimed by a token of one's own, settled where it is still there.

What a claim took is read back by its token, never taken from the answer of an update: under
contention some servers answer with the next writer's state.
"""

import uuid
from collections.abc import Sequence
from typing import Any, Final

from pymongo import UpdateOne

from dualstore.documents.base import IndexStatus, Scanned, Settlement, Work
from dualstore.documents.cursors import Position
from dualstore.documents.mongo_collection import (
    ATTEMPTS,
    BATCH,
    BY_ID,
    MongoCollection,
    Order,
    batches,
)
from dualstore.documents.mongo_keys import to_key, to_name
from dualstore.documents.mongo_line import pause
from dualstore.documents.mongo_portions import Fields, Row
from dualstore.documents.mongo_rows import (
    ENTRY_FIELDS,
    MARK_FIELDS,
    mark_change,
    new_stamp,
    to_entry,
    to_mark,
)
from dualstore.entry import Drafter
from dualstore.errors import StorageCorruptError
from dualstore.family import FamilySpec
from dualstore.outbox import Failed, Indexed, IndexMark, IndexState, doubted, leased, settled

_WORK_FIELDS: Final[Fields] = {**ENTRY_FIELDS, "live": 1, "vector": 1}
_SCAN_FIELDS: Final[Fields] = {**MARK_FIELDS, "live": 1, "rev": 1, "thash": 1}
_LONGEST_DUE: Final = [("claim_at", 1), ("due_since", 1), ("_id", 1)]
_TRIED: Final[Row] = {"attempts": {"$gt": 0}, "state": {"$ne": int(IndexState.INDEXED)}}
"""What an attempt may have left vectors of."""
_OPEN: Final = [IndexState.DUE, IndexState.LEASED, IndexState.FAILED]


class MongoWork:
    """Claims and settles; and looks over what is indexed."""

    def __init__(self, spec: FamilySpec, rows: MongoCollection) -> None:
        self._rows = rows
        self._drafter = Drafter(spec)

    async def claim(self, limit: int, *, now: int, lease: int) -> list[Work]:
        token = uuid.uuid4().hex
        asked = await self._lease(limit, token, now=now, until=now + lease)
        found = await self._rows.pick({"token": token}, asked, _WORK_FIELDS, self._to_work)
        damaged = [one for one in found.values() if isinstance(one, UpdateOne)]
        if damaged:
            await self._rows.write(damaged)
        works = [one for one in found.values() if isinstance(one, Work)]
        return sorted(works, key=lambda work: (work.mark.due_since or 0, work.id))

    async def _lease(self, limit: int, token: str, *, now: int, until: int) -> list[str]:
        """The ids that were asked for. Others may be quicker: then look for what is left."""
        tried: list[str] = []
        due: Row = {"claim_at": {"$lte": now}}
        fruitless = 0
        while limit > 0 and fruitless < ATTEMPTS:
            asked = min(limit, BATCH)
            found = await self._rows.find(due, {"_id": 1}, sort=_LONGEST_DUE, limit=asked)
            if not found:
                break
            tried += [to_name(row["_id"]) for row in found]
            ids = [row["_id"] for row in found]
            took = await self._rows.update_many(
                {"_id": {"$in": ids}, **due}, _lease_change(token, until)
            )
            limit -= took
            if took == len(found) < asked:
                break
            if not took:
                fruitless += 1
                await pause()
        return tried

    def _to_work(self, row: Row) -> Work | UpdateOne:
        """A document that can't be read back fails by itself, not its batch."""
        try:
            entry = to_entry(row)
        except StorageCorruptError as error:
            taken = {"_id": row["_id"], "token": row["token"]}
            return UpdateOne(taken, _failure_change(str(error)))
        keeps = row["live"] and self._drafter.is_indexable(entry.text, entry.metadata)
        return Work(
            id=entry.id,
            token=row["token"],
            entry=entry if keeps else None,
            mark=entry.index,
            vector=row.get("vector", b""),
        )

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        done: list[bool] = []
        for some in batches(settlements):
            done += await self._settle_some(some)
        return done

    async def _settle_some(self, settlements: Sequence[Settlement]) -> list[bool]:
        stamps = [new_stamp() for _ in settlements]
        written = await self._rows.write(
            [_settle_write(each, stamp) for each, stamp in zip(settlements, stamps, strict=True)]
        )
        if written.matched == len(settlements):
            return [True] * len(settlements)
        ids = [settlement.work.id for settlement in settlements]
        found = await self._rows.find_ids({}, ids, {"stamp": 1})
        there = {row["stamp"] for row in found.values()}
        return [stamp in there for stamp in stamps]

    async def mark_due(self, ids: Sequence[str], *, now: int) -> list[str]:
        found: list[str] = []
        for some in batches(list(dict.fromkeys(ids))):
            named: Row = {"_id": {"$in": list(map(to_key, some))}}
            # In this order: what is claimed in between was due anyway, and is done again.
            await self._rows.update_many({**named, **_TRIED}, _doubt_change(now, residue=True))
            await self._rows.update_many({**named, "$nor": [_TRIED]}, _doubt_change(now))
            there = await self._rows.find_ids({}, some, {"_id": 1})
            found += [each for each in some if each in there]
        return found

    async def status(self) -> IndexStatus:
        groups = await self._rows.aggregate(
            [
                {"$match": {"state": {"$in": [int(state) for state in _OPEN]}}},
                {"$group": {"_id": "$state", "n": {"$sum": 1}, "since": {"$min": "$due_since"}}},
            ]
        )
        counts: dict[int, int] = {group["_id"]: group["n"] for group in groups}
        waiting = [group["since"] for group in groups if group["since"] is not None]
        due, leased_ones, failed = (counts.get(state, 0) for state in _OPEN)
        return IndexStatus(due, leased_ones, failed, min(waiting, default=None))

    async def marks(self, ids: Sequence[str]) -> dict[str, Scanned]:
        return await self._rows.pick({}, ids, _SCAN_FIELDS, _to_scanned)

    async def scan(self, after: str | None, before: str | None, limit: int) -> list[Scanned]:
        place = None if after is None else Position(0, to_key(after))
        query: Row = {} if before is None else {"_id": {"$lt": to_key(before)}}
        return await self._rows.collect(
            query, _SCAN_FIELDS, _to_scanned, enough=limit, order=BY_ID, after=place
        )

    async def purge(self, *, deleted_before: int, limit: int) -> int:
        settled_ones: Row = {
            "live": False,
            "updated": {"$lt": deleted_before},
            "state": int(IndexState.EXCLUDED),
        }
        ids = await self._rows.collect(
            settled_ones,
            {"updated": 1},
            lambda row: str(row["_id"]),
            enough=limit,
            order=Order("updated"),
        )
        gone = 0
        for some in batches(ids):
            gone += await self._rows.delete_many({**settled_ones, "_id": {"$in": some}})
        return gone


def _lease_change(token: str, until: int) -> Row:
    mark = leased(IndexMark(IndexState.DUE), token=token, until=until)
    fields = {"state": int(mark.state), "token": mark.token, "claim_at": mark.claim_at}
    return {"$set": {**fields, "stamp": token}, "$inc": {"attempts": mark.attempts}}


def _settle_write(settlement: Settlement, stamp: str) -> UpdateOne:
    work, outcome = settlement.work, settlement.outcome
    others: dict[str, Any] = {}
    if isinstance(outcome, Indexed) and outcome.vector:
        others["vector"] = outcome.vector
    change = mark_change(settled(work.mark, outcome), stamp, **others)
    return UpdateOne({"_id": to_key(work.id), "token": work.token}, change)


def _failure_change(reason: str) -> Row:
    """What `Failed` does to a mark that may be damaged itself."""
    change = mark_change(settled(IndexMark(IndexState.LEASED), Failed(reason)), new_stamp())
    for kept in ("held", "chunks", "residue", "attempts"):
        del change["$set"][kept]
    return change


def _doubt_change(now: int, **others: bool) -> Row:
    """What `doubted` does to any mark: it leaves alone what the index holds, or may hold."""
    change = mark_change(doubted(IndexMark(IndexState.DUE), now=now), new_stamp())
    for kept in ("held", "chunks", "residue"):
        del change["$set"][kept]
    change["$set"].update(others)
    return change


def _to_scanned(row: Row) -> Scanned:
    return Scanned(to_name(row["_id"]), not row["live"], row["rev"], row["thash"], to_mark(row))
