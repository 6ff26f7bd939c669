"""What a search promises, on every place for documents."""

from typing import Any, get_args

import pytest

from dualstore.errors import FilterError, InvalidInputError
from dualstore.manager import DualStoreManager
from dualstore.search import nearest
from dualstore.search.results import Mode, SearchResult
from tests.search.families import HOME, ids

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODES: tuple[Mode, ...] = get_args(Mode)


# Hits


async def test_hits_say_what_found_them_and_why(home: DualStoreManager) -> None:
    result = await home.search("what did Ann say about the kitten")
    first = result.hits[0]
    assert first.entry == await home.get("kitten")
    assert first.modes == ("text", "semantic")
    assert first.snippet.marked() == "The **kitten** sleeps on the sofa"
    assert first.explanation.author == 0.24
    assert first.explanation.terms > 0.5
    assert first.score == pytest.approx(sum(first.explanation) / (1 + 0.3 + 0.24), abs=0.0005)
    assert (result.cut, result.degraded, result.next_cursor) == (False, (), None)
    assert result.candidates == len(result.hits)


async def test_neighbours_of_what_was_found_are_hits_too(home: DualStoreManager) -> None:
    result = await home.search("sofa", "text")
    assert [(hit.entry.id, hit.modes) for hit in result.hits] == [
        ("kitten", ("text",)),
        ("dog", ("neighbours",)),
        ("hm", ("neighbours",)),
    ]
    assert [hit.score for hit in result.hits] == [1.0, 0.8, 0.58]


async def test_what_holds_no_word_is_never_a_hit(home: DualStoreManager) -> None:
    for query in ("kitten", "basket", "🎉", "hm dog kitten"):
        for mode in MODES:
            assert not {"blank", "image"} & set(ids(await home.search(query, mode))), (query, mode)


async def test_each_mode_finds_what_it_can(home: DualStoreManager) -> None:
    assert ids(await home.search("a pet cat naps on a couch", "text")) == []
    by_meaning = await home.search("a pet cat naps on a couch", "semantic")
    assert ids(by_meaning)[0] == "kitten"
    assert by_meaning.hits[0].modes == ("semantic",)
    assert by_meaning.hits[0].score == by_meaning.hits[0].explanation.meaning
    assert ids(await home.search("a pet cat naps on a couch"))[0] == "kitten"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("parseConfig", "code"),
        ("parse config", "code"),
        ("src/app.ts", "code"),
        ("app.ts:42", "code"),
        ("enoent", "code"),
        ("データベース", "ja"),
        ("接続エラー", "ja"),
        ("QUARTERLY", "tax"),
        ("reports", "tax"),
        ("foo bar", "odd"),
    ],
)
async def test_words_and_identifiers_are_found(
    home: DualStoreManager, query: str, wanted: str
) -> None:
    for mode in ("text", "hybrid"):
        assert ids(await home.search(query, mode))[0] == wanted


# Bad input


@pytest.mark.parametrize("query", ["", "   ", "?!...", "🎉", "«»—", "\0", "\x07\x1b[0m", "\u202e"])
@pytest.mark.parametrize("mode", MODES)
async def test_a_query_without_words_finds_nothing(
    home: DualStoreManager, query: str, mode: Mode
) -> None:
    if query != "\x07\x1b[0m":  # an escape sequence holds a digit and a letter
        assert await home.search(query, mode) == SearchResult(())


STRANGE = [
    'sofa"',
    "sofa*",
    "sofa AND NOT kitten",
    '"sofa" OR (kitten',
    "NEAR(sofa kitten)",
    "text:sofa",
    "^sofa + kitten",
    "{sofa}: -kitten",
    "'; DROP TABLE entries; -- sofa",
    '{"$where": "sofa"}',
    "$ne $regex .* sofa",
    "sofa\0kitten",
    "sofa\x07\x1b[31m",
    "\u202esofa\u202c",
    "sofa\u00adso so\u200bfa sofa",
    "sofa 🎉 👩\u200d👩\u200d👧 \U000e0001",
    "sofa हिन्दी ไทย العربية ქართული 中文 한국어 ᏣᎳᎩ 𝕬𝖇𝖈 \U0001f600",
    "sofa " + "x" * 2**20,
    "sofa\n" * 200_000,
    "sofa %s %n {0} \\ / \\u0000 &lt;b&gt;",
]


@pytest.mark.parametrize("query", STRANGE, ids=range(len(STRANGE)))
async def test_no_syntax_and_no_character_is_special(home: DualStoreManager, query: str) -> None:
    for mode in ("text", "hybrid"):
        assert "kitten" in ids(await home.search(query, mode)), mode
    await home.search(query, "semantic")
    assert await home.count() == len(HOME)


async def test_stop_words_are_searched_where_there_is_nothing_else(home: DualStoreManager) -> None:
    assert set(ids(await home.search("the", "text"))) >= {"kitten", "dog", "tax"}
    assert ids(await home.search("the sofa", "text"))[0] == "kitten"


@pytest.mark.parametrize("limit", [0, -1, 1.5, "10", None, True])
async def test_a_wrong_limit_is_refused(home: DualStoreManager, limit: Any) -> None:
    with pytest.raises(InvalidInputError, match="limit must be a whole number from 1 on"):
        await home.search("sofa", limit=limit)


async def test_any_large_limit_is_fine(home: DualStoreManager) -> None:
    for limit in (10_000, 2**40):
        result = await home.search("kitten tax", limit=limit)
        assert result.next_cursor is None
        assert len(result.hits) == result.candidates


@pytest.mark.parametrize("mode", ["", "magic", "TEXT", None, 1, ["text"]])
async def test_an_unknown_mode_is_refused(home: DualStoreManager, mode: Any) -> None:
    with pytest.raises(InvalidInputError, match="hybrid, text, semantic"):
        await home.search("sofa", mode)


@pytest.mark.parametrize("query", [None, 5, b"sofa", ["sofa"], "lone \ud800 surrogate"])
async def test_a_query_that_is_no_text_is_refused(home: DualStoreManager, query: Any) -> None:
    with pytest.raises(InvalidInputError, match="query"):
        await home.search(query)


async def test_a_wrong_filter_is_refused(home: DualStoreManager) -> None:
    with pytest.raises(FilterError, match=r"\$where"):
        await home.search("sofa", where={"$where": "1"})


# Filters


@pytest.mark.parametrize("few", [nearest.FEW, -1])
@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({"metadata.kind": "code"}, {"code", "ja"}),
        ({"metadata.author": {"$in": ["Bob", "user"]}}, {"dog", "hm"}),
        ({"text": {"$contains": "KITTEN"}}, {"kitten"}),
        ({"id": {"$in": ["tax", "dog", "nobody"]}}, {"tax", "dog"}),
        ({"timestamp": {"$lt": 25}}, {"kitten", "dog"}),
        ({"$not": {"metadata.session_id": {"$exists": True}}}, {"odd"}),
        ({"metadata.kind": "nothing"}, set()),
    ],
)
async def test_only_what_the_filter_wants_is_found(
    home: DualStoreManager,
    where: dict[str, Any],
    wanted: set[str],
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one that the vector side can't hold."""
    monkeypatch.setattr(nearest, "FEW", few)
    query = "kitten dog hm tax parseConfig データベース foo"
    assert set(ids(await home.search(query, where=where))) == wanted
    assert set(ids(await home.search(query, "text", where))) == wanted
    assert set(ids(await home.search(query, "semantic", where))) <= wanted
    if not wanted:
        assert await home.search(query, where=where) == SearchResult(())


async def test_neighbours_outside_the_filter_speak_but_are_not_shown(
    home: DualStoreManager,
) -> None:
    result = await home.search("barks", "text", {"metadata.author": "Ann Lee"})
    assert ids(result) == []
    result = await home.search("kitten barks", "text", {"metadata.author": "Ann Lee"})
    (hit,) = result.hits
    assert hit.explanation.terms > 0.7
