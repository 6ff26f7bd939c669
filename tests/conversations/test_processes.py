"""Several processes write to one conversation, and die at any moment."""

import asyncio
import multiprocessing
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import ForkServerContext

import pytest

from tests.conversations.processes import (
    BATCH,
    append_many,
    append_until_killed,
    conversations,
)
from tests.conversations.telling import seqs, texts
from tests.documents.places import Address

PROCESSES = 8
APPENDS = 2_000
KILLS = 8
LONGEST_LIFE = 0.12
PATIENCE = 110.0


@pytest.fixture(scope="module")
def forkserver() -> ForkServerContext:
    """Starts processes that have imported everything, in a few milliseconds each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.conversations.processes"])
    return context


@pytest.fixture
def pool(forkserver: ForkServerContext) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(PROCESSES, mp_context=forkserver) as processes:
        yield processes


async def test_8_processes_append_2000_entries_to_one_conversation(
    address: Address, pool: ProcessPoolExecutor
) -> None:
    async with conversations(address) as log:
        await log.create("c")
        loop, count = asyncio.get_running_loop(), APPENDS // PROCESSES
        async with asyncio.timeout(PATIENCE):
            given = await asyncio.gather(
                *(
                    loop.run_in_executor(pool, append_many, address, me, count)
                    for me in range(PROCESSES)
                )
            )
        assert sorted(seq for mine in given for seq in mine) == list(range(1, APPENDS + 1))
        entries = await log.read("c")
        assert seqs(entries) == list(range(1, APPENDS + 1))
        places = {entry.id: entry.seq for entry in entries}
        for me, mine in enumerate(given):
            assert [places[f"{me}.{n}"] for n in range(count)] == mine
        report = await log.verify("c")
        assert (report.clean, report.entries) == (True, APPENDS)


def _append_and_kill(
    context: ForkServerContext, address: Address, me: int, life: float
) -> list[int]:
    """The numbers that one writer was given, before it was killed."""
    acknowledged: list[int] = []
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=append_until_killed, args=(address, me, sending))
    process.start()
    sending.close()
    try:
        assert receiving.recv() == "open"
        time.sleep(life)
        process.kill()
        process.join()
        while True:
            acknowledged += receiving.recv()
    except EOFError:
        assert process.exitcode == -signal.SIGKILL
    finally:
        process.kill()
        process.join()
        process.close()
        receiving.close()
    return acknowledged


async def test_a_writer_is_killed_in_the_middle_of_batches_of_4_entries_0_or_4_are_there(
    address: Address, forkserver: ForkServerContext
) -> None:
    rng = random.Random()
    acknowledged: list[int] = []
    async with conversations(address) as log:
        await log.create("c")
        for me in range(KILLS):
            acknowledged += _append_and_kill(forkserver, address, me, rng.uniform(0, LONGEST_LIFE))
            said = texts((await log.get("c", tail=None)).display)
            assert len(said) % BATCH == 0
            heads = [text.rstrip("x").rpartition(".") for text in said]
            for first in range(0, len(said), BATCH):
                batch = heads[first : first + BATCH]
                assert len({head for head, _, _ in batch}) == 1
                assert [number for _, _, number in batch] == ["0", "1", "2", "3"]
            found = await log.read("c")
            assert seqs(found) == list(range(1, len(found) + 1))
            assert set(acknowledged) <= set(seqs(found))
        assert acknowledged
        report = await log.verify("c")
        assert report.clean, report.problems
        await log.sweep(grace=0)
        assert (await log.verify("c")).clean
