"""What holds whatever a family holds, and whatever is asked of it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dualstore.documents.base import Database
from dualstore.embedders.static import StaticEmbedder
from dualstore.filters import matches, parse
from dualstore.manager import DualStoreManager
from dualstore.search.results import Mode
from dualstore.terms import Analyzer
from tests.documents.strategies import POOL_METADATA, POOL_STRINGS, POOL_TIMES, filters
from tests.documents.test_properties import bounded
from tests.search.conftest import PLACES
from tests.search.families import CODE, PLAIN, SCRIPTS, Item, all_pages, family, ids, place_of

T = TypeVar("T")

ANALYZER = Analyzer()
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass
class House:
    """One open database, in an event loop of its own, for all examples of a test."""

    runner: asyncio.Runner
    database: Database
    embedder: StaticEmbedder
    numbers: Iterator[int]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @asynccontextmanager
    async def holding(self, items: list[Item]) -> AsyncIterator[DualStoreManager]:
        """A new family with these, indexed."""
        name = f"n{next(self.numbers)}"
        async with family(self.database, self.embedder, name=name) as notes:
            await notes.insert_many(items)
            await notes.drain()
            yield notes


def _house(
    kind: str, request: pytest.FixtureRequest, folder: Path, embedder: StaticEmbedder
) -> Iterator[House]:
    with place_of(kind, request, folder) as place, asyncio.Runner() as runner:
        database = place()
        runner.run(database.__aenter__())
        try:
            yield House(runner, database, embedder, count())
        finally:
            runner.run(database.__aexit__(None, None, None))


@pytest.fixture
def house(
    request: pytest.FixtureRequest, tmp_path: Path, embedder: StaticEmbedder
) -> Iterator[House]:
    yield from _house("sqlite", request, tmp_path, embedder)


@pytest.fixture(params=PLACES[1:])
def other_house(
    request: pytest.FixtureRequest, tmp_path: Path, embedder: StaticEmbedder
) -> Iterator[House]:
    yield from _house(request.param, request, tmp_path, embedder)


WORDS = st.sampled_from([*PLAIN[:20], *CODE, *SCRIPTS])
TEXTS = st.one_of(
    st.lists(WORDS, min_size=1, max_size=8).map(" ".join),
    st.text(max_size=30),
    st.sampled_from(POOL_STRINGS),
)
AUTHORED = st.fixed_dictionaries(
    {},
    optional={
        "author": st.sampled_from(["Ann Lee", "user", "José"]),
        "session_id": st.sampled_from(["s", "t"]),
        "type": st.sampled_from(["image", "text"]),
    },
)
QUERIES = st.one_of(
    TEXTS,
    st.lists(WORDS, min_size=1, max_size=3).map(" ".join),
    st.sampled_from(
        ["when did Ann deploy", "in May 2023", "who", "", '"OR" NOT (', "$where", "1970-01-01"]
    ),
)


@st.composite
def families(draw: st.DrawFn) -> list[Item]:
    texts = draw(st.lists(TEXTS, min_size=1, max_size=9))
    return [
        {
            "id": f"e{number}",
            "text": text,
            "timestamp": draw(st.sampled_from(POOL_TIMES)),
            "metadata": draw(POOL_METADATA) | draw(AUTHORED),
        }
        for number, text in enumerate(texts)
    ]


WHERE = st.none() | filters() | st.sampled_from([{"metadata.session_id": "s"}])


async def _hits_are_true(
    house: House, items: list[Item], query: str, where: dict[str, Any] | None, limit: int
) -> None:
    async with house.holding(items) as notes:
        await notes.delete("e1")
        for mode in MODES:
            result = await notes.search(query, mode, where, limit)
            found = ids(result)
            assert len(found) == len(set(found)) <= min(limit, result.candidates)
            assert {hit.entry.id: hit.entry for hit in result.hits} == await notes.get_many(found)
            assert "e1" not in found
            assert all(matches(parse(where), hit.entry) for hit in result.hits)
            assert result.degraded in {(), ("documents not indexed yet: 1",)}  # the deleted one
            scores = [hit.score for hit in result.hits]
            assert scores == sorted(scores, reverse=True)
            assert all(0 < score <= 1 for score in scores)
            for hit in result.hits:
                assert hit.modes in {
                    ("text",),
                    ("semantic",),
                    ("text", "semantic"),
                    ("neighbours",),
                }
                assert (
                    mode == "hybrid"
                    or {"text": "semantic", "semantic": "text"}[mode] not in hit.modes
                )
                assert hit.snippet.text.strip("…") in hit.entry.text
                assert ANALYZER.stream(hit.entry.text)


@bounded(60)
@given(items=families(), query=QUERIES, where=WHERE, limit=st.integers(1, 12))
@example(items=[{"id": "e0", "text": "🎉", "metadata": {}}], query="🎉", where=None, limit=1)
def test_hits_are_of_the_family_wanted_current_and_each_once(
    house: House, items: list[Item], query: str, where: dict[str, Any] | None, limit: int
) -> None:
    house.run(_hits_are_true(house, items, query, where, limit))


@bounded(8)
@given(items=families(), query=QUERIES, where=WHERE, limit=st.integers(1, 12))
def test_so_they_are_elsewhere(
    other_house: House, items: list[Item], query: str, where: dict[str, Any] | None, limit: int
) -> None:
    other_house.run(_hits_are_true(other_house, items, query, where, limit))


async def _finds_by_each_word(house: House, items: list[Item]) -> None:
    async with house.holding(items) as notes:
        for item in items:
            if item["metadata"].get("type") == "image":
                continue
            for piece in item["text"].split():
                if ANALYZER.stream(piece):
                    found = ids(await notes.search(piece, "text", limit=1000))
                    assert item["id"] in found, piece
            if ANALYZER.stream(item["text"]):
                assert item["id"] in ids(await notes.search(item["text"], "text", limit=1000))


@bounded(40)
@given(items=families())
def test_an_entry_is_found_by_each_of_its_words(house: House, items: list[Item]) -> None:
    house.run(_finds_by_each_word(house, items))


@bounded(5)
@given(items=families())
def test_so_it_is_elsewhere(other_house: House, items: list[Item]) -> None:
    other_house.run(_finds_by_each_word(other_house, items))


async def _pages_are_the_list(
    house: House, items: list[Item], query: str, where: dict[str, Any] | None, limit: int
) -> None:
    async with house.holding(items) as notes:
        for mode in MODES:
            whole = await notes.search(query, mode, where, 1000)
            pages = await all_pages(notes, query, mode, where, limit=limit)
            assert [hit for page in pages for hit in page.hits] == list(whole.hits)
            assert all(len(page.hits) == limit for page in pages[:-1])
            assert bool(whole.hits) == bool(pages[-1].hits)
            assert {page.candidates for page in pages} == {whole.candidates}
            assert whole.next_cursor is None


@bounded(40)
@given(items=families(), query=QUERIES, where=WHERE, limit=st.integers(1, 4))
def test_all_pages_are_one_long_list(
    house: House, items: list[Item], query: str, where: dict[str, Any] | None, limit: int
) -> None:
    house.run(_pages_are_the_list(house, items, query, where, limit))


@bounded(6)
@given(items=families(), query=QUERIES, where=WHERE, limit=st.integers(1, 4))
def test_so_they_are_one_elsewhere(
    other_house: House, items: list[Item], query: str, where: dict[str, Any] | None, limit: int
) -> None:
    other_house.run(_pages_are_the_list(other_house, items, query, where, limit))
