"""The SQLite file: how a connection is set up, the tables, and the way from layout to layout."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dualstore.documents.sqlite_filters import register_functions
from dualstore.documents.sqlite_lanes import reading, writing
from dualstore.errors import StorageError, StorageLayoutError

APPLICATION_ID: Final = 0x6475616C
"""`dual`, in the file's header: tells a file of ours from any other."""

FTS5_TOKENIZE: Final = (
    """tokenize = "ascii tokenchars '!""#$%&''()*+,-./:;<=>?@[\\]^_`{|}~'" """.strip()
)
"""Terms are separated by blanks and hold anything else, so that SQLite changes nothing in them."""

_COLUMNS: Final = """
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    thread,
    author TEXT,
    origin TEXT NOT NULL,
    version TEXT,
    revision INTEGER NOT NULL,
    content_hash BLOB NOT NULL,
    text_hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    chunks INTEGER NOT NULL DEFAULT 0,
    held BLOB,
    residue INTEGER NOT NULL DEFAULT 0,
    token TEXT,
    claim_at INTEGER,
    due_since INTEGER,
    metadata TEXT NOT NULL,
    text TEXT NOT NULL,
    body TEXT
"""

_FAMILY: Final = (
    f"CREATE TABLE entries_{{n}} ({_COLUMNS})",
    "CREATE UNIQUE INDEX entries_{n}_id ON entries_{n} (id)",
    "CREATE INDEX entries_{n}_time ON entries_{n} (timestamp, id) WHERE deleted = 0",
    "CREATE INDEX entries_{n}_updated ON entries_{n} (updated_at, id) WHERE deleted = 0",
    "CREATE INDEX entries_{n}_thread ON entries_{n} (thread, timestamp, id)"
    " WHERE deleted = 0 AND thread IS NOT NULL",
    "CREATE INDEX entries_{n}_work ON entries_{n} (claim_at, due_since, state)"
    " WHERE claim_at IS NOT NULL",
    "CREATE INDEX entries_{n}_failed ON entries_{n} (seq) WHERE state = 3",
    "CREATE INDEX entries_{n}_tombstones ON entries_{n} (updated_at) WHERE deleted = 1",
    # What the ranking needs of a candidate stands together: one page to read instead of two.
    "CREATE TABLE streams_{n} (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, thread,"
    " timestamp INTEGER NOT NULL, author TEXT, terms TEXT NOT NULL, vector BLOB,"
    " text_hash TEXT NOT NULL)",
    "CREATE VIRTUAL TABLE terms_{n} USING fts5(terms, content = 'streams_{n}',"
    f" content_rowid = 'seq', detail = none, columnsize = 0, {FTS5_TOKENIZE})",
    "CREATE VIRTUAL TABLE vocabulary_{n} USING fts5vocab(terms_{n}, row)",
    "CREATE TABLE attributes_{n} (attribute TEXT NOT NULL, seq INTEGER NOT NULL,"
    " PRIMARY KEY (attribute, seq)) WITHOUT ROWID",
)

_LAYOUT_1: Final = (
    # `live` and `next_seq` are counters: counting 100,000 rows again for each search is dear.
    "CREATE TABLE families (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " live INTEGER NOT NULL DEFAULT 0, next_seq INTEGER NOT NULL DEFAULT 1)",
    "CREATE TABLE records (number INTEGER PRIMARY KEY, space TEXT NOT NULL, key TEXT NOT NULL,"
    " version INTEGER NOT NULL, tokens TEXT NOT NULL, value TEXT NOT NULL)",
    "CREATE UNIQUE INDEX records_key ON records (space, key)",
    "CREATE TABLE record_tokens (space TEXT NOT NULL, token TEXT NOT NULL,"
    " record INTEGER NOT NULL, PRIMARY KEY (space, token)) WITHOUT ROWID",
)

_LAYOUT_2: Final = (
    "CREATE TABLE journals (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " seq INTEGER NOT NULL, followed INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL)",
    "CREATE INDEX journals_behind ON journals (name) WHERE followed < seq",
    "CREATE TABLE journal_items (log INTEGER NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL,"
    " kind TEXT NOT NULL, text TEXT NOT NULL)",
    "CREATE UNIQUE INDEX journal_items_seq ON journal_items (log, seq)",
    "CREATE UNIQUE INDEX journal_items_id ON journal_items (log, id)",
)


_PRAGMAS: Final = (
    # Sorting and temporary indexes never need a disk.
    "temp_store = memory",
    # 16 MiB of pages per connection: enough for the inner pages of 100,000 entries.
    "cache_size = -16384",
    # The log file goes back to 64 MiB after a large transaction.
    "journal_size_limit = 67108864",
)


def _run_all(*statements: str) -> Callable[[sqlite3.Connection], None]:
    def run(connection: sqlite3.Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    return run


MIGRATIONS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (
    _run_all(*_LAYOUT_1),
    _run_all(*_LAYOUT_2),
)
"""Step n leads from layout n to layout n + 1. A released step never changes."""

LAYOUT: Final = len(MIGRATIONS)


def connect(
    path: Path, *, busy_timeout: float, synchronous: str, create: bool
) -> sqlite3.Connection:
    """A connection for the thread that calls this.

    `synchronous`: a commit waits for the operating system (normal) or for the disk (full).
    """
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={'rwc' if create else 'rw'}",
        timeout=busy_timeout,
        isolation_level=None,
        cached_statements=512,
        uri=True,
    )
    try:
        register_functions(connection)
        for pragma in (f"synchronous = {synchronous}", *_PRAGMAS):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path, *, busy_timeout: float) -> None:
    """Make the file ours, or bring it to this release's layout; refuse a foreign or newer one."""
    if sqlite3.sqlite_version_info < (3, 35):
        raise StorageError(f"SQLite 3.35 or newer is needed, not {sqlite3.sqlite_version}")
    _check_owner(connection, path)
    _switch_to_wal(connection, busy_timeout)
    with writing(connection):
        _migrate(connection, path)


def family_number(connection: sqlite3.Connection, name: str) -> int:
    """The number that the family's tables have, made when it is new; inside a transaction."""
    found = connection.execute("SELECT number FROM families WHERE name = ?", (name,)).fetchone()
    if found:
        return int(found[0])
    cursor = connection.execute("INSERT INTO families (name) VALUES (?)", (name,))
    number = int(cursor.lastrowid or 0)
    for statement in _FAMILY:
        connection.execute(statement.replace("{n}", str(number)))
    return number


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    # In one snapshot: between two, another process may make the file ours.
    with reading(connection):
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if owner != APPLICATION_ID and (owner or tables):
        raise StorageLayoutError(f"{path} belongs to another program; name another file")


def _switch_to_wal(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """Readers go on while one writes. The switch itself doesn't wait for others by itself."""
    until = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    if layout > LAYOUT:
        raise StorageLayoutError(
            f"{path} has layout {layout}, this release knows {LAYOUT}; update dualstore"
        )
    for step in MIGRATIONS[layout:]:
        step(connection)
    if layout < LAYOUT:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
