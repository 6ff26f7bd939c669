"""The memory filled ahead of questions."""

import asyncio

import httpx
import pytest

from actions import events, messages, open_actions, sessions
from dualstore.errors import InvalidInputError, UnavailableError
from dualstore.mirror import news_reading
from dualstore.mirror.news_reading import Synced
from tests.actions.conftest import MakeWorld, Ticks
from tests.actions.world import DoubleWorld, World
from tests.support.opencode_faults import Fault, answers, refuses

DAY = 86_400


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a server to come back."""
    monkeypatch.setattr(news_reading, "FIRST_PAUSE", 0.0)


def filled(world: DoubleWorld, count: int, *, each: int = 3) -> list[str]:
    """Sessions of days ago, oldest first."""
    made = []
    for number in range(count):
        session_id = world.session(f"Talk {number}", ago=DAY * (count - number + 1))
        world.double.now = world.clock.now - 1000 * DAY * (count - number)
        for at in range(each):
            world.double.add_message(session_id, f"word {at} of talk {number}")
        made.append(session_id)
    world.double.now = world.clock.now
    return made


def asked_for(world: World, session_id: str) -> int:
    return world.line.requests.count(f"GET /session/{session_id}/message")


async def test_after_a_backfill_everything_is_here_and_nobody_is_asked(
    everywhere: World,
) -> None:
    world, write = everywhere, everywhere.write
    made = [await write.seed(7000 + number, messages=number) for number in range(4)]
    await write.say(made[3], "the marmot sleeps until spring")
    seen: list[int] = []
    synced = await world.context.sync.backfill(progress=lambda now: seen.append(now.done))
    assert synced.failed == {}
    assert synced.done == synced.total == len(seen) >= len(made)
    asked = world.asked
    for session_id in made:
        answer = await sessions.get(world.context, session_id)
        assert (answer.source, answer.complete) == ("local", True)
        told = await world.remote.fetch_messages(session_id)
        assert told is not None
        assert answer.value.messages == list(told.items), "message by message, part by part"
    asked += len(made)  # what was just asked for, to compare
    listed = await sessions.list(world.context, limit=1000)
    assert (listed.source, listed.complete, listed.degraded) == ("local", True, ())
    found = await messages.search(world.context, "where does the marmot sleep", k=1)
    assert (found.value.results[0].session_id, found.complete) == (made[3], True)
    assert (await events.list(world.context, k=1)).source == "local"
    assert world.asked == asked


async def test_warm_reads_the_newest_sessions_and_no_others(world: DoubleWorld) -> None:
    made = filled(world, 6)
    synced = await world.context.sync.warm(2)
    assert synced == Synced(total=2, done=2, messages=6)
    assert [asked_for(world, each) for each in made] == [0, 0, 0, 0, 1, 1]
    for each in made[-2:]:
        assert (await sessions.get(world.context, each)).source == "local"
    assert asked_for(world, made[-1]) == 1


async def test_what_is_up_to_date_is_not_read_again(world: DoubleWorld) -> None:
    made = filled(world, 5)
    await world.context.sync.backfill()
    world.later(DAY)
    world.double.now = world.clock.now
    world.double.add_message(made[2], "one more word")
    synced = await world.context.sync.backfill()
    assert (synced.total, synced.messages) == (1, 1)
    assert [asked_for(world, each) for each in made] == [1, 1, 1, 1, 1]
    newest = await messages.list(world.context, made[2], limit=1)
    assert newest.value.messages[0]["parts"][0]["text"] == "one more word"


async def test_a_backfill_that_was_broken_off_goes_on_where_it_was(
    world: DoubleWorld, ticks: Ticks
) -> None:
    made = filled(world, 12)
    answered = 0

    def gone_after_some(request: httpx.Request) -> Fault | None:
        nonlocal answered
        answered += request.url.path.endswith("/message")
        return refuses if answered > 5 else None

    world.line.fault_of = gone_after_some
    with pytest.raises(UnavailableError):
        await world.context.sync.backfill()
    world.line.mend()
    ticks.later()
    first = [asked_for(world, each) for each in made]
    coverage = world.context.upstream
    assert coverage is not None
    covered = await coverage.coverage.sessions(made)
    kept = {each for each, mark in covered.items() if mark.messages}
    assert len(kept) == 5
    synced = await world.context.sync.backfill()
    assert synced.total == synced.done == 12 - 5
    again = [asked_for(world, each) for each in made]
    assert all(
        after - before == (each not in kept)
        for each, before, after in zip(made, first, again, strict=True)
    )
    assert await world.context.families.messages.count() == 36


async def test_ctrl_c_loses_nothing_that_was_read(world: DoubleWorld) -> None:
    made = filled(world, 8)
    done = asyncio.Event()

    def told(now: Synced) -> None:
        if now.done == 3:
            done.set()

    filling = asyncio.ensure_future(world.context.sync.backfill(progress=told))
    await done.wait()
    filling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filling
    synced = await world.context.sync.backfill()
    assert synced.total <= 5
    for each in made:
        assert len((await sessions.get(world.context, each)).value.messages) == 3
    assert (await sessions.list(world.context)).degraded == ()


async def test_one_session_that_cant_be_read_harms_no_other(world: DoubleWorld) -> None:
    made = filled(world, 4)
    world.line.cut_where(f"{made[1]}/message", answers(200, b"<html>", kind="text/html"))
    synced = await world.context.sync.backfill()
    assert (synced.total, synced.done, synced.messages) == (4, 4, 9)
    assert list(synced.failed) == [made[1]]
    assert "text/html" in synced.failed[made[1]]
    world.line.mend()
    assert (await world.context.sync.backfill()).total == 1


async def test_a_store_that_cant_keep_anything_ends_it(world: DoubleWorld) -> None:
    filled(world, 4)
    world.faults.outage("documents.put")
    with pytest.raises(UnavailableError, match="nothing can be kept"):
        await world.context.sync.backfill()


async def test_the_server_is_asked_for_few_sessions_at_once(world: DoubleWorld) -> None:
    filled(world, 20)
    at_once = most = 0

    async def count(request: httpx.Request) -> None:
        nonlocal at_once, most
        if request.url.path.endswith("/message"):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.001)
            at_once -= 1

    world.line.meanwhile = count
    await world.context.sync.backfill()
    assert 1 < most <= news_reading.AT_ONCE


async def test_without_a_remote_there_is_nothing_to_sync_with(make_world: MakeWorld) -> None:
    async with make_world() as world:
        context = world.context
        for wrong in (0, -1, True, "all"):
            with pytest.raises(InvalidInputError, match="limit"):
                await context.sync.warm(wrong)  # type: ignore[arg-type]
    async with open_actions(world.settings, backends=world.backends) as alone:
        with pytest.raises(InvalidInputError, match="no remote"):
            _ = alone.sync
