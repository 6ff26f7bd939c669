"""SQLite files that are damaged, moved, not there, or opened in odd ways."""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualstore.documents import sqlite_layout
from dualstore.documents.base import DocumentStore, PutOutcome
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.errors import (
    InvalidInputError,
    SettingsError,
    StorageCorruptError,
    StoragePermissionError,
    UnavailableError,
)
from dualstore.filters import parse
from dualstore.outbox import IndexState
from tests.documents.writing import NOW, SPEC, claim, done, draft, put, settle


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A folder to be in, and to come back from."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def is_there(path: Path) -> bool:
    return path.exists()


def damage(path: Path, column: str, value: str = "{{broken") -> None:
    """What a bug in another program might do."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(f"UPDATE entries_1 SET {column} = ? WHERE id = 'bad'", (value,))
    connection.close()


async def _filled(store: DocumentStore) -> None:
    await put(store, [draft("bad", "red", role="user"), draft("good", "red", role="user")])


@pytest.mark.parametrize(("column", "value"), [("metadata", "{{"), ("version", "time:x")])
async def test_a_damaged_row_fails_by_itself_and_the_others_are_indexed(
    path: Path, column: str, value: str
) -> None:
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        await _filled(store)
        damage(path, column, value)
        works = await claim(store)
        assert list(works) == ["good"]
        assert await settle(store, works["good"], done(works["good"]))
        marks = {scanned.id: scanned.mark for scanned in await store.scan()}
        assert marks["good"].state is IndexState.INDEXED
        assert marks["bad"].state is IndexState.FAILED
        assert "'bad' can't be read back" in str(marks["bad"].error)


async def test_a_damaged_row_is_named_when_it_is_read(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        await _filled(store)
        damage(path, "metadata")
        with pytest.raises(StorageCorruptError, match="entry 'bad' can't be read back"):
            await store.get(["bad"])
        with pytest.raises(StorageCorruptError, match="metadata can't be read back"):
            await store.count(parse({"metadata.x": 1}))
        assert list(await store.get(["good"])) == ["good"]


async def test_a_damaged_row_can_be_replaced_and_deleted(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        await _filled(store)
        damage(path, "metadata")
        assert await put(store, [draft("bad", "blue", role="tool")]) == [PutOutcome.UPDATED]
        assert await store.count(parse({"metadata.role": "tool"})) == 1
        assert await store.count(parse({"metadata.role": "user"})) == 1
        damage(path, "metadata")
        assert await store.delete(["bad", "good"], now=NOW) == {"bad": "deleted", "good": "deleted"}
        assert await store.count(parse({"metadata.role": {"$exists": True}})) == 0


async def test_closing_twice_and_opening_again_end_in_time(path: Path) -> None:
    database = SqliteDatabase(path)
    async with database:
        await database.records.create("s", "k", 1)
    await asyncio.wait_for(database.__aexit__(), 5)
    with pytest.raises(UnavailableError, match="is closed"):
        await asyncio.wait_for(database.records.get("s", "k"), 5)


async def test_a_database_that_was_never_opened_makes_no_file(path: Path) -> None:
    with pytest.raises(UnavailableError, match="is not open yet; open it with `async with`"):
        await SqliteDatabase(path).records.get("s", "k")
    assert not is_there(path)


async def test_a_relative_path_stays_where_it_was_opened(here: Path) -> None:
    async with SqliteDatabase("rel.db") as database:
        store = await database.family(SPEC)
        await put(store, [draft("a")])
        os.chdir(tempfile.gettempdir())
        assert list(await store.get(["a"])) == ["a"]
    assert is_there(here / "rel.db")
    assert not is_there(Path(tempfile.gettempdir(), "rel.db"))


async def test_a_file_that_is_gone_is_not_made_anew(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        os.rename(path, path.with_name("b.db"))
        with pytest.raises(StoragePermissionError, match="can't be opened"):
            await database.records.get("s", "k")
    assert not is_there(path)


@pytest.mark.parametrize("name", ["odd?name=1&mode=ro#x.db", "per%cent.db", "blank und ö.db"])
async def test_a_path_may_have_any_characters(tmp_path: Path, name: str) -> None:
    async with SqliteDatabase(tmp_path / name) as database:
        await database.records.create("s", "k", 1)
    assert is_there(tmp_path / name)


@pytest.mark.parametrize("name", ["", ":memory:", "a\0b"])
def test_what_is_no_file_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="is no path of a file"):
        SqliteDatabase(name)


async def test_arguments_that_sqlite_can_not_take_are_our_error(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        with pytest.raises(InvalidInputError, match="can't be given to SQLite"):
            await database._readers.run(
                lambda connection: connection.execute("SELECT ?", (2**70,)).fetchall()
            )


async def test_a_file_that_becomes_ours_while_it_is_looked_at_is_ours(path: Path) -> None:
    """Another process makes the file between the two statements that ask whose it is."""
    mine = sqlite_layout.connect(path, busy_timeout=5, synchronous="normal", create=True)
    other = sqlite_layout.connect(path, busy_timeout=5, synchronous="normal", create=True)
    asked: list[str] = []

    def watch(statement: str) -> None:
        asked.append(statement)
        if len(asked) == 2:
            sqlite_layout.prepare(other, path, busy_timeout=5)

    mine.set_trace_callback(watch)
    sqlite_layout.prepare(mine, path, busy_timeout=5)
    mine.close()
    other.close()
    assert len(asked) > 2
