"""An embedder of a user's own can be wrong in every way without poisoning an index."""

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pytest

from dualstore.embedders.base import Embedder, Vectors, WordVectors
from dualstore.embedders.checking import checked
from dualstore.errors import EmbedderError, UnavailableError


class Own(Embedder):
    """Gives whatever it is told to."""

    def __init__(self, answer: Any, **attributes: Any) -> None:
        self.name, self.version, self.dimension = "own", "1", 2
        self.chunk_chars, self.takes_images = 100, False
        self.answer = answer
        self.opened = 0
        for name, value in attributes.items():
            setattr(self, name, value)

    async def load(self) -> None:
        """It knows all it ever will."""

    async def embed(self, texts: Sequence[str]) -> Vectors:  # noqa: ARG002 (it has made up its mind)
        if isinstance(self.answer, Exception):
            raise self.answer
        rows: Vectors = self.answer
        return rows

    async def __aenter__(self) -> Self:
        self.opened += 1
        return self

    async def __aexit__(self, *details: object) -> None:
        self.opened -= 1


class OwnWords(Own, WordVectors):
    def word_vectors(self, words: Sequence[str]) -> Vectors:  # noqa: ARG002
        rows: Vectors = self.answer
        return rows

    def related_words(
        self, words: Sequence[str], *, at_least: float = 0.5
    ) -> list[list[tuple[str, float]]]:
        return [[(f"{word}s", at_least)] for word in words]


class LateLearner(Own):
    async def load(self) -> None:
        self.dimension, self.version = 2, "learnt"


@pytest.mark.parametrize(
    "rows",
    [
        [[3, 4], [0, 0]],
        ((3.0, 4.0), (0.0, 0.0)),
        np.array([[3, 4], [0, 0]], np.float16),
        np.array([[3e200, 4e200], [0, 0]]) / 1e100,
        np.array([[3e-30, 4e-30], [0, 0]], np.float32),
        np.array([[30, 40], [0, 0]], np.int8),
    ],
)
async def test_any_numbers_are_normalised_and_zeros_stay(rows: Any) -> None:
    found = await checked(Own(rows)).embed(["a", "b"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array([[0.6, 0.8], [0.0, 0.0]]), atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([[1, 2]], "2 vectors of dimension 2"),
        ([[1, 2], [1, 2], [1, 2]], "2 vectors of dimension 2"),
        ([], "2 vectors of dimension 2"),
        ([[1, 2, 3], [1, 2, 3]], "2 vectors of dimension 2"),
        ([[1, 2], [1, 2, 3]], "different dimensions"),
        ([1, 2], "2 vectors of dimension 2"),
        ([[math.nan, 1], [1, 2]], "not finite"),
        ([[math.inf, 1], [1, 2]], "not finite"),
        ([[1e200, 1e200], [1, 2]], "not finite or too large"),
        ([["1", "2"], ["1", "2"]], "where numbers belong"),
        ([[1, None], [1, 2]], "where numbers belong"),
        ([[True, False], [True, True]], "where numbers belong"),
        ([[1j, 1], [1, 2]], "where numbers belong"),
        (None, "where numbers belong"),
        ("vectors", "where numbers belong"),
    ],
)
async def test_what_is_no_embedding_is_an_error_that_names_the_embedder(
    rows: Any, named: str
) -> None:
    with pytest.raises(EmbedderError, match=named) as caught:
        await checked(Own(rows)).embed(["a", "b"])
    assert "Own" in str(caught.value)


async def test_no_texts_need_no_shape() -> None:
    assert (await checked(Own([])).embed([])).shape == (0, 2)


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), TimeoutError()])
async def test_a_connection_that_fails_may_be_tried_again(error: Exception) -> None:
    with pytest.raises(UnavailableError, match="Own"):
        await checked(Own(error)).embed(["a"])


async def test_other_errors_are_left_alone() -> None:
    with pytest.raises(ZeroDivisionError):
        await checked(Own(ZeroDivisionError())).embed(["a"])


async def test_opens_and_closes_it_and_learns_what_it_learns() -> None:
    own = LateLearner([[3, 4]], dimension=0)
    async with checked(own) as embedder:
        assert own.opened == 1
        assert embedder.dimension == 0
        await embedder.load()
        assert embedder.identity == "own/learnt/2"
        assert (await embedder.embed(["a"])).shape == (1, 2)
    assert own.opened == 0


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("name", ""),
        ("name", None),
        ("version", 3),
        ("dimension", 0),
        ("dimension", "many"),
        ("dimension", True),
        ("dimension", 1_000_000),
        ("chunk_chars", 0),
    ],
)
async def test_one_that_does_not_say_what_it_is_is_refused(attribute: str, value: Any) -> None:
    async with checked(Own([[1, 2]], **{attribute: value})) as embedder:
        for attempt in (embedder.load(), embedder.embed(["a"])):
            with pytest.raises(EmbedderError, match=attribute):
                await attempt


async def test_keeps_the_ability_of_word_vectors_and_checks_it() -> None:
    assert not isinstance(checked(Own([])), WordVectors)
    able = checked(OwnWords([[3, 4]]))
    assert isinstance(able, WordVectors)
    np.testing.assert_array_equal(able.word_vectors(["a"]), [[3, 4]])
    assert able.related_words(["cat"], at_least=0.7) == [[("cats", 0.7)]]
    with pytest.raises(EmbedderError):
        able.word_vectors(["a", "b"])
