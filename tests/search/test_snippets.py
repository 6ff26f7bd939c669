"""The part of a text that answers, and what is marked in it."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dualstore.search.snippets import LENGTH, Mark, Snippet, snippet
from dualstore.terms import ANALYSED_BYTES, Analyzer

ANALYZER = Analyzer()


def shown(text: str, question: str, *, near: int = 0) -> Snippet:
    return snippet(text, set(ANALYZER.stream(question)), ANALYZER, near=near)


def marked(text: str, question: str) -> list[str]:
    """What is marked, in order."""
    found = shown(text, question)
    return [found.text[mark.start : mark.end] for mark in found.marks]


# Marks


@pytest.mark.parametrize(
    ("text", "question", "wanted"),
    [
        ("The tests failed twice.", "failing test", ["tests", "failed"]),
        ("(failed), «failed»! failed?", "fail", ["failed", "failed", "failed"]),
        ("nothing of this", "fail", []),
        ("fail", "", []),
        ("", "fail", []),
        ("...fail...", "fail", ["fail"]),
        ("see src/app.ts:42 for it", "src/app.ts", ["src/app.ts:42"]),
        ("call parseConfig() now", "config", ["parseConfig"]),
        ("try it with --dry-run", "--dry-run", ["dry-run"]),
        ("“retrying” the queries…", "query retry", ["retrying", "queries"]),
        ("costs 100% and #42 of $HOME", "100% #42 $home", ["100%", "#42", "$HOME"]),
        ("a naïve café, Straße", "naive cafe strasse", ["naïve", "café", "Straße"]),
        ("Übergrößenträger", "Übergrößenträger", ["Übergrößenträger"]),
        ("हिन्दी में", "हिन्दी", ["हिन्दी"]),
        ("ошибка в коде", "ошибка", ["ошибка"]),
        ("حدث خطأ، هنا", "خطأ", ["خطأ"]),
        ("🎉fail🎉", "fail", ["fail"]),
        ("one\ntwo\tthree", "two three", ["two", "three"]),
    ],
)
def test_marks_are_at_the_matched_words(text: str, question: str, wanted: list[str]) -> None:
    assert marked(text, question) == wanted


def test_without_spaces_the_terms_themselves_are_marked() -> None:
    assert shown("設定ファイルを読み込む", "読み込む").marked() == "設定ファイルを**読み****込む**"
    assert marked("日本語のテスト", "日本") == ["日本"]
    assert marked("データベース接続エラー", "接続 エラー") == ["接続", "エラ"]


def test_in_a_very_long_word_the_words_are_marked() -> None:
    text = "x" * 80 + "/deploy/" + "y" * 80
    assert marked(text, "deploying") == ["deploy"]
    text = '{"query":"failed","path":"src/app.ts","message":"nothing of the kind was retried"}'
    assert len(text) > 64
    assert marked(text.replace(" ", "_"), "retry src/app.ts queries") == [
        "query",
        "src/app.ts",
        "retried",
    ]


def test_a_long_run_whose_terms_cannot_be_seen_is_marked_whole() -> None:
    assert marked("ÀÉÎ" * 30, "aei" * 30) == ["ÀÉÎ" * 30]


def test_marks_can_be_written_as_one_likes() -> None:
    found = Snippet("a red fox", (Mark(2, 5),))
    assert str(found) == "a **red** fox"
    assert found.marked("<b>", "</b>") == "a <b>red</b> fox"
    assert Snippet("plain").marked() == "plain"


# The window


def filler(count: int, word: str = "filler") -> str:
    return " ".join([word] * count)


def test_a_short_text_is_shown_whole() -> None:
    text = "x " * 119 + "x"
    assert shown(text, "fail").text == text
    assert shown(filler(20) + " fail", "fail").text == filler(20) + " fail"


def test_a_long_text_is_shown_around_its_match() -> None:
    text = f"{filler(100)} fail {filler(100)}"
    found = shown(text, "fail")
    assert found.text.startswith("…filler ")
    assert found.text.endswith(" filler…")
    assert LENGTH - 60 <= len(found.text) <= LENGTH + 2
    (mark,) = found.marks
    assert found.text[mark.start : mark.end] == "fail"
    assert abs(mark.start - LENGTH / 2) < 30


def test_the_beginning_and_the_end_have_no_dots_beyond() -> None:
    start = shown(f"fail {filler(100)}", "fail").text
    assert start.startswith("fail filler")
    assert start.endswith("…")
    end = shown(f"{filler(100)} fail", "fail").text
    assert end.startswith("…filler")
    assert end.endswith("filler fail")


def test_the_place_with_the_most_different_terms_is_shown() -> None:
    text = f"{filler(9, 'red')} {filler(60)} red blue green {filler(60)} blue blue blue red"
    assert "red** **blue** **green" in shown(text, "red blue green").marked()


def test_the_first_of_the_best_places_is_shown() -> None:
    text = f"{filler(60)} first red {filler(60)} second red {filler(60)}"
    assert "first **red**" in shown(text, "red").marked()


def test_without_a_match_the_nearest_chunk_is_shown() -> None:
    text = f"{filler(100)} landmark {filler(100, 'other')}"
    found = shown(text, "fail", near=700)
    assert found.text.startswith("…landmark other")
    assert found.marks == ()
    assert shown(text, "fail").text.startswith("filler filler")


def test_beyond_the_end_the_end_is_shown() -> None:
    text = filler(100)
    for near in (len(text) - 3, len(text), len(text) + 5000):
        found = shown(text, "fail", near=near).text
        assert found.startswith("…filler")
        assert found.endswith("filler")


def test_a_match_longer_than_the_window_is_shown_without_a_mark() -> None:
    found = shown(f"{filler(50)} {'à' * 500} {filler(50)}", "à" * 500)
    assert "à" * 100 in found.text
    assert found.marks == ()


def test_where_nothing_can_be_parted_it_is_cut_anyway() -> None:
    found = shown("ab" * 1000, "fail", near=500)
    assert found.text == "…" + "ab" * 120 + "…"


def test_what_is_not_analysed_is_not_shown() -> None:
    text = "x " * (ANALYSED_BYTES // 2) + "fail"
    found = shown(text, "fail", near=ANALYSED_BYTES)
    assert found.marks == ()
    assert "fail" not in found.text


def test_a_megabyte_takes_no_time_worth_mentioning() -> None:
    question = " ".join(f"w{number}" for number in range(200))
    for text in ("w1" * 500_000, "w1 " * 300_000, "語彙" * 300_000, "\n" * 10**6):
        shown(text, question)


# Whatever there is


PIECES = st.sampled_from(
    "red Blue, parseConfig() src/app.ts:42 日本語のテスト naïve ﬁne İzmir हिन्दी".split(" ")
    + "a-b_c e\u0301 \u200d ß -- … ** 🎉 \n".split(" ")
    + ["x" * 300]
)
TEXTS = st.lists(PIECES | st.text(max_size=12), max_size=60).map(" ".join) | st.lists(
    PIECES, max_size=40
).map("".join)


def lies_within(found: Snippet) -> Iterable[bool]:
    yield all(0 <= mark.start < mark.end <= len(found.text) for mark in found.marks)
    yield all(one.end <= other.start for one, other in pairwise(found.marks))


@given(text=TEXTS, question=TEXTS, near=st.integers(0, 2000))
@example(text="ab " + "x" * 238, question="ab " + "x" * 238, near=0)
def test_marks_lie_in_the_text_in_order_and_apart(text: str, question: str, near: int) -> None:
    found = shown(text, question, near=near)
    assert all(lies_within(found))
    assert len(found.text) <= LENGTH + 2
    assert found.text.removeprefix("…").removesuffix("…") in text.replace("…", "") or (
        found.text.strip("…") in text
    )
    taken = found.marked("\ue000", "\ue001")
    assert taken.replace("\ue000", "").replace("\ue001", "") == found.text
    assert taken.count("\ue000") == len(found.marks)
    if len(text) <= LENGTH:
        assert found.text == text


@given(text=TEXTS, word=st.sampled_from(["red", "blue", "naive", "config", "日本", "fine"]))
def test_what_is_marked_holds_the_term(text: str, word: str) -> None:
    found = shown(text, word)
    wanted = set(ANALYZER.stream(word))
    for mark in found.marks:
        assert wanted & set(ANALYZER.stream(found.text[mark.start : mark.end]))


@given(text=TEXTS)
def test_a_word_of_a_short_text_is_always_marked(text: str) -> None:
    for piece in text[:LENGTH].split():
        if ANALYZER.stream(piece):
            assert shown(text[:LENGTH], piece).marks
