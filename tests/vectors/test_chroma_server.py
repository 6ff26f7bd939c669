"""The life of the private server, with real processes that die in real ways."""

import asyncio
import json
import os
import subprocess
import sys
import time
import warnings
from contextlib import ExitStack
from pathlib import Path

import pytest

from dualstore.errors import StorageError, UnavailableError
from dualstore.vectors import chroma_program, chroma_watcher
from dualstore.vectors.chroma import ChromaEmbedded
from dualstore.vectors.chroma_server import ChromaPrivate
from tests.support.chroma_processes import chromas, kill, until, wait_until, watchers
from tests.support.chroma_user import DIMENSION, INDEX, LINGER, item
from tests.support.chroma_users import user
from tests.vectors.private import facts_of, gone, index_of, private

LONG = 60.0
SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")


async def test_it_starts_at_its_first_use_and_not_before(folder: Path) -> None:
    async with private(folder) as place:
        assert not _exists(folder)
        await place.names()
        assert len(watchers(folder)) == len(chromas(folder)) == 1
        assert _mode(folder) == 0o700
    await until(lambda: gone(folder))


async def test_four_processes_that_start_at_once_get_one_server(folder: Path) -> None:
    with ExitStack() as stack:
        users = [stack.enter_context(user(folder)) for _ in range(4)]
        for each in users:
            await each.has_said()
        assert all(each.said == users[0].said for each in users)
        assert len(watchers(folder)) == len(chromas(folder)) == 1
        async with private(folder) as place:
            await (await index_of(place)).upsert([item("mine")])
            assert facts_of(folder) == users[0].said[0]
        for each in users:
            assert await asyncio.to_thread(each.leave) == 0
    await until(lambda: gone(folder))


async def test_many_places_in_one_process_get_one_server(folder: Path) -> None:
    places = [private(folder) for _ in range(8)]
    await asyncio.gather(*(place.names() for place in places))
    assert len(watchers(folder)) == len(chromas(folder)) == 1
    for place in places:
        await place.__aexit__()
    await until(lambda: gone(folder))


async def test_it_outlives_the_process_that_started_it(folder: Path) -> None:
    with user(folder, "write", "starter") as starter:
        await starter.has_said()
        with user(folder, "write", "other") as other:
            await other.has_said()
            before = facts_of(folder)
            starter.kill()
            await other.says_more()
            assert facts_of(folder) == before
            await asyncio.to_thread(other.leave)
            async with private(folder) as place:
                held = set(await (await index_of(place)).scan(limit=100_000))
            assert held >= {*starter.said, *other.said}
    await until(lambda: gone(folder))


@pytest.mark.parametrize("victims", ["chroma", "watcher", "both"])
async def test_killed_in_mid_write_it_comes_back_by_itself(folder: Path, victims: str) -> None:
    with user(folder, "write", "one") as one, user(folder, "write", "two") as two:
        for _ in range(2):
            await one.says_more()
            await two.says_more()
            doomed = {"chroma": chromas(folder), "watcher": watchers(folder)}
            kill(doomed.get(victims) or doomed["chroma"] + doomed["watcher"])
        await one.says_more()
        await two.says_more()
        assert await asyncio.to_thread(one.leave) == 0
        assert await asyncio.to_thread(two.leave) == 0
        async with private(folder) as place:
            index = await index_of(place)
            held = set(await index.scan(limit=100_000))
            assert held >= {*one.said, *two.said}
            assert len(await index.get(one.said)) == len(one.said)
    await until(lambda: gone(folder))


async def test_chroma_doesnt_outlive_its_watcher(folder: Path) -> None:
    async with private(folder, linger=LONG) as place:
        await place.names()
        kill(watchers(folder))
        await until(lambda: not chromas(folder))


async def test_it_stays_for_a_while_and_goes_when_the_last_user_has_left(folder: Path) -> None:
    async with private(folder, linger=1.0) as place, private(folder) as other:
        await place.names()
        await other.names()
        await place.__aexit__()
        await asyncio.sleep(1.5)
        assert chromas(folder)
    left = time.monotonic()
    await asyncio.sleep(0.5)
    assert chromas(folder)
    await until(lambda: gone(folder))
    assert time.monotonic() - left < 10
    assert not (folder / "server.json").exists()


async def test_it_goes_also_when_its_last_user_was_killed(folder: Path) -> None:
    with user(folder) as last:
        await last.has_said()
        last.kill()
        await until(lambda: gone(folder))


async def test_who_comes_while_it_goes_gets_the_next_one(folder: Path) -> None:
    for _ in range(5):
        async with private(folder) as place:
            await (await index_of(place)).upsert([item("a")])
        await asyncio.sleep(0.15)
        async with private(folder) as place:
            assert await (await index_of(place)).scan() == ["a"]
    await until(lambda: gone(folder))


async def test_a_child_that_was_forked_doesnt_keep_it_alive(folder: Path) -> None:
    async with private(folder, linger=LINGER) as place:
        await place.names()
        child = _forked()
    try:
        await until(lambda: gone(folder))
    finally:
        _end(child)


async def test_a_program_that_was_started_doesnt_keep_it_alive(folder: Path) -> None:
    async with private(folder) as place:
        await place.names()
        sleeper = _started()
    with sleeper:
        await until(lambda: gone(folder))
        sleeper.kill()


async def test_its_log_stays_small(folder: Path) -> None:
    async with private(folder) as place:
        await place.names()
        with (folder / "server.log").open("ab") as log:
            log.write(b"x" * 1_000_000)
        await until(lambda: (folder / "server.log").stat().st_size < 1000)
        assert await place.names() == []


async def test_proofs_of_earlier_servers_are_cleared_away(folder: Path) -> None:
    for _ in range(3):
        async with private(folder) as place:
            found = await place._api._wire.ask("GET", "/tenants/default_tenant/databases")
            assert len(found) == 2
        await until(lambda: gone(folder))


async def test_a_folder_that_is_open_inside_a_process_is_refused(folder: Path) -> None:
    with user(folder, "hold") as holder:
        await holder.has_said()
        async with private(folder) as place:
            with pytest.raises(StorageError, match="use chroma:/// in both"):
                await place.names()
        holder.kill()
        async with private(folder) as place:
            assert await place.names() == [INDEX]


async def test_what_one_client_writes_the_other_reads(folder: Path) -> None:
    async with ChromaEmbedded(folder) as embedded:
        index = await embedded.index(INDEX, dimension=DIMENSION)
        await index.upsert([item("a"), item("b")])
    async with private(folder) as place:
        served = await index_of(place)
        held = await served.get(["a", "b"])
        assert {name: one.fields for name, one in held.items()} == {
            "a": {"name": "a"},
            "b": {"name": "b"},
        }
        assert (await served.query(item("b").vector, limit=1))[0].id == "b"
        await served.upsert([item("c")])
        await served.delete(["a"])
    await until(lambda: gone(folder))
    async with ChromaEmbedded(folder) as embedded:
        index = await embedded.index(INDEX, dimension=DIMENSION)
        assert sorted(await index.scan()) == ["b", "c"]
        assert (await index.query(item("c").vector, limit=1))[0].id == "c"


async def test_a_server_that_stalls_is_unavailable_in_time(folder: Path) -> None:
    place = ChromaPrivate(folder, linger=0, timeout=0.5)
    async with place:
        index = await index_of(place)
        (chroma,) = chromas(folder)
        os.kill(chroma, 19)
        try:
            with pytest.raises(UnavailableError, match="too slow"):
                await index.count()
            late = ChromaPrivate(folder, linger=0, start_timeout=2)
            async with late:
                with pytest.raises(UnavailableError, match="doesn't answer"):
                    await late.names()
        finally:
            os.kill(chroma, 18)
        assert await index.count() == 0


async def test_leaving_while_it_starts_ends_the_start(folder: Path) -> None:
    place = ChromaPrivate(folder, linger=0, program=SLEEPER, start_timeout=30)
    task = asyncio.create_task(place.names())
    await asyncio.sleep(0.3)
    began = time.monotonic()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await place.__aexit__()
    assert time.monotonic() - began < 5
    (watcher,) = watchers(folder)
    kill([watcher])


async def test_where_the_kernel_doesnt_tie_chroma_to_its_watcher_a_leash_does(
    folder: Path,
) -> None:
    receiving = _leashed(folder)
    with os.fdopen(receiving) as told:
        assert "ready" in json.loads(await asyncio.to_thread(told.readline))
    assert len(chromas(folder)) == 1
    kill([min(watchers(folder))])
    await until(lambda: gone(folder))


def _leashed(folder: Path) -> int:
    """Starts a watcher that does without the kernel's help; where it reports."""
    folder.mkdir()
    options = {
        "program": [sys.executable, "-P", chroma_program.__file__],
        "linger": LONG,
        "patience": 20,
        "kernel_ties": False,
    }
    receiving, sending = os.pipe()
    command = [sys.executable, "-I", "-S", chroma_watcher.__file__, str(folder), str(sending)]
    with (folder / "server.log").open("ab") as log:
        subprocess.run(
            [*command, json.dumps(options)],
            pass_fds=(sending,),
            stdout=log,
            stderr=log,
            check=True,
        )
    os.close(sending)
    return receiving


def _forked() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are threads; it only sleeps
        child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    return child


def _end(child: int) -> None:
    kill([child])
    os.waitpid(child, 0)


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(SLEEPER, close_fds=False)


def _exists(folder: Path) -> bool:
    return folder.exists()


def _mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def test_waiting_in_tests_fails_when_it_is_in_vain() -> None:
    with pytest.raises(AssertionError):
        wait_until(lambda: False, seconds=0.05)
