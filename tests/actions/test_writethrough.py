"""What a remote tells is kept, and never at the cost of what is here."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from actions import Context, events, messages, sessions, tasks
from dualstore.errors import NotFoundError, UnavailableError
from dualstore.mirror.keys import event_key, message_key, session_key, task_key
from tests.actions.conftest import Ticks
from tests.actions.test_faults import changed
from tests.actions.test_table import talk, texts
from tests.actions.world import ABSENT, FINISHED, LISTS, RUNNING, STALE, DoubleWorld
from tests.support.opencode_faults import answers, not_found

UNCOUNTED = "not all messages of 1 of these sessions are here, and counted"
LARGE = "x" * (13 * 1024 * 1024)


async def revisions(context: Context) -> dict[str, int]:
    """Of all that is here."""
    found: dict[str, int] = {}
    for manager in context.families:
        found |= {e.id: e.revision for e in (await manager.page(limit=1000)).entries}
    return found


def own_message(session_id: str, message_id: str, text: str) -> dict[str, Any]:
    """One that is written here, under the id of a remote's."""
    return {
        "id": message_key(session_id, message_id),
        "text": text,
        "timestamp": 1,
        "metadata": {"session_id": session_id, "message_id": message_id},
    }


def once(do: Callable[[], Any], *, times: int = 1) -> Callable[[httpx.Request], Any]:
    """Happens while the first answers are on their way."""
    left = iter(range(times))

    async def meanwhile(_: httpx.Request) -> None:
        if next(left, None) is not None:
            await do()

    return meanwhile


# Newer local data


async def test_what_is_written_here_meanwhile_stays(anywhere: DoubleWorld) -> None:
    world = anywhere
    session_id = world.session()
    message_id = world.double.add_message(session_id, "theirs")
    own = own_message(session_id, message_id, "mine")
    world.line.meanwhile = once(lambda: world.context.families.messages.insert(own))
    answer = await messages.get(world.context, session_id, message_id)
    entry = await world.context.families.messages.get(own["id"])
    assert entry is not None
    assert (entry.revision, texts([answer.value.message])) == (1, ["mine"])
    for _ in range(2):
        world.later(FINISHED + STALE)
        got = await sessions.get(world.context, session_id)
        assert (texts(got.value.messages), got.complete, got.degraded) == (["mine"], True, ())


async def test_what_was_written_here_is_not_gone_with_the_original(world: DoubleWorld) -> None:
    session_id = await talk(world, "one", "two")
    got = await sessions.get(world.context, session_id)
    first, second = [each["info"]["id"] for each in got.value.messages]
    for each in (first, second):
        world.double.delete_message(session_id, each)
    world.later(FINISHED + STALE)
    listed = await messages.list(world.context, session_id)
    assert listed.value.gone_upstream == [first, second]
    own = {**own_message(session_id, first, "mine"), "timestamp": world.clock.now}
    await world.context.families.messages.insert(own)
    listed = await messages.list(world.context, session_id)
    assert (texts(listed.value.messages), listed.value.gone_upstream) == (["two", "mine"], [second])
    assert (await messages.get(world.context, session_id, first)).value.gone_upstream is None
    assert (await messages.get(world.context, session_id, second)).value.gone_upstream


async def test_a_session_that_was_changed_here_stays_so_until_the_remote_has_news(
    anywhere: DoubleWorld,
) -> None:
    world = anywhere
    session_id = await talk(world, "one")
    await sessions.list(world.context)
    world.later(RUNNING)
    own = {
        "id": session_key(session_id),
        "text": "Mine",
        "timestamp": world.clock.now,
        "metadata": {"session_id": session_id, "title": "Mine"},
    }
    await world.context.families.sessions.insert(own)
    for _ in range(3):
        world.later(LISTS + STALE)
        listed = await sessions.list(world.context)
        (info,) = listed.value.sessions
        assert (info.title, listed.degraded) == ("Mine", (UNCOUNTED,))
    asked = world.line.requests.count("GET /experimental/session")
    assert asked == 4  # once each time: it is no reason to ask again
    got = await sessions.get(world.context, session_id)
    assert (got.value.session.title, texts(got.value.messages)) == ("Mine", ["one"])
    assert (await messages.search(world.context, "one")).complete
    world.double.now = world.clock.now
    world.double.add_message(session_id, "two")
    world.later(LISTS + STALE)
    (info,) = (await sessions.list(world.context)).value.sessions
    assert (info.title, info.message_count) == ("Talk", 1)
    assert texts((await sessions.get(world.context, session_id)).value.messages) == ["one", "two"]


async def test_an_update_time_that_goes_back_is_no_reason_to_ask_again(
    anywhere: DoubleWorld,
) -> None:
    world = anywhere
    session_id = world.session("Before")
    await sessions.list(world.context)
    session = world.double.sessions[session_id]
    then = session["time"]["updated"] - 60_000
    session |= {"title": "After", "time": {**session["time"], "updated": then}}
    for time in (1, 2):
        world.later(LISTS + STALE)
        listed = await sessions.list(world.context)
        assert (listed.degraded, listed.value.sessions[0].title) == ((UNCOUNTED,), "After")
        assert world.line.requests.count("GET /experimental/session") == 1 + time
    entry = await world.context.families.sessions.get(session_key(session_id))
    assert entry is not None
    assert (entry.timestamp, entry.revision) == (then, 2)
    world.double.rename(session_id, "Later")
    world.later(LISTS + STALE)
    assert (await sessions.list(world.context)).value.sessions[0].title == "Later"


async def test_what_others_always_take_in_meanwhile_is_left_alone(world: DoubleWorld) -> None:
    session_id = world.session()
    message_id = world.double.add_message(session_id, "theirs")
    key, written = message_key(session_id, message_id), iter(range(100))
    family = await world.context.families.messages.family()

    async def write() -> None:
        draft = family.drafter.compose(
            id=key, text=f"others {next(written)}", timestamp=1, metadata={}, origin="opencode"
        )
        marks = await family.store.marks([key])
        expect = {each: mark.revision for each, mark in marks.items()}
        await family.store.put([draft], now=1, expect=expect)

    world.line.meanwhile = once(write, times=100)
    answer = await messages.get(world.context, session_id, message_id)
    assert any("changed here meanwhile" in each for each in answer.degraded)
    world.line.meanwhile = None
    entry = await world.context.families.messages.get(key)
    assert entry is not None
    assert entry.text == "others 2"
    listed = await sessions.get(world.context, session_id)
    assert texts(listed.value.messages) == ["theirs"]  # nobody changed it this time


async def test_a_session_that_is_always_written_here_is_not_called_confirmed(
    world: DoubleWorld,
) -> None:
    session_id = world.session("Theirs")
    own = {
        "id": session_key(session_id),
        "text": "Mine",
        "timestamp": world.clock.now + 1,
        "metadata": {"session_id": session_id, "title": "Mine"},
    }
    numbers = iter(range(100))

    async def write() -> None:
        await world.context.families.sessions.insert({**own, "body": next(numbers)})

    world.line.meanwhile = once(write, times=100)
    await sessions.list(world.context)
    world.line.meanwhile = None
    listed = await sessions.list(world.context)
    assert [each.title for each in listed.value.sessions] == ["Mine"]


async def test_of_crossing_answers_the_older_one_does_not_win(world: DoubleWorld) -> None:
    """It was asked for first, and arrives last."""
    session_id = world.session()
    message_id = world.double.add_message(session_id, "first", role="assistant")
    (part_id,) = world.double.parts[session_id][message_id]
    gate, held = asyncio.Event(), [True]

    async def meanwhile(request: httpx.Request) -> None:
        if held and request.url.path.endswith(message_id):
            held.clear()
            await gate.wait()

    world.line.meanwhile = meanwhile
    slow = asyncio.ensure_future(messages.get(world.context, session_id, message_id))
    await world.line.reached(1)
    world.double.write_part(session_id, message_id, "second", part_id=part_id)
    assert texts((await sessions.get(world.context, session_id)).value.messages) == ["second"]
    gate.set()
    assert texts([(await slow).value.message]) == ["second"]


# Partial answers


async def test_a_truncated_page_is_never_all(anywhere: DoubleWorld) -> None:
    world = anywhere
    session_id = await talk(world, *map(str, range(6)))
    newest = await messages.list(world.context, session_id, limit=2)
    assert (newest.complete, newest.value.has_more) == (True, True)
    world.line.cut()
    for limit in (3, 50):
        part = await messages.list(world.context, session_id, limit=limit)
        assert (texts(part.value.messages), part.complete) == (["4", "5"], False)
        assert part.value.has_more
    listed = await sessions.get(world.context, session_id)
    assert (len(listed.value.messages), listed.complete) == (2, False)
    assert not (await messages.search(world.context, "5", session_id=session_id)).complete


async def test_a_gap_is_not_called_complete(world: DoubleWorld) -> None:
    """Between what was fetched before and what is newest now."""
    session_id = await talk(world, "0", "1", "2")
    await sessions.get(world.context, session_id)
    for number in range(3, 20):
        world.double.add_message(session_id, str(number))
    world.later(RUNNING + STALE)
    newest = await messages.list(world.context, session_id, limit=2)
    assert (texts(newest.value.messages), newest.complete) == (["18", "19"], True)
    world.line.cut()
    part = await sessions.get(world.context, session_id)
    assert (texts(part.value.messages), part.complete) == (["0", "1", "2", "18", "19"], False)
    world.line.mend()


async def test_a_long_absence_is_caught_up_with(world: DoubleWorld) -> None:
    """More than the newest hundred are new."""
    session_id = await talk(world, "first")
    await sessions.get(world.context, session_id)
    for number in range(150):
        world.double.add_message(session_id, str(number))
    world.later(RUNNING + STALE)
    whole = await sessions.get(world.context, session_id)
    assert (len(whole.value.messages), whole.complete) == (151, True)
    assert whole.value.session.message_count == 151


@pytest.mark.parametrize("how", ["it is asked for", "all are listed"])
async def test_a_session_that_was_only_ever_listed_is_dropped(
    dropping: DoubleWorld, how: str
) -> None:
    world = dropping
    stays, goes, back = (world.session(each) for each in ("stays", "goes", "is left out once"))
    await sessions.list(world.context)
    world.double.delete_session(goes)
    thing = world.double.sessions[back]
    world.later(LISTS + STALE)
    if how == "it is asked for":
        world.later(FINISHED)
        with pytest.raises(NotFoundError):
            await sessions.get(world.context, goes)
    else:
        world.line.cut(
            changed(
                world.double,
                lambda told, path: (
                    [each for each in told if each["id"] != back]
                    if path.endswith("/session")
                    else told
                ),
            )
        )
        await sessions.list(world.context)
    listed = await sessions.list(world.context)
    assert {each.id for each in listed.value.sessions} == {stays, back}
    assert thing == world.double.sessions[back]
    assert await world.context.families.sessions.count() == 2


# What can't be taken in


def spoiled(world: DoubleWorld, session_id: str, message_id: str) -> Callable[[], None]:
    """That message is not one; what is returned makes it right again."""
    info = world.double.infos[session_id][message_id]
    time = info.pop("time")
    world.double.infos[session_id][message_id] = {**info, "time": {"created": "now"}}

    def repair() -> None:
        world.double.infos[session_id][message_id] = {**info, "time": time}

    return repair


async def test_a_malformed_message_is_visible_until_it_is_right(
    anywhere: DoubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = anywhere
    monkeypatch.setattr("tests.support.opencode_model.place", lambda each: (0, each["info"]["id"]))
    session_id = await talk(world, "one", "two", "three")
    second = list(world.double.infos[session_id])[1]
    repair = spoiled(world, session_id, second)
    answer = await sessions.get(world.context, session_id)
    assert texts(answer.value.messages) == ["one", "three"]
    assert any(f"{second} can't be kept" in each for each in answer.degraded)
    asked = world.asked
    for whole in (await sessions.get(world.context, session_id), answer):
        assert not whole.complete
        assert any("1 can't be kept" in each for each in whole.degraded)
    assert not (await messages.list(world.context, session_id)).complete
    assert not (await messages.search(world.context, "one", session_id=session_id)).complete
    assert world.asked == asked
    (refusal,) = await world.refused()
    assert refusal.what == f"message of {session_id}: {second}"
    assert "created" in refusal.reason
    assert refusal.at == world.clock.now
    repair()
    world.later(FINISHED + STALE)
    answer = await sessions.get(world.context, session_id)
    assert (texts(answer.value.messages), answer.degraded) == (["one", "two", "three"], ())
    assert answer.complete
    assert await world.refused() == []


async def test_what_was_refused_and_is_gone_lacks_no_more(world: DoubleWorld) -> None:
    session_id = await talk(world, "one", "two")
    last = list(world.double.infos[session_id])[-1]
    del world.double.parts[session_id][last]
    world.double.infos[session_id][last] = {**world.double.infos[session_id][last], "id": "\x01"}
    world.double.sessions["ses_odd"] = {"id": "ses_odd", "time": {"updated": 10**18}}
    assert not (await sessions.get(world.context, session_id)).complete
    assert not (await sessions.list(world.context)).complete
    assert len(await world.refused()) == 2
    world.double.delete_message(session_id, last)
    del world.double.sessions["ses_odd"]
    world.later(FINISHED + STALE)
    assert (await sessions.get(world.context, session_id)).complete
    assert (await sessions.list(world.context)).complete
    assert await world.refused() == []


@pytest.mark.parametrize("how", ["the session is asked for", "all are listed"])
async def test_what_happens_in_a_session_that_is_back_is_told_from_its_beginning(
    world: DoubleWorld, how: str
) -> None:
    """The numbers of its events start again."""
    parent = world.session("parent")
    session_id = world.session("child", parent=parent)
    for number in range(5):
        world.double.add_message(session_id, str(number))
    await tasks.list(world.context)
    before = (await events.list(world.context, session_id=session_id)).value.total_count
    thing, double = world.double.sessions[session_id], world.double
    infos, parts = double.infos[session_id], double.parts[session_id]
    double.delete_session(session_id)
    world.later(FINISHED + STALE)
    if how == "all are listed":
        await sessions.list(world.context)
    else:
        await sessions.get(world.context, session_id)
    double.sessions[session_id], double.events[session_id] = thing, []
    double.infos[session_id], double.parts[session_id] = infos, parts
    now = double.now = world.clock.now
    times = {"created": now, "completed": now + 1}
    double.add_message(session_id, "done", role="assistant", finish="stop", time=times)
    world.later(FINISHED + STALE)
    await tasks.list(world.context)
    listed = await events.list(world.context, session_id=session_id)
    assert listed.value.total_count == before + len(double.events[session_id])
    assert (await tasks.get(world.context, session_id)).value.task.status == "completed"


@pytest.mark.parametrize("how", ["the session is asked for", "all are listed"])
async def test_what_was_refused_of_a_session_that_is_gone_keeps_nothing_incomplete(
    anywhere: DoubleWorld, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = anywhere
    monkeypatch.setattr("tests.support.opencode_model.place", lambda each: (0, each["info"]["id"]))
    there, left = await talk(world, "there"), await talk(world, "one", "two")
    spoiled(world, left, next(iter(world.double.infos[left])))
    only_listed = await talk(world, "never read")
    await sessions.list(world.context)
    for each in (there, left):
        await sessions.get(world.context, each)
    assert not (await messages.search(world.context, "two")).complete
    for each in (left, only_listed):
        world.double.delete_session(each)
        assert not (await messages.search(world.context, "two")).complete
    world.later(FINISHED + STALE)
    if how == "all are listed":
        await sessions.list(world.context)
    else:
        for each in (left, only_listed):
            await sessions.get(world.context, each)
    await sessions.get(world.context, there)
    assert (await messages.search(world.context, "two")).complete
    scoped = await messages.search(world.context, "two", session_id=left)
    assert (scoped.complete, texts([each.message for each in scoped.value.results])) == (
        True,
        ["two"],
    )
    got = await messages.list(world.context, left)
    assert got.complete
    assert any("1 can't be kept" in each for each in got.degraded)
    assert len(await world.refused()) == 1


async def test_a_message_that_is_too_large_is_answered_and_not_kept(world: DoubleWorld) -> None:
    session_id = world.session()
    message_id = world.double.add_message(session_id, LARGE)
    other = world.double.add_message(session_id, "small")
    for _ in range(2):
        answer = await messages.get(world.context, session_id, message_id)
        assert (answer.source, texts([answer.value.message])) == ("remote", [LARGE])
        assert any("can't be kept" in each for each in answer.degraded)
    (refusal,) = await world.refused()
    assert message_id in refusal.what
    listed = await messages.list(world.context, session_id)
    assert texts(listed.value.messages) == ["small"]
    kept = await messages.get(world.context, session_id, other)
    assert kept.source == "local"
    (part_id,) = world.double.parts[session_id][message_id]
    world.double.write_part(session_id, message_id, "shorter", part_id=part_id)
    world.later(FINISHED + STALE)
    listed = await messages.list(world.context, session_id)
    assert sorted(texts(listed.value.messages)) == ["shorter", "small"]
    assert await world.refused() == []


async def test_a_session_that_is_too_large_harms_no_other(world: DoubleWorld) -> None:
    """Nor what hangs on it."""
    parent = world.session()
    large = world.double.create_session(LARGE, parent=parent)
    child = world.session("Small", parent=parent)
    listed = await sessions.list(world.context)
    assert {each.id for each in listed.value.sessions} == {parent, child}
    assert [each.what for each in await world.refused()] == [f"session {large}"]
    found = await tasks.list(world.context)
    assert [each.session_id for each in found.value.tasks] == [child]
    got = await sessions.get(world.context, large)
    assert (got.source, got.value.session.title) == ("remote", LARGE)


async def test_a_session_that_is_malformed_can_be_asked_for(world: DoubleWorld) -> None:
    """The remote's garbage is no fault of who asks."""
    session_id = world.session()
    world.double.sessions[session_id]["time"] = {"created": 1, "updated": 1e300}
    with pytest.raises(UnavailableError) as caught:
        await sessions.get(world.context, session_id)
    assert "can't be used" in str(caught.value.causes[1])
    assert [each.what for each in await world.refused()] == [f"session {session_id}"]
    listed = await sessions.list(world.context)
    assert listed.value.sessions == []


async def test_a_session_that_becomes_malformed_is_not_gone(world: DoubleWorld) -> None:
    session_id = world.session("Before")
    await sessions.list(world.context)
    time = world.double.sessions[session_id]["time"]
    world.double.sessions[session_id]["time"] = {"created": 1, "updated": "?"}
    world.double.listed = (  # type: ignore[method-assign]
        lambda **_: list(world.double.sessions.values())
    )
    world.later(LISTS + STALE)
    listed = await sessions.list(world.context)
    assert [(s.title, s.gone_upstream) for s in listed.value.sessions] == [("Before", None)]
    assert len(await world.refused()) == 1
    world.double.sessions[session_id]["time"] = time
    world.later(LISTS + STALE)
    await sessions.list(world.context)
    assert await world.refused() == []


@pytest.mark.parametrize("odd", ["", "ses_\x01", "x" * 600, "ses:%"])
async def test_events_of_a_session_with_an_odd_id_block_no_other(
    world: DoubleWorld, odd: str
) -> None:
    session_id = world.session()
    event = {"id": "evt_odd", "aggregate_id": odd, "seq": 0, "type": "a", "data": {}}
    world.double.events[odd] = [event]
    for _ in range(2):
        listed = await events.list(world.context)
        assert listed.complete
        assert {session_id} <= {each["sessionID"] for each in listed.value.events}
        world.later(LISTS + STALE)
    world.double.rename(session_id, "Renamed")
    named = [e.get("description") for e in (await events.list(world.context)).value.events]
    assert "Renamed" in named


async def test_one_malformed_event_alone_hides_no_other(world: DoubleWorld) -> None:
    session_id = world.session()
    before = await events.list(world.context)
    event = {"id": "evt_\x01", "aggregate_id": session_id, "seq": 1, "type": "a", "data": {}}
    world.double.events[session_id].append(event)
    world.later(LISTS + STALE)
    after = await events.list(world.context)
    assert after.value.events == before.value.events
    assert len(await world.refused()) == 1


async def test_an_event_with_a_broken_envelope_is_counted_and_hides_no_other(
    world: DoubleWorld,
) -> None:
    session_id = world.session()
    spoiled = {"id": "evt_bad", "aggregate_id": session_id, "type": "a", "data": {}}
    world.line.fault_of = lambda request: (
        answers(200, [spoiled, *world.double.history({}), {"seq": "?"}])
        if request.url.path == "/sync/history"
        else None
    )
    answer = await events.list(world.context)
    assert [each["sessionID"] for each in answer.value.events] == [session_id]
    assert any("evt_bad can't be kept: event: the seq of" in each for each in answer.degraded)
    for _ in range(2):
        assert len(await world.refused()) == 2
        world.later(LISTS + STALE)
        assert "2 can't be kept" in (await events.list(world.context)).degraded[0]
    with pytest.raises(NotFoundError, match="nowhere"):
        await events.get(world.context, "evt_bad")


async def test_what_is_no_task_blocks_nothing(world: DoubleWorld) -> None:
    """Somebody put it among them."""
    parent = world.session()
    child = world.session("Look", parent=parent)
    own = {"id": task_key(child), "text": "not a task", "body": {"status": "odd"}}
    await world.context.families.tasks.insert(own)
    listed = await sessions.list(world.context)
    assert (listed.source, {s.id for s in listed.value.sessions}) == ("remote", {parent, child})
    assert not any("nothing can be kept" in each for each in listed.degraded)
    assert (await events.list(world.context)).complete
    kept = await world.context.families.tasks.get(task_key(child))
    assert kept is not None
    assert kept.text == "not a task"


# Deleted here


async def test_what_is_deleted_here_stays_deleted(anywhere: DoubleWorld) -> None:
    world = anywhere
    session_id = await talk(world, "one", "two")
    got = await sessions.get(world.context, session_id)
    first = got.value.messages[0]["info"]["id"]
    await events.list(world.context)
    event_id = world.double.events[session_id][0]["id"]
    families = world.context.families
    assert await families.messages.delete(message_key(session_id, first))
    assert await families.events.delete(event_key(event_id))
    world.double.write_part(session_id, first, "changed")
    world.later(FINISHED + STALE)
    again = await sessions.get(world.context, session_id)
    assert (texts(again.value.messages), again.complete) == (["two"], True)
    with pytest.raises(NotFoundError):
        await messages.get(world.context, session_id, first)
    listed = await events.list(world.context)
    assert event_id not in {each["id"] for each in listed.value.events}


async def test_a_session_that_is_deleted_here_stays_deleted(world: DoubleWorld) -> None:
    session_id = await talk(world, "one")
    await sessions.list(world.context)
    await world.context.families.sessions.delete(session_key(session_id))
    world.double.add_message(session_id, "two")
    world.later(FINISHED + STALE)
    for _ in range(2):
        listed = await sessions.list(world.context)
        assert listed.value.sessions == []
        with pytest.raises(NotFoundError):
            await sessions.get(world.context, session_id)
    asked = world.asked
    with pytest.raises(NotFoundError):
        await sessions.get(world.context, session_id)
    assert world.asked == asked
    await world.context.families.sessions.insert(
        {"id": session_key(session_id), "text": "Back", "metadata": {"session_id": session_id}}
    )
    assert (await sessions.get(world.context, session_id)).value.session.id == session_id


# The same again


async def test_the_same_answer_changes_nothing(anywhere: DoubleWorld) -> None:
    world = anywhere
    parent = world.session()
    world.double.add_message(parent, "hello")
    world.session("Look", parent=parent)
    context = world.context

    async def all_of_it() -> None:
        await sessions.list(context)
        await sessions.get(context, parent)
        await messages.list(context, parent, limit=1)
        await events.list(context)
        await tasks.list(context)

    await all_of_it()
    before = await revisions(context)
    for _ in range(2):
        world.later(FINISHED + STALE)
        await all_of_it()
    assert await revisions(context) == before


async def test_a_streamed_message_ends_as_the_remote_has_it(anywhere: DoubleWorld) -> None:
    world = anywhere
    session_id = world.session()
    world.double.add_message(session_id, "what is 2 + 2?")
    message_id = world.double.add_message(session_id, "", role="assistant")
    (part_id,) = world.double.parts[session_id][message_id]
    begun = await messages.list(world.context, session_id)
    assert texts(begun.value.messages) == ["what is 2 + 2?", ""]
    for text in ("It", "It is", "It is four"):
        world.double.write_part(session_id, message_id, text, part_id=part_id)
        world.later(RUNNING + STALE)
        listed = await messages.list(world.context, session_id)
        assert texts(listed.value.messages)[1] == text
    info = world.double.infos[session_id][message_id]
    world.double.infos[session_id][message_id] = {
        **info,
        "time": {**info["time"], "completed": world.clock.now},
        "finish": "stop",
    }
    world.later(RUNNING + STALE)
    one = await messages.get(world.context, session_id, message_id)
    assert one.value.message["info"]["finish"] == "stop"
    hits = (await messages.search(world.context, "four")).value.results
    assert texts([hits[0].message]) == ["It is four"]


# Clocks


async def test_a_clock_that_is_set_back_asks_again(world: DoubleWorld) -> None:
    world.later(10 * FINISHED)
    session_id = world.session(ago=3 * FINISHED)
    await sessions.list(world.context)
    await sessions.get(world.context, session_id)
    world.later(-2 * FINISHED)
    world.double.rename(session_id, "Renamed")
    got = await sessions.get(world.context, session_id)
    assert (got.source, got.value.session.title) == ("remote", "Renamed")
    listed = await sessions.list(world.context)
    assert listed.source == "remote"
    asked = world.asked
    assert (await sessions.get(world.context, session_id)).source == "local"
    assert (await sessions.list(world.context)).source == "local"
    assert world.asked == asked


async def test_a_clock_that_is_set_back_keeps_nobody_gone(world: DoubleWorld) -> None:
    session_id = world.session()
    thing = world.double.sessions[session_id]
    await sessions.list(world.context)
    del world.double.sessions[session_id]
    world.later(10 * FINISHED)
    assert (await sessions.get(world.context, session_id)).value.session.gone_upstream
    world.double.sessions[session_id] = thing
    world.later(-9 * FINISHED)
    (info,) = (await sessions.list(world.context)).value.sessions
    assert info.gone_upstream is None


async def test_who_is_found_gone_while_the_list_is_on_its_way_stays_so(world: DoubleWorld) -> None:
    session_id = world.session()
    await sessions.list(world.context)

    async def delete(request: httpx.Request) -> None:
        if request.url.path == "/experimental/session":
            world.double.delete_session(session_id)
            world.clock.advance(10)
            await sessions.get(world.context, session_id)
            world.clock.advance(10)

    world.later(FINISHED + STALE)
    world.line.meanwhile = delete
    (info,) = (await sessions.list(world.context)).value.sessions
    assert info.gone_upstream
    world.line.meanwhile = None
    (info,) = (await sessions.list(world.context)).value.sessions
    assert info.gone_upstream


async def test_a_clock_that_is_set_forward_only_makes_everything_old(world: DoubleWorld) -> None:
    session_id = await talk(world, "hello")
    await sessions.get(world.context, session_id)
    year = 365 * 86_400
    world.later(year)
    world.line.cut()
    got = await sessions.get(world.context, session_id)
    assert (got.source, got.age_ms) == ("stale", year * 1000)
    world.line.mend()
    world.later(-year)
    assert (await sessions.get(world.context, session_id)).source == "local"


async def test_a_clock_that_is_set_back_forgets_what_was_absent(world: DoubleWorld) -> None:
    with pytest.raises(NotFoundError):
        await sessions.get(world.context, "ses_nowhere")
    asked = world.asked
    world.later(-ABSENT)
    with pytest.raises(NotFoundError):
        await sessions.get(world.context, "ses_nowhere")
    assert world.asked > asked


# A remote that contradicts itself


async def test_the_list_names_it_and_it_is_not_there(world: DoubleWorld, ticks: Ticks) -> None:
    session_id = world.session()
    await sessions.list(world.context)
    world.line.cut_where(session_id, not_found())
    world.line.fault_of = lambda request: not_found() if session_id in str(request.url) else None
    got = await sessions.get(world.context, session_id)
    assert (got.value.session.gone_upstream, got.source) == (True, "local")
    asked = world.asked
    assert (await sessions.get(world.context, session_id)).value == got.value
    assert world.asked == asked
    world.later(LISTS + STALE)
    listed = await sessions.list(world.context)
    assert [each.gone_upstream for each in listed.value.sessions] == [None]
    world.line.mend()
    ticks.later()
    back = await sessions.get(world.context, session_id)
    assert (back.value.session.gone_upstream, back.source) == (None, "remote")


async def test_the_list_does_not_name_it_and_it_is_there(world: DoubleWorld) -> None:
    session_id = await talk(world, "hello")
    await sessions.get(world.context, session_id)
    world.line.cut(
        changed(world.double, lambda told, path: [] if path.endswith("/session") else told)
    )
    world.later(1)
    listed = await sessions.list(world.context)
    assert [each.gone_upstream for each in listed.value.sessions] == [True]
    world.later(FINISHED + STALE)
    got = await sessions.get(world.context, session_id)
    assert (got.value.session.gone_upstream, got.degraded) == (None, ())
    world.line.cut()
    listed = await sessions.list(world.context)
    assert [each.gone_upstream for each in listed.value.sessions] == [None]


async def test_the_session_is_there_and_its_messages_are_not(world: DoubleWorld) -> None:
    session_id = await talk(world, "hello")
    world.line.cut_where("/message", not_found())
    with pytest.raises(UnavailableError, match="no messages of it"):
        await sessions.get(world.context, session_id)
    got = await sessions.get(world.context, session_id)
    assert (texts(got.value.messages), got.complete) == ([], False)
    assert "no messages of it" in got.degraded[0]
    world.line.mend()
    got = await sessions.get(world.context, session_id)
    assert (texts(got.value.messages), got.value.session.gone_upstream) == (["hello"], None)


# All at once


async def test_many_who_read_and_write_at_once_end_with_the_truth(world: DoubleWorld) -> None:
    made = [await talk(world, str(number)) for number in range(5)]

    async def read(number: int) -> None:
        session_id = made[number % 5]
        await sessions.get(world.context, session_id)
        await messages.list(world.context, session_id, limit=1 + number % 3)
        await sessions.list(world.context)

    for turn in range(4):
        for each in made:
            world.double.add_message(each, f"turn {turn}")
        world.later(FINISHED + STALE)
        await asyncio.gather(*(read(number) for number in range(20)))
    world.later(FINISHED + STALE)
    for session_id in made:
        got = await sessions.get(world.context, session_id)
        assert got.value.messages == world.double.messages(session_id)
        assert got.complete


async def test_a_body_is_returned_bit_for_bit(world: DoubleWorld) -> None:
    odd = {"ä\u2028": None, "n": 2**53 + 1, "f": 1e-300, "deep": [[[{"": ""}]]], "e": "\U0001f600"}
    session_id = world.session()
    message_id = world.double.add_message(session_id, "hello", odd=odd)
    told = await messages.get(world.context, session_id, message_id)
    kept = await messages.get(world.context, session_id, message_id)
    assert kept.source == "local"
    for answer in (told, kept):
        assert answer.value.message == world.double.message(session_id, message_id)
        assert orjson.loads(orjson.dumps(answer.to_json()))["message"]["info"]["odd"] == odd
