"""Whatever the remote tells and whatever breaks: nothing is lost, and it says how it goes on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace

import httpx
import orjson
import pytest

from actions import events, messages, open_actions, sessions
from dualstore.breaker import CLOSED
from dualstore.errors import InvalidInputError, UnavailableError
from dualstore.mirror import inbox, keeping_up, news_reading
from dualstore.mirror.keeping_up import Following
from dualstore.remote.base import Capabilities, Change
from dualstore.remote.opencode import OpenCodeRemote
from tests.actions.conftest import MakeWorld
from tests.actions.following import converged, followed, here, there
from tests.actions.world import DoubleWorld
from tests.support.opencode_faults import Fault, answers, refuses, resets
from tests.sync.world import until

PAST, FUTURE = 1, 253_402_300_000_000
HTML = answers(200, b"<html>", kind="text/html")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a server to come back."""
    monkeypatch.setattr(news_reading, "FIRST_PAUSE", 0.0)
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE", "AGAIN"):
        monkeypatch.setattr(keeping_up, name, 0.01)


@pytest.mark.parametrize(
    "raw",
    [
        b"data: {broken\n\n",
        b"data: []\n\n",
        b'data: {"payload": {"type": "sync", "syncEvent": {"seq": -1}}}\n\n',
        b'data: {"payload": {"type": 5, "properties": {"sessionID": "ses_1"}}}\n\n',
        b"\xff\xfe\x00\n\n" * 100,
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"event: x\nid: 1\n\n",
    ],
)
async def test_garbage_in_the_stream_hides_nothing(world: DoubleWorld, raw: bytes) -> None:
    made = world.session("Beside garbage")
    async with followed(world.context) as following:
        for number in range(3):
            world.double.tell(raw)
            world.double.add_message(made, f"message {number}")
        await converged(world.context, world.remote)
        assert following.failing == {}


async def test_an_event_without_an_end_is_a_new_connection(world: DoubleWorld) -> None:
    made = world.session("Giant")
    async with followed(world.context) as following:
        world.double.tell(b"data: " + b"x" * (33 * 1024 * 1024))
        world.double.add_message(made, "after it")
        await converged(world.context, world.remote)
        await until(lambda: following.caught_up > 1)


async def test_events_of_sessions_that_nobody_has_are_kept(world: DoubleWorld) -> None:
    async with followed(world.context) as following:
        world.double.tell_once("session.error", sessionID="ses_nobody", error={"name": "Odd"})
        world.double.beat()
        await until(lambda: following.events > 0)
        listed = await events.list(world.context, session_id="ses_nobody")
        assert [each["type"] for each in listed.value.events] == ["session.error"]


@pytest.mark.parametrize("time", [PAST, FUTURE])
async def test_times_far_away_are_times(world: DoubleWorld, time: int) -> None:
    made = world.session("Far away")
    async with followed(world.context):
        world.double.add_message(made, "far away", time={"created": time})
        info = world.double.sessions[made]
        world.double.change_session(made, time={**info["time"], "updated": time})
        await converged(world.context, world.remote)
        world.double.add_message(made, "and near")
        await converged(world.context, world.remote)
        assert len((await sessions.get(world.context, made)).value.messages) == 2


async def test_too_many_at_once_are_caught_up_with(
    world: DoubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "LARGEST", 10)
    made = world.session("Flooded")
    async with followed(world.context) as following:
        for number in range(30):
            world.double.add_message(made, f"message {number}")
        await converged(world.context, world.remote)
        assert following.caught_up > 1


@pytest.mark.parametrize("fault", [HTML, answers(500, b"{}"), answers(400, {}), resets, refuses])
async def test_a_server_that_breaks_in_mid_backfill_costs_only_what_it_broke(
    world: DoubleWorld, fault: Fault
) -> None:
    made = [world.session(f"Talk {number}") for number in range(8)]
    for each in made:
        world.double.add_message(each, "a word")
    asked = 0

    def breaks(request: httpx.Request) -> Fault | None:
        nonlocal asked
        asked += request.url.path.endswith("/message")
        return fault if asked > 4 else None

    world.line.fault_of = breaks
    with suppress(UnavailableError):
        assert (await world.context.sync.backfill()).failed
    world.line.mend()
    assert world.context.upstream is not None
    world.context.upstream.source._breaker = CLOSED
    synced = await world.context.sync.backfill()
    assert (synced.failed, synced.total) == ({}, 4)
    assert await world.context.families.messages.count() == 8


async def test_a_full_disk_is_told_and_what_it_cost_comes_later(world: DoubleWorld) -> None:
    made = world.session("Too much")
    seen: list[tuple[str, str]] = []

    def tell(now: Following) -> None:
        seen.append((now.state, now.problem))

    world.faults.outage("documents.put")
    task = asyncio.ensure_future(world.context.sync.follow(progress=tell))
    await until(lambda: any(state == "pausing" for state, _ in seen))
    assert "nothing can be kept" in next(why for state, why in seen if state == "pausing")
    world.double.add_message(made, "in the meantime")
    world.faults.heal()
    await converged(world.context, world.remote)
    await until(lambda: seen[-1] == ("following", ""))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_while_the_server_is_away_what_is_here_answers_and_says_so(
    world: DoubleWorld,
) -> None:
    made = world.session("Alone")
    world.double.add_message(made, "the marmot sleeps")
    async with followed(world.context) as following:
        await converged(world.context, world.remote)
        world.line.cut(refuses)
        world.double.hang_up()
        await until(lambda: following.state == "pausing")
        assert following.problem
        assert 0 < following.again_in <= keeping_up.LONGEST_PAUSE
        world.later(3_600)
        answer = await sessions.get(world.context, made)
        assert len(answer.value.messages) == 1
        assert "can't be asked" in answer.degraded[-1]
        found = await messages.search(world.context, "marmot")
        assert len(found.value.results) == 1


async def test_a_remote_that_tells_nothing_is_not_followed(make_world: MakeWorld) -> None:
    async with make_world() as world:
        assert world.context.upstream is not None
        world.context.sync._remote.capabilities = Capabilities(has_history=True)
        with pytest.raises(InvalidInputError, match="can't be followed"):
            await world.context.sync.follow()


class Unnumbered(OpenCodeRemote):
    """Another server's: it tells what happens, and knows no history."""

    capabilities = Capabilities(follows=True)

    async def follow(self) -> AsyncGenerator[Change, None]:
        async with aclosing(super().follow()) as changes:
            async for each in changes:
                yield replace(each, sequence=None)


async def test_a_remote_that_numbers_nothing_is_followed_all_the_same(world: DoubleWorld) -> None:
    made = world.session("Unnumbered")
    said = world.double.add_message(made, "before")
    url, password = world.double.url, world.double.password
    async with (
        Unnumbered(url, password=password, transport=world.double) as remote,
        open_actions(world.settings, backends=world.backends, remote=remote) as context,
        followed(context),
    ):
        world.double.add_message(made, "and after")
        world.double.delete_message(made, said)
        new = world.session("Another")
        world.double.add_message(new, "there, too")
        async with asyncio.timeout(30):
            while await here(context) != await there(remote):  # noqa: ASYNC110 - as in `until`
                await asyncio.sleep(0.01)


async def test_without_a_history_lists_tell_what_is_new(make_world: MakeWorld) -> None:
    """The least that a remote can do and be followed."""
    async with make_world() as world:
        made = world.session("Without a history")
        world.double.add_message(made, "one")
        assert world.context.upstream is not None
        world.context.sync._remote.capabilities = Capabilities(follows=True)
        synced = await world.context.sync.backfill()
        assert (synced.total, synced.messages, synced.notes) == (1, 1, [])
        assert (await world.context.sync.backfill()).total == 0
        world.double.add_message(made, "two")
        assert (await world.context.sync.backfill()).messages == 2


async def test_a_stream_that_ends_with_what_it_tells_last_is_a_new_connection(
    world: DoubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping_up, "LOOKED", 3_600.0)
    made = world.session("Ends")
    async with followed(world.context) as following:
        world.double.add_message(made, "the last word")
        world.double.hang_up()
        await until(lambda: following.connections == 2)
        world.double.add_message(made, "and another one")
        await converged(world.context, world.remote)


def unnamed(world: DoubleWorld, request: httpx.Request) -> int:
    """Of how many sessions everything is asked for."""
    named = orjson.loads(request.content)
    return len(world.double.sessions.keys() - named.keys())


async def test_a_history_that_is_too_much_at_once_is_asked_for_in_smaller_portions(
    world: DoubleWorld,
) -> None:
    made = [world.session(f"Long {number}") for number in range(60)]
    for each in made:
        world.double.add_message(each, "a word")

    def too_much(request: httpx.Request) -> Fault | None:
        is_history = request.url.path.endswith("history")
        return answers(500, b"{}") if is_history and unnamed(world, request) > 10 else None

    world.line.fault_of = too_much
    synced = await world.context.sync.backfill()
    assert (synced.done, synced.messages, synced.failed, synced.notes) == (60, 60, {}, [])
    assert (await world.context.sync.backfill()).total == 0


async def test_more_sessions_than_can_be_named_are_told_once(world: DoubleWorld) -> None:
    for number in range(1_500):
        world.session(f"One of many {number}")
    told = 0

    async def count(request: httpx.Request) -> None:
        nonlocal told
        if request.url.path.endswith("history"):
            told += unnamed(world, request)

    world.line.meanwhile = count
    synced = await world.context.sync.backfill()
    assert (synced.done, synced.failed) == (1_500, {})
    assert told <= 2 * 1_500


async def test_sessions_that_always_fail_hold_up_no_other(world: DoubleWorld) -> None:
    made = [world.session(f"Talk {number}") for number in range(16)]
    for each in made:
        world.double.add_message(each, "a word")
    bad = made[4:12]
    world.line.fault_of = lambda request: (
        answers(500, b"{}") if any(each in request.url.path for each in bad) else None
    )
    async with followed(world.context) as following:
        assert following.failing.keys() == set(bad)
        good = [each for each in made if each not in bad]
        for each in good:
            answer = await sessions.get(world.context, each)
            assert (answer.source, len(answer.value.messages)) == ("local", 1)
        world.line.mend()
        world.double.hang_up()
        await converged(world.context, world.remote)


async def test_a_message_is_not_dropped_because_its_session_is_another_remotes(
    dropping: DoubleWorld,
) -> None:
    world = dropping
    old = [world.session(f"Old {number}") for number in range(3)]
    said = [world.double.add_message(each, "what was said") for each in old]
    await world.context.sync.backfill()
    for each in old:
        world.double.delete_session(each)
    world.session("Of another database")
    world.later(100_000)
    answer = await messages.get(world.context, old[0], said[0])
    assert answer.value.message["info"]["id"] == said[0]
    assert await world.context.families.messages.count() == 3
