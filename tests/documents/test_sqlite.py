"""What only the SQLite backend does."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dualstore.documents import sqlite_layout, sqlite_terms
from dualstore.documents.base import DocumentStore, Settlement
from dualstore.documents.journal import JournalItem
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.documents.sqlite_errors import mapped
from dualstore.documents.sqlite_lanes import Lanes, writing
from dualstore.documents.sqlite_layout import FTS5_TOKENIZE
from dualstore.entry import Drafter
from dualstore.errors import (
    DualStoreError,
    StorageError,
    StorageLayoutError,
    UnavailableError,
)
from dualstore.family import FamilySpec
from dualstore.filters import parse
from dualstore.metrics import Counters, Metrics
from dualstore.outbox import Released
from dualstore.terms import Analyzer
from tests.documents.writing import NOW, draft, put

SPEC = FamilySpec("default_sqlite", filter_fields=("role",))

CODES = sorted(
    {
        code & 0xFF
        for name, code in vars(sqlite3).items()
        if name.startswith("SQLITE_") and isinstance(code, int) and 0 < code & 0xFF < 27
    }
)


def ask_file(path: Path, query: str) -> list[Any]:
    """By plain sqlite3, beside the store."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_sqlite_is_mapped_and_names_the_file(code: int) -> None:
    for extended in (code, code | 5 << 8):
        error = sqlite3.OperationalError("it says so")
        error.sqlite_errorcode = extended
        ours = mapped(error, Path("/srv/memory.db"))
        assert isinstance(ours, DualStoreError)
        assert "it says so" in str(ours)


def test_an_error_without_a_code_is_a_storage_error() -> None:
    assert type(mapped(sqlite3.ProgrammingError("odd"), Path("a"))) is StorageError


async def test_a_new_file_has_our_layout_and_is_in_wal_mode(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "deep" / "er" / "a.db") as database:
        health = await database.health()
    assert health.layout == sqlite_layout.LAYOUT == 2
    assert ask_file(database.path, "PRAGMA journal_mode") == [("wal",)]
    assert ask_file(database.path, "PRAGMA application_id") == [(sqlite_layout.APPLICATION_ID,)]


async def test_an_older_layout_is_brought_forward_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    async with SqliteDatabase(path) as database:
        await database.records.create("space", "key", "kept")

    def step(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE later (x)")

    monkeypatch.setattr(sqlite_layout, "MIGRATIONS", (*sqlite_layout.MIGRATIONS, step))
    monkeypatch.setattr(sqlite_layout, "LAYOUT", 3)
    async with SqliteDatabase(path) as database:
        assert (await database.health()).layout == 3
        record = await database.records.get("space", "key")
    assert record is not None
    assert record.value == "kept"
    assert ask_file(path, "SELECT count(*) FROM later") == [(0,)]


async def test_a_file_from_before_there_were_journals_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        sqlite_layout.MIGRATIONS[0](connection)
        connection.execute(f"PRAGMA application_id = {sqlite_layout.APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
    async with SqliteDatabase(path) as database:
        assert await database.journal.extend("log", [JournalItem(1, "a", "said", "x")], note="")
        assert (await database.health()).layout == sqlite_layout.LAYOUT


async def test_a_migration_that_fails_leaves_the_old_layout_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    async with SqliteDatabase(path):
        pass

    def step(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE later (x)")
        connection.execute("CREATE TABLE later (x)")

    monkeypatch.setattr(sqlite_layout, "MIGRATIONS", (*sqlite_layout.MIGRATIONS, step))
    monkeypatch.setattr(sqlite_layout, "LAYOUT", 3)
    with pytest.raises(StorageError, match="already exists"):
        await SqliteDatabase(path).__aenter__()
    assert ask_file(path, "PRAGMA user_version") == [(2,)]
    assert ask_file(path, "SELECT count(*) FROM sqlite_master WHERE name = 'later'") == [(0,)]


async def test_a_newer_layout_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with SqliteDatabase(path):
        pass
    ask_file(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StorageLayoutError, match="has layout 99, this release knows 2"):
        await SqliteDatabase(path).__aenter__()
    assert path.read_bytes() == before


async def test_another_programs_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    ask_file(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(StorageLayoutError, match="belongs to another program"):
        await SqliteDatabase(path).__aenter__()
    assert path.read_bytes() == before


@pytest.mark.parametrize(("level", "pragma"), [("normal", 1), ("full", 2)])
async def test_synchronous_is_what_was_asked_for(level: Any, pragma: int, tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "a.db", synchronous=level) as database:
        rows = await database._writer.run(
            lambda connection: connection.execute("PRAGMA synchronous").fetchall()
        )
    assert rows == [(pragma,)]


async def test_a_write_waits_for_another_process_and_then_gives_up_in_time(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    async with SqliteDatabase(path, busy_timeout=0.3) as database:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="in use by another process"):
            await asyncio.wait_for(database.records.create("s", "k", 1), 5)
        waiting = asyncio.create_task(database.records.create("s", "k", 1))
        await asyncio.sleep(0.1)
        other.execute("COMMIT")
        other.close()
        assert await waiting


async def test_reads_go_on_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with SqliteDatabase(path) as database:
        await database.records.create("s", "k", 1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await asyncio.wait_for(database.records.get("s", "k"), 5)
        other.close()


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "a.db") as database:
        store = await database.family(SPEC)
    with pytest.raises(UnavailableError, match="is closed"):
        await store.count()


async def test_a_write_whose_caller_is_cancelled_is_finished_all_the_same(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "a.db") as database:
        store = await database.family(SPEC)
        drafts = Drafter(SPEC).draft_many([{"id": f"m{n}", "text": "x"} for n in range(500)], now=1)
        task = asyncio.create_task(store.put(drafts, now=1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with SqliteDatabase(tmp_path / "a.db") as database:
        assert await (await database.family(SPEC)).count() == 500


async def test_two_loops_may_use_one_file_one_after_the_other(tmp_path: Path) -> None:
    def run() -> None:
        async def use() -> None:
            async with SqliteDatabase(tmp_path / "a.db") as database:
                await database.records.create("s", threading.current_thread().name, 1)

        asyncio.run(use())

    for name in ("one", "two"):
        thread = threading.Thread(target=run, name=name)
        thread.start()
        await asyncio.to_thread(thread.join)
    async with SqliteDatabase(tmp_path / "a.db") as database:
        assert [record.key for record in await database.records.range("s")] == ["one", "two"]


async def test_lanes_use_the_last_thread_first_and_no_more_than_are_needed(
    tmp_path: Path,
) -> None:
    lanes = Lanes(partial(sqlite3.connect, ":memory:"), tmp_path, width=3, name="test")
    lanes.start()

    def thread_name(_: sqlite3.Connection) -> str:
        return threading.current_thread().name

    assert {await lanes.run(thread_name) for _ in range(5)} == {"dualstore-test-1"}
    gate = threading.Event()

    def wait(_: sqlite3.Connection) -> str:
        gate.wait(5)
        return threading.current_thread().name

    several = [asyncio.create_task(lanes.run(wait)) for _ in range(5)]
    await asyncio.sleep(0.05)
    gate.set()
    assert set(await asyncio.gather(*several)) <= {f"dualstore-test-{n}" for n in (1, 2, 3)}
    await lanes.stop()


async def test_a_connection_that_fails_is_tried_again_with_the_next_job(tmp_path: Path) -> None:
    calls: list[int] = []

    def connect() -> sqlite3.Connection:
        calls.append(1)
        if len(calls) == 1:
            raise sqlite3.OperationalError("not now")
        return sqlite3.connect(":memory:")

    lanes = Lanes(connect, tmp_path, width=1, name="test")
    lanes.start()
    with pytest.raises(StorageError, match="not now"):
        await lanes.run(lambda _: 1)
    assert await lanes.run(lambda _: 1) == 1
    await lanes.stop()


async def test_a_job_that_raises_rolls_its_transaction_back(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "a.db") as database:

        def job(connection: sqlite3.Connection) -> None:
            with writing(connection):
                connection.execute("INSERT INTO families (name) VALUES ('half')")
                raise KeyError("boom")

        with pytest.raises(KeyError):
            await database._writer.run(job)
    assert ask_file(database.path, "SELECT count(*) FROM families") == [(0,)]


MONDAY = parse({"metadata.session_id": "monday"})
PLANS: list[tuple[str, Callable[[DocumentStore], Awaitable[Any]]]] = [
    ("entries_1_thread", lambda store: store.page(MONDAY)),
    ("entries_1_thread", lambda store: store.count(MONDAY)),
    ("entries_1_thread", lambda store: store.tally(["monday"])),
    ("entries_1_thread", lambda store: store.neighbours(["m1"], before=1, after=1)),
    ("entries_1_time", lambda store: store.page(limit=2)),
    ("entries_1_updated", lambda store: store.page(order="updated", newest=False)),
    ("entries_1_id", lambda store: store.get(["m1", "m2"])),
    ("entries_1_id", lambda store: store.scan(after="m1")),
    ("entries_1_work", lambda store: store.claim(5, now=5, lease=5)),
    ("entries_1_failed", lambda store: store.index_status()),
    ("entries_1_tombstones", lambda store: store.purge(deleted_before=5)),
    ("attributes_1", lambda store: store.count(parse({"metadata.role": "user"}))),
]


@pytest.mark.parametrize(("index", "ask"), PLANS)
async def test_what_is_sorted_or_filtered_has_its_index(
    index: str, ask: Callable[[DocumentStore], Awaitable[Any]], tmp_path: Path
) -> None:
    """By the plans of the statements that are really run."""
    async with SqliteDatabase(tmp_path / "a.db") as database:
        store = await database.family(SPEC)
        items = [
            {"id": f"m{n}", "text": "x", "metadata": {"session_id": "monday", "role": "user"}}
            for n in range(5)
        ]
        await store.put(Drafter(SPEC).draft_many(items, now=1), now=1)
        statements: list[str] = []
        for lanes in (database._readers, database._writer):
            await lanes.run(lambda connection: connection.set_trace_callback(statements.append))
        await ask(store)
        asked = [each for each in statements if "entries_1" in each]
        assert asked
        plans = [ask_file(database.path, f"EXPLAIN QUERY PLAN {each}") for each in asked]
    steps = " / ".join(row[3] for plan in plans for row in plan)
    assert index in steps
    assert not re.search(r"SCAN (entries_1|e)\b(?! USING)", steps)
    # What a claim took is few, and sorted once it is taken.
    assert "TEMP B-TREE FOR ORDER BY" not in steps or index == "entries_1_work"


async def test_terms_index_and_stream_agree_after_every_kind_of_write(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "a.db") as database:
        store, drafter = await database.family(SPEC), Drafter(SPEC)
        for text in ("first words", "second words", "", "third Words again"):
            items = [
                {"id": f"m{n}", "text": f"{text} {n}".strip(), "metadata": {"role": text}}
                for n in range(20)
            ]
            await store.put(drafter.draft_many(items, now=1), now=1)
            await store.delete([f"m{n}" for n in range(0, 20, 3)], now=2)
        attributed = await store.count(parse({"metadata.role": "third Words again"}))
    assert attributed == 13
    connection = sqlite3.connect(database.path)
    connection.execute("INSERT INTO terms_1 (terms_1, rank) VALUES ('integrity-check', 1)")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_the_tokenizer_gives_back_exactly_the_terms() -> None:
    text = "parseConfig src/app.ts:42 --flag a&b %x% ~^ x@y.z #1 $HOME été 東京 C:\\dir it's <b>"
    terms = Analyzer().stream(text + "".join(map(chr, range(33, 127))))
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE VIRTUAL TABLE t USING fts5(x, detail = none, {FTS5_TOKENIZE})")
    connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, row)")
    connection.execute("INSERT INTO t VALUES (?)", (" ".join(terms),))
    found = {term for (term,) in connection.execute("SELECT term FROM v")}
    connection.close()
    assert found == set(terms)


async def test_the_metrics_are_told_what_became_of_writes_and_work(tmp_path: Path) -> None:
    counters = Counters()
    async with SqliteDatabase(tmp_path / "a.db", metrics=Metrics(counters)) as database:
        store, drafter = await database.family(SPEC), Drafter(SPEC)
        for text in ("one", "one", "two"):
            await store.put(drafter.draft_many([{"id": "a", "text": text}], now=1), now=1)
        [work] = await store.claim(5, now=2, lease=10)
        await store.settle([Settlement(work, Released()), Settlement(work, Released())])
    assert counters.snapshot() == {
        (SPEC.name, "DocumentsWritten", "created"): 1,
        (SPEC.name, "DocumentsWritten", "unchanged"): 1,
        (SPEC.name, "DocumentsWritten", "updated"): 1,
        (SPEC.name, "WorkClaimed", "claimed"): 1,
        (SPEC.name, "WorkSettled", "settled"): 1,
        (SPEC.name, "WorkSettled", "lost"): 1,
    }


async def test_who_holds_a_common_word_is_listed_anew_after_every_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_terms, "COMMON", 1)
    async with SqliteDatabase(tmp_path / "documents.db") as database:
        store = await database.family(SPEC)

        async def holders() -> list[str]:
            return [each.id for each in (await store.candidates({"red": 1.0})).found]

        await put(store, [draft("a", "red", at=1), draft("b", "red", at=2)])
        assert await holders() == await holders() == ["b", "a"]
        await put(store, [draft("c", "red", at=3)])
        assert await holders() == ["c", "b", "a"]
        await put(store, [draft("b", "blue", at=2)])
        assert await holders() == ["c", "a"]
        await store.delete(["a"], now=NOW)
        assert await holders() == ["c"]
        await put(store, [draft("a", "red", at=1)])
        assert await holders() == ["c", "a"]
