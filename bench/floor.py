"""The floor: plain sqlite3 doing the same work through one thread, with porter FTS5."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_TABLES = """
PRAGMA journal_mode = wal;
PRAGMA synchronous = normal;
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, timestamp INTEGER NOT NULL, thread TEXT,
    author TEXT, origin TEXT NOT NULL, version TEXT, revision INTEGER NOT NULL,
    content_hash BLOB NOT NULL, text_hash BLOB NOT NULL, created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL, deleted INTEGER NOT NULL, state INTEGER NOT NULL,
    attempts INTEGER NOT NULL, error TEXT, chunks INTEGER NOT NULL, held BLOB,
    residue INTEGER NOT NULL, token TEXT, claim_at INTEGER, due_since INTEGER,
    metadata TEXT NOT NULL, text TEXT NOT NULL, body TEXT
);
CREATE UNIQUE INDEX entries_id ON entries (id);
CREATE INDEX entries_time ON entries (timestamp, id) WHERE deleted = 0;
CREATE INDEX entries_updated ON entries (updated_at, id) WHERE deleted = 0;
CREATE INDEX entries_thread ON entries (thread, timestamp, id) WHERE deleted = 0;
CREATE INDEX entries_work ON entries (claim_at, due_since, state) WHERE claim_at IS NOT NULL;
CREATE INDEX entries_failed ON entries (seq) WHERE state = 3;
CREATE INDEX entries_tombstones ON entries (updated_at) WHERE deleted = 1;
CREATE VIRTUAL TABLE words USING fts5(
    text, content = 'entries', content_rowid = 'seq', tokenize = 'porter unicode61'
);
"""
_PARAMETERS = ", ".join("?" * 25)


class Floor:
    """As fast as one can be with the standard library, without any of the guarantees."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._connection = self._thread.submit(self._open, path).result()

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.executescript(_TABLES)
        return connection

    async def insert(self, messages: Sequence[dict[str, Any]]) -> None:
        await self.run(lambda: self._insert(messages))

    def _insert(self, messages: Sequence[dict[str, Any]]) -> None:
        connection = self._connection
        (first,) = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM entries").fetchone()
        rows = [_row(seq, message) for seq, message in enumerate(messages, first)]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"INSERT INTO entries VALUES ({_PARAMETERS})", rows)
        connection.executemany(
            "INSERT INTO words (rowid, text) VALUES (?, ?)", [(row[0], row[23]) for row in rows]
        )
        connection.execute("COMMIT")

    async def get(self, each: str) -> Any:
        return (await self.query("SELECT * FROM entries WHERE id = ? AND deleted = 0", each))[0]

    async def newest(self, thread: str) -> list[Any]:
        return await self.query(
            "SELECT * FROM entries WHERE deleted = 0 AND thread = ?"
            " ORDER BY timestamp DESC, id DESC LIMIT 50",
            thread,
        )

    async def best(self, words: Sequence[str], limit: int) -> list[Any]:
        """bm25's best entries, with the text that a ranking would go on with."""
        match = " OR ".join(f'"{word}"' for word in words)
        query = (
            "SELECT id, thread, timestamp, author, entries.text"
            " FROM words JOIN entries ON seq = words.rowid"
            " WHERE words MATCH ? ORDER BY bm25(words) LIMIT ?"
        )
        return await self.run(lambda: self._connection.execute(query, (match, limit)).fetchall())

    async def query(self, query: str, *parameters: Any) -> list[Any]:
        """Rows with their JSON parsed."""
        return await self.run(
            lambda: [
                (*row[:22], json.loads(row[22]), row[23], row[24] and json.loads(row[24]))
                for row in self._connection.execute(query, parameters)
            ]
        )

    async def run(self, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    def close(self) -> None:
        self._thread.submit(self._connection.close).result()
        self._thread.shutdown()


def _row(seq: int, message: dict[str, Any]) -> tuple[Any, ...]:
    metadata = json.dumps(message["metadata"], sort_keys=True, separators=(",", ":"))
    text, author = message["text"], message["metadata"]["author"]
    content_hash = blake2b(f"{metadata}{text}".encode(), digest_size=16).digest()
    text_hash = blake2b(f"{author}{text}".encode(), digest_size=16).digest()
    at = message["timestamp"]
    return (
        *(seq, message["id"], at, message["metadata"]["session_id"], author, "local", None, 1),
        *(content_hash, text_hash, at, at, 0, 0, 0, None, 0, None, 0, None, at, at),
        *(metadata, text, None),
    )
