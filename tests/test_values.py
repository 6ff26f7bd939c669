from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.errors import EntryError, EntryTooLargeError
from dualstore.values import (
    MAX_DEPTH,
    YEAR_1,
    YEAR_9999,
    check_text,
    from_base64,
    from_json,
    iso,
    size_of,
    to_base64,
    to_json,
    to_ms,
)
from tests.documents.strategies import JSON_VALUES, METADATA, nested, spelled


@given(METADATA | JSON_VALUES)
def test_every_json_value_reads_back_as_it_was(value: Any) -> None:
    assert spelled(from_json(to_json(value, "body"))) == spelled(value)


@given(JSON_VALUES)
def test_the_same_value_has_one_spelling(value: Any) -> None:
    assert to_json(from_json(to_json(value, "body")), "body") == to_json(value, "body")


def test_the_order_of_keys_does_not_change_the_text() -> None:
    assert to_json({"b": 1, "a": {"d": 2, "c": 3}}, "body") == '{"a":{"c":3,"d":2},"b":1}'
    assert to_json({"a": {"c": 3, "d": 2}, "b": 1}, "body") == '{"a":{"c":3,"d":2},"b":1}'


@pytest.mark.parametrize(
    "value", [-0.0, 5e-324, 1.7976931348623157e308, 2**63 - 1, -(2**63), 1.0, 1, True, "\0", None]
)
def test_extreme_scalars_keep_their_kind_and_their_bits(value: Any) -> None:
    assert repr(from_json(to_json([value], "body"))) == repr([value])


def test_the_depth_allowed_is_taken_and_one_more_is_not() -> None:
    deepest = nested("leaf", MAX_DEPTH)
    assert spelled(from_json(to_json(deepest, "metadata"))) == spelled(deepest)
    with pytest.raises(EntryError, match=r"^metadata: is nested deeper than 64"):
        to_json(nested("leaf", MAX_DEPTH + 1), "metadata")


def test_an_empty_container_at_the_last_level_counts_as_a_level() -> None:
    to_json(nested([], MAX_DEPTH - 1), "metadata")
    with pytest.raises(EntryError, match="deeper than 64"):
        to_json(nested([], MAX_DEPTH), "metadata")


def test_what_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = [loop]
    with pytest.raises(EntryError, match="contains itself"):
        to_json(loop, "metadata")


def test_what_multiplies_inside_itself_is_refused_before_it_fills_the_memory() -> None:
    wide: list[Any] = []
    wide.extend([wide] * 10_000)
    with pytest.raises(EntryTooLargeError, match=r"takes more than 12,582,912 bytes"):
        to_json(wide, "body")


class _Colour(IntEnum):
    RED = 1


class _Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "holds nan"),
        (float("inf"), "holds inf"),
        (float("-inf"), "holds -inf"),
        (2**63, "integer beyond 64 bits"),
        (-(2**63) - 1, "integer beyond 64 bits"),
        (10**400, "integer beyond 64 bits"),
        (-(10**5000), "integer beyond 64 bits"),
        ("a\ud800b", "lone surrogate"),
        ({"\udfff": 1}, "lone surrogate"),
        ({1: "one"}, "key 1, which isn't a string"),
        ({None: "none"}, "isn't a string"),
        ({10**5000: 1}, "isn't a string"),
        ({_Text("key"): 1}, "isn't a string"),
        ({"a\0b": 1}, "with a NUL character"),
        ((1, 2), "holds tuple"),
        ({1, 2}, "holds set"),
        (b"bytes", "holds bytes"),
        (_Colour.RED, "holds _Colour"),
        (_Text("text"), "holds _Text"),
        (datetime(2024, 1, 1, tzinfo=UTC), "holds datetime"),
        (object(), "holds object"),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_what_is_not_json_is_refused_at_any_depth_naming_its_place(value: Any, reason: str) -> None:
    for holder, place in (
        (value, "metadata"),
        ([value], "metadata[0]"),
        ({"x": [1], "a": [{}, {"b": value}]}, "metadata.a[1].b"),
    ):
        with pytest.raises(EntryError, match=reason) as caught:
            to_json(holder, "metadata")
        assert caught.value.field == place
        assert str(caught.value).startswith(f"{place}: ")


def test_a_place_is_shown_even_if_its_name_can_not_be_printed() -> None:
    with pytest.raises(EntryError, match=r"^metadata\.'a\\n\\ud800': holds nan"):
        to_json({"a\n\ud800": float("nan")}, "metadata")


def test_a_wrong_leaf_is_found_at_the_deepest_level() -> None:
    with pytest.raises(EntryError, match="holds nan"):
        to_json(nested(float("nan"), MAX_DEPTH), "metadata")


def test_texts_may_hold_nul_but_no_lone_surrogate() -> None:
    assert check_text("a\0b\U0001f600", "text") == "a\0b\U0001f600"
    with pytest.raises(EntryError, match="text: holds a lone surrogate at character 2"):
        check_text("ab\udc00", "text")
    with pytest.raises(EntryError, match="text: must be a string, not int"):
        check_text(3, "text")


def test_sizes_are_bytes_of_utf8() -> None:
    assert size_of("abc", "ß", "\U0001f600", "") == 3 + 2 + 4


# Times


class _Undecided(tzinfo):
    """A zone that doesn't say its offset: such a time counts as one without a zone."""

    def utcoffset(self, _when: datetime | None) -> None:
        return None

    dst = utcoffset

    def tzname(self, _when: datetime | None) -> None:
        return None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (-1, -1),
        (1.9, 1),
        (-1.5, -2),
        (1e3, 1000),
        (datetime(1970, 1, 1, 0, 0, 1), 1000),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 1000),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999), -1),
        (datetime(1970, 1, 1, tzinfo=_Undecided()), 0),
        ("1970-01-01", 0),
        (" 1970-01-01T00:00:01.5Z ", 1500),
        ("1970-01-01T01:00:00+01:00", 0),
        ("19700101T000001", 1000),
        ("0001-01-01", YEAR_1),
        ("9999-12-31T23:59:59.999999", YEAR_9999),
        (YEAR_1, YEAR_1),
        (YEAR_9999, YEAR_9999),
    ],
)
def test_times_become_milliseconds(value: object, expected: int) -> None:
    assert to_ms(value) == expected
    assert type(to_ms(value)) is int


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        True,
        False,
        None,
        "",
        "yesterday",
        "0000-01-01",
        "2024-02-30",
        "1700000000000",
        "\ud800",
        b"2024-01-01",
        date(2024, 1, 1),
        [2024],
        1e300,
        YEAR_1 - 1,
        YEAR_9999 + 1,
        10**400,
        10**5000,
        "0001-01-01T00:00:00+14:00",
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    ],
    ids=lambda value: f"{value!s:.20}" if not isinstance(value, int) else type(value).__name__,
)
def test_what_is_no_time_is_an_error_that_names_the_field(value: object) -> None:
    with pytest.raises(EntryError) as caught:
        to_ms(value, "when")
    assert caught.value.field == "when"
    assert len(str(caught.value)) < 250


@given(st.integers(YEAR_1, YEAR_9999))
def test_a_time_reads_back_as_it_was_written(ms: int) -> None:
    text = iso(ms)
    assert text.endswith("Z")
    assert to_ms(text) == ms


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_750_000_000_123, "2025-06-15T15:06:40.123Z"),
        (YEAR_9999 + 1, str(YEAR_9999 + 1)),
        (-(2**63), str(-(2**63))),
    ],
)
def test_how_a_time_is_spelled(ms: int, text: str) -> None:
    assert iso(ms) == text


@given(st.binary())
def test_bytes_read_back_from_a_text_for_any_address(content: bytes) -> None:
    text = to_base64(content)
    assert not set(text) & set("+/=&? ")
    assert from_base64(text) == content


@pytest.mark.parametrize("text", ["a", "a b", "ä", "abc\n", "a=b"])
def test_what_is_no_such_text_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)base64|padding|ascii"):
        from_base64(text)
