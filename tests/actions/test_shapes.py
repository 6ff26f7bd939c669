"""The JSON that callers read: its names, and what is absent."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actions import Answer, events, messages, sessions, tasks
from dualstore.mirror.keys import message_key, session_key
from tests.actions.conftest import Ticks
from tests.actions.test_table import talk
from tests.actions.world import FINISHED, NOW, STALE, DoubleWorld

ANSWER = {"source", "complete", "ageMs", "degraded", "errors"}
ALWAYS = {"id", "title", "messageCount", "activityStatus", "isAgentTask"}
TIMES = {"lastActivityTime", "sessionAge", "createdAt", "updatedAt"}
TOLD = {"projectId", "directory"}
FILTERS = {"query", "k", "eventType", "sessionId", "hasTool", "isAgentTask"}


def keys(found: dict[str, Any]) -> set[str]:
    """Beside `_answer`, which every answer has."""
    assert set(found["_answer"]) == ANSWER
    return set(found) - {"_answer"}


async def full(world: DoubleWorld) -> tuple[str, str]:
    """A session that was given a task by another one."""
    parent = world.session("Parent")
    child = world.session("Look it up", parent=parent)
    world.double.add_message(child, "the parser")
    for read in (sessions.list, events.list, tasks.list):
        await read(world.context)
    await sessions.get(world.context, child)
    return parent, child


# Full answers


async def test_sessions_get(world: DoubleWorld) -> None:
    _, child = await full(world)
    found = (await sessions.get(world.context, child)).to_json()
    assert keys(found) == {"session", "messages"}
    task = {"agentTaskStatus", "parentId"}
    assert set(found["session"]) == ALWAYS | TIMES | TOLD | task
    assert found["messages"] == world.double.messages(child)


async def test_sessions_list(world: DoubleWorld) -> None:
    parent, child = await full(world)
    found = (await sessions.list(world.context)).to_json()
    assert keys(found) == {"sessions", "totalCount", "pagination", "summary"}
    assert [each["id"] for each in found["sessions"]] == [child, parent]
    assert set(found["sessions"][1]) == ALWAYS | TIMES | TOLD
    assert found["pagination"] == {
        "limit": 20,
        "offset": 0,
        "hasMore": False,
        "currentPage": 1,
        "totalPages": 1,
    }
    assert found["summary"] == {"active": 2, "waiting_for_input": 0, "idle": 0, "agentTasks": 1}


async def test_sessions_search(world: DoubleWorld) -> None:
    _, child = await full(world)
    found = (await sessions.search(world.context, "parser")).to_json()
    assert keys(found) == {"query", "results", "totalCount"}
    (hit,) = [each for each in found["results"] if each["id"] == child]
    more = {"agentTaskStatus", "parentId", "score", "snippet", "matchedMessageId"}
    assert set(hit) == ALWAYS | TIMES | TOLD | more
    assert hit["matchedMessageId"] == next(iter(world.double.infos[child]))
    assert "parser" in hit["snippet"]


async def test_messages(world: DoubleWorld) -> None:
    _, child = await full(world)
    (message,) = world.double.messages(child)
    listed = (await messages.list(world.context, child)).to_json()
    assert keys(listed) == {"sessionId", "messages", "hasMore", "nextCursor"}
    assert (listed["messages"], listed["hasMore"], listed["nextCursor"]) == ([message], False, None)
    got = (await messages.get(world.context, child, message["info"]["id"])).to_json()
    assert keys(got) == {"message"}
    assert got["message"] == message
    found = (await messages.search(world.context, "parser")).to_json()
    assert keys(found) == {"query", "results", "totalCount"}
    (hit,) = found["results"]
    assert set(hit) == {"message", "sessionId", "sessionTitle", "score", "snippet", "modes"}
    assert (hit["message"], hit["sessionId"]) == (message, child)
    assert hit["sessionTitle"] == "Look it up"
    assert set(hit["modes"]) <= {"text", "semantic"}


async def test_events(world: DoubleWorld) -> None:
    _, child = await full(world)
    listed = (await events.list(world.context, k=1, session_id=child)).to_json()
    assert {"events", "totalCount", "filters"} <= keys(listed)
    assert set(listed["filters"]) == FILTERS
    assert (listed["filters"]["k"], listed["filters"]["sessionId"]) == (1, child)
    assert listed["totalCount"] == len(world.double.events[child])
    (event,) = listed["events"]
    assert {"id", "type", "sessionID", "_id", "_timestamp"} <= set(event)
    assert event["_id"] == f"event:{event['id']}"
    assert event["_timestamp"].endswith("Z")
    got = (await events.get(world.context, event["id"])).to_json()
    assert keys(got) == {"event"}
    assert got["event"] == event
    found = (await events.search(world.context, "look")).to_json()
    assert keys(found) == {"query", "results", "totalCount"}
    assert {"event", "score", "snippet"} == set(found["results"][0])


async def test_tasks(world: DoubleWorld) -> None:
    _, child = await full(world)
    listed = (await tasks.list(world.context)).to_json()
    assert keys(listed) == {"tasks", "totalCount"}
    (task,) = listed["tasks"]
    assert set(task) == {"sessionId", "task", "startTime", "status", "lastActivity"}
    assert (task["sessionId"], task["task"], task["status"]) == (child, "Look it up", "running")
    got = (await tasks.get(world.context, child)).to_json()
    assert keys(got) == {"task"}
    assert got["task"] == task
    updated = await tasks.update(
        world.context, child, status="completed", completion_message="Done"
    )
    assert updated.to_json()["task"]["completionMessage"] == "Done"
    assert keys((await tasks.create(world.context, "mine", "Do it")).to_json()) == {"task"}


# Empty and degraded ones have the same


async def test_empty_answers_have_the_same_names(world: DoubleWorld) -> None:
    context = world.context
    session_id = world.session()
    listed = (await messages.list(context, session_id)).to_json()
    assert listed.pop("_answer")["source"] == "remote"
    assert listed == {
        "sessionId": session_id,
        "messages": [],
        "hasMore": False,
        "nextCursor": None,
    }
    world.double.delete_session(session_id)
    empty = (await messages.search(context, "nothing")).to_json()
    assert keys(empty) == {"query", "results", "totalCount"}
    assert (empty["query"], empty["results"], empty["totalCount"]) == ("nothing", [], 0)
    found = (await tasks.list(context)).to_json()
    assert (keys(found), found["tasks"]) == ({"tasks", "totalCount"}, [])


async def test_an_empty_list_of_sessions(world: DoubleWorld) -> None:
    found = (await sessions.list(world.context, limit=7)).to_json()
    del found["_answer"]
    assert found == {
        "sessions": [],
        "totalCount": 0,
        "pagination": {
            "limit": 7,
            "offset": 0,
            "hasMore": False,
            "currentPage": 1,
            "totalPages": 0,
        },
        "summary": {"active": 0, "waiting_for_input": 0, "idle": 0, "agentTasks": 0},
    }


async def test_degraded_answers_have_the_same_names(world: DoubleWorld, ticks: Ticks) -> None:
    _, child = await full(world)
    reads: list[Callable[[], Awaitable[Answer[Any]]]] = [
        lambda: sessions.get(world.context, child),
        lambda: sessions.list(world.context),
        lambda: messages.list(world.context, child),
        lambda: events.list(world.context),
        lambda: tasks.list(world.context),
        lambda: tasks.get(world.context, child),
    ]
    whole: list[Any] = [(await read()).to_json() for read in reads]
    world.later(FINISHED + STALE)
    world.line.cut()
    stale: list[Any] = [(await read()).to_json() for read in reads]
    for one, other in zip(whole, stale, strict=True):
        assert (keys(one), one["_answer"]["source"]) == (keys(other), "local")
        assert other["_answer"]["source"] == "stale"
        assert other["_answer"]["complete"] in (False, True)
        assert other["_answer"]["ageMs"] == (FINISHED + STALE) * 1000
        assert other["_answer"]["errors"][0].startswith("UnavailableError: ")
        assert other["_answer"]["degraded"]
    assert set(whole[0]["session"]) == set(stale[0]["session"])
    world.line.mend()
    ticks.later()
    world.faults.outage("documents.*")
    remote = (await sessions.get(world.context, child)).to_json()
    assert keys(remote) == {"session", "messages"}
    assert set(remote["session"]) >= ALWAYS | TIMES | TOLD


# What a session says of itself


async def test_a_session_without_a_title_is_called_by_its_id(world: DoubleWorld) -> None:
    session_id = world.session()
    for title in ("", " ", None, 7):
        world.double.sessions[session_id]["title"] = title
        world.later(FINISHED + STALE)
        got = await sessions.get(world.context, session_id)
        assert got.value.session.title == session_id
    world.double.add_message(session_id, "parser")
    world.later(FINISHED + STALE)
    await sessions.get(world.context, session_id)
    (hit,) = (await messages.search(world.context, "parser")).value.results
    assert hit.session_title == session_id


async def test_times_are_iso_in_utc_and_come_from_the_data(world: DoubleWorld) -> None:
    world.clock.now = 1_700_000_000_000
    world.double.now = 1_699_999_000_000 - 1
    session_id = world.double.create_session("Talk")
    empty = (await sessions.get(world.context, session_id)).value.session
    assert empty.created_at == "2023-11-14T21:56:40.000Z"
    assert empty.last_activity_time == empty.updated_at == empty.created_at
    assert empty.session_age == 1_000
    world.double.add_message(session_id, "hello")
    world.later(FINISHED + STALE)
    active = (await sessions.get(world.context, session_id)).value.session
    created = world.double.messages(session_id)[0]["info"]["time"]["created"]
    assert created % 1000 == 1
    assert active.last_activity_time == "2023-11-14T21:56:40.001Z"
    assert active.message_count == 1


async def test_an_archived_session_says_so(world: DoubleWorld) -> None:
    session_id = world.session()
    world.double.archive(session_id)
    (info,) = (await sessions.list(world.context)).to_json()["sessions"]
    assert "archivedAt" in info


async def test_what_is_written_by_hand_has_the_same_shape(world: DoubleWorld) -> None:
    families = world.context.families
    await families.sessions.insert(
        {"id": session_key("mine"), "text": "Mine", "metadata": {"session_id": "mine"}}
    )
    await families.messages.insert(
        {
            "id": message_key("mine", "1"),
            "text": "hello",
            "timestamp": 5,
            "metadata": {"session_id": "mine", "role": "assistant"},
        }
    )
    got = await sessions.get(world.context, "mine")
    assert (got.source, got.complete) == ("local", True)
    (message,) = got.to_json()["messages"]
    assert message["info"]["role"] == "assistant"
    assert message["info"]["sessionID"] == "mine"
    assert message["info"]["time"] == {"created": 5}
    assert message["parts"][0]["text"] == "hello"
    assert set(got.to_json()["session"]) >= ALWAYS
    assert (await messages.search(world.context, "hello", session_id="mine")).complete


@pytest.mark.parametrize(
    ("count", "status"),
    [
        (0, "active"),
        (9, "active"),
        (10, "waiting_for_input"),
        (49, "waiting_for_input"),
        (50, "idle"),
    ],
)
async def test_without_a_task_the_status_goes_by_the_messages(
    world: DoubleWorld, count: int, status: str
) -> None:
    session_id = await talk(world, *map(str, range(count)))
    got = await sessions.get(world.context, session_id)
    assert (got.value.session.activity_status, got.value.session.message_count) == (status, count)
    assert not got.value.session.is_agent_task
    summary = (await sessions.list(world.context)).value.summary.model_dump()
    assert summary == {"active": 0, "waiting_for_input": 0, "idle": 0, "agent_tasks": 0} | {
        status: 1
    }


async def test_with_a_task_the_status_goes_by_the_task(world: DoubleWorld) -> None:
    child = world.session("Look", parent=world.session())
    for number in range(60):
        world.double.add_message(child, str(number))
    await tasks.list(world.context)

    async def status() -> tuple[str, str | None]:
        info = (await sessions.get(world.context, child)).value.session
        return info.activity_status, info.agent_task_status

    last = world.context.clock() + 1_000
    world.clock.now = last
    assert await status() == ("active", "running")
    world.later(6 * 60)
    assert await status() == ("waiting_for_input", "running")
    for given in ("completed", "failed", "idle"):
        await tasks.update(world.context, child, status=given, completion_message=f"it {given}")
        assert await status() == (given, given)
        info = (await sessions.get(world.context, child)).to_json()["session"]
        assert info.get("error") == ("it failed" if given == "failed" else None)
        assert ("error" in info) == (given == "failed")


async def test_a_task_that_runs_in_silence_is_counted_as_waiting(world: DoubleWorld) -> None:
    world.session("Look", parent=world.session())
    await tasks.list(world.context)
    listed = (await sessions.list(world.context)).value.summary
    assert (listed.active, listed.waiting_for_input, listed.agent_tasks) == (2, 0, 1)
    world.later(6 * 60)
    world.line.cut()
    listed = (await sessions.list(world.context)).value.summary
    assert (listed.active, listed.waiting_for_input, listed.agent_tasks) == (1, 1, 1)


# Pages


@pytest.mark.parametrize(
    ("limit", "offset", "has_more", "page", "pages"),
    [
        (3, 0, True, 1, 3),
        (3, 3, True, 2, 3),
        (3, 6, False, 3, 3),
        (3, 4, False, 2, 3),
        (7, 0, False, 1, 1),
        (6, 0, True, 1, 2),
        (100, 0, False, 1, 1),
        (3, 90, False, 31, 3),
    ],
)
async def test_pagination(
    world: DoubleWorld, limit: int, offset: int, has_more: bool, page: int, pages: int
) -> None:
    for number in range(7):
        world.double.create_session(str(number))
    found = (await sessions.list(world.context, limit, offset)).to_json()
    assert found["totalCount"] == 7
    assert found["pagination"] == {
        "limit": limit,
        "offset": offset,
        "hasMore": has_more,
        "currentPage": page,
        "totalPages": pages,
    }
    titles = [str(number) for number in reversed(range(7))]
    assert [each["title"] for each in found["sessions"]] == titles[offset : offset + limit]


@pytest.mark.parametrize(
    ("limit", "offset", "said"),
    [(None, 0, "01234"), (2, 0, "01"), (2, 2, "23"), (2, 4, "4"), (9, 5, ""), (None, 3, "34")],
)
async def test_the_messages_of_a_session_are_a_page(
    world: DoubleWorld, limit: int | None, offset: int, said: str
) -> None:
    session_id = await talk(world, *"01234")
    for _ in range(2):
        got = await sessions.get(world.context, session_id, limit, offset)
        assert "".join(m["parts"][0]["text"] for m in got.value.messages) == said
        assert got.value.session.message_count == 5
    world.faults.outage("documents.*")
    got = await sessions.get(world.context, session_id, limit, offset)
    assert "".join(m["parts"][0]["text"] for m in got.value.messages) == said


# Messages as they were given


async def test_what_is_nothing_in_a_message_stays(world: DoubleWorld) -> None:
    session_id = world.session()
    odd = {"parentId": None, "error": None, "agentTaskStatus": None, "sessionAge": None}
    message_id = world.double.add_message(session_id, "hello", **odd)
    for _ in range(2):
        got = (await messages.get(world.context, session_id, message_id)).to_json()
        assert got["message"] == world.double.message(session_id, message_id)
        assert got["message"]["info"].items() >= odd.items()
    (hit,) = (await messages.search(world.context, "hello")).to_json()["results"]
    assert hit["message"] == world.double.message(session_id, message_id)


async def test_times_far_from_now_are_shown_all_the_same(world: DoubleWorld) -> None:
    assert world.clock.now == NOW
    session_id = world.session()
    world.double.sessions[session_id]["time"] = {"created": -62_135_596_800_000, "updated": 1.5}
    info = (await sessions.get(world.context, session_id)).to_json()["session"]
    assert info["createdAt"] == "0001-01-01T00:00:00.000Z"
    assert info["updatedAt"] == "1970-01-01T00:00:00.001Z"
