"""Which server a folder has: records that are wrong, and folders that move while in use."""

import json
import shutil
import socket
from pathlib import Path

import pytest

from dualstore.errors import StorageError, VectorsGoneError
from dualstore.vectors.base import VectorIndex
from dualstore.vectors.chroma_http import ChromaHttp
from dualstore.vectors.chroma_server import ChromaPrivate
from tests.support.chroma_processes import chroma_server, chromas, kill, until, watchers
from tests.support.chroma_user import INDEX, item
from tests.vectors.private import facts_of, gone, index_of, private

LONG = 60.0


async def test_a_recorded_port_that_something_else_has_is_not_believed(folder: Path) -> None:
    async with private(folder) as place:
        await place.names()
    await until(lambda: gone(folder))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        found = (folder / "server.lock").stat().st_ino
        facts = {"port": other.getsockname()[1], "database": "x", "folder": str(folder)}
        (folder / "server.json").write_text(json.dumps({**facts, "inode": found}))
        async with private(folder) as place:
            assert await place.names() == []
            assert facts_of(folder)["port"] != facts["port"]


@pytest.mark.parametrize(
    "said",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"port": "80"}',
        '{"port": 1, "database": 2, "folder": 3, "inode": 4}',
    ],
)
async def test_a_damaged_record_is_no_record(folder: Path, said: str) -> None:
    _write(folder, said)
    async with private(folder) as place:
        assert await place.names() == []


async def test_a_port_that_another_chroma_has_now_is_noticed(folder: Path, tmp_path: Path) -> None:
    """Ours dies, another takes its port, and we still hold the old address."""
    async with private(folder) as place:
        index = await index_of(place)
        await index.upsert([item("a")])
        for call, expected in ((index.scan, ["a"]), (place.names, [INDEX])):
            port = facts_of(folder)["port"]
            assert isinstance(port, int)
            kill(watchers(folder) + chromas(folder))
            with chroma_server(tmp_path / expected[0], port=port) as url:
                assert await call() == expected
                async with ChromaHttp(url) as other:
                    assert await other.names() == []


async def test_a_record_that_leads_to_another_folders_server_is_not_believed(
    folder: Path, tmp_path: Path
) -> None:
    """As a copy of the folder brings it along."""
    other_folder = tmp_path / "copy"
    async with private(folder) as original:
        index = await index_of(original)
        await index.upsert([item("a")])
        shutil.copytree(folder, other_folder)
        async with private(other_folder) as copy:
            copied = await index_of(copy)
            assert await copied.scan() == ["a"]
            await copied.upsert([item("b")])
            assert await index.scan() == ["a"]
            assert facts_of(other_folder)["port"] != facts_of(folder)["port"]


async def test_a_folder_moved_while_in_use_is_told_and_works_at_its_new_place(
    folder: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    async with private(folder, linger=LONG) as old:
        index = await index_of(old)
        await index.upsert([item("a")])
        _move(folder, moved)
        async with private(moved) as new:
            again = await index_of(new)
            assert await again.scan() == ["a"]
            await again.upsert([item("b")])
            with pytest.raises(StorageError, match="moved or removed"):
                await index.upsert([item("c")])
            assert not _exists(folder)
            assert sorted(await again.scan()) == ["a", "b"]


async def test_a_folder_removed_while_in_use_is_told(folder: Path) -> None:
    async with private(folder, linger=LONG) as place:
        index = await index_of(place)
        shutil.rmtree(folder)
        await until(lambda: not chromas(folder))
        with pytest.raises(StorageError, match="open it again"):
            await index.count()
    async with private(folder) as place:
        assert await place.names() == []
        with pytest.raises(VectorsGoneError):
            await _with_collections_of(index, place).count()


def _with_collections_of(index: VectorIndex, place: ChromaPrivate) -> VectorIndex:
    index._collections = place._collections  # type: ignore[attr-defined]
    return index


async def test_a_folder_may_be_reached_by_several_paths(folder: Path, tmp_path: Path) -> None:
    link = _link(folder, tmp_path / "link")
    async with private(folder) as one, private(link) as two:
        await (await index_of(one)).upsert([item("a")])
        assert await (await index_of(two)).scan() == ["a"]
        assert len(chromas(folder)) + len(chromas(link)) == 1


async def test_a_lost_or_damaged_record_is_written_again(folder: Path) -> None:
    async with private(folder) as place:
        await place.names()
        before, record = facts_of(folder), folder / "server.json"
        for damage in (record.unlink, lambda: record.write_text('{"port": 1}')):
            damage()
            await until(lambda: record.exists() and facts_of(folder) == before)


def _exists(folder: Path) -> bool:
    return folder.exists()


def _move(folder: Path, to: Path) -> None:
    folder.rename(to)


def _link(folder: Path, link: Path) -> Path:
    folder.mkdir()
    link.symlink_to(folder)
    return link


def _write(folder: Path, said: str) -> None:
    folder.mkdir()
    (folder / "server.json").write_text(said)
