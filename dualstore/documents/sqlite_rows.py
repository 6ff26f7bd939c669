"""Rows of a family's table, and the values they stand for."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from dualstore.documents.rules import Present
from dualstore.documents.sqlite_filters import ODD
from dualstore.entry import Draft, Entry, SourceVersion
from dualstore.errors import StorageCorruptError, shown
from dualstore.outbox import IndexMark, IndexState
from dualstore.values import from_json, to_json

Row = Sequence[Any]

MARK: Final = "state, attempts, error, chunks, held, residue, token, claim_at, due_since"
_HEAD: Final = (
    "id, timestamp, origin, version, revision, content_hash, text_hash, created_at, updated_at"
)
ENTRY: Final = f"{_HEAD}, {MARK}, metadata, text, body"
"""The columns that `to_entry` reads."""
PRESENT: Final = f"seq, deleted, {ENTRY}"
"""The columns that `to_present` reads."""

_NEW: Final = (
    "seq, id, timestamp, thread, author, origin, version, revision, content_hash, text_hash,"
    " created_at, updated_at, state, claim_at, due_since, metadata, text, body"
)
INSERT: Final = f"INSERT INTO entries_{{n}} ({_NEW}) VALUES ({', '.join('?' * 18)})"
"""For entries that were never here: what isn't named has its default."""


def insert_row(seq: int, draft: Draft, mark: IndexMark, now: int) -> Row:
    """The parameters of `INSERT`."""
    return (
        seq,
        draft.id,
        draft.timestamp,
        thread_column(draft),
        draft.author,
        draft.origin,
        version_column(draft.source_version),
        1,
        bytes.fromhex(draft.content_hash),
        bytes.fromhex(draft.text_hash),
        now,
        now,
        mark.state,
        mark.claim_at,
        mark.due_since,
        draft.metadata_json,
        draft.text,
        draft.body_json,
    )


def mark_columns(mark: IndexMark) -> Row:
    """The parameters for the columns of `MARK`."""
    return (
        mark.state,
        mark.attempts,
        mark.error,
        mark.chunks,
        bytes.fromhex(mark.held),
        mark.residue,
        mark.token,
        mark.claim_at,
        mark.due_since,
    )


def thread_column(draft: Draft) -> str | bytes | None:
    """`ODD` where filters have to look into the metadata."""
    return ODD if draft.thread_is_odd else draft.thread


def version_column(version: SourceVersion | None) -> str | None:
    """A source version as text."""
    return None if version is None else str(version)


def to_mark(columns: Row) -> IndexMark:
    """Of the columns of `MARK`."""
    # By position: a page of 50 entries builds a hundred of these values.
    state, attempts, error, chunks, held, residue, token, claim_at, due_since = columns
    return IndexMark(
        _STATES[state],
        attempts,
        error,
        chunks,
        held.hex() if held else "",
        bool(residue),
        token,
        claim_at,
        due_since,
    )


def mark_of(row: Row) -> Row:
    """The columns of `MARK` among those of `ENTRY`."""
    return row[9:18]


def to_entry(row: Row) -> Entry:
    """Of the columns of `ENTRY`."""
    try:
        metadata = from_json(row[18])
        body = None if row[20] is None else from_json(row[20])
        source_version = SourceVersion.parse(row[3])
    except ValueError as error:
        raise StorageCorruptError(f"entry {shown(row[0])} can't be read back: {error}") from error
    return Entry(
        row[0],
        row[19],
        row[1],
        metadata,
        body,
        row[4],
        row[5].hex(),
        row[6].hex(),
        to_mark(mark_of(row)),
        row[7],
        row[8],
        row[2],
        source_version,
    )


def to_present(row: Row) -> Present:
    """Of the columns of `PRESENT`."""
    return Present(
        deleted=bool(row[1]),
        origin=row[4],
        revision=row[6],
        content_hash=row[7].hex(),
        text_hash=row[8].hex(),
        source_version=SourceVersion.parse(row[5]),
        created_at=row[9],
        updated_at=row[10],
        mark=to_mark(mark_of(row[2:])),
    )


def fetch_by_ids(connection: sqlite3.Connection, query: str, ids: Sequence[str]) -> sqlite3.Cursor:
    """Run a query whose one parameter is a JSON list of ids."""
    return connection.execute(query, (id_list(ids),))


def id_list(ids: Sequence[str]) -> str:
    """No id holds a NUL, where SQLite's JSON functions would end it."""
    return to_json([each for each in ids if "\0" not in each], "ids")


def seq_list(seqs: Iterable[int]) -> str:
    """Sequence numbers as a JSON list."""
    return f"[{','.join(map(str, seqs))}]"


_STATES: Final = tuple(IndexState)
