import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.documents.cursors import Position, from_cursor, query_sign, to_cursor
from dualstore.errors import CursorError
from dualstore.filters import EVERYTHING, parse
from tests.documents.strategies import IDS, INT64

SIGN = query_sign("a_b", EVERYTHING, "timestamp", newest=True)


@given(INT64, IDS)
def test_a_cursor_gives_its_position_back(at: int, identity: str) -> None:
    cursor = to_cursor(Position(at, identity), SIGN)
    assert from_cursor(cursor, SIGN) == Position(at, identity)
    assert cursor.isascii()
    assert "/" not in cursor


OTHER_QUERIES = [
    query_sign("a_c", EVERYTHING, "timestamp", newest=True),
    query_sign("a_b", parse({"id": "x"}), "timestamp", newest=True),
    query_sign("a_b", parse({"metadata.n": 1}), "timestamp", newest=True),
    query_sign("a_b", parse({"metadata.n": 1.0}), "timestamp", newest=True),
    query_sign("a_b", parse({"metadata.n": True}), "timestamp", newest=True),
    query_sign("a_b", parse({"metadata.n": "1"}), "timestamp", newest=True),
    query_sign("a_b", EVERYTHING, "updated", newest=True),
    query_sign("a_b", EVERYTHING, "timestamp", newest=False),
]


@pytest.mark.parametrize("sign", OTHER_QUERIES)
def test_a_cursor_of_another_query_is_refused(sign: bytes) -> None:
    assert len({SIGN, *OTHER_QUERIES}) == len(OTHER_QUERIES) + 1
    with pytest.raises(CursorError, match="damaged, or belongs to another query"):
        from_cursor(to_cursor(Position(1, "a"), sign), SIGN)


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_garbage_is_no_cursor(garbage: str) -> None:
    with pytest.raises(CursorError):
        from_cursor(garbage, SIGN)


@pytest.mark.parametrize("garbage", [3, b"abcd", ["a"], 1.5])
def test_what_is_no_text_is_no_cursor(garbage: Any) -> None:
    with pytest.raises(CursorError, match="is not a cursor"):
        from_cursor(garbage, SIGN)


@given(st.data())
def test_a_changed_cursor_is_refused(data: st.DataObject) -> None:
    good = to_cursor(Position(1_700_000_000_000, "entry-1"), SIGN)
    raw = bytearray(base64.urlsafe_b64decode(good))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CursorError):
        from_cursor(base64.urlsafe_b64encode(raw).decode(), SIGN)
