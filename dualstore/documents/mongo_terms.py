"""Finding entries by their terms, and the neighbours of what was found."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from bson.int64 import Int64

from dualstore.documents.base import Candidate, Candidates, Neighbours
from dualstore.documents.cursors import Position
from dualstore.documents.mongo_collection import MongoCollection, Order, Query, batches
from dualstore.documents.mongo_filters import ODD, Compiled
from dualstore.documents.mongo_keys import to_name
from dualstore.documents.mongo_portions import Row
from dualstore.documents.mongo_rows import CANDIDATE_FIELDS, FACT_FIELDS, to_candidate
from dualstore.documents.weights import weigh

LIVE: Final[Query] = {"live": True}
_AT_ONCE: Final = 8
"""Calls that one search has under way: the driver's pool is for others too."""


class MongoTerms:
    """Reads what the ranking needs."""

    def __init__(self, rows: MongoCollection) -> None:
        self._rows = rows

    async def candidates(
        self, factors: Mapping[str, float], compiled: Compiled, *, limit: int
    ) -> Candidates:
        count, odd, *held = await self._counts(
            [LIVE, {**LIVE, **ODD}, *({"terms": term} for term in factors)]
        )
        frequencies = dict(zip(factors, held, strict=True))
        weights = weigh(factors, frequencies, count)
        ids = await self._best(weights, compiled, limit + 1, odd) if weights else []
        found = await self.by_id(ids[:limit])
        best = tuple(found[each] for each in ids[:limit] if each in found)
        return Candidates(best, frequencies, count, cut=len(ids) > limit)

    async def by_id(self, ids: Sequence[str]) -> dict[str, Candidate]:
        return await self._rows.pick(LIVE, ids, CANDIDATE_FIELDS, to_candidate)

    async def _counts(self, queries: Sequence[Query]) -> list[int]:
        found: list[int] = []
        for start in range(0, len(queries), _AT_ONCE):
            some = queries[start : start + _AT_ONCE]
            found += await asyncio.gather(*map(self._rows.count, some))
        return found

    async def _best(
        self, weights: Mapping[str, int], compiled: Compiled, enough: int, odd: int
    ) -> list[str]:
        """The ids with the highest sums. Only what can't be trusted is looked at here."""
        pipeline = _ranking(weights, compiled.possible)
        if compiled.exact:
            pipeline.append({"$limit": enough + (0 if compiled.is_everything else odd)})
        rows = await self._rows.aggregate([*pipeline, {"$project": {"odd": 1}}])
        ranked = {to_name(row["_id"]): "odd" in row for row in rows}
        best: list[str] = []
        for some in batches(list(ranked)):
            best += await self._held(some, ranked, compiled)
            if len(best) >= enough:
                break
        return best[:enough]

    async def _held(
        self, ids: Sequence[str], odd: Mapping[str, bool], compiled: Compiled
    ) -> Sequence[str]:
        doubtful = {each for each in ids if odd[each] or not compiled.exact}
        if compiled.is_everything or not doubtful:
            return ids
        held = await self._rows.pick(LIVE, list(doubtful), FACT_FIELDS, compiled.holds)
        return [each for each in ids if each not in doubtful or held.get(each)]

    async def neighbours(
        self, ids: Sequence[str], *, before: int, after: int
    ) -> dict[str, Neighbours]:
        rows = await self._rows.find_ids(LIVE, ids, {"thread": 1, "ts": 1})
        turn = asyncio.Semaphore(_AT_ONCE)

        async def around(row: Row) -> Neighbours:
            async with turn:
                return Neighbours(
                    await self._beside(row, Order("ts", -1), before),
                    await self._beside(row, Order("ts"), after),
                )

        found = await asyncio.gather(*map(around, rows.values()))
        return dict(zip(rows, found, strict=True))

    async def _beside(self, row: Row, order: Order, limit: int) -> tuple[Candidate, ...]:
        if "thread" not in row or not limit:
            return ()
        place = Position(row["ts"], row["_id"])
        found = await self._rows.collect(
            {"thread": row["thread"]},
            CANDIDATE_FIELDS,
            to_candidate,
            enough=limit,
            order=order,
            after=place,
        )
        return tuple(found)


def _ranking(weights: Mapping[str, int], possible: Query) -> list[Row]:
    """Sums are whole numbers of 64 bits, so that they are the same on every server."""
    parts = [
        {"$cond": [{"$in": [{"$literal": term}, "$terms"]}, Int64(weight), Int64(0)]}
        for term, weight in weights.items()
    ]
    return [
        {"$match": {"$and": [{"terms": {"$in": list(weights)}}, LIVE, possible]}},
        {"$project": {"ts": 1, "odd": 1, "score": {"$sum": parts}}},
        {"$sort": {"score": -1, "ts": -1, "_id": 1}},
    ]
