"""Making a family anew in an SQLite file: damaged rows, large ones, and what is left behind."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualstore.documents import sqlite_respec
from dualstore.documents.families import FAMILIES
from dualstore.documents.sqlite import SqliteDatabase
from tests.documents.writing import NOW, SPEC, draft, index, put

OTHER = replace(SPEC, thread_key="role", filter_fields=("kind",), author_key="kind")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


def _ask(path: Path, query: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(query, values).fetchall()


@pytest.mark.parametrize(
    ("column", "value"), [("metadata", "{{"), ("metadata", "[1]"), ("version", "time:x")]
)
async def test_a_damaged_row_is_left_alone(path: Path, column: str, value: str) -> None:
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        await put(store, [draft(name, "red", role="user") for name in ("a", "bad", "z")])
        _ask(path, f"UPDATE entries_1 SET {column} = ? WHERE id = 'bad'", value)
        before = _ask(path, "SELECT * FROM entries_1 WHERE id = 'bad'")
        await database.respec(OTHER, now=NOW + 1)
        assert _ask(path, "SELECT * FROM entries_1 WHERE id = 'bad'") == before
        assert (await (await database.family(OTHER)).tally())["user"].count == 2


async def test_large_entries_are_made_anew_in_several_transactions(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_respec, "PORTION", 1000)
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        await put(store, [draft(name, f"{name} " * 300, role="user") for name in "abcdefg"])
        before = await database.records.get(FAMILIES, SPEC.name)
        await database.respec(OTHER, now=NOW)
        after = await database.records.get(FAMILIES, SPEC.name)
        assert before is not None
        assert after is not None
        assert after.version - before.version == 1 + 4 + 1  # three steps of two, and one of one
        assert (await (await database.family(OTHER)).tally())["user"].count == 7


async def test_nothing_of_the_old_spec_is_left(path: Path) -> None:
    drafts = [
        draft(f"{number}", f"red w{number}", role="user", kind=["k", number]) for number in range(9)
    ]
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        await put(store, drafts)
        await index(store)
        await store.delete(["3"], now=NOW)
        await database.respec(OTHER, now=NOW)
    assert {attribute.partition("\0")[0] for (attribute,) in _ask(path, _ATTRIBUTES)} == {"kind"}
    assert len(_ask(path, _ATTRIBUTES)) == 8 * 3
    with closing(sqlite3.connect(path)) as connection:
        # the words and their index say the same
        connection.execute("INSERT INTO terms_1 (terms_1, rank) VALUES ('integrity-check', 1)")
    assert _ask(path, "SELECT count(*) FROM streams_1 WHERE author IS NOT NULL") == [(0,)]


_ATTRIBUTES = "SELECT attribute FROM attributes_1"
