from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.entry import Drafter, SourceVersion
from dualstore.errors import EntryError
from dualstore.family import FamilySpec
from dualstore.mirror.kinds import (
    EVENTS,
    MESSAGES,
    SESSIONS,
    TASKS,
    Copy,
    Kind,
    event_copy,
    event_order,
    happened_at,
    message_copy,
    session_copy,
)
from dualstore.remote.base import Change
from tests.mirror.strategies import LOOSE, loosened

NOW = 1_800_000_000_000
SESSION: dict[str, Any] = {
    "id": "ses_1",
    "slug": "calm-knight",
    "projectID": "prj_1",
    "directory": "/garden",
    "parentID": "ses_0",
    "title": "Water the beds",
    "agent": "general",
    "cost": 0.5,
    "time": {"created": 1_700_000_000_000, "updated": 1_700_000_005_000.9, "archived": 3},
}
TEXT: dict[str, Any] = {"id": "prt_1", "type": "text", "text": "Where is the hose?"}
TOOL: dict[str, Any] = {
    "id": "prt_2",
    "type": "tool",
    "tool": "bash",
    "state": {
        "status": "completed",
        "title": "List the shed",
        "input": {"command": "ls shed", "timeout": 30, "deep": True, "more": ["x"]},
        "output": "hose spade",
        "time": {"start": 1, "end": 2},
    },
}
INFO: dict[str, Any] = {
    "id": "msg_1",
    "sessionID": "ses_1",
    "role": "assistant",
    "agent": "build",
    "finish": "stop",
    "time": {"created": 1_700_000_001_000.7, "completed": 1_700_000_002_000.2},
}


def message(*parts: dict[str, Any], **info: Any) -> dict[str, Any]:
    return {"info": {**INFO, **info}, "parts": list(parts)}


def text_of(*parts: dict[str, Any], **info: Any) -> list[str]:
    return message_copy(message(*parts, **info), session_id="ses_1").text.split("\n")


def change(kind: str = "session.updated", *, sequence: int | None = 7, **data: Any) -> Change:
    return Change("ses_1", sequence, kind, "evt_1facefd8b001iO4XT9i1M435CG", data)


def event(kind: str, **data: Any) -> Copy:
    return event_copy(change(kind, **data), is_agent_task=False, now=NOW)


# Sessions


def test_a_session_is_an_entry_of_its_time_with_its_words() -> None:
    assert session_copy(SESSION) == Copy(
        id="session:ses_1",
        text="Water the beds\ngeneral",
        timestamp=1_700_000_005_000,
        metadata={
            "session_id": "ses_1",
            "title": "Water the beds",
            "agent": "general",
            "parent_id": "ses_0",
            "project_id": "prj_1",
            "directory": "/garden",
            "created": 1_700_000_000_000,
            "updated": 1_700_000_005_000,
            "archived": 3,
        },
        body=SESSION,
        version=SourceVersion("time", 1_700_000_005_000),
    )


def test_what_is_not_known_of_a_session_is_absent() -> None:
    copy = session_copy({"id": "ses_1", "time": {"updated": 5}})
    assert (copy.text, copy.metadata) == ("", {"session_id": "ses_1", "updated": 5})


def test_a_session_says_nothing_twice() -> None:
    thing = {**SESSION, "agent": "Water the beds", "description": "All of them"}
    assert session_copy(thing).text == "Water the beds\nAll of them"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"id": None}, "id"),
        ({"id": 1}, "id"),
        ({"id": ""}, "id"),
        ({"id": "a\nb"}, "id"),
        ({"time": None}, "time.updated"),
        ({"time": 5}, "time.updated"),
        ({"time": {"created": 5}}, "time.updated"),
        ({"time": {"updated": "2026-01-01"}}, "time.updated"),
        ({"time": {"updated": True}}, "time.updated"),
        ({"time": {"updated": float("nan")}}, "time.updated"),
        ({"time": {"updated": 2**60}}, "time.updated"),
    ],
)
def test_a_session_that_lacks_what_all_rely_on_is_refused(
    wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(EntryError) as caught:
        session_copy({**SESSION, **wrong})
    assert caught.value.field == field


def test_what_nobody_relies_on_may_be_anything() -> None:
    odd = {"created": "now", "updated": 5, "archived": 2**60}
    copy = session_copy({**SESSION, "title": 5, "agent": ["x"], "parentID": " ", "time": odd})
    assert copy.text == ""
    assert copy.metadata == {
        "session_id": "ses_1",
        "project_id": "prj_1",
        "directory": "/garden",
        "updated": 5,
    }


# Messages


def test_a_message_is_an_entry_of_its_creation_with_what_was_said() -> None:
    thing = message(TEXT)
    assert message_copy(thing, session_id="ses_1") == Copy(
        id="message:ses_1:msg_1",
        text="Where is the hose?",
        timestamp=1_700_000_001_000,
        metadata={
            "session_id": "ses_1",
            "message_id": "msg_1",
            "role": "assistant",
            "agent": "build",
            "completed": 1_700_000_002_000,
            "finish": "stop",
        },
        body=thing,
        version=None,
    )


def test_texts_come_first_then_tools_then_thoughts_then_the_error() -> None:
    thought = {"type": "reasoning", "text": "It may be in the shed."}
    error = {"name": "APIError", "data": {"message": "no water"}}
    assert text_of(thought, TOOL, TEXT, error=error) == [
        "Where is the hose?",
        "bash",
        "List the shed",
        "ls shed",
        "30",
        "hose spade",
        "It may be in the shed.",
        "no water",
    ]


def test_the_error_of_a_message_is_known_by_its_name() -> None:
    copy = message_copy(message(error={"name": "APIError"}), session_id="ses_1")
    assert (copy.text, copy.metadata["error"]) == ("APIError", "APIError")


def test_what_a_tool_takes_and_gives_is_cut() -> None:
    state = {"title": "t" * 900, "input": {"a": "i" * 900}, "output": "o" * 900, "error": "e" * 900}
    assert list(map(len, text_of({**TOOL, "state": state}))) == [4, 500, 200, 500, 500]
    assert list(map(len, text_of({"type": "reasoning", "text": "r" * 900}))) == [500]


def test_a_text_is_never_cut() -> None:
    assert text_of({"type": "text", "text": "x" * 100_000}) == ["x" * 100_000]


def test_of_files_only_their_names_are_said() -> None:
    secret = "data:image/png;base64,iVBORw0KGgo="
    assert text_of(
        {"type": "file", "filename": "dot.png", "url": secret},
        {"type": "file", "url": secret},
        {"type": "patch", "hash": "abc", "files": ["/garden/plan.txt", 5, "/garden/list.txt"]},
        {"type": "subtask", "description": "Look around", "prompt": "p" * 900, "agent": "build"},
    ) == ["Look around", "p" * 500, "dot.png", "/garden/plan.txt", "/garden/list.txt"]


def test_what_was_only_put_beside_a_text_is_left_out_unless_it_is_all() -> None:
    aside = {"type": "text", "text": "<content> of a file", "synthetic": True}
    ignored = {"type": "text", "text": "ignored", "ignored": True}
    assert text_of(aside, TEXT, ignored) == ["Where is the hose?"]
    assert text_of(ignored, aside) == ["<content> of a file"]
    assert text_of(ignored) == [""]


def test_a_retry_says_why() -> None:
    assert text_of({"type": "retry", "error": {"data": {"message": "too many"}}}) == ["too many"]


def test_parts_of_unknown_kinds_are_kept_and_say_nothing() -> None:
    thing = message({"type": "hologram", "text": "boo"}, {}, {"type": ["odd"]}, brand_new=1)
    copy = message_copy(thing, session_id="ses_1")
    assert (copy.text, copy.body) == ("", thing)


@pytest.mark.parametrize(
    ("thing", "field"),
    [
        ({}, "info.id"),
        ({"info": [], "parts": []}, "info.id"),
        (message(id=5), "info.id"),
        (message(sessionID="ses_2"), "info.sessionID"),
        (message(sessionID=None), "info.sessionID"),
        (message(time={}), "info.time.created"),
        (message(time={"created": "now"}), "info.time.created"),
        ({"info": INFO}, "parts"),
        ({"info": INFO, "parts": {}}, "parts"),
        ({"info": INFO, "parts": [{}, "text"]}, "parts[1]"),
    ],
)
def test_a_message_that_lacks_what_all_rely_on_is_refused(
    thing: dict[str, Any], field: str
) -> None:
    with pytest.raises(EntryError) as caught:
        message_copy(thing, session_id="ses_1")
    assert caught.value.field == field


# Events


def test_an_event_is_an_entry_that_a_substring_finds_and_a_search_does_not_twice() -> None:
    part = {**TEXT, "text": "x" * 3_000}
    copy = event_copy(
        change("message.part.updated", part=part, time=1_700_000_003_000),
        is_agent_task=True,
        now=NOW,
    )
    evt = "evt_1facefd8b001iO4XT9i1M435CG"
    assert copy == Copy(
        id=f"event:{evt}",
        text="",
        timestamp=1_700_000_003_000,
        metadata={
            "session_id": "ses_1",
            "type": "message.part.updated",
            "sequence": 7,
            "has_tool": False,
            "is_agent_task": True,
            "content": "x" * 2_000,
        },
        body={
            "id": evt,
            "type": "message.part.updated",
            "sessionID": "ses_1",
            "sequence": 7,
            "properties": {"part": part, "time": 1_700_000_003_000},
            "hasTool": False,
            "isAgentTask": True,
            "content": "x" * 2_000,
        },
        version=SourceVersion("sequence", 7),
    )


def test_an_event_of_a_tool_names_it_and_how_it_went() -> None:
    copy = event("message.part.updated", part=TOOL)
    assert copy.text == "message part updated\nbash\ncompleted"
    assert copy.metadata["has_tool"] is copy.body["hasTool"] is True
    assert copy.metadata["description"] == copy.body["description"] == "List the shed"
    assert event("message.part.updated", part={**TOOL, "state": {}}).body["description"] == "bash"


def test_an_event_of_a_session_has_its_title() -> None:
    copy = event("session.updated", info=SESSION)
    assert copy.text == "session updated\nWater the beds"
    assert copy.body["description"] == "Water the beds"
    assert "content" not in copy.body


def test_an_event_that_a_tool_asked_for_has_a_tool() -> None:
    asked = event("question.asked", tool={"messageID": "msg_1", "callID": "call_1"})
    assert asked.metadata["has_tool"] is True
    assert event("question.asked", tool=None).metadata["has_tool"] is False


def test_an_event_of_an_error_has_its_words() -> None:
    error = {"name": "APIError", "data": {"message": "no water"}}
    for copy in (
        event("session.error", error=error),
        event("message.updated", info={**INFO, "error": error}),
    ):
        assert copy.text.endswith(" error\nno water") or copy.text == "message updated\nno water"
        assert copy.body["content"] == "no water"
    failed = {**TOOL, "state": {"status": "error", "error": "no ladder"}}
    assert event("message.part.updated", part=failed).body["content"] == "no ladder"


def test_what_is_told_once_has_no_version() -> None:
    copy = event("session.status", sequence=None, status={"type": "busy"})
    assert (copy.version, copy.body["sequence"]) == (None, None)
    assert "sequence" not in copy.metadata
    assert copy.text == "session status\nbusy"


def test_an_event_of_no_session_is_taken_and_one_without_an_id_is_not() -> None:
    nobody = event_copy(Change("", None, "session.error", "evt_x", {}), is_agent_task=False, now=1)
    assert "session_id" not in nobody.metadata
    with pytest.raises(EntryError, match=r"^id: is empty"):
        event_copy(Change("ses_1", 1, "session.updated", "", {}), is_agent_task=False, now=1)


@pytest.mark.parametrize(
    ("data", "at"),
    [
        ({"time": 9, "info": {"time": {"completed": 8}}}, 9),
        ({"time": {}, "info": {"time": {"completed": 8, "updated": 7, "created": 6}}}, 8),
        ({"info": {"time": {"completed": None, "updated": 7.9, "created": 6}}}, 7),
        ({"info": {"time": {"created": 6}}, "part": {"time": {"end": 5}}}, 6),
        ({"part": {"time": {"start": 4, "end": 5}}}, 5),
        ({"part": {"time": {"start": 0}}}, 0),
        ({"time": 2**60, "part": {"time": {"start": 3}}}, 3),
    ],
)
def test_an_event_happened_when_its_data_say(data: dict[str, Any], at: int) -> None:
    assert happened_at(change(**data), now=NOW) == at


@pytest.mark.parametrize(
    ("event_id", "at"),
    [
        ("evt_1facefd8b001iO4XT9i1M435CG", 1_795_209_231_755),
        ("evt_1facf0a0300257G2JoioXBa9sn", 1_795_209_234_947),
    ],
)
def test_an_id_tells_its_time(event_id: str, at: int) -> None:
    told = Change("ses_1", None, "session.idle", event_id, {})
    assert happened_at(told, now=at) == at
    assert happened_at(told, now=at + 600 * 86_400_000) == at
    assert happened_at(told, now=at - 3_600_000) == at  # the remote's clock is ahead
    assert happened_at(told, now=at + 800 * 86_400_000) == at + 2**36  # begun anew


@given(st.integers(0, 4_000_000_000_000), st.integers(0, 4095), st.integers(-(10**7), 10**10))
def test_every_time_in_an_id_is_found_again(at: int, counter: int, later: int) -> None:
    order = (at % 2**36) * 4096 + counter
    told = Change("ses_1", None, "session.idle", f"evt_{order:012x}abcDEF", {})
    assert event_order(told.id) == order
    assert happened_at(told, now=at + later) == at


@pytest.mark.parametrize("event_id", ["", "evt_1", "evt_seeded0000000000000001", "1facefd8b001"])
def test_an_id_without_a_time_leaves_it_at_now(event_id: str) -> None:
    assert event_order(event_id) is None
    assert happened_at(Change("ses_1", None, "session.idle", event_id, {}), now=NOW) == NOW


# All of them


@pytest.mark.parametrize("kind", [SESSIONS, MESSAGES, EVENTS, TASKS])
def test_a_kind_makes_a_family(kind: Kind) -> None:
    spec = spec_of(kind)
    assert spec.name == f"default_{kind.name}"


def test_threads_and_authors_are_where_the_families_look_for_them() -> None:
    copy = message_copy(message(TEXT), session_id="ses_1")
    assert spec_of(MESSAGES).thread_of(copy.metadata) == "ses_1"
    assert spec_of(MESSAGES).author_of(copy.metadata) == "assistant"
    assert spec_of(EVENTS).thread_of(event("session.idle").metadata) == "ses_1"


ODD: list[Any] = [None, True, 5, -1.5, "x", "", [], [5], [[{}]], {}, {"a": 1}]
FULL = message(
    TEXT,
    TOOL,
    {"type": "patch", "files": ["a"]},
    {"type": "file", "filename": "a", "url": "data:"},
    {"type": "subtask", "description": "a", "prompt": "b"},
    {"type": "retry", "error": {"name": "E", "data": {"message": "a"}}},
    {"type": "reasoning", "text": "a"},
    error={"name": "E", "data": {"message": "a"}},
)


def with_one_odd(thing: Any) -> Iterator[Any]:
    """The thing, each time with something else in another place."""
    yield from ODD
    if isinstance(thing, dict):
        for key, value in thing.items():
            yield from ({**thing, key: odd} for odd in with_one_odd(value))
    if isinstance(thing, list):
        for at, value in enumerate(thing):
            yield from ([*thing[:at], odd, *thing[at + 1 :]] for odd in with_one_odd(value))


def test_nothing_odd_in_any_place_breaks_a_copy() -> None:
    for thing in with_one_odd(FULL):
        check(lambda thing=thing: message_copy(thing, session_id="ses_1"), MESSAGES, body=thing)
    for thing in with_one_odd(SESSION):
        check(lambda thing=thing: session_copy(thing), SESSIONS, body=thing)
    for data in with_one_odd({"info": SESSION, "part": TOOL, "error": FULL["info"]["error"]}):
        told = Change("ses_1", 3, "message.part.updated", "evt_1", data)
        check(lambda told=told: event_copy(told, is_agent_task=True, now=NOW), EVENTS)


@given(LOOSE | loosened(SESSION))
def test_any_json_is_a_session_or_refused(thing: Any) -> None:
    check(lambda: session_copy(thing), SESSIONS, body=thing)


@given(LOOSE | loosened(message(TEXT, TOOL, {"type": "patch", "files": ["a"]}, error={"data": {}})))
def test_any_json_is_a_message_or_refused(thing: Any) -> None:
    check(lambda: message_copy(thing, session_id="ses_1"), MESSAGES, body=thing)


@given(LOOSE | loosened({"info": SESSION, "part": TOOL, "error": {"data": {"message": "x"}}}))
def test_any_json_is_an_events_data_or_refused(data: Any) -> None:
    told = Change("ses_1", 3, "message.part.updated", "evt_1", data)
    check(lambda: event_copy(told, is_agent_task=True, now=NOW), EVENTS)


def spec_of(kind: Kind) -> FamilySpec:
    return FamilySpec(
        f"default_{kind.name}",
        thread_key=kind.thread_key,
        author_key=kind.author_key,
        filter_fields=kind.filter_fields,
    )


def check(make: Any, kind: Kind, **same: Any) -> None:
    """What is made can be stored, but for what no JSON of ours may hold."""
    try:
        copy = make()
        assert all(getattr(copy, name) is value for name, value in same.items())
        Drafter(spec_of(kind)).compose(
            id=copy.id,
            text=copy.text,
            timestamp=copy.timestamp,
            metadata=copy.metadata,
            body=copy.body,
        )
    except EntryError as error:
        assert error.field  # noqa: PT017 - both ends are right
