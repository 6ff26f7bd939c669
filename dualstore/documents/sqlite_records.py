"""Records in an SQLite file."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from dualstore.documents.base import Record, Records
from dualstore.documents.doors import check_limit, check_question, check_record
from dualstore.documents.sqlite_lanes import Job, Lanes, writing
from dualstore.values import from_json, to_json

T = TypeVar("T")

_COLUMNS: Final = "space, key, value, version, tokens"


class SqliteRecords(Records):
    """One table for all spaces, and one that holds every token once."""

    def __init__(self, *, writer: Lanes, readers: Lanes) -> None:
        self._writer = writer
        self._readers = readers

    async def create(
        self, space: str, key: str, value: Any, *, tokens: Sequence[str] = ()
    ) -> Record | None:
        text = check_record(space, key, tokens, value)
        record = Record(space, key, from_json(text), 1, tuple(dict.fromkeys(tokens)))

        def job(connection: sqlite3.Connection) -> Record | None:
            number = connection.execute(
                f"INSERT INTO records ({_COLUMNS}) VALUES (?, ?, ?, 1, ?)",
                (space, key, text, _listed(record.tokens)),
            ).lastrowid
            _claim_tokens(connection, record, number)
            return record

        return await self._write(job)

    async def replace(
        self, record: Record, value: Any, *, tokens: Sequence[str] | None = None
    ) -> Record | None:
        wanted = record.tokens if tokens is None else tuple(dict.fromkeys(tokens))
        text = check_record(record.space, record.key, wanted, value)
        new = Record(record.space, record.key, from_json(text), record.version + 1, wanted)

        def job(connection: sqlite3.Connection) -> Record | None:
            row = connection.execute(
                "UPDATE records SET value = ?, version = ?, tokens = ?"
                " WHERE space = ? AND key = ? AND version = ? RETURNING number",
                (text, new.version, _listed(wanted), record.space, record.key, record.version),
            ).fetchone()
            if row is None:
                return None
            if tokens is not None:
                connection.execute("DELETE FROM record_tokens WHERE record = ?", row)
                _claim_tokens(connection, new, row[0])
            return new

        return await self._write(job)

    async def delete(self, record: Record) -> bool:
        def job(connection: sqlite3.Connection) -> bool:
            row = connection.execute(
                "DELETE FROM records WHERE space = ? AND key = ? AND version = ? RETURNING number",
                (record.space, record.key, record.version),
            ).fetchone()
            if row:
                connection.execute("DELETE FROM record_tokens WHERE record = ?", row)
            return row is not None

        return bool(await self._write(job))

    async def get(self, space: str, key: str) -> Record | None:
        check_question(space=space, key=key)
        query = f"SELECT {_COLUMNS} FROM records WHERE space = ? AND key = ?"
        rows = await self._rows(query, (space, key))
        return rows[0] if rows else None

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
        bounds = [("key > ?", after), ("key < ?", before)]
        asked = [(condition, bound) for condition, bound in bounds if bound is not None]
        conditions = "".join(f" AND {condition}" for condition, _ in asked)
        query = (
            f"SELECT {_COLUMNS} FROM records WHERE space = ?{conditions}"
            f" ORDER BY key {'DESC' if backwards else 'ASC'} LIMIT ?"
        )
        return await self._rows(query, (space, *(bound for _, bound in asked), check_limit(limit)))

    async def find(self, space: str, tokens: Sequence[str]) -> dict[str, Record]:
        check_question(space=space)
        query = (
            "SELECT token, records.space, key, value, version, tokens FROM record_tokens"
            " JOIN records ON number = record"
            " WHERE record_tokens.space = ? AND token IN (SELECT value FROM json_each(?))"
        )

        def job(connection: sqlite3.Connection) -> dict[str, Record]:
            rows = connection.execute(query, (space, _listed(tokens)))
            return {row[0]: _to_record(row[1:]) for row in rows}

        return await self._readers.run(job)

    async def _rows(self, query: str, parameters: Sequence[Any]) -> list[Record]:
        def job(connection: sqlite3.Connection) -> list[Record]:
            return [_to_record(row) for row in connection.execute(query, parameters)]

        return await self._readers.run(job)

    async def _write(self, job: Job[T | None]) -> T | None:
        def transaction(connection: sqlite3.Connection) -> T | None:
            try:
                with writing(connection):
                    return job(connection)
            except sqlite3.IntegrityError:
                return None  # the key or a token is taken: all of it was rolled back

        return await self._writer.run(transaction)


def _claim_tokens(connection: sqlite3.Connection, record: Record, number: int | None) -> None:
    connection.executemany(
        "INSERT INTO record_tokens (space, token, record) VALUES (?, ?, ?)",
        [(record.space, token, number) for token in record.tokens],
    )


def _listed(names: Sequence[str]) -> str:
    return to_json([name for name in names if "\0" not in name], "tokens")


def _to_record(row: Sequence[Any]) -> Record:
    space, key, value, version, tokens = row
    return Record(space, key, from_json(value), version, tuple(from_json(tokens)))
