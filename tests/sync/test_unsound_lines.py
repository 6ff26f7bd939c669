"""What goes wrong between a memory and a real server: nothing is missed, and it is said."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from actions import sessions
from dualstore.embedders.static import StaticEmbedder
from dualstore.mirror import keeping_up
from dualstore.remote.opencode_asking import Patience
from tests.actions.following import converged, followed, there
from tests.support.opencode_proxy import opencode_proxy
from tests.support.opencode_server import OpenCodeServer
from tests.sync.lines import Forgetful, Sieve
from tests.sync.world import following, place, until

SILENCE = 1.5
"""Seconds. The server says something at least every ten."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "documents.db"


async def test_events_that_get_lost_are_missed_and_what_they_told_is_asked_for(
    server: OpenCodeServer,
    file: Path,
    embedder: StaticEmbedder,
    wire: httpx.AsyncHTTPTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping_up, "LOOKED", 600.0)
    line, lost = Sieve(wire), 0
    async with (
        place(server, file, embedder, transport=line) as here,
        followed(here.context) as watched,
    ):
        session_id = await here.write.create("Gaps")
        await converged(here.context, here.remote)

        def loses_some(payload: dict[str, Any]) -> bool:
            nonlocal lost
            is_mine = payload.get("syncEvent", {}).get("aggregateID") == session_id
            lost += is_mine and lost < 3
            return not is_mine or lost >= 3

        line.keeps = loses_some
        caught_up = watched.caught_up
        for number in range(3):
            await here.write.say(session_id, f"word {number}")
        await converged(here.context, here.remote)
        assert lost == 3
        assert watched.caught_up > caught_up
        assert await here.durable_events(session_id) == await here.events_there(session_id)


async def test_a_stream_that_stalls_is_current_no_more_and_is_followed_again_when_it_flows(
    server: OpenCodeServer, file: Path, embedder: StaticEmbedder
) -> None:
    patience = Patience(attempts=1, connect=1.0, read=1.0, greeting=1.0, total=1.0, silence=SILENCE)
    async with (
        opencode_proxy(server.url) as proxy,
        place(server, file, embedder, url=proxy.url, patience=patience) as here,
        following(here.context) as watched,
    ):
        session_id = await here.write.create("Stalled")
        await until(here.is_current)
        await converged(here.context, here.remote)
        proxy.freeze()
        await here.write.say(session_id, "while nothing was told")
        await until(lambda: watched.now.state == "pausing")
        assert not await here.is_current()
        answer = await sessions.get(here.context, session_id)
        assert (answer.source, answer.value.messages) == ("stale", [])
        assert answer.degraded
        proxy.heal()
        await until(here.is_current)
        await converged(here.context, here.remote)
        assert await here.durable_events(session_id) == await here.events_there(session_id)


async def test_a_wrong_password_is_said_and_with_the_right_one_it_is_followed(
    server: OpenCodeServer,
    file: Path,
    embedder: StaticEmbedder,
    wire: httpx.AsyncHTTPTransport,
) -> None:
    line = Forgetful(wire)
    async with (
        place(server, file, embedder, transport=line) as here,
        following(here.context) as watched,
    ):
        session_id = await here.write.create("Locked")
        await until(lambda: watched.now.state == "pausing")
        assert "401" in watched.now.problem
        assert "password" in watched.now.problem
        assert server.password not in watched.now.problem
        assert not await here.is_current()
        assert await here.gone([session_id]) == []
        line.remembers = True
        await until(here.is_current)
        await converged(here.context, here.remote)


async def test_what_is_archived_and_deleted_with_its_children_while_nobody_follows_is_told(
    server: OpenCodeServer, file: Path, embedder: StaticEmbedder
) -> None:
    async with place(server, file, embedder) as here:
        archived = await here.write.create("Archived")
        parent = await here.write.create("Parent")
        children = [await here.write.create(f"Child {n}", parent=parent) for n in range(2)]
        grandchild = await here.write.create("Grandchild", parent=children[0])
        family = [parent, *children, grandchild]
        for each in [archived, *family]:
            await here.write.say(each, f"said in {each}")
        async with followed(here.context):
            await converged(here.context, here.remote)
        await here.write.archive(archived)
        await here.write.archive(parent)
        await here.write.delete(parent)
        async with followed(here.context):
            await converged(here.context, here.remote)
            assert await here.gone([archived, *family]) == family
            told = await there(here.remote)
            assert "archived" in told[archived][0]["time"]
            for each in family:
                assert each not in told
                answer = await sessions.get(here.context, each)
                assert len(answer.value.messages) == 1
                assert "gone upstream" in answer.degraded[0]
