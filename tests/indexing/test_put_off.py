"""What failed and is put off: nobody forgets why."""

import asyncio

import pytest

from dualstore.errors import UnavailableError
from dualstore.indexing.worker import IndexWorker
from dualstore.wiring import system_clock
from tests.indexing.conftest import Family


async def test_a_worker_that_has_nothing_but_what_is_put_off_keeps_the_reason(
    family: Family,
) -> None:
    async def down(_: object) -> None:
        raise UnavailableError("the embedder is asleep")

    family.now = system_clock()
    family.embedder.fails = down
    await family.put("a", "words")
    async with IndexWorker(family.work()) as worker:
        with pytest.raises(UnavailableError, match="not indexed yet: 1: the embedder is asleep"):
            await worker.drain(timeout=0.3)
        for _ in range(5):  # the pause after a failure is over, that of the document isn't
            family.now += 80
            worker.wake()
            await asyncio.sleep(0.25)
        assert (await worker.status()).obstacle == "the embedder is asleep"
        with pytest.raises(UnavailableError, match="not indexed yet: 1: the embedder is asleep"):
            await worker.drain(timeout=0.1)
        family.embedder.fails = None
        family.now += 60_000
        await worker.drain(timeout=5)
        assert (await worker.status()).obstacle is None
