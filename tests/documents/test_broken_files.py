"""Files that can't be used: each gets one clear error, and is left as it was."""

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dualstore.documents.sqlite import SqliteDatabase
from dualstore.errors import (
    StorageCorruptError,
    StorageError,
    StorageLayoutError,
    StoragePermissionError,
)
from tests.documents import mounted
from tests.documents.writing import SPEC, draft, put

MANY = 300


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "documents.db"


async def _make(path: Path, entries: int = MANY) -> None:
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        await put(
            store, [draft(f"{number:04}", f"text {number} " * 20) for number in range(entries)]
        )


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def _open(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        await database.family(SPEC)


async def test_what_is_no_database_is_refused_and_left_as_it_was(path: Path) -> None:
    content = b"this is a letter, not a database\n" * 500
    _write(path, content)
    with pytest.raises(StorageCorruptError, match=r"documents\.db is not an SQLite database"):
        await _open(path)
    assert _read(path) == content


async def test_the_database_of_another_program_is_refused_and_left_as_it_was(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE letters (text)")
    other.commit()
    other.close()
    content = _read(path)
    with pytest.raises(StorageLayoutError, match=r"documents\.db belongs to another program"):
        await _open(path)
    assert _read(path) == content
    assert os.listdir(path.parent) == ["documents.db"]


async def test_a_newer_layout_is_refused_and_left_as_it_was(path: Path) -> None:
    await _make(path)
    other = sqlite3.connect(path)
    (layout,) = other.execute("PRAGMA user_version").fetchone()
    other.execute(f"PRAGMA user_version = {layout + 1}")
    other.commit()
    other.close()
    content = _read(path)
    with pytest.raises(
        StorageLayoutError, match=rf"documents\.db has layout {layout + 1}, .* knows {layout}"
    ):
        await _open(path)
    assert _read(path) == content


async def test_an_empty_file_is_a_new_database(path: Path) -> None:
    _write(path, b"")
    await _make(path, entries=1)
    await _open(path)


@pytest.mark.parametrize("pages", [range(1, 10**6), range(1, 10**6, 7), range(3, 10**6, 5)])
async def test_damaged_pages_are_told_from_missing_entries(path: Path, pages: range) -> None:
    await _make(path)
    content = bytearray(_read(path))
    size = int.from_bytes(content[16:18], "big")
    for page in pages:
        if page * size >= len(content):
            break
        content[page * size : (page + 1) * size] = os.urandom(size)
    _write(path, bytes(content))
    failures: list[StorageError] = []
    try:
        async with SqliteDatabase(path) as database:
            store = await database.family(SPEC)
            for ask in (store.page, store.scan, lambda: store.get(["0001"]), store.tally):
                try:
                    await ask()
                except StorageError as error:
                    failures.append(error)
    except StorageError as error:
        failures.append(error)
    assert failures
    assert all("documents.db" in str(error) for error in failures)


async def _read_all(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        await store.scan(limit=MANY)
        await store.page(limit=MANY)


async def test_a_file_that_was_cut_off_is_corrupt(path: Path) -> None:
    await _make(path)
    content = _read(path)
    _write(path, content[: len(content) // 2])
    with pytest.raises(StorageCorruptError, match=r"documents\.db .*is damaged.*restore it"):
        await _read_all(path)


async def test_metadata_that_is_no_json_any_more_names_the_entry(path: Path) -> None:
    await _make(path, entries=2)
    _spoil(path)
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        with pytest.raises(StorageCorruptError, match="'0001'"):
            await store.get(["0001"])
        assert list(await store.get(["0000"])) == ["0000"]


def _spoil(path: Path) -> None:
    other = sqlite3.connect(path)
    for (name,) in other.execute(
        "SELECT m.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c"
        " WHERE m.type = 'table' AND c.name = 'metadata'"
    ).fetchall():
        other.execute(f"UPDATE {name} SET metadata = '{{broken' WHERE id = '0001'")
    other.commit()
    other.close()


async def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "file", b"no folder")
    with pytest.raises(StoragePermissionError, match=r"the folder .*file can't be made"):
        await _open(tmp_path / "file" / "documents.db")


async def test_a_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoragePermissionError, match="can't be opened"):
        await _open(tmp_path)


async def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    await _make(tmp_path / "a" / "b" / "documents.db", entries=1)


def _where(how: str, folder: Path) -> Any:
    """What happens on such a disk; None where this user may not make one."""
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "-Ur"]
    command = [sys.executable, "-m", mounted.__name__, how, str(folder)]
    run = subprocess.run(
        command if how == "limited" else [*alone, *command],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode and (run.returncode == mounted.CANNOT_MOUNT or "unshare" in run.stderr):
        return None
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


async def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    """The rights of a folder don't stop root, so it is mounted read-only."""
    await _make(tmp_path / "documents.db", entries=3)
    result = await asyncio.to_thread(_where, "read-only", tmp_path)
    if result is None:
        pytest.skip("this user may not mount a folder read-only")
    new, present = result["errors"]
    assert re.match(r"StoragePermissionError: .*new\.db can't be", new)
    assert re.match(r"StoragePermissionError: .*documents\.db can't be", present)
    assert result["open"] == []


async def test_a_full_disk_says_so_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    result = await asyncio.to_thread(_where, "full", tmp_path)
    kind = "StorageFullError"
    if result is None:  # a limit on the size of files comes near: the write fails in the middle
        result = await asyncio.to_thread(_where, "limited", tmp_path)
        kind = "Storage"
    assert result["error"].startswith(kind)
    assert "documents.db" in result["error"]
    assert result["acknowledged"]
    assert result["found"] == result["acknowledged"]
    assert result["readable"]


async def test_a_write_that_the_system_refuses_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    result = await asyncio.to_thread(_where, "limited", tmp_path)
    assert result["error"].startswith("Storage")
    assert result["found"] == result["acknowledged"] != []
    assert result["readable"]
