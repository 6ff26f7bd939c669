"""One collection: reads that are bounded in rows and bytes, and writes that say what they did.

Only what motor and PyMongo's asynchronous client have in common is used, and nothing that needs
a replica set.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from bson.int64 import Int64
from pymongo import DeleteMany, InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from dualstore.documents.cursors import Position
from dualstore.documents.mongo_errors import DUPLICATE_KEY, WRITE_CONFLICT
from dualstore.documents.mongo_keys import to_key, to_name
from dualstore.documents.mongo_line import Line, pause, resolved
from dualstore.documents.mongo_portions import (
    EVERYTHING,
    NOTHING,
    SIZE,
    WITHIN,
    Fields,
    Row,
    has_content,
    is_whole,
    only_small,
    portions,
    share_of,
)
from dualstore.errors import UnavailableError

T = TypeVar("T")
Query = dict[str, Any]
Write = InsertOne[Row] | ReplaceOne[Row] | UpdateOne | DeleteMany

BATCH: Final = 1000
"""Documents that are asked for, or named, in one call."""
ATTEMPTS: Final = 50
"""How often a write is tried whose document others change all the time."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a bulk of writes did."""

    taken: frozenset[int]
    """Positions of the inserts whose id was already there."""
    matched: int
    """How many updates and replacements found their document."""


class Index(NamedTuple):
    """Ascending, by these fields."""

    fields: tuple[str, ...]
    options: Mapping[str, Any] = MappingProxyType({})


class Order(NamedTuple):
    """By a field, and then by key."""

    field: str
    direction: int = 1

    @property
    def keys(self) -> list[tuple[str, int]]:
        """What the driver takes as a sort."""
        ids = ("_id", self.direction)
        return [ids] if self.field == "_id" else [(self.field, self.direction), ids]

    def beyond(self, place: Position) -> Query:
        """What comes behind a place, whose id is a key.

        The bound on the field alone is what an index serves.
        """
        further = "$gt" if self.direction > 0 else "$lt"
        if self.field == "_id":
            return {"_id": {further: place.id}}
        return {
            self.field: {f"{further}e": place.at},
            "$or": [{self.field: {further: place.at}}, {"_id": {further: place.id}}],
        }


BY_ID: Final = Order("_id")


class MongoCollection:
    """One collection. Its rows are documents as the driver gives them."""

    # motor has no types, and its collections have no common type with PyMongo's
    def __init__(self, collection: Any, line: Line) -> None:
        self._collection = collection
        self._line = line

    async def find(
        self,
        query: Query,
        fields: Fields,
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        skip: int = 0,
    ) -> list[Row]:
        """At most `limit` rows; 0 for all, which is for few."""
        options: dict[str, Any] = {"sort": list(sort)} if sort else {}
        return await self._list(
            lambda: self._collection.find(
                query, fields, limit=limit, skip=skip, batch_size=BATCH, **options
            )
        )

    async def find_ids(self, query: Query, ids: Sequence[str], fields: Fields) -> dict[str, Row]:
        """The rows by id, however many ids there are and however large the rows."""
        return await self.pick(query, ids, fields, lambda row: row)

    async def pick(
        self, query: Query, ids: Sequence[str], fields: Fields, convert: Callable[[Row], T]
    ) -> dict[str, T]:
        """By id what `convert` makes of the rows, in no order."""
        found: dict[str, T] = {}
        for some in batches(list(dict.fromkeys(ids))):
            there = {**query, "_id": {"$in": list(map(to_key, some))}}
            named = await self.read(
                there, fields, lambda row: (to_name(row["_id"]), convert(row)), most=len(some)
            )
            found.update(named)
        return found

    async def read(
        self, query: Query, fields: Fields, convert: Callable[[Row], T], *, most: int
    ) -> list[T]:
        """What `convert` makes of all rows, in no order; `most` is how many there may be."""
        if most == 1 or not has_content(fields):
            return [convert(row) for row in await self.find(query, fields)]
        rows = await self.find({**query, SIZE: {WITHIN: share_of(most)}}, fields)
        known = {row["_id"] for row in rows}
        found = [convert(row) for row in rows]
        if len(known) < most:
            places = await self.find(query, {SIZE: 1})
            for portion in portions([row for row in places if row["_id"] not in known], NOTHING):
                found += map(convert, (await self._by_key(query, portion, fields)).values())
        return found

    async def collect(
        self,
        query: Query,
        fields: Fields,
        convert: Callable[[Row], T | None],
        *,
        enough: int | None = None,
        order: Order = BY_ID,
        after: Position | None = None,
        skip: int = 0,
    ) -> list[T]:
        """What `convert` makes of the rows in order, without its Nones, until there is enough.

        Each batch is found anew by where the last one ended: a long cursor would, on some
        servers, repeat or leave out what is written meanwhile.
        """
        found: list[T] = []
        size = min(enough or BATCH, BATCH)
        while True:
            there = {"$and": [query, order.beyond(after)]} if after else query
            rows = await self._first(there, fields, order, size, skip)
            share = share_of(size) if has_content(fields) else EVERYTHING
            for portion in portions(rows, share):
                some = await self._completed(query, portion, fields, order, share)
                found += [made for row in some if (made := convert(row)) is not None]
                if enough is not None and len(found) >= enough:
                    return found[:enough]
            if len(rows) < size:
                return found
            after, skip, size = Position(rows[-1][order.field], rows[-1]["_id"]), 0, BATCH

    async def _first(
        self, query: Query, fields: Fields, order: Order, limit: int, skip: int
    ) -> list[Row]:
        """The rows in order, the large ones without their content."""
        if not has_content(fields):
            return await self.find(query, fields, sort=order.keys, limit=limit, skip=skip)
        skipping: list[Row] = [{"$skip": skip}] if skip else []
        rows = await self.aggregate(
            [
                {"$match": query},
                {"$sort": dict(order.keys)},
                *skipping,
                {"$limit": limit},
                {"$project": only_small({**fields, order.field: 1}, share_of(limit))},
            ]
        )
        return [{name: value for name, value in row.items() if value is not None} for row in rows]

    async def _completed(
        self, query: Query, rows: Sequence[Row], fields: Fields, order: Order, share: float
    ) -> list[Row]:
        """With all of their content, and without those that have got another place meanwhile."""
        large = [row for row in rows if not is_whole(row, share)]
        if not large:
            return list(rows)
        whole = await self._by_key(query, large, fields)
        there = [(row, row if is_whole(row, share) else whole.get(row["_id"])) for row in rows]
        return [row for place, row in there if row and row[order.field] == place[order.field]]

    async def _by_key(self, query: Query, rows: Sequence[Row], fields: Fields) -> dict[str, Row]:
        """What the query says of `_id` is true of these, and no id ever changes."""
        keys = [row["_id"] for row in rows]
        found = await self.find({**query, "_id": {"$in": keys}}, fields)
        return {row["_id"]: row for row in found}

    async def aggregate(self, pipeline: Sequence[Row]) -> list[Row]:
        """All that the pipeline gives."""
        return await self._list(
            lambda: self._collection.aggregate(list(pipeline), allowDiskUse=True)
        )

    async def count(self, query: Query) -> int:
        """How many documents match."""
        return int(await self._line.call(lambda: self._collection.count_documents(query)))

    async def insert(self, row: Row) -> bool:
        """False if its id, or another unique key of it, is taken."""
        return await self._unless_taken(lambda: self._collection.insert_one(row)) is not None

    async def update(self, query: Query, change: Row) -> bool:
        """Whether there was such a document, and no unique key of the change is taken."""
        result = await self._unless_taken(lambda: self._collection.update_one(query, change))
        return result is not None and result.matched_count > 0

    async def update_many(self, query: Query, change: Row) -> int:
        """How many documents matched; the change must be one that makes them match no more."""
        result = await self._line.call(lambda: self._collection.update_many(query, change))
        return int(result.matched_count)

    async def delete_many(self, query: Query) -> int:
        """How many documents went."""
        result = await self._line.call(lambda: self._collection.delete_many(query))
        return int(result.deleted_count)

    async def create_indexes(self, indexes: Sequence[Index]) -> None:
        """Those that aren't there yet; others may do the same at the same time."""
        for index in indexes:
            await self._line.call(partial(self._create_index, index))

    async def _create_index(self, index: Index) -> None:
        await self._collection.create_index([(field, 1) for field in index.fields], **index.options)

    async def write(self, operations: Sequence[Write]) -> Written:
        """Carry out all of them, each by itself; what was in conflict is done again."""
        taken: set[int] = set()
        matched = 0
        left = dict(enumerate(operations))
        for _ in range(ATTEMPTS):
            at = list(left)
            refused, found = await self._line.call(partial(self._bulk, list(left.values())))
            matched += found
            taken |= {at[n] for n, code in refused.items() if code == DUPLICATE_KEY}
            left = {at[n]: left[at[n]] for n, code in refused.items() if code == WRITE_CONFLICT}
            if not left:
                return Written(frozenset(taken), matched)
            await pause()
        raise UnavailableError(f"{len(left)} documents are always in conflict; try again")

    async def _bulk(self, operations: list[Write]) -> tuple[dict[int, int], int]:
        try:
            result = await self._collection.bulk_write(operations, ordered=False)
        except BulkWriteError as error:
            codes = {each["index"]: each.get("code") for each in error.details["writeErrors"]}
            if error.details.get("writeConcernErrors") or not codes:
                raise
            if not {DUPLICATE_KEY, WRITE_CONFLICT}.issuperset(codes.values()):
                raise
            return codes, error.details["nMatched"]
        return {}, result.matched_count

    async def _unless_taken(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        async def attempt() -> Any:
            try:
                return await ask()
            except DuplicateKeyError:
                return None

        return await self._line.call(attempt)

    async def _list(self, ask: Callable[[], Any]) -> list[Row]:
        async def attempt() -> list[Row]:
            cursor = await resolved(ask())
            return [_plain(row) for row in await cursor.to_list(None)]

        rows: list[Row] = await self._line.call(attempt)
        return rows


def _plain(row: Row) -> Row:
    """With Python's own integers: the driver's are JSON to nobody."""
    return {field: int(value) if type(value) is Int64 else value for field, value in row.items()}


def batches(items: Sequence[T]) -> list[Sequence[T]]:
    """In order, at most `BATCH` in each."""
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
