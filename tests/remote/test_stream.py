from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.errors import RemoteError
from dualstore.remote.opencode_stream import Frames

STREAM = (
    b'data: {"a":1}\n\n'
    b": a comment\n\n"
    b"id: 7\nevent: x\ndata:no space\n\n"
    b"data:  two\r\ndata: lines\r\n\r\n"
    b"\n\n"
    b"data: \xe2\x80\xa8 \x0b\x0c\x1c\xc2\x85 \xc3\xa4\n\n"
    b"data\n\n"
    b"data:\n\n"
    b"data: begun"
)
TOLD = [
    b'{"a":1}',
    b"no space",
    b" two\nlines",
    b"\xe2\x80\xa8 \x0b\x0c\x1c\xc2\x85 \xc3\xa4",
    b"",
]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_however_it_is_cut_the_same_is_told(cuts: list[int]) -> None:
    frames, edges = Frames(largest=1_000), [0, *sorted(cuts), len(STREAM)]
    told = [data for begin, end in pairwise(edges) for data in frames.feed(STREAM[begin:end])]
    assert told == TOLD


@pytest.mark.parametrize("piece", [b"x" * 60, b"data: " + b"x" * 60 + b"\n"])
def test_what_has_no_end_is_given_up(piece: bytes) -> None:
    frames = Frames(largest=100)
    assert list(frames.feed(piece)) == []
    with pytest.raises(RemoteError, match="more than 100 bytes"):
        list(frames.feed(piece))


def test_many_small_ones_are_never_too_large() -> None:
    frames = Frames(largest=100)
    for _ in range(100):
        assert list(frames.feed(b": beat\n\ndata: x\n\nevent: y\n\n")) == [b"x"]
