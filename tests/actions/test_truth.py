"""What isn't so is not said: news that came meanwhile, other places, half answers."""

import asyncio
from typing import Any

import httpx
import pytest

from actions import events, messages, open_actions, sessions, tasks
from actions.questions.events import OneEventOf
from dualstore.errors import DualStoreError, UnavailableError
from dualstore.mirror import news_reading
from dualstore.mirror.coverage import Coverage, ListMarks
from dualstore.mirror.keys import message_key, task_key
from dualstore.remote.opencode import OpenCodeRemote
from tests.actions.conftest import MakeWorld
from tests.actions.world import ABSENT, FINISHED, LISTS, PASSWORD, STALE, DoubleWorld
from tests.support.opencode_double import OpenCodeDouble
from tests.support.opencode_faults import answers, not_found

OLD = FINISHED + STALE + 10
BROKEN = answers(500, {"name": "UnknownError", "data": {"message": "corrupt"}})


def talk(world: DoubleWorld, *said: str, **given: Any) -> str:
    session_id = world.session(**given)
    for each in said:
        world.double.add_message(session_id, each)
    return session_id


def texts(found: list[dict[str, Any]]) -> list[str]:
    return [part["text"] for each in found for part in each["parts"]]


async def test_messages_are_old_once_their_session_has_news(make_world: MakeWorld) -> None:
    """However long they would have stayed fresh."""
    async with make_world(fresh_finished=86_400.0) as world:
        session_id = talk(world, "one", ago=7_200)
        world.later(3_600)
        await sessions.get(world.context, session_id)
        world.double.now = world.clock.now
        world.double.add_message(session_id, "two")
        world.later(3_600)
        listed = await sessions.list(world.context)
        assert "not all messages of 1" in listed.degraded[0]
        assert not (await messages.search(world.context, "two")).complete
        assert not (await messages.search(world.context, "two", session_id=session_id)).complete
        newest = await messages.list(world.context, session_id)
        assert (newest.source, texts(newest.value.messages)) == ("remote", ["one", "two"])
        whole = await sessions.get(world.context, session_id)
        assert (whole.source, texts(whole.value.messages)) == ("local", ["one", "two"])
        world.line.cut()
        assert whole.complete


async def test_a_session_with_news_and_a_remote_that_is_away(world: DoubleWorld) -> None:
    session_id = talk(world, "one")
    await sessions.get(world.context, session_id)
    world.double.now = world.clock.now + 1000
    world.double.add_message(session_id, "two")
    world.later(LISTS + STALE)
    await sessions.list(world.context)
    world.line.cut()
    answer = await sessions.get(world.context, session_id)
    assert (answer.source, answer.complete, texts(answer.value.messages)) == (
        "stale",
        False,
        ["one"],
    )


async def test_another_place_drops_nothing_that_it_never_told(dropping: DoubleWorld) -> None:
    world = dropping
    session_id = talk(world, "precious", "memory")
    await sessions.get(world.context, session_id)
    other = OpenCodeDouble(password=PASSWORD)
    async with (
        OpenCodeRemote(
            "http://other.test", user=other.user, password=PASSWORD, transport=other
        ) as remote,
        open_actions(world.settings, backends=world.backends, remote=remote) as context,
    ):
        answer = await sessions.get(context, session_id)
        assert texts(answer.value.messages) == ["precious", "memory"]
        assert "gone upstream" in answer.degraded[0]
    assert await world.context.families.messages.count() == 2


async def test_who_has_the_session_and_not_its_messages_has_them_dropped_by_nobody(
    dropping: DoubleWorld,
) -> None:
    world = dropping
    session_id = talk(world, "one", "two")
    await sessions.get(world.context, session_id)
    world.line.cut_where("/message", not_found())
    world.later(OLD)
    answer = await messages.list(world.context, session_id)
    assert texts(answer.value.messages) == ["one", "two"]
    assert (await sessions.get(world.context, session_id)).source == "stale"
    world.line.mend()
    world.later(ABSENT + 1)
    assert texts((await sessions.get(world.context, session_id)).value.messages) == ["one", "two"]


async def test_a_mark_that_came_later_says_nothing_of_an_older_list(
    world: DoubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk(world, "one")
    async with world.reopened() as other:
        lists, met = Coverage.lists, list[Coverage]()

        async def late(self: Coverage) -> ListMarks:
            if self is world.context.upstream.coverage and not met:  # type: ignore[union-attr]
                met.append(self)
                await sessions.list(other)
            return await lists(self)

        monkeypatch.setattr(Coverage, "lists", late)
        answer = await sessions.list(world.context)
    assert (answer.value.total_count, answer.complete) == (1, True)


async def test_an_event_that_somebody_else_took_in_meanwhile_is_found(
    world: DoubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk(world, "one")
    async with world.reopened() as other:
        event_id = (await world.remote.fetch_history({}))[0].id
        look, met = OneEventOf.look, list[OneEventOf]()

        async def late(self: OneEventOf) -> Any:
            found = await look(self)
            if not met:
                met.append(self)
                await events.list(other)
            return found

        monkeypatch.setattr(OneEventOf, "look", late)
        answer = await events.get(world.context, event_id)
    assert answer.value.event["id"] == event_id
    shown = answer.value.event["_id"]
    assert (await events.get(world.context, shown)).value.event["id"] == event_id


async def test_a_list_that_cant_be_kept_is_what_is_here(world: DoubleWorld) -> None:
    session_id = talk(world, "one", "two")
    await sessions.get(world.context, session_id)
    await sessions.list(world.context)
    own = {"session_id": "mine", "title": "my own"}
    await world.context.store.sessions.insert(
        {"id": "session:mine", "text": "my own", "metadata": own}
    )
    world.double.rename(session_id, "renamed")
    world.later(LISTS + STALE + 5)
    world.faults.outage("documents.put")
    answer = await sessions.list(world.context)
    counts = {each.id: each.message_count for each in answer.value.sessions}
    assert counts == {session_id: 2, "mine": 0}
    assert not answer.complete
    assert any("nothing can be kept" in each for each in answer.degraded)


async def test_a_task_that_only_events_told_grows_old(world: DoubleWorld) -> None:
    parent = world.session("parent")
    child = world.session("child", parent=parent)
    world.double.add_message(child, "do it")
    await events.list(world.context)
    world.later(OLD)
    asked = world.asked
    assert (await tasks.get(world.context, child)).source == "remote"
    assert world.asked > asked
    world.double.delete_session(child)
    world.later(OLD)
    assert "gone upstream" in (await tasks.get(world.context, child)).degraded[0]


async def test_what_happened_before_a_task_began_doesnt_end_it(world: DoubleWorld) -> None:
    session_id = talk(world, "an hour ago", ago=3_600)
    world.double.add_message(
        session_id,
        "done",
        role="assistant",
        finish="stop",
        time={"created": world.clock.now - 3_000_000, "completed": world.clock.now - 2_999_000},
    )
    await sessions.get(world.context, session_id)
    await tasks.create(world.context, session_id, "Look into it")
    await events.list(world.context)
    entry = await world.context.families.tasks.get(task_key(session_id))
    assert entry is not None
    assert entry.body["status"] == "running"


async def test_many_tasks_ask_once_what_happened(world: DoubleWorld) -> None:
    parent = world.session("parent")
    children = [world.session(f"child {number}", parent=parent) for number in range(20)]
    await asyncio.gather(*(tasks.get(world.context, each) for each in children))
    assert world.line.requests.count("POST /sync/history") < 5


async def test_a_session_that_always_fails_ends_no_backfill(
    world: DoubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news_reading, "FIRST_PAUSE", 0.002)
    made = [talk(world, f"word {number}") for number in range(6)]
    world.line.cut_where(f"{made[2]}/message", BROKEN)
    monkeypatch.setattr("dualstore.mirror.guarding._ticks", _hurrying())
    synced = await world.context.sync.backfill()
    assert (synced.done, list(synced.failed)) == (6, [made[2]])
    assert await world.context.families.messages.count() == 5
    assert await world.context.families.events.count() > 0


def _hurrying() -> Any:
    """A clock by which the remote is never spared for long."""
    now = 0

    def ticks() -> int:
        nonlocal now
        now += 60_000
        return now

    return ticks


async def test_what_was_deleted_here_makes_nobody_ask_for_ever(world: DoubleWorld) -> None:
    session_id = talk(world, *(f"m{number}" for number in range(60)))
    first = await messages.list(world.context, session_id, limit=20)
    one = first.value.messages[5]["info"]["id"]
    await world.context.families.messages.delete(message_key(session_id, one))
    await messages.list(world.context, session_id, limit=20)
    asked = world.asked
    again = await messages.list(world.context, session_id, limit=20)
    assert (again.source, again.complete, len(again.value.messages)) == ("local", True, 20)
    assert world.asked == asked


async def test_a_session_with_many_hits_hides_no_other(world: DoubleWorld) -> None:
    loud = talk(world, *(f"the pump is broken, number {n}" for n in range(70)), title="Loud")
    quiet = talk(world, "somewhere far below there was an old pump", title="Quiet")
    await world.context.sync.backfill()
    answer = await sessions.search(world.context, "pump", mode="text")
    assert [each.id for each in answer.value.results] == [loud, quiet]


async def test_a_list_with_more_behind_it_is_not_all(world: DoubleWorld) -> None:
    talk(world, "one")

    async def cut_short(request: httpx.Request) -> httpx.Response:
        answer = await world.double.handle_async_request(request)
        answer.headers["x-next-cursor"] = "1"
        return answer

    world.line.fault_of = lambda request: (
        cut_short if request.url.path == "/experimental/session" else None
    )
    answer = await sessions.list(world.context)
    assert (answer.value.total_count, answer.complete) == (1, False)


async def test_nobody_asks_for_messages_of_a_session_that_isnt_there(world: DoubleWorld) -> None:
    reads = [sessions.get(world.context, "ses_nobody") for _ in range(100)]
    found = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(each, DualStoreError) for each in found)
    assert not any(isinstance(each, UnavailableError) for each in found)
    assert world.line.requests == ["GET /session/ses_nobody"]
