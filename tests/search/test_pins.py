"""Cursors: whole there and back, and nothing else taken."""

import base64
import zlib
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.errors import CursorError
from dualstore.filters import EVERYTHING, parse
from dualstore.search.pins import Pin, Pinned, from_cursor, pin_of, sign_of, to_cursor
from dualstore.search.ranking import Parts, Ranked
from tests.documents.strategies import IDS

SIGN = sign_of("family", "question", "hybrid", EVERYTHING)
PINS = tuple(
    Pin(f"entry {number}", (40 - number) / 64, Parts(terms=0.5, question=-0.06), ("text",), number)
    for number in range(40)
)
PINNED = Pinned(PINS, candidates=77, cut=True, degraded=("without meaning: ü", "x"))

SHARES = st.floats(-1, 1.5, allow_nan=False).map(lambda number: round(number, 4))


def packed(content: Any, *, level: int = 9) -> str:
    zipped = zlib.compress(orjson.dumps(content), level)
    return base64.urlsafe_b64encode(zipped).decode().rstrip("=")


def row(**changed: Any) -> list[Any]:
    fields = {"id": "a", "score": 1, "parts": [1, 2, 3, 4, 5, 6], "modes": ["text"], "chunk": 0}
    return list((fields | changed).values())


def test_what_was_pinned_comes_back() -> None:
    rounded = replace(PINNED, pins=tuple(pin._replace(score=round(pin.score, 4)) for pin in PINS))
    assert from_cursor(to_cursor(PINNED, SIGN), SIGN) == rounded


def test_the_end_is_a_ranking_too() -> None:
    empty = Pinned((), candidates=0, cut=False, degraded=())
    assert from_cursor(to_cursor(empty, SIGN), SIGN) == empty


@given(
    st.lists(
        st.builds(
            Pin,
            IDS,
            SHARES,
            st.builds(Parts, *[SHARES] * 6),
            st.lists(st.sampled_from(["text", "semantic", "neighbours"])).map(tuple),
            st.integers(0, 300),
        ),
        max_size=8,
    ),
    st.integers(0, 2**40),
    st.booleans(),
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3),
)
def test_any_ranking_survives_to_the_last_digit(
    pins: list[Pin], candidates: int, cut: bool, degraded: list[str]
) -> None:
    pinned = Pinned(tuple(pins), candidates, cut, tuple(degraded))
    cursor = to_cursor(pinned, SIGN)
    assert from_cursor(cursor, SIGN) == pinned
    assert cursor.isascii()
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.floats(0, 1), st.builds(Parts, *[st.floats(-1, 1)] * 6))
def test_what_is_pinned_is_what_a_cursor_would_say(score: float, parts: Parts) -> None:
    pin = pin_of(Ranked("a", score, parts), modes=("text",), chunk=2)
    assert abs(pin.score - score) <= 0.00005
    assert all(abs(one - other) <= 0.00005 for one, other in zip(pin.parts, parts, strict=True))
    pinned = Pinned((pin,), 1, False, ())
    assert from_cursor(to_cursor(pinned, SIGN), SIGN) == pinned


def test_a_long_ranking_is_a_cursor_of_some_kilobytes() -> None:
    pins = tuple(
        Pin(f"{number * 7919:032x}", 1 - number / 1000, Parts(terms=number / 7000), ("text",), 0)
        for number in range(700)
    )
    assert len(to_cursor(replace(PINNED, pins=pins), SIGN)) < 40_000


OTHERS = [
    ("another", "question", "hybrid", EVERYTHING),
    ("family", "question?", "hybrid", EVERYTHING),
    ("family", "question", "text", EVERYTHING),
    ("family", "question", "hybrid", parse({"id": "a"})),
    ("familyquestion", "", "hybrid", EVERYTHING),
]


@pytest.mark.parametrize("question", OTHERS)
def test_another_questions_cursor_is_refused(question: tuple[object, ...]) -> None:
    cursor = to_cursor(PINNED, SIGN)
    with pytest.raises(CursorError, match="another search"):
        from_cursor(cursor, sign_of(*question))


def test_the_same_question_has_the_same_sign() -> None:
    where = {"metadata.kind": {"$in": ["a", "b"]}}
    signs = {sign_of("f", "q", "text", parse(where)) for _ in range(3)}
    assert len(signs) == 1
    assert sign_of("f", "a\ud800", "text") != sign_of("f", "a\ud801", "text")


GOOD = [SIGN, 1, False, [], [row()]]


def test_the_form_that_is_broken_below_is_good() -> None:
    assert from_cursor(packed(GOOD), SIGN).pins[0].id == "a"


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "nonsense", "é", "====", " ", "\0", "a" * 10_000),
        *(None, 7, 1.5, b"bytes", ["list"], {}),
        to_cursor(PINNED, SIGN)[:-1],
        to_cursor(PINNED, SIGN)[:-20],
        to_cursor(PINNED, SIGN)[1:],
        base64.urlsafe_b64encode(b'["not zipped"]').decode(),
        base64.urlsafe_b64encode(zlib.compress(b"{not json")).decode(),
        *map(packed, (None, 5, {}, [], "text", {"a": 1}, GOOD[:4], [*GOOD, 1])),
        packed([SIGN, "many", False, [], [row()]]),
        packed([SIGN, None, False, [], [row()]]),
        packed([SIGN, 1, False, 5, [row()]]),
        packed([SIGN, 1, False, [], 5]),
        packed([SIGN, 1, False, [], [5]]),
        packed([SIGN, 1, False, [], [row()[:4]]]),
        packed([SIGN, 1, False, [], [row(id=5)]]),
        packed([SIGN, 1, False, [], [row(score="best")]]),
        packed([SIGN, 1, False, [], [row(score=None)]]),
        packed([SIGN, 1, False, [], [row(parts=[1] * 7)]]),
        packed([SIGN, 1, False, [], [row(parts=["much"])]]),
        packed([SIGN, 1, False, [], [row(parts=[[[[[1]]]]])]]),
        packed([SIGN, 1, False, [], [row(modes=5)]]),
        packed([SIGN, 1, False, [], [row(chunk="first")]]),
        packed([SIGN, 1, False, [], [row(chunk=[])]]),
    ],
)
def test_garbage_is_refused(cursor: object) -> None:
    with pytest.raises(CursorError, match="damaged"):
        from_cursor(cursor, SIGN)


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(CursorError):
        from_cursor(text, SIGN)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_bit_that_flips_is_noticed_or_does_no_harm(place: int, flip: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(to_cursor(PINNED, SIGN) + "==="))
    raw[place % len(raw)] ^= flip
    try:
        found = from_cursor(base64.urlsafe_b64encode(raw).decode(), SIGN)
    except CursorError:
        return
    assert len(found.pins) == len(PINS)


@pytest.mark.parametrize(
    "content", [b"[" * (16 * 1024 * 1024), b" " * (16 * 1024 * 1024), b"[0" + b",0" * 8_000_000]
)
def test_a_zip_bomb_is_not_unzipped(content: bytes) -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(content, 9)).decode()
    assert len(bomb) < 200_000
    with pytest.raises(CursorError, match="damaged"):
        from_cursor(bomb, SIGN)


def test_a_ranking_that_is_too_large_to_be_one_is_refused() -> None:
    largest = [SIGN, 1, False, ["x" * (8 * 1024 * 1024)], [row()]]
    assert len(packed(largest)) < 20_000
    with pytest.raises(CursorError, match="damaged"):
        from_cursor(packed(largest), SIGN)


def test_deep_nesting_is_refused() -> None:
    deep = base64.urlsafe_b64encode(zlib.compress(b"[" * 100_000 + b"]" * 100_000)).decode()
    with pytest.raises(CursorError, match="damaged"):
        from_cursor(deep, SIGN)
