"""What a question asks for: terms, names, dates."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.search.asking import AskedDate, Question
from dualstore.search.english import STOP_WORDS
from dualstore.terms import Analyzer

ANALYZER = Analyzer()


def ask(text: str) -> Question:
    return Question(text, ANALYZER)


def sought(text: str, *known: str) -> dict[str, float]:
    return {each.term: each.factor for each in ask(text).sought(dict.fromkeys(known, 1))}


def ms(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


# Terms


def test_words_are_sought_by_their_stems_and_stop_words_are_not() -> None:
    assert ask("Where are the failing migrations?").factors() == {"fail": 1.0, "migrat": 1.0}
    assert sought("Where are the failing migrations?") == {"fail": 1.0, "migrat": 1.0}


def test_a_sought_term_remembers_the_word_it_comes_from() -> None:
    (only,) = ask("migrations").sought({})
    assert (only.term, only.surface, only.factor) == ("migrat", "migrations", 1.0)
    assert {each.surface for each in ask("getUser").sought({"=getuser": 1})} == {
        None,
        "get",
        "user",
        "getuser",
    }


def test_stop_words_are_sought_where_there_is_nothing_else() -> None:
    assert sought("who are you") == {"who": 1.0, "ar": 1.0, "you": 1.0}
    assert sought("who are you, Ann") == {"ann": 1.0}


@pytest.mark.parametrize("text", ["", "   ", "?!…", "🎉 👩‍👩‍👧", "\0\x07", "«»"])
def test_what_holds_no_word_seeks_nothing(text: str) -> None:
    question = ask(text)
    assert question.factors() == {}
    assert question.sought({}) == []
    assert (question.words, question.verbatim, question.date) == ([], "", None)


def test_an_identifier_is_sought_whole_exactly_and_by_its_words() -> None:
    assert ask("src/app.ts:42").factors() == {
        "=src/app.ts:42": 1.0,
        "=src/app.ts": 1.0,
        "=app.ts": 1.0,
        "==src/app.ts:42": 0.3,
        "src": 1.0,
        "app": 1.0,
        "t": 1.0,
        "42": 1.0,
    }


def test_words_of_an_identifier_count_less_where_it_is_known_itself() -> None:
    assert sought("getUser", "=getuser") == {
        "=getuser": 1.0,
        "get": 0.4,
        "user": 0.4,
        "getus": 0.4,
    }
    assert sought("getUser", "=getuser", "==getuser")["==getuser"] == 0.3


def test_an_identifier_that_nobody_holds_is_sought_by_its_words_alone() -> None:
    assert sought("getUser", "get") == {"get": 1.0, "user": 1.0, "getus": 1.0}


def test_a_word_that_stands_by_itself_too_counts_in_full() -> None:
    assert sought("user getUser", "=getuser")["user"] == 1.0
    assert sought("getUser user", "=getuser")["user"] == 1.0


def test_verbatim_is_how_an_entry_would_say_it() -> None:
    text = "Why does parseConfig fail?"
    assert ask(text).verbatim == " ".join(ANALYZER.stream(text))


def test_of_a_long_question_the_head_is_asked() -> None:
    words = " ".join(f"word{number}" for number in range(2000))
    question = ask(words)
    assert len(question.text) == 4096
    assert 200 < len(question.factors()) <= 256
    assert "word0" in question.factors()
    assert ask("x" * 2**20).words == ["x" * 128]


@pytest.mark.parametrize("letter", ["語", "か", "က"])
def test_of_a_long_run_without_spaces_the_head_is_asked(letter: str) -> None:
    text = "".join(letter + chr(ord(letter) + at % 7) for at in range(600))
    assert 1 <= len(ask(text).factors()) <= 256
    assert len(ask(text).words) == 256


@given(st.text(max_size=200))
def test_everything_that_is_sought_stands_in_an_entry_of_the_same_text(text: str) -> None:
    stream = set(ANALYZER.stream(text))
    question = ask(text)
    assert set(question.factors()) <= stream
    assert {each.term for each in question.sought(dict.fromkeys(stream, 1))} <= stream
    assert bool(question.factors()) == bool(stream)


# Names


@pytest.mark.parametrize(
    ("author", "text"),
    [
        ("Ann", "what did ann say"),
        ("Ann", "Ann's plan"),
        ("ann", "ANN?"),
        ("Dr. Ann Lee", "did Lee agree"),
        ("ann_lee", "did Lee agree"),
        ("José", "what did José say"),
        ("José", "what did jose say"),
        ("Jean-Pierre", "ask Jean-Pierre"),
        ("O'Neil", "what O'Neil wrote"),
        ("BuildBot", "what BuildBot said"),
        ("BuildBot", "what buildbot said"),
        ("ann@example.com", "mail of ann@example.com"),
        ("Анна", "что сказала Анна"),
        ("田中", "田中さんの意見"),
        ("山田太郎", "山田太郎は何と言いましたか"),
        ("Will", "when did Will come"),
        ("claude-3", "what claude-3 thought"),
        ("user Ann", "Ann"),
    ],
)
def test_an_author_is_named_by_a_word_of_the_name(author: str, text: str) -> None:
    assert ask(text).names(author)
    assert not ask(text).names("Somebody Else")


@pytest.mark.parametrize(
    ("author", "text"),
    [
        ("user", "what did the user say"),
        ("Assistant", "what did the assistant say"),
        ("user_1", "the user of port 1"),
        ("AI agent", "which agent"),
        ("The Boss", "where is the config"),
        ("code-reviewer", "where is the code"),
        ("Ann", "annual report, an annex"),
        ("X", "x"),
        ("...", "..."),
        ("", "anything"),
    ],
)
def test_roles_fillers_and_halves_of_names_name_nobody(author: str, text: str) -> None:
    assert not ask(text).names(author)


def test_all_who_bear_the_name_are_named() -> None:
    authors = ["Ann Lee", "Ann Roe", "Bob"]
    assert [ask("what did Ann say").names(each) for each in authors] == [True, True, False]
    assert [ask("Bob and Roe").names(each) for each in authors] == [False, True, True]


def test_name_words_are_those_of_the_question() -> None:
    assert ask("José's flaky test").name_words(["José Lima", "Bob"]) == {"jose"}
    assert ask("a flaky test").name_words(["José Lima", "Bob"]) == frozenset()


@given(st.text(max_size=30), st.text(max_size=60))
def test_any_name_and_any_question_go_together(author: str, text: str) -> None:
    assert ask(text).names(author) == bool(ask(text).name_words([author]))


# Dates


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("7 May 2023", (2023, 5, 7)),
        ("on 7th May, 2023", (2023, 5, 7)),
        ("the 7th of May", (None, 5, 7)),
        ("May 7", (None, 5, 7)),
        ("may 7th, 2023", (2023, 5, 7)),
        ("May 7 2023?", (2023, 5, 7)),
        ("7 may", (None, 5, 7)),
        ("2023-05-07", (2023, 5, 7)),
        ("at 2023-05-07T10:00Z", (2023, 5, 7)),
        ("May 2023", (2023, 5, None)),
        ("december, 1999", (1999, 12, None)),
        ("in March", (None, 3, None)),
        ("since december", (None, 12, None)),
        ("mid August", (None, 8, None)),
        ("this june", (None, 6, None)),
        ("Sept 3", (None, 9, 3)),
        ("sep. 3", (None, 9, 3)),
        ("24 Dec", (None, 12, 24)),
        ("Feb. 29th 2024", (2024, 2, 29)),
        ("1st jan 2020 or 2 feb 2021", (2020, 1, 1)),
    ],
)
def test_dates_are_read_however_they_are_written(
    text: str, date: tuple[int | None, int, int | None]
) -> None:
    assert ask(text).date == AskedDate(*date)


@pytest.mark.parametrize(
    "text",
    [
        "99 may",
        "2023-13-45",
        "2023-00-10",
        "2023-10-32",
        "12023-05-07",
        "2023-05-071",
        "0 march",
        "may 1024 bytes",
        "the 3 separate files",
        "maybe 5 of them",
        "4 decimals",
        "2 marks",
        "10 augmented images",
        "marketing 2023",
        "step 2 mark it",
        "why this may fail",
        "this may run out",
        "line 12 may be wrong",
        "port 80 may be blocked",
        "march on",
        "may I ask",
        "2023",
    ],
)
def test_what_only_looks_like_a_date_is_none(text: str) -> None:
    assert ask(text).date is None


def test_a_time_fits_the_month_and_the_day_in_utc() -> None:
    date = AskedDate(2023, 5, 7)
    for fitting in (ms(2023, 5, 7), ms(2023, 5, 7, 23, 59, 59)):
        assert date.fits(fitting)
        assert date.fits_day(fitting)
    assert date.fits(ms(2023, 5, 8))
    assert not date.fits_day(ms(2023, 5, 8))
    assert not date.fits(ms(2024, 5, 7))
    assert not date.fits_day(ms(2023, 6, 7))


def test_without_a_year_or_a_day_any_will_do() -> None:
    assert AskedDate(None, 5, None).fits(ms(1999, 5, 31))
    assert not AskedDate(None, 5, None).fits_day(ms(1999, 5, 31))
    assert AskedDate(None, 5, 31).fits_day(ms(1999, 5, 31))
    assert AskedDate(None, 4, 31).fits(ms(1999, 4, 30))
    assert not AskedDate(None, 4, 31).fits_day(ms(1999, 5, 1))


@pytest.mark.parametrize("far", [10**18, -(10**18)])
def test_times_beyond_any_calendar_fit_no_date(far: int) -> None:
    assert not AskedDate(None, 5, 7).fits(far)
    assert not AskedDate(None, 5, 7).fits_day(far)


@pytest.mark.parametrize(
    "text",
    [
        "When did it break?",
        "since when is it red",
        "how long did it take",
        "What time was the deploy",
        "which month",
        "what date",
        "WHEN",
    ],
)
def test_questions_for_a_time(text: str) -> None:
    assert ask(text).asks_when


@pytest.mark.parametrize("text", ["whenever", "how longer", "what is a time zone", "the date", ""])
def test_other_questions(text: str) -> None:
    assert not ask(text).asks_when


def test_no_stop_word_is_one_that_a_question_may_be_about() -> None:
    assert STOP_WORDS.isdisjoint("may march error not-found null none first last new old".split())
