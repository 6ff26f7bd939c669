"""What an SQLite file keeps beside its entries to find them by: words and declared attributes."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from dualstore.attributes import attributes, whole_span
from dualstore.documents.sqlite_rows import thread_column
from dualstore.entry import Draft, Entry
from dualstore.family import FamilySpec
from dualstore.terms import Analyzer


class Derived:
    """Of one family. Each call is inside a transaction of the writing lane."""

    def __init__(self, spec: FamilySpec, number: int) -> None:
        self._spec = spec
        self._n = number
        self._analyzer = Analyzer()

    def index(self, connection: sqlite3.Connection, numbered: Iterable[tuple[int, Draft]]) -> None:
        """Derive the words and the declared attributes of entries that have none yet."""
        pairs = list(numbered)
        self.add_words(connection, pairs)
        self.add_attributes(connection, pairs)

    def add_words(self, connection: sqlite3.Connection, pairs: Sequence[tuple[int, Draft]]) -> None:
        """Of entries that have none."""
        kept = self._analyzer.kept
        rows = [
            (
                seq,
                draft.id,
                thread_column(draft),
                draft.timestamp,
                draft.author,
                " ".join(kept(draft.indexed_text)),
                draft.text_hash,
            )
            for seq, draft in pairs
        ]
        connection.executemany(
            f"INSERT INTO streams_{self._n} (seq, id, thread, timestamp, author, terms, text_hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        connection.executemany(
            f"INSERT INTO terms_{self._n} (rowid, terms) VALUES (?, ?)",
            [(row[0], row[5]) for row in rows],
        )

    def add_attributes(
        self, connection: sqlite3.Connection, pairs: Sequence[tuple[int, Draft]]
    ) -> None:
        """Of entries that have none."""
        if self._spec.filter_fields:
            connection.executemany(
                f"INSERT INTO attributes_{self._n} (attribute, seq) VALUES (?, ?)",
                ((each, seq) for seq, draft in pairs for each in self._declared(draft.metadata)),
            )

    def move_words(self, connection: sqlite3.Connection, seq: int, draft: Draft) -> None:
        """The words and their vector are the same; who says them, when and where may not be."""
        connection.execute(
            f"UPDATE streams_{self._n} SET thread = ?, timestamp = ?, author = ? WHERE seq = ?",
            (thread_column(draft), draft.timestamp, draft.author, seq),
        )

    def renew_words(self, connection: sqlite3.Connection, seq: int, draft: Draft) -> None:
        """Derive them again; the vector stays, because what it was made from is the same."""
        row = connection.execute(
            f"SELECT vector FROM streams_{self._n} WHERE seq = ?", (seq,)
        ).fetchone()
        self.replace_words(connection, seq, draft)
        if row:
            connection.execute(
                f"UPDATE streams_{self._n} SET vector = ? WHERE seq = ?", (row[0], seq)
            )

    def replace_words(self, connection: sqlite3.Connection, seq: int, draft: Draft) -> None:
        """Words of another text, which have no vector yet."""
        self.remove_words(connection, seq)
        self.add_words(connection, [(seq, draft)])

    def remove_words(self, connection: sqlite3.Connection, seq: int) -> None:
        """With their vector."""
        connection.execute(
            f"INSERT INTO terms_{self._n} (terms_{self._n}, rowid, terms)"
            f" SELECT 'delete', seq, terms FROM streams_{self._n} WHERE seq = ?",
            (seq,),
        )
        connection.execute(f"DELETE FROM streams_{self._n} WHERE seq = ?", (seq,))

    def remove_attributes(
        self, connection: sqlite3.Connection, seq: int, old: Entry | None
    ) -> None:
        """Those of `old`; where it isn't known, whatever is there, which takes a look at all."""
        if not self._spec.filter_fields:
            return
        if old is None:
            connection.execute(f"DELETE FROM attributes_{self._n} WHERE seq = ?", (seq,))
        else:
            connection.executemany(
                f"DELETE FROM attributes_{self._n} WHERE attribute = ? AND seq = ?",
                [(each, seq) for each in self._declared(old.metadata)],
            )

    def prune_attributes(self, connection: sqlite3.Connection) -> None:
        """Remove those of fields that aren't declared."""
        spans = [whole_span(path) for path in self._spec.filter_fields]
        declared = " OR ".join(["(attribute >= ? AND attribute < ?)"] * len(spans)) or "0"
        connection.execute(
            f"DELETE FROM attributes_{self._n} WHERE NOT ({declared})",
            [bound for span in spans for bound in span],
        )

    def _declared(self, metadata: dict[str, Any]) -> list[str]:
        fields = self._spec.filter_fields
        return [each for each in attributes(metadata) if each.partition("\0")[0] in fields]
