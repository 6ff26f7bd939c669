import asyncio

import pytest

from dualstore.errors import StoragePermissionError, UnavailableError
from dualstore.indexing import worker as rooms
from dualstore.indexing.worker import IndexWorker
from tests.indexing.conftest import Family


def _worker(family: Family) -> IndexWorker:
    return IndexWorker(family.work())


async def test_drain_waits_until_nothing_is_due(family: Family) -> None:
    async with _worker(family) as worker:
        for number in range(30):
            await family.put(f"m{number}", f"word {number}")
        await asyncio.wait_for(worker.drain(), 10)
        assert len(await family.held()) == 30


async def test_it_works_in_the_background_once_it_is_woken(family: Family) -> None:
    async with _worker(family) as worker:
        await family.put("a", "words")
        await asyncio.sleep(0.05)
        assert await family.held() == {}
        worker.wake()
        for _ in range(100):
            await asyncio.sleep(0.02)
            if await family.held():
                break
        assert await family.held() == {"a": 1}


async def test_drain_that_runs_out_of_time_says_what_is_in_the_way(family: Family) -> None:
    async def down(_: object) -> None:
        raise UnavailableError("the embedder is asleep")

    family.embedder.fails = down
    await family.put("a", "words")
    async with _worker(family) as worker:
        with pytest.raises(UnavailableError, match="not indexed yet: 1: the embedder is asleep"):
            await worker.drain(timeout=2)


async def test_drain_gives_up_after_many_failures(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "MOST_FAILURES", 1)

    async def broken() -> int:
        raise RuntimeError("a bug in a backend of a user's")

    await family.put("a", "words")
    indexer = family.indexer()
    monkeypatch.setattr(indexer, "step", broken)
    async with IndexWorker(family.work(indexer)) as worker:
        with pytest.raises(UnavailableError, match="a bug in a backend"):
            await asyncio.wait_for(worker.drain(), 5)


async def test_a_try_that_began_before_drain_tells_nothing_about_now(family: Family) -> None:
    begun, mended = asyncio.Event(), asyncio.Event()

    async def broken(_: object) -> None:
        family.embedder.fails = None
        begun.set()
        await mended.wait()
        raise StoragePermissionError("the folder can't be written; check its rights")

    family.embedder.fails = broken
    await family.put("a", "words")
    async with _worker(family) as worker:
        worker.wake()
        await begun.wait()
        drain = asyncio.create_task(worker.drain(timeout=20))
        await asyncio.sleep(0)
        mended.set()
        await drain
    assert await family.held() == {"a": 1}


async def test_leaving_gives_back_what_is_under_way(family: Family) -> None:
    begun = asyncio.Event()

    async def hang(_: object) -> None:
        begun.set()
        await asyncio.sleep(60)

    family.embedder.fails = hang
    await family.put("a", "words")
    async with _worker(family) as worker:
        worker.wake()
        await begun.wait()
        assert (await family.store.index_status()).leased == 1
    status = await family.store.index_status()
    assert (status.due, status.leased) == (1, 0)


async def test_leaving_a_worker_that_never_worked_is_nothing(family: Family) -> None:
    async with _worker(family):
        pass
