"""What callers get wrong, and what must never be told."""

import base64
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from actions import Context, events, messages, open_actions, sessions, tasks
from dualstore.errors import (
    CursorError,
    DualStoreError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from dualstore.settings import Settings
from tests.actions.test_faults import everything, scene
from tests.actions.test_table import talk
from tests.actions.world import FINISHED, PASSWORD, STALE, DoubleWorld, World
from tests.support.opencode_faults import answers, refuses

ODD_IDS = (
    "ses",
    "abc",
    "msg_1",
    "ses_a:b",
    "session:ses_1:messages",
    "ses_a/b",
    "../session",
    "ses_..",
    "ses_a?b#c",
    "ses_%2e%2e",
    "ses_ä",
    "ses_\U0001f600",
    " ses_1 ",
    "ses_" + "x" * 300,
)
NO_IDS: tuple[Any, ...] = ("", " ", "\n\t", None, 7, b"ses_1", ["ses_1"], "a\x00b", "\ud800")
NO_LIMITS: tuple[Any, ...] = (0, -1, -(10**30), 1.5, "7", True, [], float("nan"))
HUGE = (2**31, 2**63, 10**30)

Ask = Callable[[Context, Any], Awaitable[Any]]

BY_ID: dict[str, Ask] = {
    "sessions.get": sessions.get,
    "messages.list": messages.list,
    "messages.get": lambda c, it: messages.get(c, it, "msg_1"),
    "messages.get of a session": lambda c, it: messages.get(c, "ses_1", it),
    "events.get": events.get,
    "tasks.get": tasks.get,
    "tasks.update": lambda c, it: tasks.update(c, it, status="idle"),
}


# Ids


@pytest.mark.parametrize("ask", BY_ID)
async def test_ids_of_another_form_are_nobodys(world: DoubleWorld, ask: str) -> None:
    world.session()
    for odd in ODD_IDS:
        with pytest.raises(NotFoundError):
            await BY_ID[ask](world.context, odd)
    assert not any(".." in each or "%2e" in each for each in world.line.requests)
    for manager in world.context.families[:2]:
        assert await manager.count() == 0


async def test_the_real_server_has_nothing_under_ids_of_another_form(everywhere: World) -> None:
    for odd in ODD_IDS:
        with pytest.raises(NotFoundError):
            await sessions.get(everywhere.context, odd)


@pytest.mark.parametrize("ask", [*BY_ID, "tasks.create"])
async def test_what_is_no_id_is_refused(world: DoubleWorld, ask: str) -> None:

    async def create(context: Context, session_id: Any) -> Any:
        return await tasks.create(context, session_id, "Do it")

    asks = {**BY_ID, "tasks.create": create}
    for none in NO_IDS:
        with pytest.raises(InvalidInputError):
            await asks[ask](world.context, none)
    assert world.asked == 0


@pytest.mark.parametrize("odd", ["a:b", "ä/../%", "session:x:messages", "x" * 500])
async def test_own_things_may_have_any_id(world: DoubleWorld, odd: str) -> None:
    made = await tasks.create(world.context, odd, "Do it")
    assert made.value.task.session_id == odd
    assert (await tasks.get(world.context, odd)).value == made.value
    assert [t.session_id for t in (await tasks.list(world.context)).value.tasks] == [odd]


# Limits and offsets


@pytest.mark.parametrize("wrong", NO_LIMITS, ids=repr)
async def test_a_limit_of_nothing_is_refused(world: DoubleWorld, wrong: Any) -> None:
    context = world.context
    for ask in (
        sessions.list(context, limit=wrong),
        sessions.get(context, "ses_1", limit=wrong),
        sessions.search(context, "a", k=wrong),
        messages.list(context, "ses_1", limit=wrong),
        messages.search(context, "a", k=wrong),
        events.list(context, k=wrong),
        events.search(context, "a", k=wrong),
        tasks.list(context, limit=wrong),
    ):
        with pytest.raises(InvalidInputError, match="limit"):
            await ask
    assert world.asked == 0


@pytest.mark.parametrize("wrong", [-1, -(10**30), 1.5, "7", True, None], ids=repr)
async def test_a_wrong_offset_is_refused(world: DoubleWorld, wrong: Any) -> None:
    for ask in (
        sessions.list(world.context, offset=wrong),
        sessions.get(world.context, "ses_1", offset=wrong),
    ):
        with pytest.raises(InvalidInputError):
            await ask
    assert world.asked == 0


@pytest.mark.parametrize("huge", HUGE)
async def test_huge_numbers_are_as_good_as_all(anywhere: DoubleWorld, huge: int) -> None:
    it = scene(anywhere)
    await everything(it)
    context = anywhere.context
    assert len((await sessions.list(context, limit=huge)).value.sessions) == 2
    assert (await sessions.list(context, offset=huge)).value.sessions == []
    assert len((await sessions.get(context, it.session_id, huge)).value.messages) == 1
    assert (await sessions.get(context, it.session_id, huge, huge)).value.messages == []
    assert len((await messages.list(context, it.session_id, huge)).value.messages) == 1
    assert (await messages.search(context, "parser", k=huge)).value.results
    assert (await sessions.search(context, "parser", k=huge)).value.results
    assert (await events.list(context, k=huge)).value.events
    assert (await tasks.list(context, limit=huge)).value.tasks
    anywhere.later(FINISHED + STALE)
    assert len((await messages.list(context, it.session_id, huge)).value.messages) == 1


# Cursors


def packed(*parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "garbage",
        "ä",
        "\ud800",
        "====",
        "e30",
        "x" * 9_000,
        7,
        b"x",
        packed("ses_1"),
        packed("ses_1", 1),
        packed("ses_1", "1", "x"),
        packed("ses_1", 1, 2),
        packed("ses_1", True, "x"),
        packed("ses_1", 1.5, "x"),
        packed("ses_1", 2**64 - 1, "x"),
        packed("ses_1", -(2**63), "x"),
        packed("ses_1", 1, "\x00"),
        packed("ses_1", 1, "x", "y"),
        base64.urlsafe_b64encode(b'{"a": 1, "b": 2, "c": 3}').decode(),
        base64.urlsafe_b64encode(b"[" * 5_000).decode(),
    ],
    ids=lambda it: repr(it)[:30],
)
async def test_what_is_no_cursor_is_refused(world: DoubleWorld, cursor: Any) -> None:
    with pytest.raises(CursorError):
        await messages.list(world.context, "ses_1", before=cursor)
    with pytest.raises(CursorError):
        await events.list(world.context, before=cursor)
    assert world.asked == 0


async def test_the_cursor_of_another_session_is_refused(world: DoubleWorld) -> None:
    one, other = await talk(world, "1", "2"), await talk(world, "1", "2")
    page = (await messages.list(world.context, one, limit=1)).value
    with pytest.raises(CursorError, match="another"):
        await messages.list(world.context, other, before=page.next_cursor)
    with pytest.raises(CursorError, match="another"):
        await events.list(world.context, before=page.next_cursor)
    happened = (await events.list(world.context, k=1)).value
    with pytest.raises(CursorError, match="another"):
        await messages.list(world.context, one, before=happened.next_cursor)


# Everything else


@pytest.mark.parametrize("mode", ["fuzzy", "", None, 7])
async def test_an_unknown_mode_is_refused(world: DoubleWorld, mode: Any) -> None:
    for search in (sessions.search, messages.search, events.search):
        with pytest.raises(InvalidInputError, match="mode"):
            await search(world.context, "a", mode=mode)


@pytest.mark.parametrize("query", [None, 7, b"a", "\ud800"])
async def test_what_is_no_query_is_refused(world: DoubleWorld, query: Any) -> None:
    for search in (sessions.search, messages.search, events.search):
        with pytest.raises(InvalidInputError):
            await search(world.context, query)


@pytest.mark.parametrize("query", ["", " ", "?!", "'\"; --", "a AND NOT (b", "\x00", "*" * 5_000])
async def test_any_words_may_be_searched_for(anywhere: DoubleWorld, query: str) -> None:
    it = scene(anywhere)
    await everything(it)
    for search in (sessions.search, messages.search, events.search):
        answer = await search(anywhere.context, query)
        assert answer.to_json()["query"] == query
    await events.list(anywhere.context, query=query)


@pytest.mark.parametrize("status", ["done", "", 7, "Running"])
async def test_an_unknown_status_is_refused(world: DoubleWorld, status: Any) -> None:
    with pytest.raises(InvalidInputError, match="status"):
        await tasks.list(world.context, status)
    await tasks.create(world.context, "mine", "Do it")
    with pytest.raises(InvalidInputError, match="status"):
        await tasks.update(world.context, "mine", status=status)


async def test_a_task_needs_words(world: DoubleWorld) -> None:
    wrong: Any
    for wrong in ("", " ", None, 7, "\ud800"):
        with pytest.raises(InvalidInputError):
            await tasks.create(world.context, "mine", wrong)
    await tasks.create(world.context, "mine", "Do it")
    for wrong in ("", 7):
        with pytest.raises(InvalidInputError):
            await tasks.update(world.context, "mine", task=wrong)
    for wrong in (7, "\ud800"):
        with pytest.raises(InvalidInputError):
            await tasks.update(world.context, "mine", completion_message=wrong)
    assert (await tasks.get(world.context, "mine")).value.task.task == "Do it"


@pytest.mark.parametrize("flag", [1, 0, "true", "", []])
async def test_a_flag_is_true_or_false(world: DoubleWorld, flag: Any) -> None:
    for name in ("has_tool", "is_agent_task"):
        with pytest.raises(InvalidInputError, match=name):
            await events.list(world.context, **{name: flag})


@pytest.mark.parametrize("time", ["yesterday", True, float("inf"), 10**30, [], "\ud800"])
async def test_what_is_no_time_is_refused(world: DoubleWorld, time: Any) -> None:
    for name in ("since", "until"):
        with pytest.raises(InvalidInputError, match=name):
            await messages.search(world.context, "a", **{name: time})


async def test_a_search_is_in_the_time_that_was_asked_for(world: DoubleWorld) -> None:
    session_id = await talk(world, "parser one", "parser two", "parser three")
    await sessions.get(world.context, session_id)
    times = [each["info"]["time"]["created"] for each in world.double.messages(session_id)]
    found = await messages.search(world.context, "parser", since=times[1], until=times[2])
    assert [m.message["info"]["time"]["created"] for m in found.value.results] == [times[1]]
    assert (await messages.search(world.context, "parser", role="assistant")).value.results == []
    assert len((await messages.search(world.context, "parser", role="user")).value.results) == 3


async def test_a_search_in_one_session_finds_no_other(world: DoubleWorld) -> None:
    one, other = await talk(world, "the parser"), await talk(world, "the parser")
    for each in (one, other):
        await sessions.get(world.context, each)
    await sessions.list(world.context)
    for query in ("parser", other):
        found = await sessions.search(world.context, query, session_id=one)
        assert {each.id for each in found.value.results} <= {one}
    named = await sessions.search(world.context, other)
    assert (named.value.results[0].id, named.value.results[0].score) == (other, 1.0)


async def test_a_search_finds_sessions_by_all_that_they_are(world: DoubleWorld) -> None:
    titled = world.session("Quarterly budget")
    agent = world.session("Plain")
    world.double.sessions[agent] |= {"agent": "gardener", "description": "waters the plants"}
    said = await talk(world, "kangaroo")
    await sessions.list(world.context)
    for each in (titled, agent, said):
        await sessions.get(world.context, each)
    for query, wanted in (
        ("budget", titled),
        ("gardener", agent),
        ("plants", agent),
        ("kangaroo", said),
        (titled, titled),
    ):
        assert (await sessions.search(world.context, query)).value.results[0].id == wanted


# Secrets


async def test_the_password_is_told_nobody(
    world: DoubleWorld, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    it = scene(world)
    await everything(it)
    told: list[str] = [repr(world.context), str(world.settings), repr(world.context.remote)]

    said = {"name": "E", "data": {"message": f"not {PASSWORD}"}}
    for fault in (refuses, answers(401, b""), answers(400, said), answers(500, said)):
        world.later(FINISHED + STALE)
        world.line.cut(fault)
        answer = await sessions.get(world.context, it.session_id)
        told += [orjson.dumps(answer.to_json()).decode(), repr(answer)]
        with pytest.raises(UnavailableError) as caught:
            await sessions.get(world.context, "ses_other")
        error: BaseException | None = caught.value
        while error is not None:
            told.append(f"{error!r} {error}")
            error = error.__cause__
    for manager in world.context.families:
        told += [repr(each) for each in (await manager.page(limit=1000)).entries]
    told.append(caplog.text)
    told += stored(tmp_path)
    login = base64.b64encode(f"opencode:{PASSWORD}".encode()).decode()
    for text in told:
        assert PASSWORD not in text
        assert login not in text


def stored(folder: Path) -> list[str]:
    """All that is there, as it is."""
    files = sorted(folder.glob("documents.db*"))
    assert files
    return [each.read_bytes().decode("latin-1") for each in files]


async def test_a_login_in_the_address_is_stored_nowhere() -> None:
    settings = Settings(remote=f"http://somebody:{PASSWORD}@127.0.0.1:1/base/")
    assert PASSWORD not in repr(settings)
    with pytest.raises(DualStoreError) as caught:
        async with open_actions(Settings(remote=f"http://a:{PASSWORD}@[::1")):
            pass
    assert PASSWORD not in f"{caught.value!r}"
