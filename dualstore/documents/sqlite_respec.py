"""Deriving a family's entries again in an SQLite file."""

import sqlite3
from typing import Any, Final

from dualstore.documents.rules import draft_anew, mark_anew
from dualstore.documents.sqlite_derived import Derived
from dualstore.documents.sqlite_rows import (
    MARK,
    PRESENT,
    mark_columns,
    thread_column,
    to_entry,
    to_present,
)
from dualstore.entry import Draft, Drafter
from dualstore.errors import InvalidInputError, StorageCorruptError
from dualstore.family import FamilySpec
from dualstore.outbox import IndexMark
from dualstore.values import size_of

PORTION: Final = 32 * 1024 * 1024
"""Content in one transaction, unless a single entry has more: the log would grow without end."""


class Rederiver:
    """Of one family, from the spec it was made to, to another one."""

    def __init__(self, made: FamilySpec, spec: FamilySpec, number: int) -> None:
        self._made = made
        self._spec = spec
        self._n = number
        self._drafter = Drafter(spec)
        self._derived = Derived(spec, number)

    def step(
        self, connection: sqlite3.Connection, *, after: str | None, limit: int, now: int
    ) -> str | None:
        """The next entries in order of ids, in this transaction: the last one's id, None for none.

        What can't be read back stays as it is.
        """
        if after is None:
            self._derived.prune_attributes(connection)
        found = connection.execute(
            f"SELECT seq, id FROM entries_{self._n} WHERE id > ? AND deleted = 0"
            " ORDER BY id LIMIT ?",
            (after or "", limit),
        ).fetchall()
        last, room = None, PORTION
        for seq, last in found:  # noqa: B007 - the last one is what is asked for
            room -= self._rederive(connection, seq, now)
            if room <= 0:
                break
        return last

    def _rederive(self, connection: sqlite3.Connection, seq: int, now: int) -> int:
        """How many bytes of content it has."""
        row = connection.execute(
            f"SELECT {PRESENT} FROM entries_{self._n} WHERE seq = ?", (seq,)
        ).fetchone()
        try:
            entry = to_entry(row[2:])
            draft = draft_anew(self._drafter, entry)
        except (StorageCorruptError, InvalidInputError):
            return 0
        present = to_present(row)
        mark = mark_anew(draft, present, made=self._made, spec=self._spec, now=now)
        self._update(connection, seq, draft, mark)
        self._derived.remove_attributes(connection, seq, entry)
        self._derived.add_attributes(connection, [(seq, draft)])
        if draft.text_hash == present.text_hash:
            self._derived.renew_words(connection, seq, draft)
        else:
            self._derived.replace_words(connection, seq, draft)
        return size_of(draft.text, draft.metadata_json, draft.body_json or "")

    def _update(
        self, connection: sqlite3.Connection, seq: int, draft: Draft, mark: IndexMark
    ) -> None:
        parameters: tuple[Any, ...] = (
            thread_column(draft),
            draft.author,
            bytes.fromhex(draft.text_hash),
            *mark_columns(mark),
            seq,
        )
        connection.execute(
            f"UPDATE entries_{self._n} SET thread = ?, author = ?, text_hash = ?,"
            f" ({MARK}) = (?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE seq = ?",
            parameters,
        )
