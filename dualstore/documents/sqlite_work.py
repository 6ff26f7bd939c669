"""The index work of one family in an SQLite file: claimed, settled, looked over."""

import sqlite3
import uuid
from collections.abc import Sequence
from typing import Any

from dualstore.documents.base import IndexStatus, Scanned, Settlement, Work
from dualstore.documents.sqlite_lanes import reading
from dualstore.documents.sqlite_rows import (
    ENTRY,
    MARK,
    fetch_by_ids,
    mark_columns,
    mark_of,
    to_entry,
    to_mark,
)
from dualstore.entry import Drafter
from dualstore.errors import StorageCorruptError
from dualstore.family import FamilySpec
from dualstore.outbox import Failed, Indexed, IndexState, doubted, settled


class SqliteWork:
    """Each call is one job of a lane; those that write are inside its transaction."""

    def __init__(self, spec: FamilySpec, number: int) -> None:
        self._n = number
        self._drafter = Drafter(spec)
        self._set_mark = f"UPDATE entries_{number} SET ({MARK}) = (?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE"
        self._scan = f"SELECT id, deleted, revision, text_hash, {MARK} FROM entries_{number} WHERE"

    def claim(
        self, connection: sqlite3.Connection, *, limit: int, now: int, lease: int
    ) -> list[Work]:
        """Under a token of its own, by which the rows are read back."""
        token = uuid.uuid4().hex
        connection.execute(
            f"UPDATE entries_{self._n} SET state = ?, attempts = attempts + 1, token = ?,"
            f" claim_at = ? WHERE seq IN (SELECT seq FROM entries_{self._n}"
            " WHERE claim_at <= ? ORDER BY claim_at, due_since LIMIT ?)",
            (IndexState.LEASED, token, now + lease, now, limit),
        )
        rows = connection.execute(
            f"SELECT {ENTRY}, deleted, (SELECT vector FROM streams_{self._n} AS s"
            f" WHERE s.seq = e.seq) FROM entries_{self._n} AS e"
            " WHERE claim_at = ? AND token = ? ORDER BY due_since, seq",
            (now + lease, token),
        )
        works = [self._to_work(connection, row) for row in rows.fetchall()]
        return [work for work in works if work]

    def _to_work(self, connection: sqlite3.Connection, row: Any) -> Work | None:
        """A row that can't be read back fails by itself, not its batch."""
        *columns, deleted, vector = row
        try:
            entry = to_entry(columns)
        except StorageCorruptError as error:
            mark = settled(to_mark(mark_of(columns)), Failed(str(error)))
            connection.execute(f"{self._set_mark} id = ?", (*mark_columns(mark), columns[0]))
            return None
        keeps = not deleted and self._drafter.is_indexable(entry.text, entry.metadata)
        return Work(
            id=entry.id,
            token=entry.index.token or "",
            entry=entry if keeps else None,
            mark=entry.index,
            vector=vector or b"",
        )

    def settle(
        self, connection: sqlite3.Connection, *, settlements: Sequence[Settlement]
    ) -> list[bool]:
        """Each by itself, where its token still stands."""
        return [self._settle(connection, settlement) for settlement in settlements]

    def _settle(self, connection: sqlite3.Connection, settlement: Settlement) -> bool:
        work, outcome = settlement.work, settlement.outcome
        row = connection.execute(
            f"{self._set_mark} id = ? AND token = ? RETURNING seq",
            (*mark_columns(settled(work.mark, outcome)), work.id, work.token),
        ).fetchone()
        if row and isinstance(outcome, Indexed) and outcome.vector:
            connection.execute(
                f"UPDATE streams_{self._n} SET vector = ? WHERE seq = ?", (outcome.vector, row[0])
            )
        return row is not None

    def mark_due(
        self, connection: sqlite3.Connection, *, ids: Sequence[str], now: int
    ) -> list[str]:
        """Whatever is there of these, entries and tombstones."""
        query = (
            f"SELECT seq, id, {MARK} FROM entries_{self._n}"
            " WHERE id IN (SELECT value FROM json_each(?))"
        )
        found = fetch_by_ids(connection, query, ids).fetchall()
        connection.executemany(
            f"{self._set_mark} seq = ?",
            [(*mark_columns(doubted(to_mark(row[2:]), now=now)), row[0]) for row in found],
        )
        return [row[1] for row in found]

    def status(self, connection: sqlite3.Connection) -> IndexStatus:
        """Both counts are of one moment."""
        with reading(connection):
            rows = connection.execute(
                f"SELECT state, count(*), min(due_since) FROM entries_{self._n}"
                " WHERE claim_at IS NOT NULL GROUP BY state"
            ).fetchall()
            (failed,) = connection.execute(
                f"SELECT count(*) FROM entries_{self._n} WHERE state = 3"
            ).fetchone()
        counts = {state: count for state, count, _ in rows}
        return IndexStatus(
            due=counts.get(IndexState.DUE, 0),
            leased=counts.get(IndexState.LEASED, 0),
            failed=failed,
            oldest_due=min((since for _, _, since in rows), default=None),
        )

    def scan(
        self, connection: sqlite3.Connection, *, after: str, before: str | None, limit: int
    ) -> list[Scanned]:
        """By the index of ids."""
        bound = "" if before is None else " AND id < ?"
        given = (after, limit) if before is None else (after, before, limit)
        rows = connection.execute(f"{self._scan} id > ?{bound} ORDER BY id LIMIT ?", given)
        return [_to_scanned(row) for row in rows]

    def marks(self, connection: sqlite3.Connection, *, ids: Sequence[str]) -> list[Scanned]:
        """Of those that are there, in no order."""
        query = f"{self._scan} id IN (SELECT value FROM json_each(?))"
        return [_to_scanned(row) for row in fetch_by_ids(connection, query, ids)]

    def purge(self, connection: sqlite3.Connection, *, deleted_before: int, limit: int) -> int:
        """The oldest first."""
        return connection.execute(
            f"DELETE FROM entries_{self._n} WHERE seq IN (SELECT seq FROM entries_{self._n}"
            " WHERE deleted = 1 AND updated_at < ? AND state = ? ORDER BY updated_at LIMIT ?)",
            (deleted_before, IndexState.EXCLUDED, limit),
        ).rowcount


def _to_scanned(row: Any) -> Scanned:
    return Scanned(row[0], bool(row[1]), row[2], row[3].hex(), to_mark(row[4:]))
