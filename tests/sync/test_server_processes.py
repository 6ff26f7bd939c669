"""A real server is killed with SIGKILL and comes back, and others write to its database: nothing is
lost, and nothing is said to be gone.
"""

import asyncio
from pathlib import Path

import httpx
import pytest

from actions import messages, sessions
from dualstore.embedders.static import StaticEmbedder
from dualstore.errors import UnavailableError
from dualstore.mirror import keeping_up
from dualstore.mirror.keeping_up import Following
from dualstore.mirror.news_reading import Synced
from dualstore.remote.opencode_asking import Patience
from tests.actions.following import converged, followed, there
from tests.support.model_stub import ModelStub
from tests.support.opencode_seed import seeded_id
from tests.sync.seeding import seed
from tests.sync.world import LastingServer, Place, another, following, place, until, writer

SEEDED, MIDDLE, IMPORTED = 40, 10, 9_000
HASTY = Patience(attempts=1, greeting=2.0)
"""A server that is just starting takes requests that it never answers."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "documents.db"


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is caught up again and again with what no stream tells."""
    monkeypatch.setattr(keeping_up, "LOOKED", 0.1)
    monkeypatch.setattr(keeping_up, "SHARE", 1)


@pytest.fixture(scope="module")
def seeds(_lasting: LastingServer) -> list[str]:
    """Sessions with a past."""

    async def made() -> list[str]:
        async with writer(_lasting.server) as write:
            return await seed(write, range(SEEDED))

    return asyncio.run(made())


async def test_a_turn_whose_server_is_killed_stays_as_far_as_it_came(
    lasting: LastingServer, file: Path, embedder: StaticEmbedder, model: ModelStub
) -> None:
    async with (
        place(lasting.server, file, embedder, patience=HASTY) as here,
        followed(here.context) as watched,
    ):
        session_id = await here.write.create("Killed")
        turn = asyncio.ensure_future(here.write.prompt(session_id, "[[slow]] tell me"))
        await until(lambda: _is_streaming(here, session_id))
        await lasting.kill()
        with pytest.raises(httpx.HTTPError):
            await turn
        model.release()
        await lasting.start()
        await until(here.is_current)
        await converged(here.context, here.remote)
        newest = await messages.list(here.context, session_id, limit=1)
        assert "completed" not in newest.value.messages[0]["info"]["time"]
        assert await here.texts(session_id) == [""]
        assert await here.gone([session_id]) == []
        await here.write.say(session_id, "once more")
        await converged(here.context, here.remote)
        assert await here.durable_events(session_id) == await here.events_there(session_id)
        assert watched.failing == {}


async def _is_streaming(here: Place, session_id: str) -> bool:
    return await here.texts(session_id) == [""]


async def test_while_the_server_is_down_what_is_here_answers_and_says_how(
    lasting: LastingServer, file: Path, embedder: StaticEmbedder
) -> None:
    async with (
        place(lasting.server, file, embedder, patience=HASTY) as here,
        following(here.context) as watched,
    ):
        session_id = await here.write.create("Kept")
        said = await here.write.say(session_id, "the marmot sleeps until spring")
        await until(here.is_current)
        await converged(here.context, here.remote)
        await lasting.kill()
        await until(lambda: watched.now.state == "pausing")
        assert "can't be reached" in watched.now.problem
        got = await sessions.get(here.context, session_id)
        listed = await sessions.list(here.context)
        found = await messages.search(here.context, "where does the marmot sleep", k=1)
        assert [each["info"]["id"] for each in got.value.messages] == [said]
        assert session_id in {each.id for each in listed.value.sessions}
        assert [each.message["info"]["id"] for each in found.value.results] == [said]
        assert (got.source, listed.source) == ("stale", "stale")
        assert (found.source, found.complete) == ("local", True)
        for each in (got, listed):
            assert any("can't be reached" in reason for reason in each.degraded)
        await lasting.start()
        await until(here.is_current)
        again = await here.write.say(session_id, "and it wakes up")
        await converged(here.context, here.remote)
        found = await messages.search(here.context, "it wakes up", k=1)
        assert [each.message["info"]["id"] for each in found.value.results] == [again]
        assert (found.source, found.complete) == ("local", True)
        assert watched.now.connections == 2


@pytest.mark.usefixtures("often")
async def test_what_a_second_process_writes_to_the_same_database_is_here_too(
    lasting: LastingServer, file: Path, embedder: StaticEmbedder
) -> None:
    async with (
        another(lasting) as second,
        place(lasting.server, file, embedder) as here,
        place(second, file.with_name("other.db"), embedder) as elsewhere,
        followed(here.context),
    ):
        session_id = await here.write.create("Shared")
        await here.write.say(session_id, "said here")
        await converged(here.context, here.remote)
        said = await elsewhere.write.say(session_id, "said in another process")
        made = await elsewhere.write.create("Made in another process")
        await elsewhere.write.say(made, "said there only")
        await elsewhere.write.rename(session_id, "Renamed in another process")
        await until(lambda: _is_here(here, "Renamed in another process"))
        await converged(here.context, here.remote)
        answer = await sessions.get(here.context, session_id)
        assert answer.value.messages[-1]["info"]["id"] == said
        for each in (session_id, made):
            assert await here.durable_events(each) == await here.events_there(each)


async def _is_here(here: Place, title: str) -> bool:
    listed = await sessions.list(here.context, limit=1000)
    return title in {each.title for each in listed.value.sessions}


@pytest.mark.usefixtures("often")
async def test_an_imported_session_which_has_no_events_is_here_and_followed(
    lasting: LastingServer, file: Path, embedder: StaticEmbedder
) -> None:
    async with place(lasting.server, file, embedder) as here:
        session_id = seeded_id(IMPORTED)
        async with followed(here.context):
            await lasting.take_in(await here.write.export(IMPORTED, messages=3))
            await converged(here.context, here.remote)
            assert len((await sessions.get(here.context, session_id)).value.messages) == 3
            assert await here.events_there(session_id) == {}
        async with following(here.context):
            await until(here.is_current)
            await here.write.say(session_id, "what is said in it has events")
            await converged(here.context, here.remote)
            await lasting.take_in(await here.write.export(IMPORTED, messages=5))
            await converged(here.context, here.remote)
            assert await here.durable_events(session_id) == await here.events_there(session_id)


async def test_a_backfill_whose_server_is_killed_in_its_middle_goes_on_where_it_was(
    lasting: LastingServer, seeds: list[str], file: Path, embedder: StaticEmbedder
) -> None:
    def kills(now: Synced) -> None:
        if now.done == MIDDLE:
            lasting.strike()

    async with place(lasting.server, file, embedder) as here:
        with pytest.raises(UnavailableError):
            await here.context.sync.backfill(progress=kills)
        await lasting.start()
        synced = await here.context.sync.backfill()
        assert len(await there(here.remote)) - synced.total >= MIDDLE
        await converged(here.context, here.remote)
        assert await here.gone(seeds) == []


async def test_who_follows_a_server_that_is_killed_while_it_is_caught_up_with_gets_there_later(
    lasting: LastingServer, seeds: list[str], file: Path, embedder: StaticEmbedder
) -> None:
    def kills(now: Following) -> None:
        if now.catching_up is not None and now.catching_up.done == MIDDLE:
            lasting.strike()

    async with (
        place(lasting.server, file, embedder, patience=HASTY) as here,
        following(here.context, meanwhile=kills) as watched,
    ):
        await until(lambda: watched.now.state == "pausing")
        assert watched.now.caught_up == 0
        watched.meanwhile = None
        assert not await here.is_current()
        await lasting.start()
        await until(here.is_current)
        await converged(here.context, here.remote)
        assert await here.gone(seeds) == []
