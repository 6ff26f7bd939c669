from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.entry import GENERIC_ROLES, LOCAL, Drafter, SourceVersion, check_id
from dualstore.errors import DualStoreError, EntryError, EntryTooLargeError
from dualstore.family import FamilySpec
from dualstore.values import MAX_BYTES, YEAR_9999, from_json
from tests.documents.strategies import IDS, JSON_VALUES, METADATA, TEXTS, nested, spelled

NOW = 1_700_000_000_000
SPEC = FamilySpec("a_notes", analyzer="1", filter_fields=("role",))


@pytest.fixture
def drafter() -> Drafter:
    numbers = count(1)
    return Drafter(SPEC, new_id=lambda: f"made-{next(numbers)}")


# What comes in


def test_missing_parts_are_made(drafter: Drafter) -> None:
    draft = drafter.draft({"text": "hello"}, now=NOW)
    assert (draft.id, draft.timestamp, draft.metadata, draft.body_json) == ("made-1", NOW, {}, None)
    assert (draft.origin, draft.source_version) == (LOCAL, None)
    assert drafter.draft({"text": "hello"}, now=NOW).id == "made-2"


def test_ids_made_without_a_maker_are_all_different() -> None:
    drafts = Drafter(SPEC).draft_many([{"text": "a"}] * 100, now=NOW)
    assert len({draft.id for draft in drafts}) == 100


@given(IDS, TEXTS, METADATA, JSON_VALUES)
def test_what_was_given_is_in_the_draft(
    identity: str, text: str, metadata: dict[str, Any], body: Any
) -> None:
    item = {"id": identity, "text": text, "timestamp": 5, "metadata": metadata, "body": body}
    draft = Drafter(SPEC).draft(item, now=NOW)
    assert (draft.id, draft.text, draft.timestamp) == (identity, text, 5)
    assert spelled(from_json(draft.metadata_json)) == spelled(metadata)
    assert spelled(from_json(draft.body_json or "null")) == spelled(body)


def test_a_family_may_name_its_text_and_its_time_otherwise() -> None:
    drafter = Drafter(replace(SPEC, text_key="content", time_key="when"))
    draft = drafter.draft({"content": "hi", "when": "1970-01-01T00:00:01"}, now=NOW)
    assert (draft.text, draft.timestamp) == ("hi", 1000)
    with pytest.raises(EntryError, match=r"^'text': is no field of an entry \(body, content, id"):
        drafter.draft({"content": "hi", "text": "hi"}, now=NOW)
    with pytest.raises(EntryError, match=r"^when: 'soon' is not an ISO date"):
        drafter.draft({"content": "hi", "when": "soon"}, now=NOW)


WRONG_ITEMS: list[tuple[str, Any, str]] = [
    ("empty id", {"id": "", "text": "a"}, "id: is empty"),
    ("blank id", {"id": " \u3000", "text": "a"}, "id: is blank"),
    ("long id", {"id": "x" * 513, "text": "a"}, "id: must have 1 to 512 characters, not 513"),
    ("newline in id", {"id": "a\nb", "text": "a"}, "id: holds a control character at 1"),
    ("nul in id", {"id": "\0", "text": "a"}, "id: holds a control character at 0"),
    ("c1 control in id", {"id": "a\x85", "text": "a"}, "id: holds a control character at 1"),
    ("surrogate in id", {"id": "\ud800", "text": "a"}, "id: holds a lone surrogate"),
    ("id is no text", {"id": 7, "text": "a"}, "id: must be a string, not int"),
    ("id is null", {"id": None, "text": "a"}, "id: must be a string, not NoneType"),
    ("no text", {"id": "a"}, "text: is missing"),
    ("text is null", {"text": None}, "text: must be a string, not NoneType"),
    ("text is bytes", {"text": b"a"}, "text: must be a string, not bytes"),
    ("surrogate in text", {"text": "a\ud800"}, "text: holds a lone surrogate at character 1"),
    ("time is nan", {"text": "a", "timestamp": float("nan")}, "timestamp: must be milliseconds"),
    ("time is bool", {"text": "a", "timestamp": True}, "timestamp: must be a time, not True"),
    ("time is null", {"text": "a", "timestamp": None}, "timestamp: must be milliseconds"),
    ("year 0", {"text": "a", "timestamp": "0000-01-01"}, "timestamp: '0000-01-01' is not an ISO"),
    ("year 10000", {"text": "a", "timestamp": YEAR_9999 + 1}, "outside the years 1 to 9999"),
    ("no date", {"text": "a", "timestamp": "soon"}, "timestamp: 'soon' is not an ISO date"),
    ("metadata is a list", {"text": "a", "metadata": []}, "metadata: must be a dict, not list"),
    ("metadata is null", {"text": "a", "metadata": None}, "metadata: must be a dict, not NoneType"),
    ("nan", {"text": "a", "metadata": {"x": float("nan")}}, "metadata.x: holds nan"),
    ("infinity", {"text": "a", "body": float("inf")}, "body: holds inf"),
    ("big integer", {"text": "a", "body": 2**63}, "body: holds an integer beyond 64 bits"),
    ("key is no text", {"text": "a", "metadata": {1: 2}}, "metadata: holds the key 1"),
    (
        "nul in key",
        {"text": "a", "metadata": {"a\0": 2}},
        "metadata: holds the key 'a\\\\x00' with",
    ),
    ("too deep", {"text": "a", "metadata": nested(1, 65)}, "metadata: is nested deeper than 64"),
    ("surrogate in key", {"text": "a", "metadata": {"\ud800": 1}}, "metadata: holds a lone surrog"),
    ("unknown field", {"text": "a", "role": "user"}, "'role': is no field of an entry"),
    ("field is no text", {"text": "a", 5: "user"}, "5: is no field of an entry"),
    ("no mapping", ["text"], "entry: must be a mapping, not list"),
    ("nothing", None, "entry: must be a mapping, not NoneType"),
]


@pytest.mark.parametrize(
    ("item", "message"), [case[1:] for case in WRONG_ITEMS], ids=[case[0] for case in WRONG_ITEMS]
)
def test_a_wrong_item_is_refused_naming_the_field_and_its_place(
    drafter: Drafter, item: Any, message: str
) -> None:
    with pytest.raises(EntryError, match=message) as single:
        drafter.draft(item, now=NOW)
    assert single.value.position is None
    with pytest.raises(EntryError, match=message) as batch:
        drafter.draft_many([{"text": "fine"}, item, {"text": "fine"}], now=NOW)
    assert batch.value.position == 1
    assert str(batch.value) == f"item 1: {single.value}"
    assert isinstance(batch.value, DualStoreError)
    assert isinstance(batch.value, ValueError)


def test_the_limits_themselves_are_allowed(drafter: Drafter) -> None:
    assert len(check_id("\U0001f600" * 512)) == 512
    assert check_id("a b:%/\\$.'\"\u2028é") == "a b:%/\\$.'\"\u2028é"
    drafter.draft({"text": "", "metadata": nested(1, 64), "timestamp": YEAR_9999}, now=NOW)


def test_keys_with_dots_dollars_and_no_letters_are_taken(drafter: Drafter) -> None:
    metadata = {"a.b": 1, "$where": 2, "": 3, "a": {"$gt": {".": 4}}}
    draft = drafter.draft({"text": "a", "metadata": metadata}, now=NOW)
    assert from_json(draft.metadata_json) == metadata


def test_an_entry_of_12_mib_is_taken_and_one_byte_more_is_not(drafter: Drafter) -> None:
    around = len('{"m":""}') + len('"bb"')
    fitting = "x" * (MAX_BYTES - around)
    drafter.draft({"text": fitting, "metadata": {"m": ""}, "body": "bb"}, now=NOW)
    with pytest.raises(EntryTooLargeError, match=r"item 0: entry: .* take 12,582,913 bytes"):
        drafter.draft_many([{"text": fitting, "metadata": {"m": "x"}, "body": "bb"}], now=NOW)


def test_the_size_is_measured_in_bytes_not_characters(drafter: Drafter) -> None:
    drafter.draft({"text": "ß" * (MAX_BYTES // 2 - 1)}, now=NOW)
    with pytest.raises(EntryTooLargeError):
        drafter.draft({"text": "ß" * (MAX_BYTES // 2)}, now=NOW)


# Hashes: what is the same content, and what is the same text


def _content(item: Mapping[str, Any], now: int = NOW) -> str:
    return Drafter(SPEC).draft({"id": "a", **item}, now=now).content_hash


def test_the_content_is_everything_that_was_given() -> None:
    base: dict[str, Any] = {"text": "t", "timestamp": 1, "metadata": {"m": 1}, "body": [1]}
    assert _content(base) == _content(dict(reversed(base.items())))
    changes: list[dict[str, Any]] = [
        {"text": "u"},
        {"timestamp": 2},
        {"metadata": {"m": 2}},
        {"metadata": {"m": 1.0}},
        {"metadata": {"m": True}},
        {"body": [2]},
        {"body": None},
    ]
    hashes = {_content({**base, **change}) for change in changes}
    assert len(hashes) == len(changes)
    assert _content(base) not in hashes


def test_a_time_that_was_not_given_does_not_change_the_content() -> None:
    assert _content({"text": "t"}, now=1) == _content({"text": "t"}, now=2)
    assert _content({"text": "t"}, now=1) != _content({"text": "t", "timestamp": 1}, now=1)


def test_content_cannot_slide_from_one_part_into_the_next() -> None:
    assert _content({"text": "\0null\0t"}) != _content({"text": "t", "body": "null\0"})
    assert _content({"text": "None\0t"}) != _content({"text": "t"})


def _text(item: Mapping[str, Any], spec: FamilySpec = SPEC) -> str:
    return Drafter(spec).draft({"id": "a", **item}, now=NOW).text_hash


def test_only_author_and_text_make_another_text_hash() -> None:
    base = {"text": "hello", "metadata": {"author": "Ann"}}
    assert _text(base) == _text({**base, "timestamp": 3, "body": 1})
    assert _text(base) == _text({"text": "hello", "metadata": {"author": "Ann", "role": "x"}})
    others = [
        _text({**base, "text": "hullo"}),
        _text({"text": "hello", "metadata": {"author": "Bob"}}),
        _text({"text": "hello"}),
    ]
    assert len({_text(base), *others}) == 4
    assert _text(base, replace(SPEC, analyzer="2")) == _text(base)


# What is indexed


def _indexed(item: Mapping[str, Any], spec: FamilySpec = SPEC) -> str:
    return Drafter(spec).draft(item, now=NOW).indexed_text


def test_a_named_author_is_part_of_what_is_indexed_and_a_role_is_not() -> None:
    assert _indexed({"text": "hi", "metadata": {"author": "Ann"}}) == "Ann: hi"
    for role in (*GENERIC_ROLES, "User", "ASSISTANT"):
        assert _indexed({"text": "hi", "metadata": {"author": role}}) == "hi"
    for nobody in ("", None, 3, ["Ann", "Bob"], {"name": "Ann"}):
        assert _indexed({"text": "hi", "metadata": {"author": nobody}}) == "hi"


@pytest.mark.parametrize("text", ["", " \n", "...", "___", "\U0001f600", "\0", "-- !? --"])
def test_text_without_a_word_character_is_excluded(text: str) -> None:
    assert _indexed({"text": text, "metadata": {"author": "Ann"}}) == ""


@pytest.mark.parametrize("text", ["a", "7", "ß", "語", "_x_", "\U0001f600 ok", "é"])
def test_one_word_character_is_enough(text: str) -> None:
    assert _indexed({"text": text}) == text


def test_images_are_excluded_unless_the_embedder_takes_them() -> None:
    image = {"text": "a cat", "metadata": {"type": "image"}}
    assert _indexed(image) == ""
    assert _indexed(image, replace(SPEC, images=True)) == "a cat"
    assert _indexed({"text": "a cat", "metadata": {"type": "text"}}) == "a cat"


# Threads


@pytest.mark.parametrize(
    ("metadata", "thread", "odd"),
    [
        ({}, None, False),
        ({"session_id": "s"}, "s", False),
        ({"session_id": ""}, "", False),
        ({"session_id": ["s"]}, "s", False),
        ({"session_id": None}, None, False),
        ({"session_id": 5}, None, True),
        ({"session_id": ["s", "t"]}, None, True),
        ({"session_id": []}, None, True),
        ({"session_id": {"id": "s"}}, None, True),
    ],
)
def test_the_thread_is_a_single_string_and_anything_else_is_odd(
    drafter: Drafter, metadata: dict[str, Any], thread: str | None, odd: bool
) -> None:
    draft = drafter.draft({"text": "a", "metadata": metadata}, now=NOW)
    assert (draft.thread, draft.thread_is_odd) == (thread, odd)


def test_the_thread_key_may_be_a_path() -> None:
    drafter = Drafter(replace(SPEC, thread_key="info.sessionID"))
    for metadata in ({"info": {"sessionID": "s"}}, {"info.sessionID": "s"}):
        assert drafter.draft({"text": "a", "metadata": metadata}, now=NOW).thread == "s"
    both = {"info": {"sessionID": "s"}, "info.sessionID": "t"}
    draft = drafter.draft({"text": "a", "metadata": both}, now=NOW)
    assert (draft.thread, draft.thread_is_odd) == (None, True)


def test_a_family_without_threads_has_none() -> None:
    drafter = Drafter(replace(SPEC, thread_key=None, author_key=None))
    item = {"text": "a", "metadata": {"session_id": "s", "author": "Ann", "None": "x"}}
    draft = drafter.draft(item, now=NOW)
    assert (draft.thread, draft.thread_is_odd, draft.author) == (None, False, None)


# Copies from a remote


def test_a_built_key_may_be_longer_than_a_callers_id(drafter: Drafter) -> None:
    draft = drafter.compose(
        id="message:" + "x" * 2000,
        text="hi",
        timestamp=1,
        metadata={},
        origin="opencode",
        source_version=SourceVersion("time", 7),
    )
    assert (len(draft.id), draft.origin) == (2008, "opencode")
    assert draft.source_version == SourceVersion("time", 7)


_VERSIONS = st.builds(SourceVersion, st.sampled_from(["sequence", "time"]), st.integers(0, 5))


@given(_VERSIONS, _VERSIONS)
def test_source_versions_are_compared_only_with_their_own_kind(
    one: SourceVersion, other: SourceVersion
) -> None:
    assert one.is_newer_than(other) == (one.kind == other.kind and one.value > other.value)
    assert not one.is_newer_than(None)


# Parts that others put together


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "a\0b"}, "id"),
        ({"id": "x" * 5000}, "id"),
        ({"timestamp": 2**70}, "timestamp"),
        ({"timestamp": "soon"}, "timestamp"),
        ({"origin": ""}, "origin"),
        ({"origin": "a\nb"}, "origin"),
    ],
)
def test_a_draft_of_parts_passes_the_same_checks(change: dict[str, Any], field: str) -> None:
    parts: dict[str, Any] = {"id": "a", "text": "hi", "timestamp": 5, "metadata": {}, **change}
    with pytest.raises(EntryError, match=f"^{field}: "):
        Drafter(SPEC).compose(**parts)


def test_built_keys_may_be_longer_than_ids() -> None:
    key = "message:" + "x" * 1500
    assert Drafter(SPEC).compose(id=key, text="hi", timestamp=5, metadata={}).id == key


@pytest.mark.parametrize(("kind", "value"), [("time", 1.5), ("size", 1), ("time", True)])
def test_a_source_version_is_a_whole_number_of_a_known_kind(kind: Any, value: Any) -> None:
    with pytest.raises(EntryError, match=r"^source_version: "):
        SourceVersion(kind, value)
