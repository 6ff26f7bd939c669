"""The table of local-first reading, row by row."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from actions import Answer, Context, events, messages, open_actions, sessions, tasks
from actions.flights import Flights
from dualstore.errors import (
    ClosedError,
    NotFoundError,
    RemoteError,
    StorageError,
    UnavailableError,
)
from dualstore.mirror.keys import session_key
from dualstore.remote.base import Capabilities
from tests.actions.conftest import MakeWorld, Ticks
from tests.actions.world import (
    ABSENT,
    FINISHED,
    LISTS,
    RUNNING,
    STALE,
    DoubleWorld,
    World,
)
from tests.support.opencode_faults import Fault, answers, refuses, resets, stalls

PROBLEMS: dict[str, Fault] = {
    "down": refuses,
    "slow": stalls,
    "reset": resets,
    "broken": answers(500, {"name": "UnknownError", "data": {"message": "oh"}}),
    "garbage": answers(200, b"<!doctype html>", kind="text/html"),
}
ABSENT_ID = "ses_thisisnowhere"


@pytest.fixture(params=PROBLEMS)
def problem(request: pytest.FixtureRequest) -> Fault:
    """What a remote in trouble does."""
    return PROBLEMS[request.param]


def texts(found: list[dict[str, Any]]) -> list[str]:
    """What messages say."""
    return [part["text"] for each in found for part in each["parts"]]


async def talk(world: World, *said: str) -> str:
    """A session at the server."""
    session_id = await world.write.create("Talk")
    for each in said:
        await world.write.say(session_id, each)
    return session_id


# A thing


async def test_missing_and_the_remote_answers(everywhere: World) -> None:
    """The next read is local, and asks nobody."""
    world = everywhere
    session_id = await talk(world, "hello", "world")
    first = await sessions.get(world.context, session_id)
    assert (first.source, first.complete, first.degraded, first.errors) == ("remote", True, (), ())
    assert texts(first.value.messages) == ["hello", "world"]
    asked = world.asked
    second = await sessions.get(world.context, session_id)
    assert (second.source, second.complete) == ("local", True)
    assert second.value == first.value
    assert world.asked == asked
    assert world.rows == {"misses": 1, "hits": 1}


async def test_a_message_that_is_missing_is_kept(world: DoubleWorld) -> None:
    session_id = await world.write.create("Talk")
    message_id = await world.write.say(session_id, "hello")
    first = await messages.get(world.context, session_id, message_id)
    assert (first.source, texts([first.value.message])) == ("remote", ["hello"])
    asked = world.asked
    second = await messages.get(world.context, session_id, message_id)
    assert (second.source, second.value, world.asked) == ("local", first.value, asked)


async def test_fresh_is_local_until_its_time_is_over(world: DoubleWorld) -> None:
    session_id = world.session(ago=3600)
    await sessions.get(world.context, session_id)
    asked = world.asked
    world.later(FINISHED - 0.001)
    answer = await sessions.get(world.context, session_id)
    assert (answer.source, answer.age_ms) == ("local", FINISHED * 1000 - 1)
    assert world.asked == asked
    world.later(0.001)
    assert (await sessions.get(world.context, session_id)).source == "stale"


async def test_a_session_that_may_be_running_is_fresh_for_a_shorter_time(
    world: DoubleWorld,
) -> None:
    session_id = world.session()
    await sessions.get(world.context, session_id)
    world.later(RUNNING - 0.001)
    assert (await sessions.get(world.context, session_id)).source == "local"
    world.later(0.001)
    assert (await sessions.get(world.context, session_id)).source == "stale"


async def test_stale_is_answered_and_refreshed_behind(everywhere: World) -> None:
    world = everywhere
    session_id = await talk(world, "old")
    await sessions.get(world.context, session_id)
    await world.write.say(session_id, "new")
    world.later(RUNNING)
    asked = world.asked
    stale = await sessions.get(world.context, session_id)
    assert (stale.source, stale.complete, texts(stale.value.messages)) == ("stale", True, ["old"])
    assert world.asked == asked
    await world.landed()
    assert world.asked > asked
    asked = world.asked
    fresh = await sessions.get(world.context, session_id)
    assert (fresh.source, texts(fresh.value.messages)) == ("local", ["old", "new"])
    assert world.asked == asked
    assert world.rows == {"misses": 1, "stale": 1, "hits": 1}


async def test_a_stale_message_is_refreshed_behind(world: DoubleWorld) -> None:
    session_id = world.session()
    message_id = world.double.add_message(session_id, "", role="assistant")
    (part_id,) = world.double.parts[session_id][message_id]
    await messages.get(world.context, session_id, message_id)
    world.double.write_part(session_id, message_id, "done", part_id=part_id)
    world.later(RUNNING)
    stale = await messages.get(world.context, session_id, message_id)
    assert (stale.source, texts([stale.value.message])) == ("stale", [""])
    await world.landed()
    fresh = await messages.get(world.context, session_id, message_id)
    assert (fresh.source, texts([fresh.value.message])) == ("local", ["done"])


async def test_a_refresh_that_fails_changes_nothing(world: DoubleWorld, problem: Fault) -> None:
    session_id = await talk(world, "old")
    first = await sessions.get(world.context, session_id)
    world.later(RUNNING)
    world.line.cut(problem)
    stale = await sessions.get(world.context, session_id)
    await world.landed()
    again = await sessions.get(world.context, session_id)
    assert (stale.source, again.source) == ("stale", "stale")
    assert (
        stale.value
        == again.value
        == first.value.model_copy(update={"session": stale.value.session})
    )


async def test_expired_and_the_remote_answers(everywhere: World) -> None:
    """The next read is local, and asks nobody."""
    world = everywhere
    session_id = await talk(world, "old")
    await sessions.get(world.context, session_id)
    await world.write.say(session_id, "new")
    world.later(RUNNING + STALE)
    told = await sessions.get(world.context, session_id)
    assert (told.source, texts(told.value.messages)) == ("remote", ["old", "new"])
    asked = world.asked
    again = await sessions.get(world.context, session_id)
    assert (again.source, again.value, world.asked) == ("local", told.value, asked)


async def test_expired_and_the_remote_has_trouble(world: DoubleWorld, problem: Fault) -> None:
    session_id = await talk(world, "old")
    (message_id,) = world.double.infos[session_id]
    await sessions.get(world.context, session_id)
    world.later(FINISHED + STALE)
    world.line.cut(problem)
    for read in (
        lambda: sessions.get(world.context, session_id),
        lambda: messages.list(world.context, session_id),
        lambda: messages.get(world.context, session_id, message_id),
    ):
        answer: Answer[Any] = await read()
        assert (answer.source, answer.complete) == ("stale", False)
        assert answer.age_ms == (FINISHED + STALE) * 1000
        assert any("the remote can't be asked" in each for each in answer.degraded)
        assert isinstance(answer.errors[0], UnavailableError | RemoteError)
        assert b"old" in repr(answer.value).encode()
    assert world.rows["fallbacks"] == 3


async def test_expired_and_the_real_remote_is_down(everywhere: World) -> None:
    world = everywhere
    session_id = await talk(world, "old")
    await sessions.get(world.context, session_id)
    world.later(RUNNING + STALE)
    world.line.cut()
    stale = await sessions.get(world.context, session_id)
    assert (stale.source, texts(stale.value.messages)) == ("stale", ["old"])
    assert [type(each) for each in stale.errors] == [UnavailableError]


async def test_missing_and_the_remote_says_so(everywhere: World) -> None:
    """It is remembered for a while."""
    world = everywhere
    session_id = await world.write.create("Here")
    for read in (
        lambda: sessions.get(world.context, ABSENT_ID),
        lambda: messages.list(world.context, ABSENT_ID),
        lambda: messages.get(world.context, ABSENT_ID, "msg_nowhere"),
        lambda: messages.get(world.context, session_id, "msg_nowhere"),
        lambda: tasks.get(world.context, ABSENT_ID),
        lambda: events.get(world.context, "evt_nowhere"),
    ):
        with pytest.raises(NotFoundError):
            await read()
        asked = world.asked
        world.later(ABSENT - 0.001)
        with pytest.raises(NotFoundError):
            await read()
        assert world.asked == asked
        world.later(0.001)
        with pytest.raises(NotFoundError):
            await read()
        assert world.asked > asked
    assert world.rows == {"absent": 12, "negative": 6}


async def test_what_was_absent_is_found_when_that_is_forgotten(world: DoubleWorld) -> None:
    session_id = world.session()
    thing = world.double.sessions.pop(session_id)
    with pytest.raises(NotFoundError):
        await sessions.get(world.context, session_id)
    world.double.sessions[session_id] = thing
    with pytest.raises(NotFoundError):
        await sessions.get(world.context, session_id)
    world.later(ABSENT)
    assert (await sessions.get(world.context, session_id)).source == "remote"
    world.double.delete_session(session_id)
    world.later(FINISHED)
    assert (await sessions.get(world.context, session_id)).value.session.id == session_id


async def test_missing_and_the_remote_has_trouble(world: DoubleWorld, problem: Fault) -> None:
    """Never "not found", and both causes are told."""
    session_id = world.session()
    world.line.cut(problem)
    for read in (
        lambda: sessions.get(world.context, session_id),
        lambda: messages.list(world.context, session_id),
        lambda: messages.get(world.context, session_id, "msg_1"),
        lambda: tasks.get(world.context, session_id),
        lambda: events.get(world.context, "evt_1"),
    ):
        with pytest.raises(UnavailableError) as caught:
            await read()
        here, there = caught.value.causes
        assert isinstance(here, NotFoundError)
        assert isinstance(there, UnavailableError | RemoteError)
        assert not isinstance(there, NotFoundError)
    assert world.rows == {"failed": 5}


# Lists


@pytest.mark.parametrize("kind", ["messages", "events", "tasks", "sessions"])
async def test_a_list_that_is_covered_is_complete_even_when_it_is_empty(
    world: DoubleWorld, kind: str
) -> None:
    context, session_id = world.context, world.session() if kind != "sessions" else ""
    reads: dict[str, Callable[[], Awaitable[Answer[Any]]]] = {
        "messages": lambda: messages.list(context, session_id),
        "events": lambda: events.list(context, event_type="nothing.like.it"),
        "tasks": lambda: tasks.list(context),
        "sessions": lambda: sessions.list(context),
    }
    told = await reads[kind]()
    assert (told.source, told.complete) == ("remote", True)
    asked = world.asked
    again = await reads[kind]()
    assert (again.source, again.complete, again.value) == ("local", True, told.value)
    assert world.asked == asked


async def test_a_search_in_what_is_covered_is_complete(anywhere: DoubleWorld) -> None:
    world = anywhere
    session_id = await talk(world, "the parser chokes on commas")
    assert not (await messages.search(world.context, "parser", session_id=session_id)).complete
    await sessions.list(world.context)
    await sessions.get(world.context, session_id)
    asked = world.asked
    for answer in (
        await messages.search(world.context, "parser"),
        await messages.search(world.context, "parser", session_id=session_id),
        await messages.search(world.context, "nowhere"),
    ):
        assert (answer.source, answer.complete) == ("local", True)
    found = await sessions.search(world.context, "commas")
    assert (found.complete, [each.id for each in found.value.results]) == (True, [session_id])
    assert world.asked == asked


async def test_a_search_in_what_is_not_covered_says_so_and_why(world: DoubleWorld) -> None:
    first, _ = await talk(world, "the parser"), await talk(world, "another parser")
    await sessions.get(world.context, first)
    for answer in (
        await messages.search(world.context, "parser"),
        await sessions.search(world.context, "parser"),
        await events.search(world.context, "parser"),
    ):
        assert (answer.source, answer.complete) == ("local", False)
        assert "the remote can't search" in answer.degraded[-1]
    await sessions.list(world.context)  # names the other one, too, but doesn't tell what was said
    assert not (await messages.search(world.context, "parser")).complete


async def test_a_list_that_is_not_covered_comes_from_the_remote(everywhere: World) -> None:
    """The next read is local, and asks nobody."""
    world = everywhere
    made = [await talk(world, "one"), await talk(world, "two")]
    told = await sessions.list(world.context, limit=1000)
    assert (told.source, told.complete) == ("remote", True)
    assert set(made) <= {each.id for each in told.value.sessions}
    asked = world.asked
    again = await sessions.list(world.context, limit=1000)
    assert (again.source, again.complete, again.value) == ("local", True, told.value)
    assert world.asked == asked


async def test_what_is_here_only_is_in_the_list_of_the_remote(world: DoubleWorld) -> None:
    there = world.session()
    own = {"id": session_key("mine"), "text": "Mine", "metadata": {"session_id": "mine"}}
    await world.context.store.sessions.insert(own)
    told = await sessions.list(world.context)
    assert (told.source, told.complete) == ("remote", True)
    assert {each.id for each in told.value.sessions} == {there, "mine"}
    assert [each.gone_upstream for each in told.value.sessions] == [None, None]


async def test_a_page_of_messages_is_complete_only_as_far_as_it_was_read(
    everywhere: World,
) -> None:
    world = everywhere
    session_id = await talk(world, "one", "two", "three", "four")
    told = await messages.list(world.context, session_id, limit=2)
    assert (texts(told.value.messages), told.complete) == (["three", "four"], True)
    asked = world.asked
    assert (await messages.list(world.context, session_id, limit=2)).source == "local"
    assert world.asked == asked
    more = await messages.list(world.context, session_id, limit=3)
    assert (more.source, texts(more.value.messages)) == ("remote", ["two", "three", "four"])
    asked = world.asked
    assert (await messages.list(world.context, session_id, limit=3)).source == "local"
    assert world.asked == asked
    world.line.cut()
    whole = await messages.list(world.context, session_id)
    assert (texts(whole.value.messages), whole.complete) == (["two", "three", "four"], False)


async def test_a_list_that_is_not_covered_and_the_remote_has_trouble(
    world: DoubleWorld, problem: Fault
) -> None:
    session_id = await talk(world, "hello")
    await messages.get(world.context, session_id, next(iter(world.double.infos[session_id])))
    world.line.cut(problem)
    listed = await sessions.list(world.context)
    talked = await messages.list(world.context, session_id)
    happened = await events.list(world.context)
    for answer in (listed, talked, happened, await tasks.list(world.context)):
        assert (answer.source, answer.complete) == ("local", False)
        assert any("the remote can't be asked" in each for each in answer.degraded)
        assert len(answer.errors) == 1
    assert listed.value.total_count == happened.value.total_count == 0
    assert texts(talked.value.messages) == ["hello"]


async def test_a_covered_list_that_is_too_old_and_the_remote_has_trouble(
    world: DoubleWorld, problem: Fault
) -> None:
    await talk(world, "hello")
    for read in (sessions.list, events.list, tasks.list):
        await read(world.context)
    world.later(LISTS + STALE)
    world.line.cut(problem)
    for read in (sessions.list, events.list, tasks.list):
        answer: Answer[Any] = await read(world.context)
        assert (answer.source, answer.complete, len(answer.errors)) == ("stale", False, 1)
        assert answer.age_ms == (LISTS + STALE) * 1000


# The stores


async def test_the_store_is_down_and_the_remote_answers(everywhere: World) -> None:
    """Nothing is written, and nothing lost."""
    world = everywhere
    session_id = await talk(world, "hello", "world")
    page = await messages.list(world.context, session_id, limit=1)
    (message,) = page.value.messages
    message_id, revisions = message["info"]["id"], await _revisions(world)
    await events.list(world.context)
    world.faults.outage("documents.*")
    world.faults.outage("records.*")
    got = await sessions.get(world.context, session_id)
    listed = await messages.list(world.context, session_id)
    one = await messages.get(world.context, session_id, message_id)
    every = await sessions.list(world.context, limit=1000)
    happened = await events.list(world.context, session_id=session_id)
    event_id = happened.value.events[0]["id"]
    event = await events.get(world.context, event_id)
    for answer in (got, listed, one, every, happened, event, await tasks.list(world.context)):
        assert answer.source == "remote"
        assert any("the store can't be read" in each for each in answer.degraded)
        assert isinstance(answer.errors[0], UnavailableError)
    assert texts(got.value.messages) == texts(listed.value.messages) == ["hello", "world"]
    assert texts([one.value.message]) == ["world"]
    assert session_id in {each.id for each in every.value.sessions}
    assert event.value.event["type"] == happened.value.events[0]["type"]
    assert not happened.complete
    assert world.rows["remote_only"] == 7
    world.faults.heal()
    assert await _revisions(world) == revisions
    again = await sessions.get(world.context, session_id)
    assert (texts(again.value.messages), again.complete) == (["hello", "world"], True)


async def _revisions(world: World) -> dict[str, int]:
    families = world.context.families
    return {
        entry.id: entry.revision
        for manager in (families.sessions, families.messages)
        for entry in (await manager.page(limit=1000)).entries
    }


@pytest.mark.parametrize("call", ["documents.put", "documents.scan"])
async def test_nothing_can_be_written_and_the_remote_answers(world: DoubleWorld, call: str) -> None:
    session_id = await talk(world, "hello")
    world.faults.outage(call, error=lambda said: StorageError(f"{said}: no space"))
    got = await sessions.get(world.context, session_id)
    listed = await messages.list(world.context, session_id)
    assert texts(got.value.messages) == texts(listed.value.messages) == ["hello"]
    for answer in (got, listed, await sessions.list(world.context)):
        assert answer.source == "remote"
        assert any("nothing can be kept" in each for each in answer.degraded)
    world.faults.heal()
    again = await sessions.get(world.context, session_id)
    assert (again.source, again.degraded) == ("remote", ())
    assert texts(again.value.messages) == ["hello"]


async def test_the_store_and_the_remote_are_down(world: DoubleWorld, problem: Fault) -> None:
    session_id = await talk(world, "hello")
    await sessions.get(world.context, session_id)
    world.faults.outage("documents.*")
    world.line.cut(problem)
    for read in (
        lambda: sessions.get(world.context, session_id),
        lambda: sessions.list(world.context),
        lambda: messages.list(world.context, session_id),
        lambda: messages.get(world.context, session_id, "msg_1"),
        lambda: events.list(world.context),
        lambda: events.get(world.context, "evt_1"),
        lambda: tasks.list(world.context),
        lambda: tasks.get(world.context, session_id),
    ):
        with pytest.raises(UnavailableError) as caught:
            await read()
        store, remote = caught.value.causes
        assert "injected" in str(store)
        assert isinstance(remote, UnavailableError | RemoteError)
        assert "injected" not in str(remote)


async def test_the_store_is_down_and_the_remote_has_no_such_thing(world: DoubleWorld) -> None:
    """It may be here all the same, so nobody says that it isn't."""
    world.faults.outage("documents.*")
    for _ in range(2):
        with pytest.raises(UnavailableError) as caught:
            await sessions.get(world.context, ABSENT_ID)
        store, remote = caught.value.causes
        assert "injected" in str(store)
        assert isinstance(remote, NotFoundError)
    world.faults.heal()
    with pytest.raises(NotFoundError):
        await sessions.get(world.context, ABSENT_ID)


# Deleted at the remote


async def test_what_is_deleted_at_the_remote_is_kept(everywhere: World) -> None:
    world = everywhere
    session_id = await talk(world, "hello")
    await sessions.get(world.context, session_id)
    await world.write.delete(session_id)
    world.later(RUNNING + STALE)
    gone = await sessions.get(world.context, session_id)
    assert (gone.source, gone.complete, gone.value.session.gone_upstream) == ("local", True, True)
    assert texts(gone.value.messages) == ["hello"]
    assert any("gone upstream" in each for each in gone.degraded)
    asked = world.asked
    listed = await messages.list(world.context, session_id)
    assert texts(listed.value.messages) == ["hello"]
    assert any("gone upstream" in each for each in listed.degraded)
    assert (await sessions.get(world.context, session_id)).value == gone.value
    assert world.asked == asked
    await sessions.list(world.context, limit=1000)
    listing = await sessions.list(world.context, limit=1000)
    (info,) = [each for each in listing.value.sessions if each.id == session_id]
    assert info.gone_upstream


async def test_a_message_that_is_deleted_at_the_remote_is_kept(everywhere: World) -> None:
    world = everywhere
    session_id = await world.write.create("Talk")
    message_id = await world.write.say(session_id, "hello")
    await messages.get(world.context, session_id, message_id)
    await world.write.remove(session_id, message_id)
    world.later(FINISHED + STALE)
    gone = await messages.get(world.context, session_id, message_id)
    assert (gone.source, texts([gone.value.message])) == ("local", ["hello"])
    assert any("gone upstream" in each for each in gone.degraded)
    asked = world.asked
    await messages.get(world.context, session_id, message_id)
    assert world.asked == asked


async def test_a_list_says_which_of_its_messages_are_gone_at_the_remote(
    everywhere: World,
) -> None:
    world = everywhere
    session_id = await world.write.create("Talk")
    made = [await world.write.say(session_id, each) for each in ("one", "two", "three", "four")]
    await sessions.get(world.context, session_id)
    for limit, gone in ((3, made[1]), (50, made[0])):
        await world.write.remove(session_id, gone)
        world.later(FINISHED + STALE)
        told = await messages.list(world.context, session_id, limit)
        kept = await messages.list(world.context, session_id, limit)
        for answer in (told, kept):
            assert gone in (answer.value.gone_upstream or [])
            assert any("gone upstream" in note for note in answer.degraded)
        assert kept.source == "local"
    assert texts(kept.value.messages) == ["one", "two", "three", "four"]
    assert kept.to_json()["goneUpstream"] == made[:2]
    whole = await sessions.get(world.context, session_id)
    assert whole.value.gone_upstream == made[:2]
    for number, each in enumerate(made):
        got = await messages.get(world.context, session_id, each)
        assert got.value.gone_upstream == (True if number < 2 else None)
        assert bool(got.degraded) is (number < 2)
    again = await messages.list(world.context, session_id)
    assert again.value.gone_upstream == made[:2]
    assert "goneUpstream" not in (await messages.list(world.context, session_id, 1)).to_json()


async def test_a_message_that_a_list_leaves_out_and_the_remote_has_is_not_gone(
    world: DoubleWorld,
) -> None:
    session_id = await talk(world, "one", "two", "three")
    got = await sessions.get(world.context, session_id)
    second = got.value.messages[1]["info"]["id"]
    whole = world.double.messages(session_id)

    async def left_out(_: Any) -> Any:
        return httpx.Response(200, json=[whole[0], whole[2]])

    world.line.cut_where(f"{session_id}/message", left_out)
    world.later(FINISHED + STALE)
    assert (await messages.list(world.context, session_id)).value.gone_upstream == [second]
    world.line.mend()
    one = await messages.get(world.context, session_id, second)
    assert (one.source, one.value.gone_upstream, one.degraded) == ("remote", None, ())
    assert (await messages.list(world.context, session_id)).value.gone_upstream is None
    world.line.cut_where(f"{session_id}/message", left_out)
    world.later(FINISHED + STALE)
    assert (await messages.list(world.context, session_id)).value.gone_upstream == [second]
    world.line.mend()
    world.later(FINISHED + STALE)
    assert (await messages.list(world.context, session_id)).value.gone_upstream is None


async def test_what_comes_back_at_the_remote_is_not_gone_any_more(world: DoubleWorld) -> None:
    session_id = world.session()
    thing = world.double.sessions[session_id]
    await sessions.get(world.context, session_id)
    del world.double.sessions[session_id]
    world.later(FINISHED + STALE)
    assert (await sessions.get(world.context, session_id)).value.session.gone_upstream
    world.double.sessions[session_id] = thing
    world.later(FINISHED + STALE)
    back = await sessions.get(world.context, session_id)
    assert (back.source, back.value.session.gone_upstream, back.degraded) == ("remote", None, ())


async def test_what_is_deleted_at_the_remote_is_dropped(dropping: DoubleWorld) -> None:
    """With all that hangs on it; what the remote writes later doesn't bring it back."""
    world = dropping
    parent = world.session()
    child = world.session("Look it up", parent=parent)
    world.double.add_message(child, "hello")
    other = await talk(world, "stays")
    await tasks.list(world.context)
    await sessions.get(world.context, child)
    await sessions.get(world.context, other)
    event_id = (await events.list(world.context, session_id=child)).value.events[0]["id"]
    thing = world.double.sessions[child]
    infos, parts, told = world.double.infos[child], world.double.parts[child], world.double.events
    past = told[child]
    world.double.delete_session(child)
    world.later(FINISHED + STALE)
    with pytest.raises(NotFoundError):
        await sessions.get(world.context, child)
    families = world.context.families
    for manager in families:
        assert await manager.count({"metadata.session_id": child}) == 0
    for read in (
        lambda: messages.list(world.context, child),
        lambda: tasks.get(world.context, child),
        lambda: events.get(world.context, event_id),
    ):
        with pytest.raises(NotFoundError):
            await read()
    assert world.context.upstream is not None
    mark = await world.context.upstream.coverage.session(child)
    assert (mark.messages, mark.gone_at) == (None, world.clock.now)
    assert texts((await sessions.get(world.context, other)).value.messages) == ["stays"]
    world.double.sessions[child] = thing
    world.double.infos[child], world.double.parts[child], told[child] = infos, parts, past
    world.double.add_message(child, "once more")
    world.later(FINISHED + STALE)
    await sessions.list(world.context)
    await events.list(world.context)
    with pytest.raises(NotFoundError):
        await sessions.get(world.context, child)
    assert child not in {s.id for s in (await sessions.list(world.context)).value.sessions}


async def test_a_message_that_is_deleted_at_the_remote_is_dropped(dropping: DoubleWorld) -> None:
    world = dropping
    session_id = await talk(world, "one", "two", "three")
    got = await sessions.get(world.context, session_id)
    first, second, third = [each["info"]["id"] for each in got.value.messages]
    world.double.delete_message(session_id, second)
    world.later(FINISHED + STALE)
    left = await sessions.get(world.context, session_id)
    assert texts(left.value.messages) == ["one", "three"]
    world.double.delete_message(session_id, third)
    world.later(FINISHED + STALE)
    with pytest.raises(NotFoundError):
        await messages.get(world.context, session_id, third)
    assert texts([(await messages.get(world.context, session_id, first)).value.message]) == ["one"]
    world.later(FINISHED + STALE)
    asked = world.asked
    await sessions.get(world.context, session_id)
    assert world.asked - asked <= 3  # not once for everything that was ever deleted


# Without a remote


async def test_without_a_remote_what_is_here_is_all_there_is(world: DoubleWorld) -> None:
    session_id = await talk(world, "hello")
    await sessions.get(world.context, session_id)
    async with open_actions(world.settings, backends=world.backends) as alone:
        asked = world.asked
        world.later(10 * FINISHED)
        got = await sessions.get(alone, session_id)
        assert (got.source, got.complete, got.degraded) == ("local", True, ())
        assert (await sessions.list(alone)).complete
        assert (await messages.search(alone, "hello")).complete
        with pytest.raises(NotFoundError, match="no remote"):
            await sessions.get(alone, ABSENT_ID)
        world.faults.outage("documents.*")
        with pytest.raises(UnavailableError, match="injected"):
            await sessions.get(alone, session_id)
        assert world.asked == asked


async def test_a_remote_without_a_history_is_not_asked_for_events(
    world: DoubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(world.remote), "capabilities", Capabilities())
    child = world.session("Look", parent=world.session(), ago=3600)
    async with world.reopened() as context:
        listed = await events.list(context)
        assert (listed.source, listed.complete, listed.value.events) == ("local", False, [])
        assert "doesn't tell what happened" in listed.degraded[0]
        with pytest.raises(NotFoundError):
            await events.get(context, "evt_1")
        assert not (await events.search(context, "look")).complete
        assert world.asked == 0
        assert (await tasks.get(context, child)).value.task.task == "Look"
        told = await tasks.list(context)
        assert [each.session_id for each in told.value.tasks] == [child]
        asked = world.asked
        assert (await tasks.list(context)).source == (await tasks.get(context, child)).source
        assert (await tasks.list(context)).source == "local"
        assert world.asked == asked


# Single flight


async def test_a_thousand_who_ask_for_one_missing_session_ask_once(everywhere: World) -> None:
    world = everywhere
    session_id = await talk(world, "hello")
    asked = world.asked
    told = await asyncio.gather(*(sessions.get(world.context, session_id) for _ in range(1_000)))
    assert all(each.value == told[0].value for each in told)
    requests = sorted(world.line.requests[asked:])
    assert requests == [f"GET /session/{session_id}", f"GET /session/{session_id}/message"]
    assert world.rows["coalesced"]
    assert world.rows["misses"] + world.rows.get("hits", 0) == 1_000


async def test_who_is_cancelled_takes_it_from_nobody(
    world: DoubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await talk(world, "hello")
    gate = asyncio.Event()
    world.line.hold(gate)
    joined, join = asyncio.Semaphore(0), Flights.join

    async def counted(*given: Any) -> Any:
        joined.release()
        return await join(*given)

    monkeypatch.setattr(Flights, "join", counted)
    waiting = [asyncio.ensure_future(sessions.get(world.context, session_id)) for _ in range(3)]
    for _ in waiting:
        await joined.acquire()
    await world.line.reached(1)
    waiting[0].cancel()  # who began it
    waiting[2].cancel()
    await asyncio.wait({waiting[0], waiting[2]})
    gate.set()
    assert texts((await waiting[1]).value.messages) == ["hello"]
    assert waiting[0].cancelled()
    assert waiting[2].cancelled()
    assert world.asked == 2


async def test_closing_ends_what_is_under_way(make_world: MakeWorld) -> None:
    async with make_world() as world:
        session_id = await talk(world, "hello")
        world.line.cut(stalls)
        async with world.reopened() as context:
            waiting = asyncio.ensure_future(sessions.get(context, session_id))
            await world.line.reached(1)
            before = asyncio.all_tasks()
        with pytest.raises(ClosedError):
            await waiting
        left = [each for each in before & asyncio.all_tasks() if each is not asyncio.current_task()]
        assert left == []
        with pytest.raises(ClosedError):
            await sessions.get(context, session_id)


async def test_an_answer_that_half_fails_leaves_nobody_behind(world: DoubleWorld) -> None:
    """Of the two things that are asked for at once the other ends as well."""
    session_id = await talk(world, "hello")
    world.line.cut_where("/message", refuses)
    gate = asyncio.Event()
    world.line.hold(gate)
    before = asyncio.all_tasks()
    waiting = asyncio.ensure_future(sessions.get(world.context, session_id))
    await world.line.reached(1)
    gate.set()
    with pytest.raises(UnavailableError):
        await waiting
    await world.landed()
    assert asyncio.all_tasks() - before == set()


# The circuit breaker


async def _fails(context: Context, session_id: str) -> str:
    with pytest.raises(UnavailableError) as caught:
        await sessions.get(context, session_id)
    return str(caught.value)


async def test_a_dead_remote_is_spared(world: DoubleWorld, ticks: Ticks) -> None:
    session_id = await talk(world, "hello")
    world.line.cut()
    await _fails(world.context, session_id)
    asked = world.asked
    for _ in range(10):
        assert "not asked for a while" in await _fails(world.context, session_id)
    assert world.asked == asked
    ticks.now += 400
    await _fails(world.context, session_id)
    assert world.asked == asked + 1


async def test_a_dead_remote_that_is_back_is_found(world: DoubleWorld, ticks: Ticks) -> None:
    """One goes first, and the next ones as well."""
    session_id, other = await talk(world, "hello"), await talk(world, "other")
    world.line.cut()
    await _fails(world.context, session_id)
    world.line.mend()
    ticks.now += 60_000
    got = await sessions.get(world.context, session_id)
    assert texts(got.value.messages) == ["hello"]
    assert texts((await sessions.get(world.context, other)).value.messages) == ["other"]


async def test_while_one_looks_whether_it_is_back_the_others_are_spared(
    world: DoubleWorld, ticks: Ticks
) -> None:
    made = [await talk(world, str(number)) for number in range(3)]
    world.line.cut()
    await _fails(world.context, made[0])
    world.line.mend()
    ticks.now += 60_000
    asked, gate = world.asked, asyncio.Event()
    world.line.hold(gate)
    first = asyncio.ensure_future(messages.list(world.context, made[0]))
    await world.line.reached(asked + 1)
    for each in made[1:]:
        await _fails(world.context, each)
    assert world.asked == asked + 1
    gate.set()
    assert texts((await first).value.messages) == ["0"]
    assert (await sessions.get(world.context, made[1])).source == "remote"


@pytest.mark.parametrize("status", [400, 401])
async def test_a_remote_that_refuses_is_not_spared(
    world: DoubleWorld, ticks: Ticks, status: int
) -> None:
    """It is there, and says so, also as the first answer after it wasn't."""
    session_id, other = await talk(world, "hello"), await talk(world, "other")
    world.line.cut()
    await _fails(world.context, session_id)
    ticks.now += 60_000
    world.line.cut_where(f"/session/{session_id}", answers(status, b"{}"))
    with pytest.raises(UnavailableError):
        await sessions.get(world.context, session_id)
    answer = await sessions.get(world.context, other)
    assert (answer.source, texts(answer.value.messages)) == ("remote", ["other"])
