"""Searches while others write, or while something doesn't answer."""

from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest

from dualstore.embedders.static import StaticEmbedder
from dualstore.errors import CursorError, UnavailableError
from dualstore.manager import DualStoreManager
from dualstore.search import nearest
from dualstore.search.results import Mode, SearchResult
from dualstore.testing import Faults
from tests.search.families import HOME, Place, Wordless, all_pages, family, ids, item

MODES: tuple[Mode, ...] = get_args(Mode)


@pytest.fixture
async def changing(notes: DualStoreManager) -> DualStoreManager:
    """The home, to be written to."""
    await notes.insert_many(HOME)
    await notes.drain()
    return notes


# Cursors


async def fill(notes: DualStoreManager, count: int = 30) -> None:
    items = [item(f"{at:02}", f"red {'green ' * (at % 3)}{at}", at=at, n=at) for at in range(count)]
    await notes.insert_many(items)
    await notes.drain()


async def test_pages_hold_what_one_long_list_does(notes: DualStoreManager) -> None:
    await fill(notes)
    whole = await notes.search("red green", limit=1000)
    assert len(whole.hits) == 30
    for limit in (1, 7, 29, 30, 31):
        pages = await all_pages(notes, "red green", limit=limit)
        assert [hit for page in pages for hit in page.hits] == list(whole.hits)
        assert len(pages) == -(-30 // limit)
        assert {(page.candidates, page.cut) for page in pages} == {(30, False)}


async def test_a_cursor_goes_on_with_another_limit(notes: DualStoreManager) -> None:
    await fill(notes)
    whole = ids(await notes.search("red green", limit=1000))
    first = await notes.search("red green", limit=3)
    second = await notes.search("red green", limit=5, cursor=first.next_cursor)
    third = await notes.search("red green", limit=10_000, cursor=second.next_cursor)
    assert ids(first) + ids(second) + ids(third) == whole
    again = await notes.search("red green", limit=5, cursor=first.next_cursor)
    assert again == second


async def test_a_ranking_stays_while_others_write(notes: DualStoreManager) -> None:
    await fill(notes)
    whole = ids(await notes.search("red green", limit=1000))
    first = await notes.search("red green", limit=10)
    await notes.insert_many([item(f"new {at}", "red green red green", at=99) for at in range(9)])
    await notes.drain()
    rest = await notes.search("red green", limit=1000, cursor=first.next_cursor)
    assert ids(first) + ids(rest) == whole
    assert len(ids(await notes.search("red green", limit=1000))) == 39


async def test_what_is_deleted_changed_or_moved_between_two_pages(notes: DualStoreManager) -> None:
    await fill(notes)
    where = {"metadata.n": {"$lt": 25}}
    whole = ids(await notes.search("red green", where=where, limit=1000))
    first = await notes.search("red green", where=where, limit=5)
    gone, changed, moved = whole[5], whole[6], whole[7]
    await notes.delete(gone)
    await notes.insert(item(changed, "something else altogether", n=1))
    await notes.insert(item(moved, "red green", n=99))
    second = await notes.search("red green", where=where, limit=5, cursor=first.next_cursor)
    assert ids(second) == [changed, *whole[8:12]]
    assert second.hits[0].entry.text == "something else altogether"
    assert second.hits[0].snippet.text == "something else altogether"


async def test_where_all_that_is_left_was_deleted_there_is_no_next_page(
    notes: DualStoreManager,
) -> None:
    await fill(notes, 6)
    first = await notes.search("red", limit=4)
    await notes.delete_where({"text": {"$contains": "red"}})
    last = await notes.search("red", limit=4, cursor=first.next_cursor)
    assert (last.hits, last.next_cursor) == ((), None)


async def test_a_cursor_outlives_a_reindex(notes: DualStoreManager) -> None:
    await fill(notes)
    whole = ids(await notes.search("red green", limit=1000))
    first = await notes.search("red green", limit=10)
    await notes.reindex()
    rest = await notes.search("red green", limit=1000, cursor=first.next_cursor)
    assert ids(first) + ids(rest) == whole


async def test_a_cursor_of_another_search_is_refused(notes: DualStoreManager) -> None:
    await fill(notes)
    cursor = (await notes.search("red green", limit=3)).next_cursor
    for other in (
        {"query": "red"},
        {"query": "red green", "mode": "text"},
        {"query": "red green", "where": {"metadata.n": 1}},
    ):
        with pytest.raises(CursorError, match="another search"):
            await notes.search(**other, cursor=cursor)
    page = await notes.page(limit=3)
    garbage: Any
    for garbage in ("", "garbage", "é", page.next_cursor, 5):
        with pytest.raises(CursorError):
            await notes.search("red green", cursor=garbage)


# Truth


@pytest.mark.parametrize("few", [nearest.FEW, -1])
async def test_a_changed_text_is_not_found_by_what_it_was(
    changing: DualStoreManager, faults: Faults, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its old vector is still there, as nothing can be embedded."""
    monkeypatch.setattr(nearest, "FEW", few)
    faults.outage("embedder.embed")
    await changing.insert(item("kitten", "A table of numbers", thread="home"))
    await changing.delete("dog")
    for where in (None, {"id": {"$in": ["kitten", "dog", "tax"]}}):
        by_meaning = await changing.search("a cat on a couch", "semantic", where)
        assert not {"kitten", "dog"} & set(ids(by_meaning))
        assert by_meaning.degraded[-1].startswith("documents not indexed yet: ")
        assert ids(await changing.search("kitten sofa", "text", where)) == []
        assert ids(await changing.search("numbers", "text", where))[0] == "kitten"
        both = await changing.search("a cat on a couch, or numbers", where=where)
        assert [hit.modes for hit in both.hits if hit.entry.id == "kitten"] == [("text",)]


async def test_what_is_not_indexed_yet_is_found_by_its_words(
    changing: DualStoreManager, faults: Faults
) -> None:
    faults.outage("embedder.embed")
    await changing.insert(item("new", "A hamster runs in its wheel"))
    result = await changing.search("hamster")
    assert result.hits[0].entry.id == "new"
    assert result.hits[0].modes == ("text",)
    assert result.degraded == ("documents not indexed yet: 1",)
    assert (await changing.search("hamster", "text")).degraded == ()
    faults.heal()
    await changing.drain()
    result = await changing.search("hamster")
    assert (result.hits[0].modes, result.degraded) == (("text", "semantic"), ())


# Degraded


async def test_without_vectors_words_are_searched_alone_and_that_is_said(
    changing: DualStoreManager, faults: Faults
) -> None:
    faults.outage("vectors.*")
    result = await changing.search("kitten on a sofa")
    assert ids(result)[0] == "kitten"
    assert "semantic" not in {mode for hit in result.hits for mode in hit.modes}
    (said,) = result.degraded
    assert said.startswith("without meaning: injected")
    with pytest.raises(UnavailableError, match="injected"):
        await changing.search("kitten on a sofa", "semantic")
    by_words = await changing.search("kitten on a sofa", "text")
    assert by_words.degraded == ()
    faults.heal()
    assert (await changing.search("kitten on a sofa")).degraded == ()


async def test_every_page_says_what_was_missing(notes: DualStoreManager, faults: Faults) -> None:
    await fill(notes)
    faults.outage("vectors.*")
    first = await notes.search("red green", limit=5)
    faults.heal()
    second = await notes.search("red green", limit=5, cursor=first.next_cursor)
    assert second.degraded == first.degraded != ()


async def test_documents_that_do_not_answer_are_no_empty_result(
    changing: DualStoreManager, faults: Faults
) -> None:
    faults.outage("documents.*")
    for mode in MODES:
        with pytest.raises(UnavailableError, match="injected"):
            await changing.search("kitten", mode)


@pytest.fixture
async def wordless(
    place: Place, embedder: StaticEmbedder, faults: Faults
) -> AsyncIterator[DualStoreManager]:
    async with (
        place() as documents,
        family(documents, Wordless(embedder), faults=faults) as made,
    ):
        await made.insert_many(HOME)
        await made.drain()
        yield made


async def test_without_word_vectors_there_are_no_related_words_and_that_is_said(
    wordless: DualStoreManager, faults: Faults
) -> None:
    result = await wordless.search("cats on couches")
    assert ids(result)[0] == "kitten"
    assert result.hits[0].modes == ("semantic",)
    assert result.hits[0].explanation.terms == 0.0
    assert result.degraded == ("without related words: the embedder has no word vectors",)
    assert (await wordless.search("kitten", "text")).degraded == ()
    faults.outage("embedder.*")
    result = await wordless.search("kitten sofa")
    assert ids(result)[0] == "kitten"
    assert [each.partition(":")[0] for each in result.degraded] == [
        "without meaning",
        "without related words",
    ]


async def test_where_nothing_was_ever_indexed_words_are_searched(
    notes: DualStoreManager, faults: Faults
) -> None:
    assert await notes.search("kitten") == SearchResult(())
    faults.outage("embedder.embed")
    await notes.insert_many(HOME)
    result = await notes.search("kitten")
    assert ids(result)[0] == "kitten"
    assert result.degraded[-1].startswith("documents not indexed yet: ")


# Many


async def test_more_candidates_than_are_ranked_are_cut_and_that_is_said(
    notes: DualStoreManager,
) -> None:
    await notes.insert_many([item(f"{at:03}", f"red {at}", at=at) for at in range(230)])
    result = await notes.search("red", "text", limit=1000)
    assert (len(result.hits), result.candidates, result.cut) == (200, 200, True)
    assert ids(result) == [f"{at:03}" for at in range(229, 29, -1)]
    rarer = await notes.search("17", "text", limit=1000)
    assert (ids(rarer), rarer.cut) == (["017"], False)


async def test_the_index_is_asked_for_more_until_enough_of_it_is_wanted(
    notes: DualStoreManager, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "FEW", -1)
    monkeypatch.setattr(nearest, "_SPARE", -195)
    await notes.insert_many(
        [item(f"{at:03}", f"kitten {'sofa ' * (at % 7)}", at=at) for at in range(120)]
    )
    await notes.drain()
    faults.calls.clear()
    result = await notes.search("kitten", "semantic", {"text": {"$contains": "sofa"}}, 1000)
    assert len(result.hits) == sum(at % 7 > 0 for at in range(120))
    assert faults.calls.count("vectors.index.query") == 4  # for 5, 20, 80 and 320
    assert not result.cut
    faults.calls.clear()
    monkeypatch.setattr(nearest, "MOST", 50)
    result = await notes.search("kitten", "semantic", {"text": {"$contains": "sofa"}}, 1000)
    assert 0 < len(result.hits) <= 50
    assert result.cut, "the filter may want others that are further away"
    assert faults.calls.count("vectors.index.query") == 3


async def test_a_long_entry_shows_the_chunk_that_is_nearest(wordless: DualStoreManager) -> None:
    taxes = [" ".join(f"tax report {part}{at}." for at in range(300)) for part in "ab"]
    cats = " ".join(f"The kitten sleeps on couch {at}." for at in range(90))
    text = f"{taxes[0]} {cats} {taxes[1]}"
    await wordless.insert(item("long", text, author="Ann"))
    await wordless.drain()
    (hit,) = (await wordless.search("pets purring", "semantic", {"id": "long"})).hits
    assert hit.snippet.marks == ()
    start = text.index(hit.snippet.text.strip("…"))
    assert text.index("kitten") - 1500 < start < text.rindex("kitten")
    (hit,) = (await wordless.search("kitten", "semantic", {"id": "long"})).hits
    assert "**kitten**" in hit.snippet.marked()


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_of_equally_near_ones_those_with_the_first_ids_are_ranked(
    notes: DualStoreManager,
) -> None:
    for some in (range(200, 206), range(200)):  # indexed in this order
        await notes.insert_many([item(f"{at:03}", "kitten") for at in some])
        await notes.drain()
    result = await notes.search("cat", "semantic", limit=1000)
    assert ids(result) == [f"{at:03}" for at in range(200)]
    assert result.cut
