"""What entries earn: exact numbers for small worlds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.documents.base import Candidate, Neighbours
from dualstore.search.asking import Question
from dualstore.search.ranking import (
    DIGITS,
    RECIPE,
    Parts,
    Ranked,
    Ranker,
    Ranking,
    Recipe,
    Wanted,
)
from dualstore.search.timely import TimeWords
from dualstore.search.windows import linked
from dualstore.terms import Analyzer

ANALYZER = Analyzer()
TIMES = TimeWords(ANALYZER)
Related = Mapping[str, Mapping[str, float]]


def entry(id_: str, text: str = "words", *, at: int = 0, author: str | None = None) -> Candidate:
    return Candidate(id_, "thread", at, author, " ".join(ANALYZER.kept(text)), b"", "")


def at(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


def rank(
    text: str,
    entries: Sequence[Candidate],
    *,
    weights: Mapping[str, float] | None = None,
    related: Related | None = None,
    cosines: Mapping[str, float] | None = None,
    thread: Sequence[str] = (),
    recipe: Recipe = RECIPE,
) -> list[Ranked]:
    """`thread` are ids that follow each other."""
    question = Question(text, ANALYZER)
    sought = {each.term: each.factor for each in question.sought({})}
    wanted = Wanted(
        weights=sought if weights is None else weights,
        related=related or {},
    )
    ranker = Ranker(question, wanted, time_words=TIMES, recipe=recipe)
    ranker.add(entries)
    return rows(ranker.ranked(cosines or {}, dict(pairwise(thread))))


def rows(ranking: Ranking) -> list[Ranked]:
    return [ranking[at] for at in range(len(ranking))]


def by_id(ranked: Sequence[Ranked]) -> dict[str, Ranked]:
    return {each.id: each for each in ranked}


def terms(ranked: Sequence[Ranked]) -> dict[str, float]:
    return {each.id: round(each.parts.terms, DIGITS) for each in ranked}


def rounded(**numbers: float) -> dict[str, float]:
    return {name: round(number, DIGITS) for name, number in numbers.items()}


# Terms


def test_an_entry_earns_the_share_of_the_terms_it_holds() -> None:
    found = rank(
        "red green blue",
        [entry("two", "red blue"), entry("all", "a blue, green red"), entry("none", "black")],
        weights={"red": 1.0, "green": 2.0, "blue": 1.0},
    )
    assert [each.id for each in found] == ["all", "two", "none"]
    assert terms(found) == rounded(all=1.0, two=0.5, none=0.0)
    assert by_id(found)["all"].score == pytest.approx(1 / 1.3, abs=1e-4)
    assert by_id(found)["none"].score == 0.0


def test_a_term_counts_once_however_often_it_is_there() -> None:
    assert terms(rank("red green", [entry("a", "red red red")])) == rounded(a=0.5)


def test_a_question_that_wants_nothing_gives_nothing() -> None:
    (only,) = rank("?!", [entry("a", "red")])
    assert (only.score, only.parts.terms) == (0.0, 0.0)
    assert rank("red", []) == []


def test_related_words_earn_a_share() -> None:
    related = {"cat": {"kitten": 0.8, "pet": 0.6}, "sleep": {"nap": 1.0}}
    found = rank(
        "cat sleep",
        [
            entry("close", "kitten pet"),
            entry("itself", "cat kitten"),
            entry("nap", "nap"),
            entry("both", "kitten nap"),
        ],
        related=related,
    )
    assert terms(found) == rounded(
        close=0.5 * 0.85 * 0.8,
        itself=0.5,
        nap=0.5 * 0.85,
        both=0.5 * 0.85 * 1.8,
    )


def test_who_is_added_twice_stays_as_he_was() -> None:
    ranker = Ranker(Question("red", ANALYZER), Wanted({"red": 1.0}, {}), time_words=TIMES)
    ranker.add([entry("a", "red")])
    ranker.add([entry("a", "blue"), entry("b", "red")])
    found = by_id(rows(ranker.ranked({"a": 0.5})))
    assert sorted(found) == ["a", "b"]
    assert found["a"].parts == Parts(terms=1.0, meaning=0.15)


# The window


CHAIN = ["a", "b", "c", "d", "e", "f", "g", "h", "i"]


def in_chain(place: str, text: str = "red") -> list[Candidate]:
    """A thread in which only one entry says it."""
    return [entry(each, text if each == place else "other") for each in CHAIN]


def test_what_stands_near_in_the_thread_counts_less_and_less() -> None:
    found = terms(rank("red", in_chain("e"), thread=CHAIN))
    after_it = {"f": 0.8, "g": 0.8 * 0.8, "h": 0.8 * 0.8**2, "i": 0.0}
    before_it = {"d": 0.5, "c": 0.5 * 0.8, "b": 0.5 * 0.8**2, "a": 0.0}
    assert found == rounded(e=1.0, **after_it, **before_it)


def test_the_reach_may_be_another() -> None:
    found = rank("red", in_chain("e"), thread=CHAIN, recipe=replace(RECIPE, reach=1))
    earned = {each.id for each in found if each.parts.terms}
    assert earned == {"d", "e", "f"}


def test_without_links_each_counts_by_itself() -> None:
    found = rank("red", in_chain("e"))
    assert {each.id for each in found if each.parts.terms} == {"e"}


def test_a_link_to_somebody_unknown_ends_the_chain() -> None:
    entries = [entry("a", "red"), entry("c", "blue")]
    assert terms(rank("red", entries, thread=["a", "b", "c"])) == rounded(a=1.0, c=0.0)


def test_each_term_counts_at_its_best_place() -> None:
    entries = [entry("a", "red"), entry("b", "green"), entry("c", "blue"), entry("d", "red")]
    found = terms(rank("red green blue", entries, thread=["a", "b", "c", "d"]))
    assert found == rounded(
        a=(1 + 0.5 + 0.4) / 3,
        b=(0.8 + 1 + 0.5) / 3,
        c=(0.64 + 0.8 + 1) / 3,
        d=(1 + 0.64 + 0.8) / 3,
    )


def test_links_come_from_neighbours() -> None:
    a, b, c, d, e = (entry(each) for each in "abcde")
    around = {"c": Neighbours((b, a), (d,)), "d": Neighbours((c,), (e,)), "x": Neighbours((), ())}
    assert linked(around) == {"a": "b", "b": "c", "c": "d", "d": "e"}
    assert linked({}) == {}


def test_two_threads_do_not_meet() -> None:
    entries = [entry(each, "red" if each == "b" else "other") for each in "abcd"]
    links = linked(
        {
            "a": Neighbours((), (entries[1],)),
            "c": Neighbours((), (entries[3],)),
        }
    )
    question = Question("red", ANALYZER)
    ranker = Ranker(question, Wanted({"red": 1.0}, {}), time_words=TIMES)
    ranker.add(entries)
    assert {each.id for each in rows(ranker.ranked({}, links)) if each.score} == {"a", "b"}


# Long entries


def words(count: int, name: str = "x") -> str:
    return " ".join([name] * count)


def test_a_long_entry_is_read_in_passages_that_neighbour_each_other() -> None:
    text = f"red {words(63)} {words(64)} green {words(63)}"
    (only,) = rank("red green", [entry("a", text)])
    # red is two passages before green: 0.5 of green for red's, 0.64 of red for green's
    assert only.parts.terms == pytest.approx((1 + 0.8 * 0.8) / 2, abs=1e-4)


def test_what_is_far_apart_in_a_long_entry_does_not_count_together() -> None:
    far = rank("red green", [entry("a", f"red {words(400)} green")])
    near = rank("red green", [entry("a", f"red green {words(400)}")])
    assert far[0].parts.terms == pytest.approx(0.5)
    assert near[0].parts.terms == pytest.approx(1.0)


def test_an_entry_of_one_and_a_half_passages_is_one() -> None:
    whole = rank("red green", [entry("a", f"red {words(94)} green")])
    parted = rank("red green", [entry("a", f"red {words(95)} green")])
    assert whole[0].parts.terms == pytest.approx(1.0)
    assert parted[0].parts.terms == pytest.approx((1 + 0.8) / 2, abs=1e-4)


def test_the_next_entry_is_next_to_the_last_passage() -> None:
    entries = [entry("a", f"red {words(63)} {words(192)}"), entry("b", "other")]
    assert terms(rank("red", entries, thread=["a", "b"])) == rounded(a=1.0, b=0.0)
    entries = [entry("a", f"{words(192)} {words(63)} red"), entry("b", "other")]
    assert terms(rank("red", entries, thread=["a", "b"])) == rounded(a=1.0, b=0.8)


# Whom, when, what


def test_an_author_that_is_named_earns_something() -> None:
    found = rank("what did Ann say", [entry("a", author="Ann"), entry("b", author="Bob")])
    assert [each.parts.author for each in found] == [0.24, 0.0]
    assert found[0].score == pytest.approx(0.24 / (1 + 0.3 + 0.24), abs=1e-4)


def test_a_date_earns_by_month_and_by_day() -> None:
    entries = [
        entry("day", at=at(2023, 5, 7, 12)),
        entry("month", at=at(2023, 5, 8)),
        entry("year", at=at(2022, 5, 7)),
    ]
    found = by_id(rank("on 7 May 2023", entries))
    assert found["day"].parts.date == pytest.approx(0.5)
    assert found["month"].parts.date == pytest.approx(0.2)
    assert found["year"].parts.date == 0.0
    assert found["day"].score == pytest.approx(0.5 / (1 + 0.3 + 0.5), abs=1e-4)
    (only,) = rank("in May 2023", entries[:1])
    assert only.parts.date == pytest.approx(0.2)
    assert only.score == pytest.approx(0.2 / (1 + 0.3 + 0.2), abs=1e-4)


def test_who_says_when_earns_it_where_that_is_asked() -> None:
    entries = [entry("a", "it was yesterday"), entry("b", "it was fun")]
    found = by_id(rank("when was it", entries))
    assert (found["a"].parts.when, found["b"].parts.when) == (0.15, 0.0)
    assert by_id(rank("where was it", entries))["a"].parts.when == 0.0


def test_who_only_asks_loses_something() -> None:
    found = by_id(rank("red", [entry("asks", "red?"), entry("says", "red")]))
    assert (found["asks"].parts.question, found["says"].parts.question) == (-0.06, 0.0)
    assert found["asks"].score == pytest.approx(0.94 / 1.3, abs=1e-4)
    (only,) = rank("red", [entry("a", "blue?")])
    assert (only.score, sum(only.parts)) == (0.0, -0.06)


def test_meaning_earns_by_cosine_and_never_takes() -> None:
    entries = [entry("a"), entry("b"), entry("c")]
    found = by_id(rank("red", entries, cosines={"a": 0.5, "b": -0.9}))
    assert found["a"].parts.meaning == pytest.approx(0.15)
    assert (found["b"].parts.meaning, found["c"].parts.meaning) == (0.0, 0.0)


def test_without_meaning_words_alone_can_be_perfect() -> None:
    (only,) = rank("red", [entry("a", "red")], recipe=replace(RECIPE, meaning=0.0))
    assert only.score == 1.0


# Order


def test_ties_go_to_the_one_that_says_it_word_for_word() -> None:
    entries = [
        entry("early", "the blue of red", at=1),
        entry("verbatim", "it is red blue", at=0),
        entry("late", "blue and red", at=2),
    ]
    assert [each.id for each in rank("red blue", entries)] == ["verbatim", "late", "early"]


def test_a_part_of_a_word_is_not_word_for_word() -> None:
    entries = [entry("a", "cat xcat catx", at=1), entry("b", "cat", at=0)]
    ranked = rank("cat", entries, weights={"dog": 1.0})
    assert [each.id for each in ranked] == ["a", "b"]
    entries = [entry("a", "concatx", at=1), entry("b", "cat", at=0)]
    ranked = rank("cat", entries, weights={"dog": 1.0})
    assert [each.id for each in ranked] == ["b", "a"]


def test_then_the_newest_comes_first_then_the_id() -> None:
    entries = [entry("b", "red", at=5), entry("a", "red", at=5), entry("c", "red", at=6)]
    assert [each.id for each in rank("red", entries)] == ["c", "a", "b"]
    assert [each.id for each in rank("red", entries[::-1])] == ["c", "a", "b"]


def test_what_differs_in_the_seventh_digit_is_a_tie() -> None:
    entries = [entry("old", at=1), entry("new", at=2)]
    found = rank("red", entries, cosines={"old": 0.5000003, "new": 0.5})
    assert [each.id for each in found] == ["new", "old"]
    assert found[0].score == found[1].score
    found = rank("red", entries, cosines={"old": 0.50001, "new": 0.5})
    assert [each.id for each in found] == ["old", "new"]


# Whatever there is


WORDS = st.sampled_from("red green blue Ann yesterday 2023 parseConfig src/app.ts ? 語彙".split())
TEXTS = st.lists(WORDS, max_size=8).map(" ".join) | st.text(max_size=40)
ENTRIES = st.lists(
    st.tuples(
        TEXTS,
        st.integers(-(10**13), 10**13),
        st.sampled_from([None, "Ann", "user"]),
        st.floats(-1, 1, allow_nan=False),
    ),
    max_size=7,
)


@given(
    question=TEXTS | st.sampled_from(["when was Ann red on 7 May 2023", "who is Ann in May 2023"]),
    given_=ENTRIES,
    related=st.dictionaries(
        st.sampled_from(["red", "green"]),
        st.dictionaries(st.sampled_from(["blue", "ann", "2023"]), st.floats(0.25, 1), max_size=2),
    ),
)
def test_scores_lie_between_0_and_1_and_are_the_sum_of_their_parts(
    question: str, given_: list[tuple[str, int, str | None, float]], related: Related
) -> None:
    entries = [
        entry(str(number), text, at=when, author=author)
        for number, (text, when, author, _) in enumerate(given_)
    ]
    asked = Question(question, ANALYZER)
    weights = {each.term: each.factor for each in asked.sought({})}
    known = {term: others for term, others in related.items() if term in weights}
    cosines = {str(number): cosine for number, (_, _, _, cosine) in enumerate(given_)}
    found = rank(
        question, entries, related=known, cosines=cosines, thread=[one.id for one in entries]
    )
    possible = 1.3
    possible += 0.24 if asked.names("Ann") and any(one.author == "Ann" for one in entries) else 0
    possible += 0.15 if asked.asks_when else 0
    possible += (0.5 if asked.date.day else 0.2) if asked.date else 0
    for each in found:
        assert 0 <= each.score <= 1
        earned = sum(each.parts)
        assert each.score == pytest.approx(max(0, earned) / possible, abs=1e-4)
        assert -0.06 <= each.parts.question <= 0 <= min(each.parts.terms, each.parts.meaning)
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)
    assert {each.id for each in found} == {one.id for one in entries if one.terms}


def test_who_says_nothing_is_no_hit_but_keeps_his_place() -> None:
    entries = [entry("a", "red"), entry("b", "🎉"), entry("c", "blue")]
    assert terms(rank("red", entries, thread=["a", "b", "c"])) == rounded(a=1.0, c=0.64)


@given(given_=ENTRIES, seed=st.randoms())
def test_the_order_in_which_they_come_is_no_matter(
    given_: list[tuple[str, int, str | None, float]], seed: Random
) -> None:
    entries = [
        entry(str(number), text, at=when, author=author)
        for number, (text, when, author, _) in enumerate(given_)
    ]
    thread = [one.id for one in entries]
    question = "red green parseConfig in 2023, Ann"
    one_way = rank(question, entries, thread=thread)
    seed.shuffle(entries)
    assert [each[:2] for each in rank(question, entries, thread=thread)] == [
        each[:2] for each in one_way
    ]
