"""Journals in one MongoDB collection.

One document is one batch, so that it lands whole or not at all:

    _id         the log and the first number: two who append behind the same tip want the same one
    first, last, kinds
    ids         each with its log; no two documents share one
    items       what was appended
    note        written along with it
    due         the log's name, until the follower has noted the batch
    bytes       of the items' texts

Numbers have no gaps because a batch begins where a tip was read, and tips only move on.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from dualstore.documents.doors import check_items, check_kinds, check_limit, check_log
from dualstore.documents.journal import LAST, Behind, Journal, JournalItem, Tip
from dualstore.documents.mongo_collection import Index, MongoCollection, Query, batches
from dualstore.documents.mongo_keys import to_key, to_name
from dualstore.documents.mongo_portions import SIZE, WITHIN, Fields, Row, portions, share_of
from dualstore.documents.mongo_rows import legible
from dualstore.values import size_of

_SEPARATOR: Final = "\x1f"  # no name has it
_BEHIND: Final = "\x20"  # the next character
_END: Final = "\uffff\U0010ffff"  # as a key it comes behind all others
_PAGE: Final = 200
"""Batches that are asked for at once."""
_INDEXES: Final = (
    Index(("ids",), {"unique": True}),
    Index(("due",), {"sparse": True}),
)
_PLACES: Final[Fields] = {"log": 1, "first": 1}


class MongoJournal(Journal):
    """Nothing but inserts: no append changes a document that is there."""

    def __init__(self, rows: MongoCollection) -> None:
        self._rows = rows

    async def prepare(self) -> None:
        """Make the indexes; those that are there stay as they are."""
        await self._rows.create_indexes(_INDEXES)

    async def extend(self, log: str, items: Sequence[JournalItem], *, note: str) -> bool:
        check_log(log)
        check_items(items, note)
        row: Row = {
            "_id": _place(log, items[0].seq),
            "log": to_key(log),
            "first": items[0].seq,
            "last": items[-1].seq,
            "kinds": sorted({item.kind for item in items}),
            "ids": [_joined(log, item.id) for item in items],
            "items": [
                {"s": item.seq, "i": item.id, "k": item.kind, "t": item.text} for item in items
            ],
            "note": note,
            "due": to_key(log),
            SIZE: size_of(*(item.text for item in items)),
        }
        return await self._rows.insert(row)

    async def tip(self, log: str) -> Tip | None:
        check_log(log)
        rows = await self._rows.find(
            _within(log), {"last": 1, "note": 1}, sort=[("_id", -1)], limit=1
        )
        return _to_tip(rows[0]) if rows else None

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
        wanted = check_kinds(kinds)
        enough = None if limit is None else check_limit(limit)
        bounds = await self._bounds(check_log(log), after, before)
        found: list[JournalItem] = []
        while enough is None or len(found) < enough:
            page = min(_PAGE, enough or _PAGE)
            rows = await self._batches(bounds, wanted, limit=page, backwards=backwards)
            for row in rows:
                items = [each for each in _to_items(row) if after < each.seq < before]
                found += reversed(items) if backwards else items
            if len(rows) < page:
                break
            bounds["$lt" if backwards else "$gt"] = rows[-1]["_id"]
        return found[:enough]

    async def _bounds(self, log: str, after: int, before: int) -> Query:
        """Of the places of batches that may have items between these two."""
        inside = {"$gte": _place(log, 0), "$lt": _place(log, min(before, LAST))}
        if after > 0:
            at = {"_id": {"$gte": _place(log, 0), "$lte": _place(log, min(after + 1, LAST))}}
            rows = await self._rows.find(at, {"_id": 1}, sort=[("_id", -1)], limit=1)
            inside["$gte"] = rows[0]["_id"] if rows else _place(log, min(after + 1, LAST))
        return inside

    async def _batches(
        self, bounds: Query, kinds: list[str] | None, *, limit: int, backwards: bool
    ) -> list[Row]:
        """In order; the items of large ones are asked for by themselves."""
        query: Query = {"_id": dict(bounds)}
        if kinds is not None:
            query["kinds"] = {"$in": kinds}
        share = share_of(limit)
        small = {"$cond": [{WITHIN: [f"${SIZE}", share]}, _wanted(kinds), None]}
        rows = await self._rows.aggregate(
            [
                {"$match": query},
                {"$sort": {"_id": -1 if backwards else 1}},
                {"$limit": limit},
                {"$project": {"items": small, SIZE: 1}},
            ]
        )
        large = [row for row in rows if row.get("items") is None]
        whole: dict[str, Row] = {}
        for portion in portions(large, share):
            whole |= await self._items_of(portion, kinds)
        there = [whole.get(row["_id"]) if row.get("items") is None else row for row in rows]
        return [row for row in there if row is not None]

    async def _items_of(self, rows: Sequence[Row], kinds: list[str] | None) -> dict[str, Row]:
        named = {"_id": {"$in": [row["_id"] for row in rows]}}
        found = await self._rows.aggregate(
            [{"$match": named}, {"$project": {"items": _wanted(kinds)}}]
        )
        return {row["_id"]: row for row in found}

    async def find(self, log: str, ids: Sequence[str]) -> dict[str, JournalItem]:
        check_log(log)
        wanted, found = dict.fromkeys(ids), dict[str, JournalItem]()
        for some in batches(list(wanted)):
            named = {"ids": {"$in": [_joined(log, each) for each in some]}}
            places = await self._rows.find(named, {SIZE: 1})
            for portion in portions(places, 0):
                for row in (await self._items_of(portion, None)).values():
                    found |= {each.id: each for each in _to_items(row) if each.id in wanted}
        return found

    async def behind(self, prefix: str, *, limit: int = 100) -> list[Behind]:
        start = to_key(prefix)
        rows = await self._rows.find(
            {"due": {"$gte": start, "$lt": start + _END}},
            _PLACES,
            sort=[("due", 1), ("_id", 1)],
            limit=check_limit(limit),
        )
        return list(_firsts(rows))

    async def follow(self, log: str, *, through: int) -> None:
        done = {"due": to_key(check_log(log)), "last": {"$lte": through}}
        await self._rows.update_many(done, {"$unset": {"due": 1}})

    async def remove(self, log: str) -> None:
        await self._rows.delete_many(_within(check_log(log)))


def _joined(log: str, name: str) -> str:
    return to_key(f"{log}{_SEPARATOR}{name}")


def _place(log: str, first: int) -> str:
    return _joined(log, f"{first:016}")


def _within(log: str) -> Query:
    return {"_id": {"$gte": _place(log, 0), "$lt": to_key(log) + _BEHIND}}


def _wanted(kinds: list[str] | None) -> Any:
    """The items of a batch, without those of other kinds."""
    if kinds is None:
        return "$items"
    return {"$filter": {"input": "$items", "as": "item", "cond": {"$in": ["$$item.k", kinds]}}}


@legible("batch")
def _to_items(row: Row) -> list[JournalItem]:
    return [JournalItem(int(each["s"]), each["i"], each["k"], each["t"]) for each in row["items"]]


@legible("batch")
def _to_tip(row: Row) -> Tip:
    return Tip(int(row["last"]), row["note"])


def _firsts(rows: Sequence[Row]) -> Iterator[Behind]:
    """Each log once, with what comes before its first batch."""
    seen: set[str] = set()
    for row in rows:
        if row["log"] not in seen:
            seen.add(row["log"])
            yield Behind(to_name(row["log"]), int(row["first"]) - 1)
