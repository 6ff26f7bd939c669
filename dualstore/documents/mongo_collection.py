"""The seam to the driver: every call is bounded in time and raises our errors only.

Only what motor and PyMongo's asynchronous client have in common is used, and nothing that needs
a replica set.
"""

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from bson.errors import BSONError
from bson.int64 import Int64
from pymongo import DeleteMany, InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, PyMongoError

from dualstore.documents.cursors import Position
from dualstore.documents.mongo_errors import DUPLICATE_KEY, SILENT, WRITE_CONFLICT, mapped
from dualstore.documents.mongo_keys import to_key, to_name
from dualstore.errors import InvalidInputError, UnavailableError

T = TypeVar("T")
Row = dict[str, Any]
Query = dict[str, Any]
Fields = Mapping[str, int]
Write = InsertOne[Row] | ReplaceOne[Row] | UpdateOne | DeleteMany

BATCH: Final = 1000
"""Documents that are asked for, or named, in one call."""
SIZE: Final = "bytes"
"""The field that says how large the content of a document is."""
HEAVY: Final = frozenset({"text", "metadata", "body", "value"})
"""The fields that make a document large."""
PORTION: Final = 8 * 1024 * 1024
"""Bytes of content that are asked for in one call, unless a single document has more."""
ATTEMPTS: Final = 50
"""How often a write is tried whose document others change all the time."""
_PAUSE: Final = 0.02


class Line:
    """Calls a database; knows how long to wait, and what to name in errors."""

    def __init__(self, locate: Callable[[], str], *, timeout: float) -> None:
        self._locate = locate
        self._timeout = timeout
        self._open = True

    def close(self) -> None:
        """From now on nothing is asked any more."""
        self._open = False

    async def call(self, ask: Callable[[], Any]) -> Any:
        """What `ask` gives. A conflict with another writer had no effect: it is asked again."""
        if not self._open:
            raise UnavailableError(f"{self._locate()} was left; open it anew")
        try:
            async with asyncio.timeout(self._timeout):
                return await _insistently(ask)
        except TimeoutError as error:
            raise UnavailableError(
                f"{self._locate()} {SILENT} (waited {self._timeout:g} s)"
            ) from error
        except (PyMongoError, BSONError) as error:
            raise mapped(error, self._locate()) from error
        except UnicodeEncodeError as error:
            raise InvalidInputError(f"a name or an id can't be encoded: {error}") from error


async def _insistently(ask: Callable[[], Any]) -> Any:
    while True:
        try:
            return await resolved(ask())
        except OperationFailure as error:
            if error.code != WRITE_CONFLICT:
                raise
        await pause()


async def resolved(answer: Any) -> Any:
    """The answer, awaited where its driver wants that: motor and PyMongo differ in some."""
    return await answer if inspect.isawaitable(answer) else answer


async def pause() -> None:
    """Wait a little, never the same time, so that writers in conflict get out of step."""
    await asyncio.sleep(random.uniform(0, _PAUSE))


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
        found: dict[str, Row] = {}
        for some in batches(list(dict.fromkeys(ids))):
            keys = list(map(to_key, some))
            rows = await self._rows({**query, "_id": {"$in": keys}}, keys, fields)
            found.update((to_name(row["_id"]), row) for row in rows)
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
            places = await self.find(
                there, {order.field: 1, SIZE: 1}, sort=order.keys, limit=size, skip=skip
            )
            for keys in _portions(places, fields):
                rows = await self.find({"$and": [query, {"_id": {"$in": keys}}]}, fields)
                by_key = {row["_id"]: row for row in rows}
                made = [convert(by_key[key]) for key in keys if key in by_key]
                found += [each for each in made if each is not None]
                if enough is not None and len(found) >= enough:
                    return found[:enough]
            if len(places) < size:
                return found
            last = places[-1]
            after, skip, size = Position(last[order.field], last["_id"]), 0, BATCH

    async def _rows(self, query: Query, keys: Sequence[str], fields: Fields) -> list[Row]:
        """One document fits into an answer; of several, their sizes are asked first."""
        if len(keys) == 1 or not HEAVY.intersection(fields):
            return await self.find(query, fields)
        places = await self.find(query, {SIZE: 1})
        rows: list[Row] = []
        for some in _portions(places, fields):
            rows += await self.find({**query, "_id": {"$in": some}}, fields)
        return rows

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


def _portions(places: Sequence[Row], fields: Fields) -> list[list[str]]:
    """The keys of these rows, in order, as many in each as may be asked for at once."""
    portions: list[list[str]] = []
    room = 0
    for place in places:
        size = place.get(SIZE, 0) if HEAVY.intersection(fields) else 0
        if not portions or size > room:
            portions.append([])
            room = PORTION
        portions[-1].append(place["_id"])
        room -= size
    return portions
