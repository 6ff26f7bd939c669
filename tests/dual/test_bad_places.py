"""Places for vectors that can't be used, and families made otherwise: what a user sees."""

import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dualstore.assembly import OnMismatch
from dualstore.documents.base import Database
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.base import Embedder
from dualstore.errors import (
    FamilyMismatchError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StoragePermissionError,
    UnavailableError,
)
from dualstore.family import FamilySpec
from dualstore.manager import DualStoreManager
from dualstore.settings import Settings
from dualstore.vectors.base import VectorPlace
from dualstore.vectors.chroma import ChromaEmbedded
from dualstore.vectors.chroma_http import ChromaHttp
from dualstore.vectors.chroma_server import ChromaPrivate
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.dual.indexing_process import SPEC, text_of
from tests.dual.listening import Listening
from tests.dual.looking import generations, held
from tests.dual.refusing import IDS, check_in_the_way, check_mended, insert, opened
from tests.support.chroma_disks import change_disk, small_disk
from tests.support.chroma_processes import chroma_server, free_port, until, watchers
from tests.support.chroma_stub import says, stalls, stub
from tests.support.chroma_users import user

At = Callable[[Path], VectorPlace]


def private(folder: Path) -> VectorPlace:
    return ChromaPrivate(folder, linger=0.0)


@pytest.fixture(params=[private, ChromaEmbedded], ids=["private", "embedded"])
def at(request: pytest.FixtureRequest) -> At:
    found: At = request.param
    return found


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[Database]:
    async with SqliteDatabase(tmp_path / "documents.db") as database:
        yield database


@pytest.fixture
async def embedder() -> AsyncIterator[Listening]:
    async with Listening() as one:
        await one.load()
        yield one


@asynccontextmanager
async def family(
    documents: Database, place: VectorPlace, embedder: Embedder
) -> AsyncIterator[DualStoreManager]:
    async with place, opened(Backends(documents, place, embedder)) as notes:
        yield notes


async def indexed(documents: Database, place: VectorPlace, embedder: Listening) -> None:
    """A family that is in step and closed; what is embedded from here on is noted."""
    async with family(documents, place, embedder) as notes:
        await insert(notes)
        await notes.drain(timeout=20)
    embedder.given.clear()


async def left(folder: Path) -> None:
    await until(lambda: not watchers(folder))


# Servers


async def test_a_server_that_is_down_is_named_and_used_once_it_is_up(
    documents: Database, embedder: Listening, tmp_path: Path
) -> None:
    port = free_port()
    place = ChromaHttp(f"http://127.0.0.1:{port}")
    async with family(documents, place, embedder) as notes:
        await check_in_the_way(notes, UnavailableError, f"127.0.0.1:{port} doesn't answer")
        with chroma_server(tmp_path / "served", port=port):
            await check_mended(notes)


async def test_a_server_that_goes_down_later_is_named(
    documents: Database, embedder: Listening, tmp_path: Path
) -> None:
    port = free_port()
    with chroma_server(tmp_path / "served", port=port) as url:
        await indexed(documents, ChromaHttp(url), embedder)
    async with family(documents, ChromaHttp(url), embedder) as notes:
        match = f"127.0.0.1:{port} doesn't answer"
        await check_in_the_way(notes, UnavailableError, match, searching=UnavailableError)
        with chroma_server(tmp_path / "served", port=port):
            await check_mended(notes)


async def test_a_server_that_comes_back_empty_is_filled_from_the_copies(
    documents: Database, embedder: Listening, tmp_path: Path
) -> None:
    port = free_port()
    with chroma_server(tmp_path / "first", port=port) as url:
        await indexed(documents, ChromaHttp(url), embedder)
    with chroma_server(tmp_path / "second", port=port):
        async with family(documents, ChromaHttp(url), embedder) as notes:
            with pytest.raises(StorageError, match="are gone; they are made again") as caught:
                await notes.search("a note", mode="semantic")
            print(f"search: {type(caught.value).__name__}: {caught.value}")
            await insert(notes, ["new"])
            await check_mended(notes)
        assert text_of("new") in embedder.given
        assert not {text_of(each) for each in IDS if each != "m1"} & set(embedder.given)


async def test_a_server_that_is_slow_is_named(documents: Database, embedder: Listening) -> None:
    async with stub() as server:
        server.answers = {"": stalls}
        async with family(documents, ChromaHttp(server.url, timeout=0.2), embedder) as notes:
            await check_in_the_way(notes, UnavailableError, f"{server.url} is too slow")
    async with family(documents, ExactVectors(), embedder) as notes:
        await check_mended(notes)


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        ('"0.5.23"', "is Chroma 0.5.23; version 1.0 or newer is needed"),
        ('{"hello": 1}', "doesn't answer as Chroma 1.x does"),
    ],
)
async def test_a_server_of_another_kind_is_named_at_once(
    answer: str, match: str, documents: Database, embedder: Listening
) -> None:
    async with stub() as server:
        server.answers["/version"] = says(answer)
        async with family(documents, ChromaHttp(server.url), embedder) as notes:
            await check_in_the_way(notes, StorageError, match)
    async with family(documents, ExactVectors(), embedder) as notes:
        await check_mended(notes)


# Folders


async def test_a_damaged_folder_is_named_and_filled_again_once_it_is_moved_away(
    at: At, documents: Database, embedder: Listening, tmp_path: Path
) -> None:
    folder = tmp_path / "vectors"
    await indexed(documents, at(folder), embedder)
    await left(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "chroma.sqlite3").write_bytes(b"this is a letter, not a database\n" * 500)
    async with family(documents, at(folder), embedder) as notes:
        match = f"{folder} is damaged; move the folder away"
        await check_in_the_way(notes, StorageCorruptError, match, searching=StorageCorruptError)
    await left(folder)
    folder.rename(tmp_path / "away")
    async with family(documents, at(folder), embedder) as notes:
        await check_mended(notes)
    await left(folder)
    assert text_of("m0") not in embedder.given, "the copies are enough"


async def test_a_folder_that_cant_be_written_is_named(
    at: At, documents: Database, embedder: Listening, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", kilobytes=65_536) as disk:
        change_disk(disk, "ro")
        folder = disk / "vectors"
        async with family(documents, at(folder), embedder) as notes:
            await check_in_the_way(notes, StoragePermissionError, "check the folder")
            change_disk(disk, "rw")
            await check_mended(notes)
        await left(folder)


async def test_a_disk_that_is_full_is_named(
    at: At, documents: Database, embedder: Listening, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", kilobytes=60) as disk:
        folder = disk / "vectors"
        async with family(documents, at(folder), embedder) as notes:
            await check_in_the_way(notes, StorageFullError, "space")
            change_disk(disk, "size=64m")
            await check_mended(notes)
        await left(folder)


async def test_a_folder_that_another_process_has_open_is_refused_with_the_way_out(
    documents: Database, embedder: Listening, tmp_path: Path
) -> None:
    folder = tmp_path / "vectors"
    with user(folder, "hold") as holder:
        await holder.has_said()
        async with family(documents, ChromaEmbedded(folder), embedder) as notes:
            match = f"in use by another process.*use chroma:///{folder} in all of them"
            await check_in_the_way(notes, StorageError, match)
            holder.kill()
            await check_mended(notes)


@pytest.mark.parametrize(
    "program", [("/nonexistent",), (sys.executable, "-c", "import nothing_of_that_name")]
)
async def test_a_chroma_that_isnt_installed_is_named(
    program: tuple[str, ...], documents: Database, embedder: Listening, tmp_path: Path
) -> None:
    folder = tmp_path / "vectors"
    place = ChromaPrivate(folder, linger=0, program=program)
    async with family(documents, place, embedder) as notes:
        await check_in_the_way(notes, StorageError, "chroma program can't be run.*install")
    async with family(documents, private(folder), embedder) as notes:
        await check_mended(notes)
    await left(folder)


# Families that were made otherwise


class Other(Listening):
    """Another embedder."""

    def __init__(self) -> None:
        super().__init__()
        self.version = "other"


async def other() -> Other:
    one = Other()
    await one.load()
    return one


def manager(
    backends: Backends, *, spec: FamilySpec = SPEC, on_mismatch: OnMismatch = "refuse"
) -> DualStoreManager:
    return DualStoreManager(spec, settings=Settings(), backends=backends, on_mismatch=on_mismatch)


async def test_another_embedder_is_refused_with_the_way_out_that_works(
    documents: Database, embedder: Listening
) -> None:
    vectors = ExactVectors()
    await indexed(documents, vectors, embedder)
    changed = await other()
    backends = Backends(documents, vectors, changed)
    with pytest.raises(FamilyMismatchError, match="reindex all families to") as caught:
        async with manager(backends):
            pass
    print(f"open: {caught.value}")
    assert changed.identity in str(caught.value)
    assert embedder.identity in str(caught.value)
    async with manager(backends, on_mismatch="reindex") as notes:
        assert (await notes.search(text_of("m1"))).hits[0].entry.id == "m1"
        assert (await notes.search(text_of("m1"), mode="text")).hits[0].entry.id == "m1"
        await insert(notes, ["new"])
        await check_mended(notes)
    assert len(await vectors.names()) == 1
    assert (await generations(backends)).live.embedder == changed.identity
    assert {text_of(each) for each in IDS} <= set(changed.given)


async def test_another_spec_is_refused_with_the_way_out_that_works(
    documents: Database, embedder: Listening
) -> None:
    vectors = ExactVectors()
    await indexed(documents, vectors, embedder)
    backends = Backends(documents, vectors, embedder)
    changed = replace(SPEC, author_key="who", filter_fields=("kind", "place"))
    with pytest.raises(FamilyMismatchError, match=r"was made otherwise.*author_key") as caught:
        async with manager(backends, spec=changed):
            pass
    print(f"open: {caught.value}")
    async with manager(backends, spec=changed, on_mismatch="reindex") as notes:
        assert (await notes.search(text_of("m1"))).hits[0].entry.id == "m1"
        assert (await notes.search(text_of("m1"), mode="semantic")).hits[0].entry.id == "m1"
        await notes.insert(
            {"id": "new", "text": text_of("new"), "metadata": {"place": "home", "who": "Ada"}}
        )
        found = await notes.search("a note", where={"metadata.place": "home"})
        assert [hit.entry.id for hit in found.hits] == ["new"]
        await notes.drain(timeout=20)
        found = await notes.search("a note", mode="semantic", where={"metadata.place": "home"})
        assert [hit.entry.id for hit in found.hits] == ["new"]
        assert (await notes.consistency_report()).clean
    assert await held(backends) == dict.fromkeys([*IDS, "new"], 1)


async def test_the_old_index_answers_until_the_new_one_is_full_and_then_is_refused(
    documents: Database, embedder: Listening
) -> None:
    """Whoever holds the old embedder reads on, and is told what to do."""
    vectors = ExactVectors()
    await indexed(documents, vectors, embedder)
    changed = await other()

    async def refuse(_: object) -> None:
        raise UnavailableError("the new embedder sleeps")

    changed.fails = refuse
    async with (
        manager(Backends(documents, vectors, embedder)) as old,
        manager(Backends(documents, vectors, changed), on_mismatch="reindex") as new,
    ):
        with pytest.raises(UnavailableError, match="the new embedder sleeps"):
            await new.drain(timeout=1)
        found = await old.search(text_of("m2"))
        assert found.hits[0].entry.id == "m2"
        assert "semantic" in found.hits[0].modes, "the old index was asked"
        changed.fails = None
        await new.drain(timeout=20)
        way_out = r"are made by .*other.*reindex all families to"
        with pytest.raises(FamilyMismatchError, match=way_out):
            await old.search("a note", mode="semantic")
        await insert(old, ["new"])
        with pytest.raises(FamilyMismatchError, match=way_out):
            await old.drain(timeout=5)
        assert await old.get("m1") is not None
        assert len((await old.page()).entries) == len(IDS) + 1
        found = await old.search(text_of("m1"))
        assert found.hits[0].entry.id == "m1", "words are enough"
        assert any("reindex" in each for each in found.degraded)
        await check_mended(new)
