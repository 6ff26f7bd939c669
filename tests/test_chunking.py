import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dualstore.chunking import OVERLAP, SIZE, Span, chunks

INK = "word a . .) 。 東京 incomprehensible e\u0301 👩\u200d💻 👍🏽 \u0301 \u200d \u200b \0".split()
BLANKS = [" ", "     ", "! ", "? ", "\n", "\n\n", "\r\n", "\t"]
FRAGMENTS = st.sampled_from(INK + BLANKS)
TEXTS = st.text() | st.lists(FRAGMENTS, max_size=60).map("".join)
SIZES = st.integers(1, 60)


def texts_of(text: str, *, size: int, overlap: int = 0) -> list[str]:
    return [text[span.start : span.end] for span in chunks(text, size=size, overlap=overlap)]


@given(TEXTS, SIZES, st.data())
@example("ab" + " " * 500 + "cd", 8, None)
def test_spans_hold_everything_in_order(text: str, size: int, data: st.DataObject | None) -> None:
    overlap = data.draw(st.integers(0, size // 4)) if data else size // 4
    spans = chunks(text, size=size, overlap=overlap)
    end = 0
    for span in spans:
        assert 0 < span.end - span.start <= size
        assert text[span.start : span.end] == text[span.start : span.end].strip()
        assert not text[end : span.start].strip()
        assert span.end > end
        assert span.start >= end - overlap
        end = span.end
    assert not text[end:].strip()
    assert [span.start for span in spans] == sorted({span.start for span in spans})
    assert len(spans) <= 1 + len(text) / max(1, size // 2 - overlap)


@given(TEXTS, SIZES)
def test_what_fits_is_one_span_and_what_is_blank_is_none(text: str, size: int) -> None:
    spans = chunks(text, size=size, overlap=0)
    if len(text.strip()) <= size:
        start = len(text) - len(text.lstrip())
        assert spans == ([Span(start, start + len(text.strip()))] if text.strip() else [])
    else:
        assert len(spans) > 1


@given(TEXTS, SIZES, st.integers(0, 100))
def test_the_limit_cuts_the_text(text: str, size: int, limit: int) -> None:
    expected = chunks(text[:limit], size=size, overlap=0)
    assert chunks(text, size=size, overlap=0, limit=limit) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One para\n\ngraph. And so on", ["One para", "graph. And so on"]),
        ("One more\n  \ngraph. And so on", ["One more", "graph. And so on"]),
        ("One then.\nTwo lines three", ["One then.", "Two lines three"]),
        ("A fact stated. Then one", ["A fact stated.", "Then one"]),
        ('He said "a word." Then one', ['He said "a word."', "Then one"]),
        ("version 1.2.3 is out now", ["version 1.2.3 is", "out now"]),
        ("one two three\nfour five", ["one two three", "four five"]),
        ("one two three four five", ["one two three", "four five"]),
        ("今日は晴れですね。明日は雨でしょう。終", ["今日は晴れですね。", "明日は雨でしょう。終"]),
        ("0123456789abcdefghijk", ["0123456789abcdefg", "hijk"]),
        ("0123456789abcdefg\u0301hijk", ["0123456789abcdef", "g\u0301hijk"]),
        ("0123456789abcde👩‍💻fghijk", ["0123456789abcde", "👩‍💻fghijk"]),
        ("0123456789abcdef👍🏽hijk", ["0123456789abcdef", "👍🏽hijk"]),
    ],
)
def test_where_it_cuts(text: str, expected: list[str]) -> None:
    assert texts_of(text, size=17) == expected


def test_an_overlap_starts_at_a_word() -> None:
    text = "one two three four five six seven"
    assert texts_of(text, size=20, overlap=5) == ["one two three four", "four five six seven"]


def test_a_wide_gap_is_not_bridged() -> None:
    assert texts_of("one two" + " " * 100 + "three", size=12, overlap=3) == ["one two", "three"]


def test_a_pile_of_accents_is_cut_all_the_same() -> None:
    text = "e" + "\u0301" * 100
    assert max(map(len, texts_of(text, size=10))) <= 10


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (10, 3), (10, -1), (3, 1)])
def test_an_overlap_that_would_not_advance_is_refused(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="a quarter of size"):
        chunks("text", size=size, overlap=overlap)


@pytest.mark.parametrize("piece", ["x", " ", "x ", "\n", ".", "x\n\n", '."', "\u0301", "。", "x. "])
def test_no_text_is_slow(piece: str) -> None:
    text = "a" + piece * 500_000 + "b"
    start = time.perf_counter()
    spans = chunks(text)
    assert time.perf_counter() - start < 5
    assert len(spans) <= 1 + len(text) / (SIZE // 2 - OVERLAP)
