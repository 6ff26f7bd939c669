"""The same hits in the same order, wherever the documents are."""

from typing import Any

import pytest

from dualstore.manager import DualStoreManager
from dualstore.search import finder, nearest
from dualstore.search.results import Mode, SearchResult
from tests.search.families import QUESTIONS, all_pages

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHERE: list[dict[str, Any] | None] = [
    None,
    {"metadata.kind": "log"},
    {"metadata.n": {"$lt": 3}, "timestamp": {"$gte": "2023-03-01"}},
    {"text": {"$contains": "a"}},
    {"$or": [{"metadata.author": "Ann Lee"}, {"metadata.session_id": {"$in": ["thread 1"]}}]},
    {"metadata.author": {"$exists": False}},
]
MODES: list[Mode] = ["hybrid", "text", "hybrid", "semantic", "hybrid"]
CASES = [(each, MODES[at % 5], WHERE[at % 6]) for at, each in enumerate(QUESTIONS)]


def told(result: SearchResult) -> tuple[Any, ...]:
    hits = [
        (hit.entry.id, hit.score, hit.modes, hit.explanation, hit.snippet) for hit in result.hits
    ]
    return hits, result.candidates, result.cut, result.degraded, result.next_cursor


@pytest.fixture(autouse=True)
def fewer_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """mongomock takes half a second for those of 50 entries."""
    monkeypatch.setattr(finder, "BEST", 5)


@pytest.mark.parametrize("part", range(3))
async def test_the_same_hits_in_the_same_order_with_the_same_scores(
    many_notes: DualStoreManager, reference: DualStoreManager, part: int
) -> None:
    found = 0
    for query, mode, where in CASES[part::3]:
        here = await many_notes.search(query, mode, where, 20)
        there = await reference.search(query, mode, where, 20)
        assert told(here) == told(there), (query, mode, where)
        found += len(here.hits)
    assert found > 10 * len(CASES[part::3])


async def test_the_same_pages(many_notes: DualStoreManager, reference: DualStoreManager) -> None:
    query = "what did Ann say about the deploy of src/app.ts"
    here = await all_pages(many_notes, query, limit=40)
    there = await all_pages(reference, query, limit=40)
    assert list(map(told, here)) == list(map(told, there))
    assert len(here) > 3


@pytest.mark.parametrize("where", WHERE[1:])
async def test_few_and_many_leave_the_same_nearest(
    many_notes: DualStoreManager, where: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether each entry that a filter leaves is looked at, or the index is asked."""
    queries = ["kitten on a sofa", "データベース", "payment"]
    looked = [await many_notes.search(each, "semantic", where, 1000) for each in queries]
    monkeypatch.setattr(nearest, "FEW", -1)
    asked = [await many_notes.search(each, "semantic", where, 1000) for each in queries]
    assert list(map(told, asked)) == list(map(told, looked))
    assert all(len(each.hits) > 10 for each in asked)
