"""Deriving a family's entries again in MongoDB."""

from typing import Any, Final

from pymongo import ReplaceOne

from dualstore.documents.cursors import Position
from dualstore.documents.mongo_collection import MongoCollection
from dualstore.documents.mongo_keys import to_key, to_name
from dualstore.documents.mongo_portions import NOTHING, SIZE, Fields, Row, portions
from dualstore.documents.mongo_rows import (
    ENTRY_FIELDS,
    PRESENT_FIELDS,
    entry_row,
    legible,
    to_entry,
    to_present,
)
from dualstore.documents.mongo_steps import Step, Steps, guard
from dualstore.documents.rules import Present, draft_anew, mark_anew
from dualstore.entry import Drafter, Entry
from dualstore.errors import InvalidInputError, StorageCorruptError
from dualstore.family import FamilySpec
from dualstore.terms import Analyzer

_FIELDS: Final[Fields] = {**PRESENT_FIELDS, **ENTRY_FIELDS}


class MongoRederiver:
    """Of one family, from the spec it was made to, to another one."""

    def __init__(
        self, made: FamilySpec, spec: FamilySpec, rows: MongoCollection, *, now: int
    ) -> None:
        self._made = made
        self._spec = spec
        self._rows = rows
        self._now = now
        self._steps = Steps(rows)
        self._drafter = Drafter(spec)
        self._analyzer = Analyzer()

    async def step(self, after: str | None, limit: int) -> str | None:
        """The next entries in order of ids: the last one's id, None for none.

        What can't be read back stays as it is.
        """
        place = None if after is None else Position(0, to_key(after))
        places = await self._rows.collect(
            {}, {SIZE: 1, "live": 1}, _if_live, enough=limit, after=place
        )
        for portion in portions(places, NOTHING):
            ids = [to_name(row["_id"]) for row in portion]
            await self._steps.carry_out(
                ids, lambda _, row, stamp: self._plan(row, stamp), fields=_FIELDS
            )
        return to_name(places[-1]["_id"]) if places else None

    def _plan(self, row: Row | None, stamp: str) -> Step[None]:
        if row is None or not _if_live(row):
            return Step(None)
        try:
            entry, present, mine = _read(row)
            new = self._row_anew(entry, present, row.get("vector"), stamp)
        except (StorageCorruptError, InvalidInputError):
            return Step(None)
        return Step(None, ReplaceOne(mine, new))

    def _row_anew(
        self, entry: Entry, present: Present, vector: bytes | None, stamp: str
    ) -> dict[str, Any]:
        draft = draft_anew(self._drafter, entry)
        row = entry_row(
            draft,
            mark_anew(draft, present, made=self._made, spec=self._spec, now=self._now),
            present,
            stream=self._analyzer.kept(draft.indexed_text),
            vector=vector if draft.text_hash == present.text_hash else None,
            stamp=stamp,
            now=self._now,
        )
        return {**row, "rev": present.revision, "updated": present.updated_at}


def _if_live(row: Row) -> Row | None:
    """Tombstones have nothing that is derived."""
    return row if row.get("live") else None


@legible("entry")
def _read(row: Row) -> tuple[Entry, Present, Row]:
    return to_entry(row), to_present(row), guard(row)
