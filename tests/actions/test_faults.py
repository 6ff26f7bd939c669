"""Every action, and everything that may be wrong with the remote or with the stores.

Each row ends with what the table of local-first reading has for it, nothing is lost, and nothing
wrong is stored: when the trouble is over, the answer is what the remote has.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest

from actions import Answer, events, messages, sessions, tasks
from dualstore.errors import NotFoundError, RemoteError, RemoteRefusedError, UnavailableError
from tests.actions.conftest import MakeWorld, Ticks
from tests.actions.world import ABSENT, FINISHED, STALE, DoubleWorld
from tests.support.opencode_double import OpenCodeDouble
from tests.support.opencode_faults import Fault, answers, never_ends, refuses, resets, stalls

Change = Callable[[Any, str], Any]


@dataclass(frozen=True)
class Scene:
    """What is at the remote: a session with messages, and a task that hangs on it."""

    world: DoubleWorld
    session_id: str
    message_id: str
    child: str
    event_id: str

    def goes_on(self) -> None:
        """Something happens that isn't known here."""
        self.world.double.add_message(self.session_id, "a second parser")
        self.world.double.rename(self.session_id, "Talk of parsers")
        self.world.double.write_part(self.session_id, self.message_id, "and commas")


def scene(world: DoubleWorld) -> Scene:
    session_id = world.session("Talk")
    message_id = world.double.add_message(session_id, "the parser", role="assistant")
    child = world.session("Look at the parser", parent=session_id)
    event_id = world.double.events[child][0]["id"]
    return Scene(world, session_id, message_id, child, event_id)


@dataclass(frozen=True)
class Action:
    """An action, and what its answer has to say."""

    ask: Callable[[Scene], Awaitable[Answer[Any]]]
    told: Callable[[Any], Any]
    """Of the answer's value."""
    truth: Callable[[Scene], Any]
    """The same of the remote."""
    is_list: bool = False
    is_search: bool = False


def _texts(found: list[dict[str, Any]]) -> list[list[str]]:
    return [[part["text"] for part in each["parts"]] for each in found]


def _is_called(data: dict[str, Any]) -> bool:
    return "parser" in data.get("info", {}).get("title", "")


def _canonical(message: dict[str, Any]) -> bytes:
    return orjson.dumps(message, option=orjson.OPT_SORT_KEYS)


ACTIONS: dict[str, Action] = {
    "sessions.get": Action(
        lambda it: sessions.get(it.world.context, it.session_id),
        lambda value: (value.session.title, value.messages),
        lambda it: (
            it.world.double.sessions[it.session_id]["title"],
            it.world.double.messages(it.session_id),
        ),
    ),
    "sessions.list": Action(
        lambda it: sessions.list(it.world.context),
        lambda value: {each.id: each.title for each in value.sessions},
        lambda it: {key: each["title"] for key, each in it.world.double.sessions.items()},
        is_list=True,
    ),
    "sessions.search": Action(
        lambda it: sessions.search(it.world.context, "parser"),
        lambda value: {each.id for each in value.results},
        lambda it: {it.session_id, it.child},
        is_search=True,
    ),
    "messages.get": Action(
        lambda it: messages.get(it.world.context, it.session_id, it.message_id),
        lambda value: value.message,
        lambda it: it.world.double.message(it.session_id, it.message_id),
    ),
    "messages.list": Action(
        lambda it: messages.list(it.world.context, it.session_id),
        lambda value: value.messages,
        lambda it: it.world.double.messages(it.session_id),
    ),
    "messages.search": Action(
        lambda it: messages.search(it.world.context, "parser"),
        lambda value: sorted(map(_canonical, (each.message for each in value.results))),
        lambda it: sorted(map(_canonical, it.world.double.messages(it.session_id))),
        is_search=True,
    ),
    "events.get": Action(
        lambda it: events.get(it.world.context, it.event_id),
        lambda value: (value.event["id"], value.event["type"], value.event["properties"]),
        lambda it: (it.event_id, "session.created", it.world.double.events[it.child][0]["data"]),
    ),
    "events.list": Action(
        lambda it: events.list(it.world.context),
        lambda value: {each["id"] for each in value.events},
        lambda it: {event["id"] for event in it.world.double.history({})},
        is_list=True,
    ),
    "events.search": Action(
        lambda it: events.search(it.world.context, "parser", k=100),
        lambda value: {
            each.event["id"] for each in value.results if _is_called(each.event["properties"])
        },
        lambda it: {
            event["id"] for event in it.world.double.history({}) if _is_called(event["data"])
        },
        is_search=True,
    ),
    "tasks.list": Action(
        lambda it: tasks.list(it.world.context),
        lambda value: [(each.session_id, each.task, each.status) for each in value.tasks],
        lambda it: [(it.child, "Look at the parser", "running")],
        is_list=True,
    ),
    "tasks.get": Action(
        lambda it: tasks.get(it.world.context, it.child),
        lambda value: (value.task.session_id, value.task.task, value.task.status),
        lambda it: (it.child, "Look at the parser", "running"),
    ),
}


@pytest.fixture(params=ACTIONS)
def action(request: pytest.FixtureRequest) -> Action:
    """Each of them."""
    return ACTIONS[request.param]


async def everything(it: Scene) -> None:
    """All that can be read is read."""
    context = it.world.context
    await sessions.list(context)
    await sessions.get(context, it.session_id)
    await sessions.get(context, it.child)
    await messages.get(context, it.session_id, it.message_id)
    await events.list(context)
    await tasks.list(context)


async def test_the_truth_is_what_the_remote_has(world: DoubleWorld, action: Action) -> None:
    """So that the tests below compare with the right thing."""
    it = scene(world)
    await everything(it)
    answer = await action.ask(it)
    assert action.told(answer.value) == action.truth(it)
    assert answer.complete


# The remote


def changed(double: OpenCodeDouble, change: Change) -> Fault:
    """What it says, in another form."""

    async def fault(request: httpx.Request) -> httpx.Response:
        answer = await double.handle_async_request(request)
        content = change(orjson.loads(await answer.aread()), request.url.path)
        headers = {"content-type": "application/json"}
        return httpx.Response(answer.status_code, headers=headers, content=orjson.dumps(content))

    return fault


def _truncated(double: OpenCodeDouble) -> Fault:
    async def fault(request: httpx.Request) -> httpx.Response:
        answer = await double.handle_async_request(request)
        content = (await answer.aread())[:-3]
        return httpx.Response(200, headers={"content-type": "application/json"}, content=content)

    return fault


def _always(fault: Fault) -> Callable[[OpenCodeDouble], Fault]:
    return lambda _: fault


def _wrong_fields(content: Any, _: str) -> Any:
    """Objects where something else should be, and the other way round."""
    if isinstance(content, list):
        return [[each] for each in content] or ["nothing"]
    return {**content, "id": 7, "info": [], "time": "yesterday", "parts": {}}


HARD: dict[str, Callable[[OpenCodeDouble], Fault]] = {
    "refused": _always(refuses),
    "reset in mid-body": _always(resets),
    "timeout": _always(stalls),
    "400": _always(answers(400, {"_tag": "BadRequest"})),
    "401": _always(answers(401, b"")),
    "404 of other shape": _always(answers(404, {"error": "nothing here"})),
    "409": _always(answers(409, {"name": "BusyError", "data": {"message": "busy"}})),
    "429": _always(answers(429, b"{}", retry_after="1")),
    "500": _always(answers(500, {"name": "UnknownError", "data": {"message": "oh"}})),
    "HTML": _always(answers(200, b"<!doctype html>", kind="text/html")),
    "truncated JSON": _truncated,
    "another type": lambda double: changed(double, lambda *_: 7),
    "wrong fields": lambda double: changed(double, _wrong_fields),
    "endless body": _always(never_ends),
}


@pytest.mark.parametrize("fault", HARD)
async def test_stale_here_and_the_remote_in_trouble(
    world: DoubleWorld, ticks: Ticks, action: Action, fault: str
) -> None:
    it = scene(world)
    await everything(it)
    before = action.told((await action.ask(it)).value)
    it.goes_on()
    world.later(FINISHED + STALE)
    world.hurry(0.05 if fault == "timeout" else 20)
    world.line.cut(HARD[fault](world.double))
    stale = await action.ask(it)
    assert action.told(stale.value) == before
    if not action.is_search and action is not ACTIONS["events.get"]:  # an event never changes
        assert (stale.source, stale.complete) == ("stale", False)
        assert [type(each) for each in stale.errors] == [_kind(fault)]
        assert any("the remote can't be asked" in each for each in stale.degraded)
    await _comes_right(it, ticks, action)


@pytest.mark.parametrize("fault", HARD)
async def test_nothing_here_and_the_remote_in_trouble(
    world: DoubleWorld, ticks: Ticks, action: Action, fault: str
) -> None:
    it = scene(world)
    it.goes_on()
    world.hurry(0.05 if fault == "timeout" else 20)
    world.line.cut(HARD[fault](world.double))
    if action.is_search:
        answer = await action.ask(it)
        assert (answer.value.total_count, answer.source, answer.complete) == (0, "local", False)
    elif action.is_list:
        answer = await action.ask(it)
        assert (answer.value.total_count, answer.source, answer.complete) == (0, "local", False)
        assert [type(each) for each in answer.errors] == [_kind(fault)]
    else:
        with pytest.raises(UnavailableError) as caught:
            await action.ask(it)
        assert [type(each) for each in caught.value.causes] == [NotFoundError, _kind(fault)]
    await _comes_right(it, ticks, action)


def _kind(fault: str) -> type[Exception]:
    """Whether asking again may help."""
    if fault in {"refused", "reset in mid-body", "timeout", "409", "429", "500"}:
        return UnavailableError
    return RemoteRefusedError if fault == "401" else RemoteError


async def _comes_right(it: Scene, ticks: Ticks, action: Action) -> None:
    """The trouble is over, and what is here then is what the remote has."""
    it.world.line.mend()
    it.world.faults.heal()
    it.world.hurry(20)
    ticks.later()
    it.world.later(FINISHED + STALE + ABSENT)
    if action.is_search:
        await everything(it)
        await it.world.context.store.drain(20)
    answer = await action.ask(it)
    assert action.told(answer.value) == action.truth(it)
    assert (answer.complete, answer.errors) == (True, ())
    assert [each for each in answer.degraded if "not all messages" not in each] == []
    assert await it.world.refused() == []


def _doubled(content: Any, _: str) -> Any:
    """A page that repeats itself, in another order."""
    return [*reversed(content), *content] if isinstance(content, list) else content


def _one_is_malformed(content: Any, path: str) -> Any:
    if not isinstance(content, list):
        return content
    if path.endswith("/history"):
        event = {"id": "evt_\x01", "aggregate_id": "ses_else", "seq": 0, "type": "a", "data": {}}
        return [event, *content] if content else content
    if path.endswith("/message"):
        return [*content[:1], {"info": {"id": "msg_odd", "time": {}}, "parts": 7}, *content[1:]]
    return [*content[:1], {"id": "ses_odd", "time": {"updated": "now"}}, *content[1:]]


@pytest.mark.parametrize("is_here", [True, False], ids=["stale here", "nothing here"])
async def test_a_page_that_repeats_itself_is_taken_once(
    world: DoubleWorld, ticks: Ticks, action: Action, is_here: bool
) -> None:
    it = scene(world)
    if is_here:
        await everything(it)
    it.goes_on()
    world.later(FINISHED + STALE)
    world.line.cut(changed(world.double, _doubled))
    if action.is_search:
        await everything(it)
    answer = await action.ask(it)
    assert action.told(answer.value) == action.truth(it)
    assert (answer.complete, answer.errors) == (True, ())
    await _comes_right(it, ticks, action)


WHOLE = [ACTIONS[each] for each in ("messages.get", "events.get", "tasks.get", "tasks.list")]
"""What lacks nothing, where a session, a message and an event are malformed."""
ALL_THERE_IS = [ACTIONS[each] for each in ("events.list", "events.search")]
"""What lacks an event, which nobody tells twice: only that is said."""


@pytest.mark.parametrize("is_here", [True, False], ids=["stale here", "nothing here"])
async def test_a_malformed_item_harms_no_other(
    world: DoubleWorld, action: Action, is_here: bool
) -> None:
    it = scene(world)
    if is_here:
        await everything(it)
    it.goes_on()
    world.later(FINISHED + STALE)
    world.line.cut(changed(world.double, _one_is_malformed))
    await everything(it)
    answer = await action.ask(it)
    assert action.told(answer.value) == action.truth(it)
    assert (answer.errors, answer.source) == ((), "local")
    assert answer.complete == (action in WHOLE + ALL_THERE_IS)
    assert action not in ALL_THERE_IS or "1 can't be kept" in answer.degraded[-1]
    whats = {each.what for each in await world.refused()}
    assert {"session ses_odd", f"message of {it.session_id}: msg_odd"} <= whats
    assert all(each.reason for each in await world.refused())


# The stores


STORES: dict[str, tuple[str, ...]] = {
    "documents": ("documents.*", "records.*"),
    "vectors": ("vectors.*",),
    "documents and vectors": ("documents.*", "records.*", "vectors.*"),
}


@pytest.mark.parametrize("is_here", [True, False], ids=["fresh here", "nothing here"])
@pytest.mark.parametrize("stores", STORES)
async def test_stores_in_trouble(
    world: DoubleWorld, ticks: Ticks, action: Action, stores: str, is_here: bool
) -> None:
    it = scene(world)
    if is_here:
        await everything(it)
        await world.context.store.drain(20)
    for pattern in STORES[stores]:
        world.faults.outage(pattern)
    if stores == "vectors":
        await _only_meaning_is_missing(it, action, is_here=is_here)
    elif action.is_search:
        with pytest.raises(UnavailableError, match="injected"):
            await action.ask(it)
    else:
        answer = await action.ask(it)
        if action is not ACTIONS["tasks.list"]:
            assert action.told(answer.value) == action.truth(it)
        assert answer.source == "remote"
        assert [type(each) for each in answer.errors] == [UnavailableError]
        assert any("the store can't be read" in each for each in answer.degraded)
    it.goes_on()
    await _comes_right(it, ticks, action)


async def _only_meaning_is_missing(it: Scene, action: Action, *, is_here: bool) -> None:
    answer = await action.ask(it)
    assert answer.source == ("local" if is_here or action.is_search else "remote")
    if is_here or not action.is_search:
        assert action.told(answer.value) == action.truth(it)


@pytest.mark.parametrize("name", [n for n, action in ACTIONS.items() if not action.is_search])
async def test_a_page_that_repeats_itself_while_the_store_is_down(
    world: DoubleWorld, name: str
) -> None:
    it, action = scene(world), ACTIONS[name]
    for number in range(5):
        world.double.add_message(it.session_id, str(number))
    before = (await sessions.list(world.context)).value
    world.line.cut(changed(world.double, _doubled))
    world.faults.outage("documents.*")
    world.faults.outage("records.*")
    answer = await action.ask(it)
    assert action.told(answer.value) == action.truth(it)
    if name == "sessions.list":
        assert answer.value.total_count == 2
        assert [s.id for s in answer.value.sessions] == [s.id for s in before.sessions]
    if name == "tasks.list":
        assert answer.value.total_count == 1


async def test_whoever_insists_on_meaning_is_told_that_it_is_missing(world: DoubleWorld) -> None:
    it = scene(world)
    await everything(it)
    await world.context.store.drain(20)
    world.faults.outage("vectors.*")
    with pytest.raises(UnavailableError, match="injected"):
        await messages.search(world.context, "parser", mode="semantic")
    hybrid = await messages.search(world.context, "parser")
    assert hybrid.degraded
    assert hybrid.value.results[0].modes == ["text"]


async def test_a_slow_remote_is_not_waited_for_longer_than_said(make_world: MakeWorld) -> None:
    async with make_world(remote_timeout=0.05) as world:
        it = scene(world)
        world.line.fault_of = lambda _: stalls
        with pytest.raises(UnavailableError, match="didn't answer in"):
            await sessions.get(world.context, it.session_id)
