"""The memory stays as the remote is, by itself."""

import asyncio

import pytest

from actions import events, messages, sessions, tasks
from dualstore.mirror import keeping_up, news_reading
from tests.actions.conftest import MakeWorld, Ticks
from tests.actions.following import converged, followed, here, there
from tests.actions.world import DoubleWorld, World


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a server to come back."""
    monkeypatch.setattr(news_reading, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(keeping_up, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(keeping_up, "AGAIN", 0.05)


async def test_what_is_there_and_what_happens_is_here_and_nobody_is_asked(
    everywhere: World,
) -> None:
    world, write = everywhere, everywhere.write
    old = await write.seed(8100, messages=4)
    async with followed(world.context) as following:
        await converged(world.context, world.remote)
        said = await write.say(old, "the marmot sleeps until spring")
        new = await write.create("A new one")
        await write.say(new, "and the mole doesn't")
        await write.rename(new, "Another name")
        await write.archive(new)
        await converged(world.context, world.remote)
        assert following.failing == {}
        asked = world.asked
        for each in (old, new):
            answer = await sessions.get(world.context, each)
            assert (answer.source, answer.complete, answer.degraded) == ("local", True, ())
        found = await messages.search(world.context, "where does the marmot sleep", k=1)
        assert [each.message["info"]["id"] for each in found.value.results] == [said]
        assert world.line.requests[asked:] == []


async def test_what_is_deleted_there_is_kept_and_said_to_be_gone(everywhere: World) -> None:
    world, write = everywhere, everywhere.write
    session_id, other = await write.seed(8200, messages=3), await write.seed(8201, messages=3)
    async with followed(world.context):
        await converged(world.context, world.remote)
        (message_id, *_) = (await there(world.remote))[other][1]
        await write.delete(session_id)
        await write.remove(other, message_id)
        await converged(world.context, world.remote)
        kept = await here(world.context, is_gone=True)
        assert len(kept[session_id][1]) == 3
        assert len(kept[other][1]) == 3
        answer = await sessions.get(world.context, session_id)
        assert "gone upstream" in answer.degraded[0]


async def test_changes_that_move_no_time_of_update_are_seen_all_the_same(
    everywhere: World,
) -> None:
    world, write = everywhere, everywhere.write
    session_id = await write.create("Edited")
    for number in range(4):
        await write.say(session_id, f"what was said {number}")
    told = list((await there(world.remote))[session_id][1].values())
    first, second, third, fourth = (each["parts"][0] for each in told)
    await world.context.sync.backfill()
    await write.edit(first, "edited while nobody listened")
    await write.remove_part(second)
    async with followed(world.context):
        await converged(world.context, world.remote)
        await write.edit(third, "edited while somebody did")
        await write.remove_part(fourth)
        await converged(world.context, world.remote)
        found = await messages.search(world.context, "edited while somebody did", k=1)
        assert found.value.results[0].message["parts"][0]["id"] == third["id"]


async def test_forks_and_reverts_are_followed(everywhere: World) -> None:
    world, write = everywhere, everywhere.write
    session_id = await write.create("Forked")
    said = [await write.say(session_id, f"step {number}") for number in range(4)]
    async with followed(world.context):
        await converged(world.context, world.remote)
        forked = await write.fork(session_id, before=said[2])
        await converged(world.context, world.remote)
        assert len((await here(world.context))[forked][1]) == 2
        await write.revert(session_id, said[1])
        await converged(world.context, world.remote)
        assert len((await here(world.context))[session_id][1]) == 4
        await write.say(session_id, "another way")  # only now what was reverted goes
        await converged(world.context, world.remote)


async def test_a_session_that_is_followed_is_fresh_whatever_the_clock_says(
    world: DoubleWorld,
) -> None:
    made = world.session("Running")
    world.double.add_message(made, "one")
    async with followed(world.context):
        world.double.beat()
        await converged(world.context, world.remote)
        asked = world.asked
        world.later(10)  # more than anything stays fresh by itself
        answer = await sessions.get(world.context, made)
        listed = await sessions.list(world.context)
        happened = await events.list(world.context)
        task = await tasks.list(world.context)
        for each in (answer, listed, happened, task):
            assert (each.source, each.complete) == ("local", True)
            assert each.age_ms is not None
            assert each.age_ms <= 10_000
        assert world.line.requests[asked:] == []
        world.later(10)  # and nothing was heard meanwhile
        assert (await sessions.get(world.context, made)).source != "local"


async def test_every_change_that_names_a_session_is_an_event_here(world: DoubleWorld) -> None:
    made = world.session("Eventful")
    async with followed(world.context) as following:
        world.double.tell_once("session.status", sessionID=made, status={"type": "busy"})
        world.double.tell_once("todo.updated", sessionID=made, todos=[])
        world.double.tell_once("moon.risen", sessionID=made, phase="full")
        world.double.tell_once("message.part.delta", sessionID=made, delta="a")
        world.double.tell_once("file.edited", file="/x")
        world.double.add_message(made, "one")
        await converged(world.context, world.remote)
        async with asyncio.timeout(20):
            types: list[str] = []
            while len(types) < 7:
                listed = await events.list(world.context, session_id=made, k=100)
                types = sorted(each["type"] for each in listed.value.events)
        assert types == [
            "message.part.updated",
            "message.updated",
            "moon.risen",
            "session.created",
            "session.status",
            "session.updated",
            "todo.updated",
        ]
        assert following.unknown == {"moon.risen": 1}


async def test_one_follows_and_the_others_take_over(
    world: DoubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping_up, "HELD", 0.02)
    async with world.reopened() as other:
        states = asyncio.Queue[str]()
        async with asyncio.timeout(20):
            async with followed(world.context) as first:
                assert first.state == "following"
                waits = asyncio.ensure_future(
                    other.sync.follow(progress=lambda now: states.put_nowait(now.state))
                )
                assert [await states.get(), await states.get()] == ["waiting"] * 2
                assert world.double.followers == 1
            while await states.get() != "following":
                pass
        assert world.double.followers == 1
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert world.double.followers == 0


async def test_after_the_stream_has_ended_nothing_is_missed(
    world: DoubleWorld, ticks: Ticks
) -> None:
    made = world.session("Long")
    world.double.add_message(made, "before")
    async with followed(world.context) as following:
        for number in range(3):
            world.double.hang_up()
            said = world.double.add_message(made, f"while nobody listened {number}")
            world.double.write_part(made, said, "and more")
            world.double.rename(made, f"Name {number}")
            ticks.later()
            await converged(world.context, world.remote)
        assert following.caught_up >= 3


async def test_a_remote_that_was_replaced_is_seen_and_nothing_counts_as_deleted(
    make_world: MakeWorld,
) -> None:
    for policy in ("keep", "drop"):
        async with make_world(on_remote_delete=policy, agent_name=policy) as world:
            old = [world.session(f"Old {number}") for number in range(3)]
            for each in old:
                world.double.add_message(each, "what was said")
            await world.context.sync.backfill()
            for each in old:
                world.double.delete_session(each)
            new = world.session("A new one")
            world.double.add_message(new, "something else")
            world.later(3_600)
            synced = await world.context.sync.backfill()
            assert synced.notes == [
                "opencode is another one than before: of 3 sessions that it had none is there. "
                "They are kept"
            ]
            for each in (*old, new):
                answer = await sessions.get(world.context, each)
                assert len(answer.value.messages) == 1
            assert (await world.context.sync.backfill()).notes == []


async def test_a_session_that_is_another_one_under_the_same_id_is_not_mixed_with_it(
    world: DoubleWorld,
) -> None:
    others = [world.session("One of many") for _ in range(3)]
    mine = world.session("The first of its name")
    said = world.double.add_message(mine, "what was said in the first")
    async with followed(world.context) as following:
        await converged(world.context, world.remote)
        before = await sessions.get(world.context, mine)
    world.double.begin_anew(mine, "The second of its name")
    world.double.add_message(mine, "what is said in the second")
    world.later(3_600)
    async with followed(world.context) as following:
        assert list(following.failing) == [mine]
        assert "another session" in following.failing[mine]
        world.double.add_message(others[0], "and here")
        world.double.add_message(mine, "and there")
        world.double.tell_once("session.idle", sessionID=mine)
        await converged(world.context, world.remote, but=mine)
        kept = await sessions.get(world.context, mine)
        assert kept.value.session.title == "The first of its name"
        assert kept.value.messages == before.value.messages
        assert [each["info"]["id"] for each in kept.value.messages] == [said]
        assert not kept.complete or kept.degraded
        told = await world.refused()
        assert [each.what for each in told] == [f"session {mine}"]


async def test_sequence_numbers_that_start_again_are_seen(world: DoubleWorld) -> None:
    """The same session, without its past: imported where the database was lost."""
    other, made = world.session("Other"), world.session("Imported")
    for number in range(5):
        world.double.add_message(made, f"message {number}")
    await world.context.sync.backfill()
    world.double.forget_events(made)
    await world.context.sync.backfill()
    world.double.add_message(made, "after the import")
    world.double.add_message(other, "beside it")
    world.later(60)
    async with followed(world.context):
        await converged(world.context, world.remote)


async def test_an_event_that_is_lost_is_missed_by_its_number(
    world: DoubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping_up, "LOOKED", 3_600.0)
    made = world.session("Lossy")
    (tell,) = world.double.listeners
    async with followed(world.context) as following:
        world.double.beat()
        async with asyncio.timeout(30):
            while following.caught_up < 2:  # noqa: ASYNC110 - once more, now that it listens
                await asyncio.sleep(0.01)
        world.double.listeners.clear()
        lost = world.double.add_message(made, "this is lost")
        world.double.listeners.append(tell)
        assert lost not in (await here(world.context))[made][1]
        world.double.add_message(made, "and this shows it")
        await converged(world.context, world.remote)
