from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dualstore.entry import check_key
from dualstore.errors import EntryError, InvalidNameError
from dualstore.family import KEY_LIMIT
from dualstore.mirror.keys import (
    Key,
    event_key,
    keyed,
    message_key,
    messages_prefix,
    messages_view_key,
    parse_key,
    session_key,
    task_key,
)

ONE_PART: dict[str, Callable[[str], str]] = {
    "session": session_key,
    "messages": messages_view_key,
    "event": event_key,
    "task": task_key,
}
ANY_CHARACTERS = st.text(
    st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30
).filter(lambda text: not text.isspace())
SPECIAL = st.text(st.sampled_from(":%3Aa25messages"), min_size=1, max_size=8)
PARTS = (
    ANY_CHARACTERS | SPECIAL | st.sampled_from(["messages", "x:messages", "%3A", "%25", "%253A"])
)
KEYS = st.one_of(
    st.builds(lambda kind, part: Key(kind, (part,)), st.sampled_from(sorted(ONE_PART)), PARTS),
    st.builds(lambda *parts: Key("message", parts), PARTS, PARTS),
)


def built(key: Key) -> str:
    return message_key(*key.parts) if key.kind == "message" else ONE_PART[key.kind](*key.parts)


@given(KEYS)
def test_a_key_is_read_back_as_what_it_was_built_of(key: Key) -> None:
    text = built(key)
    assert check_key(text, "id") == text
    assert parse_key(text) == key


@given(KEYS, KEYS)
@example(Key("session", ("x:messages",)), Key("messages", ("x",)))
@example(Key("message", ("a:b", "c")), Key("message", ("a", "b:c")))
@example(Key("session", (":",)), Key("session", ("%3A",)))
def test_two_different_things_never_share_a_key(one: Key, other: Key) -> None:
    assert (built(one) == built(other)) == (one == other)


@given(st.text(st.sampled_from(":%3Aa25 ")).map("session:".__add__) | st.text())
def test_what_is_taken_for_a_key_is_exactly_what_would_be_built(text: str) -> None:
    try:
        key = parse_key(text)
    except InvalidNameError:
        return
    assert built(key) == text


def test_how_keys_are_spelled() -> None:
    assert session_key("ses_1") == "session:ses_1"
    assert messages_view_key("ses_1") == "session:ses_1:messages"
    assert message_key("ses_1", "msg_1") == "message:ses_1:msg_1"
    assert event_key("evt_1") == "event:evt_1"
    assert task_key("ses_1") == "task:ses_1"
    assert session_key("a:b%c/ä ") == "session:a%3Ab%25c/ä "


@given(PARTS, PARTS, PARTS)
@example("a", "a:b", "c")
def test_only_the_keys_of_a_sessions_messages_begin_with_its_prefix(
    session_id: str, other_id: str, message_id: str
) -> None:
    begins = message_key(other_id, message_id).startswith(messages_prefix(session_id))
    assert begins == (session_id == other_id)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "a key: is empty"),
        ("session", "'session' is no key: those are"),
        ("sessions:x", "'sessions:x' is no key: those are"),
        ("Session:x", "is no key: those are"),
        ("session:", "a part: is empty"),
        ("session: ", "a part: is blank"),
        ("session::messages", "a part: is empty"),
        ("session:x:message", "is no key: those are"),
        ("session:x:messages:y", "is no key: those are"),
        ("message:x", "is no key: those are"),
        ("message:x:", "a part: is empty"),
        ("message:x:y:z", "is no key: those are"),
        ("event:a\nb", "a key: holds a control character"),
        ("task:%3a", "'%3a' holds a % that is neither %25 nor %3A"),
        ("task:%41", "'%41' holds a %"),
        ("task:100%", "'100%' holds a %"),
        ("task:" + "x" * KEY_LIMIT, "a key: must have 1 to"),
    ],
)
def test_what_no_builder_gives_is_refused_with_what_is_wrong(text: str, wrong: str) -> None:
    with pytest.raises(InvalidNameError) as caught:
        parse_key(text)
    assert wrong in str(caught.value)


def test_what_is_no_text_is_no_key() -> None:
    with pytest.raises(InvalidNameError, match="a key: must be a string, not int"):
        parse_key(1)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", ["", " ", "a\nb", "\x85", "\ud800", "x" * (KEY_LIMIT + 1)])
def test_a_part_that_could_be_no_id_is_refused_by_its_name(part: str) -> None:
    for build in (session_key, messages_view_key, messages_prefix, task_key):
        with pytest.raises(EntryError, match=r"^session_id: "):
            build(part)
    with pytest.raises(EntryError, match=r"^message_id: "):
        message_key("ses_1", part)
    with pytest.raises(EntryError, match=r"^event_id: "):
        event_key(part)


def test_a_key_that_would_be_too_long_is_not_built() -> None:
    with pytest.raises(EntryError, match=r"^id: must have 1 to 4096"):
        session_key(":" * (KEY_LIMIT // 2))


def test_parts_that_can_not_be_in_a_key_are_left_out() -> None:
    parts = ["a", "", "b:c", "x" * 5_000, "\0"]
    assert keyed(parts, task_key) == {"task:a": "a", "task:b%3Ac": "b:c"}
