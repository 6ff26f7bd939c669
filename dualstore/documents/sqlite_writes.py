"""What happens inside one SQLite transaction that writes entries or tombstones."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from dualstore.documents.base import DeleteOutcome, Put, PutOutcome
from dualstore.documents.rules import (
    Present,
    decide,
    decide_delete,
    mark_after_put,
    must_refile,
    next_revision,
    next_update,
    rounds,
    takes_version,
)
from dualstore.documents.sqlite_derived import Derived
from dualstore.documents.sqlite_rows import (
    INSERT,
    MARK,
    PRESENT,
    fetch_by_ids,
    insert_row,
    mark_columns,
    thread_column,
    to_entry,
    to_present,
    version_column,
)
from dualstore.entry import LOCAL, Draft, Entry, SourceVersion
from dualstore.errors import StorageCorruptError
from dualstore.family import FamilySpec
from dualstore.outbox import IndexMark, IndexState, fresh, renewed


class Writer:
    """Writes one family's rows. Used by the writing lane alone, inside its transactions."""

    def __init__(self, spec: FamilySpec, number: int) -> None:
        self._spec = spec
        self._n = number
        self._derived = Derived(spec, number)

    def put(
        self,
        connection: sqlite3.Connection,
        *,
        drafts: Sequence[Draft],
        now: int,
        expect: Mapping[str, int],
    ) -> list[Put]:
        """In the order given; repeats of an id see what the ones before them wrote."""
        puts: list[Put] = []
        for some in rounds(drafts):
            present = self._fetch_present(connection, [draft.id for draft in some])
            new = [draft for draft in some if draft.id not in present and not expect.get(draft.id)]
            self._insert(connection, new, now)
            for draft in some:
                row = present.get(draft.id)
                puts.append(self._put(connection, draft, row, now, expect.get(draft.id)))
        return puts

    def delete(
        self,
        connection: sqlite3.Connection,
        *,
        ids: Sequence[str],
        now: int,
        origin: str,
        source_version: SourceVersion | None,
        expect: Mapping[str, int],
    ) -> dict[str, DeleteOutcome]:
        """Tombstones for what is there, and for what isn't when a remote says so."""
        rows = self._fetch_present(connection, ids)
        outcomes: dict[str, DeleteOutcome] = {}
        for each in dict.fromkeys(ids):
            row = rows.get(each)
            present = None if row is None else to_present(row)
            outcome = decide_delete(
                present, origin=origin, source_version=source_version, expected=expect.get(each)
            )
            if outcome is DeleteOutcome.DELETED and row is not None and present is not None:
                self._bury(connection, row, present, now, source_version)
            elif present is None and origin != LOCAL:
                self._bury_unknown(connection, each, now, origin, source_version)
            outcomes[each] = outcome
        return outcomes

    def _fetch_present(self, connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Any]:
        query = (
            f"SELECT {PRESENT} FROM entries_{self._n} WHERE id IN (SELECT value FROM json_each(?))"
        )
        return {row[2]: row for row in fetch_by_ids(connection, query, ids)}

    def _insert(self, connection: sqlite3.Connection, drafts: Sequence[Draft], now: int) -> None:
        if not drafts:
            return
        first = self._reserve(connection, len(drafts), live=len(drafts))
        marks = [fresh(indexable=indexable, now=now) for indexable in (False, True)]
        connection.executemany(
            INSERT.format(n=self._n),
            (
                insert_row(seq, draft, marks[bool(draft.indexed_text)], now)
                for seq, draft in enumerate(drafts, first)
            ),
        )
        self._derived.index(connection, enumerate(drafts, first))

    def _reserve(self, connection: sqlite3.Connection, seqs: int, *, live: int) -> int:
        """The first of some fresh sequence numbers; `live` entries more are counted.

        Every change takes at least one, so that the next one tells whether anything changed.
        """
        (after,) = connection.execute(
            "UPDATE families SET next_seq = next_seq + ?, live = live + ? WHERE number = ?"
            " RETURNING next_seq",
            (seqs, live, self._n),
        ).fetchone()
        return int(after) - seqs

    def _put(
        self,
        connection: sqlite3.Connection,
        draft: Draft,
        row: Any,
        now: int,
        expected: int | None,
    ) -> Put:
        present = None if row is None else to_present(row)
        outcome = decide(draft, present, expected)
        if present is None:
            return Put(draft.id, outcome, 1 if outcome is PutOutcome.CREATED else 0)
        if outcome in (PutOutcome.CREATED, PutOutcome.UPDATED):
            self._replace(connection, draft, row, present, now)
            return Put(draft.id, outcome, next_revision(present))
        if outcome is PutOutcome.UNCHANGED and takes_version(draft, present):
            connection.execute(
                f"UPDATE entries_{self._n} SET version = ? WHERE seq = ?",
                (version_column(draft.source_version), row[0]),
            )
        return Put(draft.id, outcome, present.revision)

    def _replace(
        self, connection: sqlite3.Connection, draft: Draft, row: Any, present: Present, now: int
    ) -> None:
        seq, old = row[0], _readable(row)
        refile = not present.deleted and (old is None or must_refile(self._spec, draft, old))
        mark = mark_after_put(draft, present, refile=refile, now=now)
        self._update(connection, seq, draft, mark=mark, present=present, now=now)
        self._derived.remove_attributes(connection, seq, old)
        self._derived.add_attributes(connection, [(seq, draft)])
        if not present.deleted and draft.text_hash == present.text_hash:
            self._derived.move_words(connection, seq, draft)
        else:
            self._derived.replace_words(connection, seq, draft)
        self._reserve(connection, 1, live=int(present.deleted))

    def _update(
        self,
        connection: sqlite3.Connection,
        seq: int,
        draft: Draft,
        *,
        mark: IndexMark,
        present: Present,
        now: int,
    ) -> None:
        connection.execute(
            f"UPDATE entries_{self._n} SET timestamp = ?, thread = ?, author = ?, origin = ?,"
            " version = ?, revision = ?, content_hash = ?, text_hash = ?, updated_at = ?,"
            f" deleted = 0, ({MARK}) = (?, ?, ?, ?, ?, ?, ?, ?, ?),"
            " metadata = ?, text = ?, body = ? WHERE seq = ?",
            (
                draft.timestamp,
                thread_column(draft),
                draft.author,
                draft.origin,
                version_column(draft.source_version),
                next_revision(present),
                bytes.fromhex(draft.content_hash),
                bytes.fromhex(draft.text_hash),
                next_update(present, now),
                *mark_columns(mark),
                draft.metadata_json,
                draft.text,
                draft.body_json,
                seq,
            ),
        )

    def _bury(
        self,
        connection: sqlite3.Connection,
        row: Any,
        present: Present,
        now: int,
        source_version: SourceVersion | None,
    ) -> None:
        self._derived.remove_words(connection, row[0])
        self._derived.remove_attributes(connection, row[0], _readable(row))
        mark = renewed(present.mark, indexable=False, now=now)
        connection.execute(
            f"UPDATE entries_{self._n} SET deleted = 1, thread = NULL, author = NULL,"
            " version = ?, revision = ?, content_hash = x'', text_hash = x'', updated_at = ?,"
            f" ({MARK}) = (?, ?, ?, ?, ?, ?, ?, ?, ?),"
            " metadata = '{}', text = '', body = NULL WHERE seq = ?",
            (
                version_column(source_version or present.source_version),
                next_revision(present),
                next_update(present, now),
                *mark_columns(mark),
                row[0],
            ),
        )
        self._reserve(connection, 1, live=-1)

    def _bury_unknown(
        self,
        connection: sqlite3.Connection,
        each: str,
        now: int,
        origin: str,
        source_version: SourceVersion | None,
    ) -> None:
        seq = self._reserve(connection, 1, live=0)
        connection.execute(
            f"INSERT INTO entries_{self._n} (seq, id, timestamp, origin, version, revision,"
            " content_hash, text_hash, created_at, updated_at, deleted, state, metadata, text)"
            " VALUES (?, ?, ?, ?, ?, 1, x'', x'', ?, ?, 1, ?, '{}', '')",
            (seq, each, now, origin, version_column(source_version), now, now, IndexState.EXCLUDED),
        )


def _readable(row: Any) -> Entry | None:
    """The entry that was there; None when it is damaged, which is no reason to keep it."""
    try:
        return to_entry(row[2:])
    except StorageCorruptError:
        return None
