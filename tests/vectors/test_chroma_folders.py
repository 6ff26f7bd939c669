"""Folders that can't be used, and a Chroma that can't be run: one clear error, nothing lost."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from dualstore.errors import (
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StoragePermissionError,
    UnavailableError,
)
from dualstore.vectors.base import Vector, VectorIndex, VectorItem, VectorPlace
from dualstore.vectors.chroma import ChromaEmbedded
from dualstore.vectors.chroma_server import ChromaPrivate
from tests.support.chroma_disks import change_disk, small_disk
from tests.support.chroma_processes import chromas, until, watchers
from tests.support.chroma_users import user
from tests.vectors.conftest import Open
from tests.vectors.making import DIMENSION, item, random_items, vector
from tests.vectors.private import private


async def _fill(place: VectorPlace) -> None:
    """Enough for Chroma to write its graph down."""
    index = await place.index("family", dimension=DIMENSION)
    await index.upsert(random_items(1_100))


async def _left(folder: Path) -> None:
    await until(lambda: not watchers(folder))


def _spoil(folder: Path, pattern: str, content: bytes) -> None:
    found = list(folder.glob(pattern))
    assert found
    for each in found:
        each.write_bytes(content)


def _make(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir()
    (folder / name).write_bytes(content)
    return folder / name


def _read(path: Path) -> bytes:
    return path.read_bytes()


async def test_what_is_no_database_is_refused_and_left_as_it_was(folder: Path, at: Open) -> None:
    letter = b"this is a letter, not a database\n" * 500
    path = _make(folder, "chroma.sqlite3", letter)
    async with at(folder) as place:
        for _ in range(2):
            with pytest.raises(StorageCorruptError, match="move the folder away") as caught:
                await place.names()
            assert str(folder) in str(caught.value)
    assert _read(path) == letter


async def test_a_damaged_graph_is_told_and_the_way_out_works(folder: Path, at: Open) -> None:
    async with at(folder) as place:
        await _fill(place)
    await _left(folder)
    _spoil(folder, "*/header.bin", b"garbage")
    async with at(folder) as place:
        index = await place.index("family", dimension=DIMENSION)
        with pytest.raises(StorageCorruptError, match="move the folder away"):
            await index.query(vector(1), limit=1)
        with pytest.raises(StorageCorruptError):
            await index.upsert([item("a")])
        await place.drop("family")
        await _fill(place)
        again = await place.index("family", dimension=DIMENSION)
        assert len(await again.query(vector(1), limit=5)) == 5


async def test_a_graph_that_is_gone_is_told(folder: Path, at: Open) -> None:
    """Not by a query: Chroma then finds less, and says nothing."""
    async with at(folder) as place:
        await _fill(place)
    await _left(folder)
    _remove(folder)
    async with at(folder) as place:
        index = await place.index("family", dimension=DIMENSION)
        assert len(await index.query(vector(1), limit=2_000)) < 1_100
        for call in (index.get(["v1"]), index.upsert([item("v1")])):
            with pytest.raises(StorageCorruptError, match="move the folder away") as caught:
                await call
            assert str(folder) in str(caught.value)


def _remove(folder: Path) -> None:
    for each in folder.glob("*/header.bin"):
        shutil.rmtree(each.parent)


async def test_a_graph_that_crashes_chroma_doesnt_crash_us(folder: Path) -> None:
    async with private(folder) as place:
        await _fill(place)
    await _left(folder)
    _spoil(folder, "*/data_level0.bin", os.urandom(200_000))
    async with private(folder) as place:
        index = await place.index("family", dimension=DIMENSION)
        with pytest.raises((UnavailableError, StorageCorruptError), match="move the folder away"):
            await index.query(vector(1), limit=1)
        assert await place.names() == ["family"]


async def test_a_path_that_leads_through_a_file_is_refused(folder: Path, at: Open) -> None:
    path = _make(folder, "file", b"")
    for wrong in (path, path / "below"):
        async with at(wrong) as place:
            with pytest.raises(StoragePermissionError, match="check the folder"):
                await place.names()


async def test_a_folder_that_cant_be_written_is_refused(tmp_path: Path, at: Open) -> None:
    with small_disk(tmp_path / "disk", kilobytes=4096) as disk:
        change_disk(disk, "ro")
        for wrong in (disk, disk / "below"):
            async with at(wrong) as place:
                with pytest.raises(StoragePermissionError, match="check the folder"):
                    await place.names()


async def test_a_folder_that_is_locked_against_writing_is_refused(folder: Path, at: Open) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; the read-only disk is tested instead")
    _make(folder, "file", b"").parent.chmod(0o500)
    async with at(folder) as place:
        with pytest.raises(StoragePermissionError, match="check the folder"):
            await place.names()


async def test_a_disk_that_is_full_from_the_start_is_told(tmp_path: Path, at: Open) -> None:
    with small_disk(tmp_path / "disk", kilobytes=60) as disk:
        async with at(disk / "vectors") as place:
            with pytest.raises(StorageFullError, match="space"):
                await place.names()
        await _left(disk / "vectors")


async def _write_on(index: VectorIndex, numbers: Vector, written: list[str]) -> None:
    for number in range(1000):
        ids = [f"{number}-{row}" for row in range(len(numbers))]
        pairs = zip(ids, numbers, strict=True)
        await index.upsert([VectorItem(id_, row, {}) for id_, row in pairs])
        written += ids


async def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(
    tmp_path: Path, at: Open
) -> None:
    with small_disk(tmp_path / "disk", kilobytes=3072) as disk:
        folder = disk / "vectors"
        written: list[str] = []
        async with at(folder) as place:
            index = await place.index("family", dimension=128)
            numbers = np.random.default_rng(1).normal(size=(100, 128)).astype(np.float32)
            with pytest.raises(StorageFullError, match="space"):
                await _write_on(index, numbers, written)
            assert written
        await _left(folder)
        change_disk(disk, "size=64m")
        async with at(folder) as place:
            index = await place.index("family", dimension=128)
            assert (await index.get(written)).keys() == set(written)
            await index.upsert([VectorItem("more", numbers[0], {})])
        await _left(folder)


@pytest.mark.parametrize(
    "program",
    [
        ("/nowhere/chroma",),
        (sys.executable, "-c", "import nothing_of_that_name"),
    ],
)
async def test_a_chroma_that_isnt_there_is_told_with_the_way_out(
    folder: Path, program: tuple[str, ...]
) -> None:
    async with ChromaPrivate(folder, linger=0, program=program) as place:
        with pytest.raises(StorageError, match=r"chroma program can't be run.*install"):
            await place.names()
    async with private(folder) as place:
        assert await place.names() == []


async def test_a_chroma_that_fails_is_told_with_its_words(folder: Path) -> None:
    program = (sys.executable, "-c", "raise SystemExit('SomeError: I will not')")
    async with ChromaPrivate(folder, linger=0, program=program) as place:
        with pytest.raises(StorageError, match="I will not"):
            await place.names()


async def test_a_chroma_that_isnt_ready_in_time_is_unavailable(folder: Path) -> None:
    program = (sys.executable, "-c", "import time; time.sleep(60)")
    place = ChromaPrivate(folder, linger=0, program=program, start_timeout=1)
    async with place:
        with pytest.raises(UnavailableError, match="try again"):
            await place.names()
    await _left(folder)
    async with private(folder) as again:
        assert await again.names() == []


async def test_a_port_that_is_taken_in_the_last_moment_costs_another_try(
    folder: Path, tmp_path: Path
) -> None:
    """Chroma says so, and ends with 0."""
    once = tmp_path / "once"
    script = (
        "import os, sys\n"
        f"once = {str(once)!r}\n"
        "if not os.path.exists(once):\n"
        "    open(once, 'w').close()\n"
        "    sys.exit(0)\n"
        "import chromadb_rust_bindings\n"
        "chromadb_rust_bindings.cli(['chroma', *sys.argv[1:]])\n"
    )
    program = (sys.executable, "-c", script)
    async with ChromaPrivate(folder, linger=0, program=program) as place:
        assert await place.names() == []
    assert _read(once) == b""


async def test_a_second_process_is_refused_with_the_way_out(folder: Path) -> None:
    with user(folder, "hold") as holder:
        await holder.has_said()
        async with ChromaEmbedded(folder) as place:
            with pytest.raises(StorageError, match=f"use chroma:///{folder} in all of them"):
                await place.names()
        holder.kill()
        async with ChromaEmbedded(folder) as place:
            assert await place.names() == ["shared"]


async def test_a_folder_with_a_private_server_isnt_opened_inside_a_process(folder: Path) -> None:
    async with private(folder) as server:
        await server.names()
        async with ChromaEmbedded(folder) as place:
            with pytest.raises(StorageError, match="in use by a private server"):
                await place.names()
    await until(lambda: not chromas(folder))
    async with ChromaEmbedded(folder) as place:
        assert await place.names() == []
