"""Journals in an SQLite file."""

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, Final

from dualstore.documents.doors import check_items, check_kinds, check_limit, check_log
from dualstore.documents.journal import LAST, Behind, Journal, JournalItem, Tip
from dualstore.documents.sqlite_lanes import Lanes, writing
from dualstore.values import to_json

_END: Final = "\U0010ffff"
_BEGUN: Final = "INSERT INTO journals (name, seq, note) VALUES (?, 0, '') ON CONFLICT DO NOTHING"
_MOVED: Final = "UPDATE journals SET seq = ?, note = ? WHERE name = ? AND seq = ? RETURNING number"
_WRITTEN: Final = "INSERT INTO journal_items (log, seq, id, kind, text) VALUES (?, ?, ?, ?, ?)"


class SqliteJournal(Journal):
    """A row for each log says where it ends; an append moves that on and writes its items."""

    def __init__(self, *, writer: Lanes, readers: Lanes) -> None:
        self._writer = writer
        self._readers = readers

    async def extend(self, log: str, items: Sequence[JournalItem], *, note: str) -> bool:
        check_log(log)
        check_items(items, note)
        first, last = items[0].seq, items[-1].seq

        def job(connection: sqlite3.Connection) -> bool:
            try:
                with writing(connection):
                    if first == 1:
                        connection.execute(_BEGUN, (log,))
                    moved = connection.execute(_MOVED, (last, note, log, first - 1)).fetchone()
                    if moved is not None:
                        connection.executemany(_WRITTEN, [(moved[0], *item) for item in items])
                    return moved is not None
            except sqlite3.IntegrityError:
                return False  # one of the ids is taken: all of it was rolled back

        return await self._writer.run(job)

    async def tip(self, log: str) -> Tip | None:
        check_log(log)
        query = "SELECT seq, CAST(note AS BLOB) FROM journals WHERE name = ?"

        def job(connection: sqlite3.Connection) -> Tip | None:
            row = connection.execute(query, (log,)).fetchone()
            return None if row is None else Tip(row[0], _text(row[1]))

        return await self._readers.run(job)

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
        asked = "" if wanted is None else " AND kind IN (SELECT value FROM json_each(?))"
        query = (
            f"{_items_of('seq > ? AND seq < ?')}{asked}"
            f" ORDER BY seq {'DESC' if backwards else 'ASC'} LIMIT ?"
        )
        named = [] if wanted is None else [to_json(wanted, "kinds")]
        most = -1 if limit is None else check_limit(limit)
        return await self._items(query, (check_log(log), after, before, *named, most))

    async def find(self, log: str, ids: Sequence[str]) -> dict[str, JournalItem]:
        query = _items_of("id IN (SELECT value FROM json_each(?))")
        named = to_json(list(dict.fromkeys(ids)), "ids")
        return {item.id: item for item in await self._items(query, (check_log(log), named))}

    async def behind(self, prefix: str, *, limit: int = 100) -> list[Behind]:
        query = (
            "SELECT name, followed FROM journals"
            " WHERE followed < seq AND name >= ? AND name < ? ORDER BY name LIMIT ?"
        )

        def job(connection: sqlite3.Connection) -> list[Behind]:
            bounds = (prefix, prefix + _END, check_limit(limit))
            return [Behind(*row) for row in connection.execute(query, bounds)]

        return await self._readers.run(job)

    async def follow(self, log: str, *, through: int) -> None:
        change = "UPDATE journals SET followed = ? WHERE name = ? AND followed < ?"
        await self._write((change, (through, check_log(log), through)))

    async def remove(self, log: str) -> None:
        name = (check_log(log),)
        await self._write(
            (
                "DELETE FROM journal_items WHERE log ="
                " (SELECT number FROM journals WHERE name = ?)",
                name,
            ),
            ("DELETE FROM journals WHERE name = ?", name),
        )

    async def _items(self, query: str, parameters: Sequence[Any]) -> list[JournalItem]:
        def job(connection: sqlite3.Connection) -> list[JournalItem]:
            return list(map(_item, connection.execute(query, parameters)))

        return await self._readers.run(job)

    async def _write(self, *statements: tuple[str, Sequence[Any]]) -> None:
        def job(connection: sqlite3.Connection) -> None:
            with writing(connection):
                for statement, parameters in statements:
                    connection.execute(statement, parameters)

        await self._writer.run(job)


def _items_of(condition: str) -> str:
    return (
        "SELECT journal_items.seq, CAST(id AS BLOB), CAST(kind AS BLOB), CAST(text AS BLOB)"
        " FROM journal_items"
        f" WHERE log = (SELECT number FROM journals WHERE name = ?) AND {condition}"
    )


def _item(row: tuple[int, bytes, bytes, bytes]) -> JournalItem:
    seq, name, kind, text = row
    return JournalItem(
        seq, name.decode(errors="replace"), kind.decode(errors="replace"), _text(text)
    )


def _text(stored: bytes) -> str:
    """One that is damaged keeps what no JSON has: whoever reads it sees that, and it alone."""
    return stored.decode(errors="surrogateescape")
