"""Lists at any size: each thing once, counts exact, and no more calls for more things."""

import asyncio
from typing import Any

import pytest

from actions import Context, events, messages, sessions, tasks
from dualstore.errors import EntryError, NotFoundError
from dualstore.indexing.worker import IndexWorker
from dualstore.mirror.keys import event_key, message_key, messages_view_key, session_key
from dualstore.mirror.kinds import message_copy
from tests.actions.test_table import talk, texts
from tests.actions.world import FINISHED, LISTS, STALE, DoubleWorld
from tests.support.opencode_seed import seeded, seeded_id

FOLDER = "/workspace"


def seed(world: DoubleWorld, number: int, *, messages: int = 0) -> str:
    """A session with a past."""
    for event in seeded(number, project="p", folder=FOLDER, messages=messages):
        world.double.replay(event)
    return seeded_id(number)


async def test_five_thousand_sessions_page_to_the_end_each_once(world: DoubleWorld) -> None:
    made = [seed(world, number) for number in range(5_000)]
    world.hurry(20)
    found: list[str] = []
    offset = 0
    while True:
        page = (await sessions.list(world.context, limit=999, offset=offset)).value
        found += [each.id for each in page.sessions]
        assert page.total_count == 5_000
        offset += 999
        if not page.pagination.has_more:
            break
    assert found == made[::-1]  # newest update first
    assert page.pagination.current_page == page.pagination.total_pages == 6
    assert page.summary.active == 5_000
    assert world.asked == 1


@pytest.mark.parametrize("limit", [7, 300])
async def test_a_thousand_messages_page_back_to_the_first_each_once(
    world: DoubleWorld, limit: int
) -> None:
    """Some have the same time, also at the edge of a page."""
    session_id = seed(world, 1, messages=1_000)
    world.later(-world.clock.now + 1_760_000_100_000)
    world.hurry(20)
    found: list[str] = []
    before: str | None = None
    pages = 0
    while True:
        page = (await messages.list(world.context, session_id, limit, before)).value
        found = texts(page.messages) + found
        before, pages = page.next_cursor, pages + 1
        assert page.has_more == (before is not None)
        if before is None:
            break
    assert found == [f"message {number}" for number in range(1_000)]
    assert pages == -(-1_000 // limit)
    assert world.asked <= 3  # the newest, then all; and the session


async def test_paging_back_is_exact_while_more_is_said(world: DoubleWorld) -> None:
    session_id = await talk(world, *map(str, range(10)))
    newest = (await messages.list(world.context, session_id, limit=4)).value
    world.double.add_message(session_id, "new")
    world.later(FINISHED + STALE)
    older = (await messages.list(world.context, session_id, 4, newest.next_cursor)).value
    oldest = (await messages.list(world.context, session_id, 4, older.next_cursor)).value
    assert texts(oldest.messages + older.messages + newest.messages) == [*map(str, range(10))]
    assert (oldest.has_more, oldest.next_cursor) == (False, None)


async def test_the_cursor_of_an_answer_without_the_store_goes_on(world: DoubleWorld) -> None:
    session_id = await talk(world, *map(str, range(5)))
    world.faults.outage("documents.*")
    found: list[str] = []
    before: str | None = None
    for _ in range(3):
        page = (await messages.list(world.context, session_id, 2, before)).value
        found = texts(page.messages) + found
        before = page.next_cursor
    assert (found, before) == ([*map(str, range(5))], None)


async def many_events(context: Context, count: int) -> None:
    """Straight into the family; every three of them at one time."""
    await context.families.events.insert_many(
        {
            "id": event_key(f"evt_{number:06}"),
            "text": "told",
            "timestamp": number // 3,
            "metadata": {"type": "told", "session_id": f"ses_{number % 2}"},
            "body": {"id": f"evt_{number:06}", "type": "told"},
        }
        for number in range(count)
    )


async def test_thousands_of_events_page_back_to_the_first_each_once(world: DoubleWorld) -> None:
    await many_events(world.context, 4_000)
    found: list[str] = []
    before: str | None = None
    while True:
        page = (await events.list(world.context, k=700, before=before)).value
        found += [each["id"] for each in page.events]
        assert page.total_count == 4_000
        before = page.next_cursor
        if before is None:
            break
    assert found == [f"evt_{number:06}" for number in reversed(range(4_000))]
    whole = (await events.list(world.context)).value
    assert [each["id"] for each in whole.events] == found
    some = (await events.list(world.context, session_id="ses_1", k=3)).value
    assert some.total_count == 2_000
    assert [each["id"] for each in some.events] == ["evt_003999", "evt_003997", "evt_003995"]


async def test_events_of_any_number_of_sessions_cost_the_same_calls(world: DoubleWorld) -> None:
    costs: list[int] = []
    for count in (100, 300):
        for number in range(count):
            world.session(str(number))
        world.later(LISTS + STALE)
        world.faults.calls.clear()
        await events.list(world.context, k=10)
        costs.append(len(world.faults.calls))
    assert (await events.list(world.context, k=10)).value.total_count == 400
    assert costs[1] <= costs[0] < 100


@pytest.mark.parametrize("k", [1, 7, 299, 300, 301])
async def test_what_is_asked_for_is_counted_alike_on_each_page(world: DoubleWorld, k: int) -> None:
    await many_events(world.context, 600)
    asked: dict[str, Any] = {"query": "S_1", "event_type": "told", "k": k}
    found: list[str] = []
    before: str | None = None
    while before is not None or not found:
        page = (await events.list(world.context, before=before, **asked)).value
        assert page.total_count == 300
        found += [each["id"] for each in page.events]
        before = page.next_cursor if len(found) < 4 * k else None
    assert found == [f"evt_{number:06}" for number in range(599, 0, -2)][: len(found)]


async def test_events_that_all_fit_are_looked_through_once(world: DoubleWorld) -> None:
    await many_events(world.context, 30)
    world.faults.calls.clear()
    answer = await events.list(world.context, query="ses_1")
    assert answer.value.total_count == 15
    assert "documents.count" not in world.faults.calls
    assert world.faults.calls.count("documents.page") == 2  # before the remote was asked and after


async def calls_for(world: DoubleWorld, count: int) -> list[str]:
    """What the stores are asked for a list of 50 among so many, warm and counted anew."""
    for number in range(len(world.double.sessions), count):
        seed(world, number, messages=2)
    world.later(LISTS + STALE)
    world.hurry(20)
    await sessions.list(world.context, limit=50)
    await sessions.get(world.context, seeded_id(0))
    own = {"id": session_key("mine"), "text": f"{count}", "metadata": {"session_id": "mine"}}
    await world.context.families.sessions.insert(own)  # so that what was counted isn't known
    world.faults.calls.clear()
    answer = await sessions.list(world.context, limit=50)
    assert (len(answer.value.sessions), answer.source) == (50, "local")
    assert answer.value.total_count == count + 1
    return sorted(world.faults.calls)


async def test_a_list_costs_the_same_calls_among_any_number(
    anywhere: DoubleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IndexWorker, "wake", lambda _: None)  # whose calls don't count
    few = await calls_for(anywhere, 60)
    many = await calls_for(anywhere, 600)
    assert few == many
    assert len(few) < 20


async def test_the_view_of_a_session_shows_all_its_messages(anywhere: DoubleWorld) -> None:
    world = anywhere
    session_id = seed(world, 1, messages=600)
    await sessions.get(world.context, session_id)
    manager = world.context.store.sessions
    key = messages_view_key(session_id)
    view = await manager.get(key)
    assert view is not None
    assert view.body == world.double.messages(session_id)
    assert view.id == key
    assert (await manager.get_many([key, session_key(session_id)])).keys() == {
        key,
        session_key(session_id),
    }
    assert await manager.count() == 1
    assert await manager.get(messages_view_key("ses_nowhere")) is None


async def test_a_view_is_never_stored(world: DoubleWorld) -> None:
    manager = world.context.store.sessions
    own = {"id": session_key("mine"), "text": "Mine", "metadata": {"session_id": "mine"}}
    view = {"id": messages_view_key("mine"), "text": "a view"}
    with pytest.raises(EntryError, match="item 1: id: names a view"):
        await manager.insert_many([own, view])
    with pytest.raises(EntryError, match="names a view"):
        await manager.insert(view)
    assert await manager.count() == 0
    await manager.insert(own)
    found = await manager.get(messages_view_key("mine"))
    assert found is not None
    assert found.body == []


async def test_the_view_of_a_session_with_an_odd_id(world: DoubleWorld) -> None:
    families, odd = world.context.families, "a:b%/../ü"
    copy = message_copy(
        {"info": {"id": "1", "sessionID": odd, "time": {"created": 1}}, "parts": []}, session_id=odd
    )
    await families.messages.insert(
        {"id": copy.id, "text": "", "timestamp": 1, "metadata": copy.metadata, "body": copy.body}
    )
    view = await world.context.store.sessions.get(messages_view_key(odd))
    assert view is not None
    assert view.body == [copy.body]
    listed = await messages.list(world.context, odd)
    assert listed.value.messages == [copy.body]
    got = await messages.get(world.context, odd, "1")
    assert got.value.message == copy.body
    assert message_key(odd, "1") == copy.id


# Which events


EVENTS: list[dict[str, Any]] = [
    {"type": "tool.used", "has_tool": True, "is_agent_task": False, "content": "ENOENT in Parser"},
    {"type": "message.updated", "has_tool": False, "is_agent_task": True},
    {"type": "message.updated", "has_tool": "true", "is_agent_task": 1, "description": "A parsER"},
    {"type": "session.created", "session_id": "ses_parser"},
    {"type": "other", "content": "100% a_b*", "has_tool": None},
]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [4, 3, 2, 1, 0]),
        ({"query": "PARSER"}, [3, 2, 0]),
        ({"query": "enoent"}, [0]),
        ({"query": "message.up"}, [2, 1]),
        ({"query": "%"}, [4]),
        ({"query": "_b*"}, [4]),
        ({"query": ""}, [4, 3, 2, 1, 0]),
        ({"query": "nowhere"}, []),
        ({"event_type": "message.updated"}, [2, 1]),
        ({"event_type": "message"}, []),
        ({"session_id": "ses_parser"}, [3]),
        ({"has_tool": True}, [0]),
        ({"has_tool": False}, [4, 3, 2, 1]),
        ({"is_agent_task": True}, [1]),
        ({"is_agent_task": False}, [4, 3, 2, 0]),
        ({"query": "parser", "has_tool": False, "k": 1}, [3]),
    ],
)
async def test_events_are_found_by_what_is_asked(
    anywhere: DoubleWorld, asked: dict[str, Any], found: list[int]
) -> None:
    """A flag is true only if it is true."""
    context = anywhere.context
    for number, each in enumerate(EVENTS):
        metadata = {key: value for key, value in each.items() if value is not None}
        await context.families.events.insert(
            {
                "id": event_key(str(number)),
                "text": "",
                "timestamp": number,
                "metadata": metadata,
                "body": {"id": str(number)},
            }
        )
    answer = await events.list(context, **asked)
    assert [int(each["id"]) for each in answer.value.events] == found
    total = len(found) if "k" not in asked else 2
    assert answer.value.total_count == total
    filters = answer.to_json()["filters"]
    names = {"event_type": "eventType", "session_id": "sessionId"}
    names |= {"has_tool": "hasTool", "is_agent_task": "isAgentTask"}
    assert filters == dict.fromkeys(filters) | {names.get(k, k): v for k, v in asked.items()}


async def test_events_of_tasks_and_of_tools_are_told_apart(world: DoubleWorld) -> None:
    parent = world.session()
    child = world.session("Look", parent=parent)
    of_tasks = (await events.list(world.context, is_agent_task=True)).value
    assert {each["sessionID"] for each in of_tasks.events} == {child}
    others = (await events.list(world.context, is_agent_task=False)).value
    assert {each["sessionID"] for each in others.events} == {parent}


async def test_events_that_happen_later_are_added(world: DoubleWorld) -> None:
    session_id = world.session()
    first = (await events.list(world.context)).value
    world.double.rename(session_id, "Renamed")
    world.later(LISTS + STALE)
    second = (await events.list(world.context)).value
    assert len(second.events) == len(first.events) + 1
    assert second.events[1:] == first.events
    assert second.events[0]["properties"]["info"]["title"] == "Renamed"
    got = await events.get(world.context, second.events[0]["id"])
    assert got.value.event == second.events[0]


async def test_a_single_event_that_is_new_is_fetched(world: DoubleWorld) -> None:
    session_id = world.session()
    await events.list(world.context)
    world.double.rename(session_id, "Renamed")
    event_id = world.double.events[session_id][-1]["id"]
    got = await events.get(world.context, event_id)
    assert (got.source, got.value.event["id"]) == ("remote", event_id)
    asked = world.asked
    assert (await events.get(world.context, event_id)).source == "local"
    assert world.asked == asked


# Tasks


async def status_of(world: DoubleWorld, child: str) -> tuple[str, str | None]:
    world.later(LISTS + STALE + FINISHED)
    task = (await tasks.get(world.context, child)).value.task
    listed = (await tasks.list(world.context)).value.tasks
    assert [each for each in listed if each.session_id == child] == [task]
    return task.status, task.completion_message


def answers(world: DoubleWorld, child: str, text: str, **info: Any) -> None:
    """The assistant's message ends, with that."""
    message_id = world.double.add_message(child, text, role="assistant")
    told = world.double.infos[child][message_id]
    time = {**told["time"], "completed": world.double.now}
    world.double._change(
        child, "message.updated", info={**told, "time": time, "finish": "stop", **info}
    )


async def test_tasks_follow_what_happens(anywhere: DoubleWorld) -> None:
    world = anywhere
    child = world.session("Look it up", parent=world.session())
    assert await status_of(world, child) == ("running", None)
    world.double.add_message(child, "where is the parser?")
    assert await status_of(world, child) == ("running", None)
    answers(world, child, "in parse.py")
    assert await status_of(world, child) == ("completed", "in parse.py")
    world.double.add_message(child, "and the lexer?")
    assert await status_of(world, child) == ("running", None)
    error = {"name": "APIError", "data": {"message": "out of tokens"}}
    answers(world, child, "in", error=error)
    assert await status_of(world, child) == ("failed", "out of tokens")
    world.double.add_message(child, "once more")
    answers(world, child, "", error={"name": "MessageAbortedError", "data": {}})
    assert await status_of(world, child) == ("idle", None)
    async with world.reopened() as again:
        world.line.cut()
        (task,) = (await tasks.list(again)).value.tasks
        assert (task.status, task.task) == ("idle", "Look it up")


async def test_a_task_that_is_known_is_asked_for_once(world: DoubleWorld) -> None:
    child = world.session("Look", parent=world.session(), ago=3600)
    first = await tasks.get(world.context, child)
    assert first.source == "remote"
    asked = world.asked
    second = await tasks.get(world.context, child)
    assert (second.source, second.value, world.asked) == ("local", first.value, asked)


async def test_a_session_that_is_no_task_is_none(world: DoubleWorld) -> None:
    session_id = world.session()
    with pytest.raises(NotFoundError):
        await tasks.get(world.context, session_id)
    await sessions.list(world.context)
    with pytest.raises(NotFoundError):
        await tasks.get(world.context, session_id)


async def test_tasks_of_one_status(world: DoubleWorld) -> None:
    parent = world.session()
    made = [world.session(str(number), parent=parent) for number in range(4)]
    await tasks.list(world.context)
    await tasks.update(world.context, made[1], status="completed")
    world.later(1)
    await tasks.update(world.context, made[2], status="completed")
    done = (await tasks.list(world.context, "completed")).value
    assert [each.session_id for each in done.tasks] == [made[2], made[1]]
    assert done.total_count == 2
    one = (await tasks.list(world.context, "completed", 1)).value
    assert ([each.session_id for each in one.tasks], one.total_count) == ([made[2]], 2)
    assert (await tasks.list(world.context, "failed")).value.total_count == 0
    assert (await tasks.list(world.context, limit=3)).value.total_count == 4


async def test_a_task_is_created_and_changed(anywhere: DoubleWorld) -> None:
    world = anywhere
    made = (await tasks.create(world.context, "mine", "Do it")).value.task
    assert (made.status, made.task, made.start_time) == ("running", "Do it", made.last_activity)
    world.later(60)
    changed = await tasks.update(
        world.context, "mine", status="failed", completion_message="no luck"
    )
    assert changed.value.task.status == "failed"
    assert changed.value.task.start_time == made.start_time
    assert changed.value.task.last_activity > made.last_activity
    asked = world.asked
    got = await tasks.get(world.context, "mine")
    assert (got.value, got.source, got.complete) == (changed.value, "local", True)
    assert world.asked == asked
    renamed = (await tasks.update(world.context, "mine", task="Do that")).value.task
    assert (renamed.task, renamed.status) == ("Do that", "failed")
    again = (await tasks.create(world.context, "mine", "Anew")).value.task
    assert (again.task, again.status, again.completion_message) == ("Anew", "running", None)
    with pytest.raises(NotFoundError):
        await tasks.update(world.context, "other", status="idle")
    async with world.reopened() as context:
        assert (await tasks.get(context, "mine")).value.task == again


async def test_who_changes_a_task_at_once_loses_nothing(anywhere: DoubleWorld) -> None:
    world = anywhere
    child = world.session("Look", parent=world.session())
    await tasks.list(world.context)
    answers(world, child, "found")
    world.later(FINISHED + STALE)
    await asyncio.gather(
        tasks.update(world.context, child, task="Look twice"),
        tasks.update(world.context, child, completion_message="said"),
        events.list(world.context),
        sessions.list(world.context),
    )
    world.later(FINISHED + STALE)
    task = (await tasks.get(world.context, child)).value.task
    assert (task.task, task.status) == ("Look twice", "completed")
    assert task.completion_message in ("said", "found")


async def test_a_task_is_created_again_after_it_was_deleted(world: DoubleWorld) -> None:
    await tasks.create(world.context, "mine", "Do it")
    manager = world.context.families.tasks
    assert await manager.delete_where({"metadata.session_id": "mine"}) == 1
    made = (await tasks.create(world.context, "mine", "Once more")).value.task
    assert made.task == "Once more"


async def test_a_task_that_was_made_follows_its_session(world: DoubleWorld) -> None:
    session_id = world.session("Plain", ago=3600)
    await sessions.list(world.context)
    await tasks.create(world.context, session_id, "Watch it")
    world.double.add_message(session_id, "go")
    answers(world, session_id, "done")
    world.later(FINISHED + STALE)
    task = (await tasks.get(world.context, session_id)).value.task
    assert (task.task, task.status, task.completion_message) == ("Watch it", "completed", "done")
    asked = world.asked
    assert (await tasks.get(world.context, session_id)).source == "local"
    assert world.asked == asked


async def test_a_changed_task_of_a_remote_session_is_dropped_with_it(
    dropping: DoubleWorld,
) -> None:
    world = dropping
    child = world.session("Look", parent=world.session())
    await tasks.list(world.context)
    await tasks.update(world.context, child, status="idle")
    world.double.delete_session(child)
    world.later(FINISHED + STALE)
    with pytest.raises(NotFoundError):
        await sessions.get(world.context, child)
    assert await world.context.families.tasks.count() == 0
