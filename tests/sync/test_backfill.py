"""Everything that a real server has is filled in, in one go or in 21."""

import asyncio
import multiprocessing
import random
import signal
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from actions import sessions
from dualstore.embedders.static import StaticEmbedder
from dualstore.mirror.news_reading import AT_ONCE
from tests.actions.following import here as found_here
from tests.actions.following import there
from tests.support.opencode_proxy import OpenCodeProxy, opencode_proxy
from tests.support.opencode_server import OpenCodeServer
from tests.sync.filling import fill
from tests.sync.seeding import seed
from tests.sync.world import Place, place, until, writer

SEEDED = 200
KILLS = 20
MOST_READ, LONGEST_START = 8, 0.3
"""Sessions that one life asks for, so that 20 lives aren't enough; or seconds that it lasts."""


@pytest.fixture(scope="module")
def seeds(server: OpenCodeServer) -> list[str]:
    """Sessions with a past."""

    async def made() -> list[str]:
        async with writer(server) as write:
            return await seed(write, range(SEEDED))

    return asyncio.run(made())


@pytest.fixture(scope="module")
def forkserver() -> ForkServerContext:
    """Starts processes that have imported everything, in a few milliseconds each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.sync.filling"])
    return context


@pytest.fixture
def rng() -> random.Random:
    chosen = random.randrange(2**32)
    print(f"the moments of death have the seed {chosen}")
    return random.Random(chosen)


async def test_200_sessions_are_here_message_by_message_and_part_by_part(
    here: Place, seeds: list[str]
) -> None:
    synced = await here.context.sync.backfill()
    assert (synced.done, synced.failed) == (SEEDED, {})
    wanted = await there(here.remote)
    assert len(wanted) == len(seeds) == SEEDED
    assert await found_here(here.context) == wanted
    for session_id in random.sample(seeds, 10):
        answer = await sessions.get(here.context, session_id)
        assert answer.complete
        assert answer.value.messages == list(wanted[session_id][1].values())
    assert (await here.context.sync.backfill()).total == 0


async def test_who_fills_is_killed_at_20_moments_and_the_last_one_reads_only_what_is_missing(
    server: OpenCodeServer,
    seeds: list[str],
    tmp_path: Path,
    embedder: StaticEmbedder,
    forkserver: ForkServerContext,
    rng: random.Random,
) -> None:
    file = tmp_path / "documents.db"
    async with opencode_proxy(server.url) as proxy:
        for _ in range(KILLS):
            filling = forkserver.Process(target=fill, args=(server, file, proxy.url))
            await asyncio.to_thread(filling.start)
            await _some_time(proxy, rng)
            filling.kill()
            await asyncio.to_thread(filling.join)
            assert filling.exitcode == -signal.SIGKILL
        before = _read(proxy)
        async with place(server, file, embedder, url=proxy.url) as here:
            synced = await here.context.sync.backfill()
            assert synced.failed == {}
            assert _read(proxy) - before == synced.total > 0
            assert await found_here(here.context) == await there(here.remote)
            assert await here.gone(seeds) == []
        assert _read(proxy) <= SEEDED + KILLS * AT_ONCE


async def _some_time(proxy: OpenCodeProxy, rng: random.Random) -> None:
    """Until some sessions were asked for, or shorter."""
    before, wanted = _read(proxy), rng.randint(0, MOST_READ)
    if wanted:
        await until(lambda: _read(proxy) >= before + wanted)
        await asyncio.sleep(rng.uniform(0, 0.01))
    else:
        await asyncio.sleep(rng.uniform(0, LONGEST_START))


def _read(proxy: OpenCodeProxy) -> int:
    """How often all messages of a session were asked for."""
    return sum(count for path, count in proxy.asked.items() if path.endswith("/message"))
