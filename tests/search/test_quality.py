"""How well questions find their answers; the floors lie a little below what was measured."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from statistics import fmean
from typing import get_args

import pytest
import pytest_asyncio

from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.static import StaticEmbedder
from dualstore.manager import DualStoreManager
from dualstore.search.results import Mode
from tests.search.families import family, ids
from tests.search.quality import QUESTIONS, entries

pytestmark = pytest.mark.asyncio(loop_scope="module")

Places = Mapping[Mode, Mapping[str, list[int | None]]]
"""At which place the answer was, by mode and kind."""
MODES: tuple[Mode, ...] = get_args(Mode)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talks(
    tmp_path_factory: pytest.TempPathFactory, embedder: StaticEmbedder
) -> AsyncIterator[DualStoreManager]:
    async with (
        SqliteDatabase(tmp_path_factory.mktemp("talks") / "a.db") as documents,
        family(documents, embedder) as made,
    ):
        await made.insert_many(entries())
        await made.drain()
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def places(talks: DualStoreManager) -> Places:
    answers = {asked: _answer(asked.answer) for asked in QUESTIONS}
    found: dict[Mode, dict[str, list[int | None]]] = {}
    for mode in MODES:
        found[mode] = defaultdict(list)
        for asked, answer in answers.items():
            hits = ids(await talks.search(asked.question, mode, limit=10))
            found[mode][asked.kind].append(hits.index(answer) if answer in hits else None)
    return found


def _answer(piece: str) -> str:
    (answer,) = (each["id"] for each in entries() if piece in each["text"])
    return str(answer)


def first(places: list[int | None]) -> float:
    return fmean(each == 0 for each in places)


def ten(places: list[int | None]) -> float:
    return fmean(each is not None for each in places)


def overall(kinds: Mapping[str, list[int | None]]) -> list[int | None]:
    return [each for some in kinds.values() for each in some]


# By kind and mode: the least share of answers in the first place, and among the first ten.
FLOORS: dict[Mode, dict[str, tuple[float, float]]] = {
    "hybrid": {
        "id": (1.0, 1.0),
        "id in words": (1.0, 1.0),
        "paraphrase": (0.5, 0.7),
        "when": (0.5, 1.0),
        "author": (0.8, 1.0),
        "neighbour": (0.1, 1.0),
        "german": (0.6, 1.0),
        "japanese": (1.0, 1.0),
        "all": (0.71, 0.94),
    },
    "text": {
        "id": (1.0, 1.0),
        "id in words": (1.0, 1.0),
        "when": (0.3, 1.0),
        "author": (0.8, 1.0),
        "neighbour": (0.1, 1.0),
        "german": (0.6, 1.0),
        "japanese": (1.0, 1.0),
        "all": (0.59, 0.82),
    },
    "semantic": {
        "id": (0.84, 1.0),
        "id in words": (0.66, 1.0),
        "paraphrase": (0.4, 0.7),
        "german": (0.6, 1.0),
        "japanese": (0.4, 1.0),
        "all": (0.56, 0.83),
    },
}


@pytest.mark.parametrize(
    ("mode", "kind"), [(mode, kind) for mode, kinds in FLOORS.items() for kind in kinds]
)
async def test_answers_are_found_as_well_as_ever(places: Places, mode: Mode, kind: str) -> None:
    found = overall(places[mode]) if kind == "all" else places[mode][kind]
    least_first, least_ten = FLOORS[mode][kind]
    assert first(found) >= least_first
    assert ten(found) >= least_ten


async def test_both_together_are_not_below_either(places: Places) -> None:
    both = overall(places["hybrid"])
    for alone in ("text", "semantic"):
        assert first(both) >= first(overall(places[alone]))
        assert ten(both) >= ten(overall(places[alone]))
    for kind, found in places["hybrid"].items():
        assert ten(found) >= ten(places["text"][kind]), kind


async def test_words_that_mean_the_same_find_what_words_alone_do_not(places: Places) -> None:
    assert ten(places["text"]["paraphrase"]) < 0.2
    assert ten(places["hybrid"]["paraphrase"]) > 0.7


async def test_the_set_is_what_it_says() -> None:
    assert (len(entries()), len(QUESTIONS)) == (120, 67)
    assert len({asked.question for asked in QUESTIONS}) == len(QUESTIONS)
    assert len({_answer(asked.answer) for asked in QUESTIONS}) > 55
