"""Records in one MongoDB collection."""

from collections.abc import Sequence
from typing import Any, Final

from dualstore.documents.base import Record, Records
from dualstore.documents.doors import check_limit, check_question, check_record
from dualstore.documents.mongo_collection import (
    BY_ID,
    Index,
    MongoCollection,
    Order,
    batches,
)
from dualstore.documents.mongo_keys import to_key, to_name
from dualstore.documents.mongo_portions import SIZE, Fields, Row
from dualstore.documents.mongo_rows import legible
from dualstore.values import from_json, size_of

_FIELDS: Final[Fields] = dict.fromkeys("space key value version tokens".split(), 1)
_SEPARATOR: Final = "\x1f"  # no name has it
_BEHIND: Final = "\x20"  # the next character
_INDEXES: Final = (Index(("tokens",), {"unique": True, "sparse": True}),)


class MongoRecords(Records):
    """One document each: `_id` is space and key, a token carries its space as well."""

    def __init__(self, rows: MongoCollection) -> None:
        self._rows = rows

    async def prepare(self) -> None:
        """Make the index that keeps tokens unique."""
        await self._rows.create_indexes(_INDEXES)

    async def create(
        self, space: str, key: str, value: Any, *, tokens: Sequence[str] = ()
    ) -> Record | None:
        text = check_record(space, key, tokens, value)
        record = Record(space, key, from_json(text), 1, tuple(dict.fromkeys(tokens)))
        row: Row = {
            "_id": _joined(space, key),
            "space": space,
            "key": key,
            "value": text,
            "version": 1,
            SIZE: size_of(text),
            **_token_field(record),
        }
        return record if await self._rows.insert(row) else None

    async def replace(
        self, record: Record, value: Any, *, tokens: Sequence[str] | None = None
    ) -> Record | None:
        wanted = record.tokens if tokens is None else tuple(dict.fromkeys(tokens))
        text = check_record(record.space, record.key, wanted, value)
        new = Record(record.space, record.key, from_json(text), record.version + 1, wanted)
        change: Row = {
            "$set": {
                "value": text,
                "version": new.version,
                SIZE: size_of(text),
                **_token_field(new),
            }
        }
        if not wanted:
            change["$unset"] = {"tokens": 1}
        return new if await self._rows.update(_guard(record), change) else None

    async def delete(self, record: Record) -> bool:
        return await self._rows.delete_many(_guard(record)) > 0

    async def get(self, space: str, key: str) -> Record | None:
        check_question(space=space, key=key)
        rows = await self._rows.find({"_id": _joined(space, key)}, _FIELDS)
        return _to_record(rows[0]) if rows else None

    async def range(
        self,
        space: str,
        *,
        after: str | None = None,
        before: str | None = None,
        limit: int = 100,
        backwards: bool = False,
    ) -> list[Record]:
        check_question(space=space, after=after, before=before)
        low = _joined(space, after or "")
        high = to_key(space) + _BEHIND if before is None else _joined(space, before)
        return await self._rows.collect(
            {"_id": {"$gt": low, "$lt": high}},
            _FIELDS,
            _to_record,
            enough=check_limit(limit),
            order=Order("_id", -1) if backwards else BY_ID,
        )

    async def find(self, space: str, tokens: Sequence[str]) -> dict[str, Record]:
        check_question(space=space)
        wanted = set(tokens)
        found: dict[str, Record] = {}
        for some in batches(list(wanted)):
            named: Row = {"tokens": {"$in": [_joined(space, token) for token in some]}}
            for record in await self._rows.read(named, _FIELDS, _to_record, most=len(some)):
                found.update((token, record) for token in record.tokens if token in wanted)
        return found


def _joined(space: str, name: str) -> str:
    return to_key(f"{space}{_SEPARATOR}{name}")


def _token_field(record: Record) -> Row:
    """Absent when there are none: two empty arrays would be the same unique key."""
    tokens = [_joined(record.space, token) for token in record.tokens]
    return {"tokens": tokens} if tokens else {}


def _guard(record: Record) -> Row:
    return {"_id": _joined(record.space, record.key), "version": record.version}


@legible("record")
def _to_record(row: Row) -> Record:
    space: str = row["space"]
    tokens = tuple(to_name(token)[len(space) + 1 :] for token in row.get("tokens", ()))
    return Record(space, row["key"], from_json(row["value"]), row["version"], tokens)
