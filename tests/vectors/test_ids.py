"""The id of a vector says what it was made from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.vectors.base import VectorId

HASH = "0123456789abcdef" * 2


@given(st.text(min_size=1), st.integers(0, 10**6))
def test_an_id_is_read_as_it_was_written(entry: str, chunk: int) -> None:
    made = VectorId(entry, HASH, chunk)
    assert VectorId.parse(str(made)) == made


@given(st.text())
def test_whatever_is_read_as_one_is_written_the_same(text: str) -> None:
    found = VectorId.parse(text)
    assert found is None or str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        HASH,
        f"{HASH}:",
        f"{HASH}:0",
        f"{HASH}:0:",
        f"{HASH}:x:a",
        f"{HASH}:-1:a",
        f"{HASH}:01:a",
        f"{HASH}:²:a",
        f"{HASH}:{'9' * 5000}:a",
        f"{HASH[1:]}:0:a",
    ],
)
def test_foreign_ids_are_told(text: str) -> None:
    assert VectorId.parse(text) is None
