"""Cursors: whole there and back, and nothing else taken."""

import base64
import random
import zlib
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.errors import CursorError
from dualstore.filters import EVERYTHING, parse
from dualstore.search.pins import Pin, Pinned, from_cursor, sign_of, to_cursor
from dualstore.search.ranking import Parts, Ranking
from tests.documents.strategies import IDS

SIGN = sign_of("family", "question", "hybrid", EVERYTHING)
PINNED = Pinned(
    Ranking(
        [f"entry {number}" for number in range(40)],
        [(40 - number) / 64 for number in range(40)],
        [[0.5] * 40, *[[0.0] * 40] * 3, [-0.06] * 40, [0.25] * 40],
    ),
    [number % 4 for number in range(40)],
    list(range(40)),
    candidates=77,
    cut=True,
    degraded=("without meaning: ü", "x"),
)

SHARES = st.floats(-1, 1.5, allow_nan=False).map(lambda number: round(number, 4))


def packed(content: Any, *, level: int = 9) -> str:
    zipped = zlib.compress(orjson.dumps(content), level)
    return base64.urlsafe_b64encode(zipped).decode().rstrip("=")


def columns(**changed: Any) -> list[Any]:
    """Of a ranking of one."""
    fields: dict[str, list[Any]] = {
        "ids": ["a"],
        "scores": [0.5],
        "parts": [[0.1]] * 6,
        "found": [1],
        "chunks": [0],
    }
    ids, scores, parts, found, chunks = (fields | changed).values()
    return [ids, scores, *parts, found, chunks]


def test_what_was_pinned_comes_back() -> None:
    assert from_cursor(to_cursor(PINNED, SIGN), SIGN) == PINNED


def test_the_end_is_a_ranking_too() -> None:
    empty = PINNED.part(40)
    assert not len(empty)
    assert from_cursor(to_cursor(empty, SIGN), SIGN) == empty


def test_a_part_has_the_pins_of_its_stretch() -> None:
    some = PINNED.part(3, 5)
    assert [some[at] for at in range(len(some))] == [PINNED[3], PINNED[4]]
    assert PINNED[3].modes == ("text", "semantic")
    assert (some.candidates, some.cut, some.degraded) == (77, True, PINNED.degraded)


@given(
    st.lists(
        st.tuples(IDS, *[SHARES] * 7, st.integers(0, 3), st.integers(0, 300)),
        max_size=8,
    ),
    st.integers(0, 2**40),
    st.booleans(),
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3),
)
def test_any_ranking_survives_to_the_last_digit(
    rows: list[tuple[Any, ...]], candidates: int, cut: bool, degraded: list[str]
) -> None:
    ids, scores, *parts, found_by, chunks = ([row[at] for row in rows] for at in range(10))
    pinned = Pinned(Ranking(ids, scores, parts), found_by, chunks, candidates, cut, tuple(degraded))
    cursor = to_cursor(pinned, SIGN)
    assert from_cursor(cursor, SIGN) == pinned
    assert cursor.isascii()
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_a_long_ranking_is_a_cursor_of_some_kilobytes() -> None:
    chance = random.Random(1)
    numbers = range(700)
    ranking = Ranking(
        [f"{chance.getrandbits(128):032x}" for _ in numbers],
        [1 - number / 1000 for number in numbers],
        [[round(chance.random(), 4) for _ in numbers], *[[0.0] * 700] * 4, [0.25] * 700],
    )
    pinned = replace(PINNED, ranking=ranking, found_by=[1] * 700, chunks=[0] * 700)
    assert len(to_cursor(pinned, SIGN)) < 40_000


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


GOOD = [SIGN, 1, False, [], columns()]


def test_the_form_that_is_broken_below_is_good() -> None:
    pin = from_cursor(packed(GOOD), SIGN)[0]
    assert pin == Pin("a", 0.5, Parts(*[0.1] * 6), ("text",), 0)


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
        packed([SIGN, "many", False, [], columns()]),
        packed([SIGN, None, False, [], columns()]),
        packed([SIGN, 1, False, 5, columns()]),
        packed([SIGN, 1, False, [], 5]),
        packed([SIGN, 1, False, [], [5] * 10]),
        packed([SIGN, 1, False, [], columns()[:9]]),
        packed([SIGN, 1, False, [], [*columns(), [1]]]),
        packed([SIGN, 1, False, [], columns(ids=[5])]),
        packed([SIGN, 1, False, [], columns(ids=["a", "b"])]),
        packed([SIGN, 1, False, [], columns(ids="a")]),
        packed([SIGN, 1, False, [], columns(scores=["best"])]),
        packed([SIGN, 1, False, [], columns(scores=[None])]),
        packed([SIGN, 1, False, [], columns(parts=[[1.0]] * 5)]),
        packed([SIGN, 1, False, [], columns(parts=[["much"]] * 6)]),
        packed([SIGN, 1, False, [], columns(parts=[[[[[1]]]]] * 6)]),
        packed([SIGN, 1, False, [], columns(found=[4])]),
        packed([SIGN, 1, False, [], columns(found=[-1])]),
        packed([SIGN, 1, False, [], columns(found=[True])]),
        packed([SIGN, 1, False, [], columns(chunks=["first"])]),
        packed([SIGN, 1, False, [], columns(chunks=[-1])]),
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
    assert len(found) == len(PINNED)


@pytest.mark.parametrize(
    "content", [b"[" * (16 * 1024 * 1024), b" " * (16 * 1024 * 1024), b"[0" + b",0" * 8_000_000]
)
def test_a_zip_bomb_is_not_unzipped(content: bytes) -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(content, 9)).decode()
    assert len(bomb) < 200_000
    with pytest.raises(CursorError, match="damaged"):
        from_cursor(bomb, SIGN)


def test_a_ranking_that_is_too_large_to_be_one_is_refused() -> None:
    largest = [SIGN, 1, False, ["x" * (8 * 1024 * 1024)], columns()]
    assert len(packed(largest)) < 20_000
    with pytest.raises(CursorError, match="damaged"):
        from_cursor(packed(largest), SIGN)


def test_deep_nesting_is_refused() -> None:
    deep = base64.urlsafe_b64encode(zlib.compress(b"[" * 100_000 + b"]" * 100_000)).decode()
    with pytest.raises(CursorError, match="damaged"):
        from_cursor(deep, SIGN)
