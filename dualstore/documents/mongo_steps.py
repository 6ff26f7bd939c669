"""How documents are changed: read, decide, write if it is still what was read."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from pymongo import InsertOne

from dualstore.documents.mongo_collection import ATTEMPTS, MongoCollection, Write
from dualstore.documents.mongo_line import pause
from dualstore.documents.mongo_portions import Fields, Row
from dualstore.documents.mongo_rows import new_stamp
from dualstore.errors import UnavailableError, shown

T = TypeVar("T")


class Step(NamedTuple, Generic[T]):
    """What becomes of one id, and the write that makes it so; None if nothing is to be written."""

    result: T
    write: Write | None = None


Plan = Callable[[str, Row | None, str], Step[T]]
"""What to do about an id whose present row is given; the writes carry the stamp."""


class Steps:
    """Carries out plans in one collection."""

    def __init__(self, rows: MongoCollection) -> None:
        self._rows = rows

    async def carry_out(
        self, ids: Sequence[str], plan: Plan[T], *, fields: Fields, probably_new: bool = False
    ) -> dict[str, T]:
        """Until nobody else's write came between reading and writing."""
        results: dict[str, T] = {}
        rows: dict[str, Row] = {}
        for attempt in range(ATTEMPTS):
            if attempt or not probably_new:
                rows = await self._rows.find_ids({}, ids, fields)
            stamp = new_stamp()
            steps = await asyncio.to_thread(_plan_all, plan, ids, rows, stamp)
            lost = await self._write(steps, stamp)
            results |= {each: step.result for each, step in steps.items() if each not in lost}
            if not lost:
                return results
            ids = list(lost)
            await pause()
        raise UnavailableError(f"{shown(ids[0])} is being changed all the time; try again")

    async def _write(self, steps: Mapping[str, Step[T]], stamp: str) -> set[str]:
        """The ids whose document wasn't any more what the step was planned for."""
        writes = {each: step.write for each, step in steps.items() if step.write is not None}
        if not writes:
            return set()
        ids = list(writes)
        done = await self._rows.write(list(writes.values()))
        lost = {ids[at] for at in done.taken}
        guarded = [each for each, write in writes.items() if not isinstance(write, InsertOne)]
        if done.matched < len(guarded):
            stamps = await self._rows.find_ids({"stamp": stamp}, guarded, {"_id": 1})
            lost |= set(guarded) - stamps.keys()
        return lost


def _plan_all(
    plan: Plan[T], ids: Sequence[str], rows: Mapping[str, Row], stamp: str
) -> dict[str, Step[T]]:
    return {each: plan(each, rows.get(each), stamp) for each in ids}


def guard(row: Row) -> Row:
    """Finds the document if it is still the one that was read."""
    return {"_id": row["_id"], "stamp": row["stamp"]}
