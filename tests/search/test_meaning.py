"""What a question means: its vector, and which words are related."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pytest

from dualstore.documents.weights import idf
from dualstore.embedders.base import Embedder, Vectors, WordVectors
from dualstore.embedders.static import StaticEmbedder
from dualstore.search.asking import Question
from dualstore.search.meaning import CLOSE, Meaning
from dualstore.terms import Analyzer

ANALYZER = Analyzer()
AXES = "deploy broke database cache ann".split()


class Axes(Embedder):
    """A direction for each word that it knows; notes what it is given."""

    def __init__(self) -> None:
        self.name, self.version, self.dimension = "axes", "1", len(AXES)
        self.chunk_chars, self.takes_images = 100, False
        self.given: list[str] = []
        self.loads = 0

    async def load(self) -> None:
        self.loads += 1

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.given += texts
        rows = np.stack([_sum_of(text.lower().split()) for text in texts])
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None: ...


class WordAxes(Axes, WordVectors):
    def word_vectors(self, words: Sequence[str]) -> Vectors:
        return np.stack([_sum_of([word]) for word in words])

    def related_words(
        self, words: Sequence[str], *, at_least: float = 0.5
    ) -> list[list[tuple[str, float]]]:
        near = {
            "deploy": [("release", 0.9), ("releases", 0.8), ("deployed", 0.7), ("ship it", 0.6)]
        }
        return [[each for each in near.get(word, []) if each[1] >= at_least] for word in words]


def _sum_of(words: Sequence[str]) -> Vectors:
    row = np.zeros(len(AXES), np.float32)
    for word in words:
        if word in AXES:
            row[AXES.index(word)] += 1
    return row


def ask(text: str) -> Question:
    return Question(text, ANALYZER)


async def vector(
    embedder: Embedder,
    text: str,
    *,
    authors: Sequence[str] = (),
    frequencies: Mapping[str, int] | None = None,
    count: int = 10,
) -> list[float]:
    meaning = Meaning(embedder, ANALYZER)
    row = await meaning.vector(
        ask(text), authors=authors, frequencies=frequencies or {}, count=count
    )
    found: list[float] = row.tolist()
    return found


def direction(**weights: float) -> list[float]:
    row = np.array([weights.get(axis, 0.0) for axis in AXES])
    found: list[float] = (row / np.linalg.norm(row)).tolist()
    return found


async def test_rare_words_weigh_more() -> None:
    found = await vector(WordAxes(), "the deploy broke", frequencies={"deploi": 9, "broke": 1})
    wanted = direction(deploy=idf(9, 10), broke=idf(1, 10))
    assert found == pytest.approx(wanted, abs=1e-6)
    assert found[1] > found[0] > 0


async def test_a_word_that_nobody_holds_weighs_the_most() -> None:
    found = await vector(WordAxes(), "deploy cache", frequencies={"deploi": 1})
    assert found == pytest.approx(direction(deploy=idf(1, 10), cache=idf(0, 10)), abs=1e-6)


async def test_names_of_authors_say_who_is_meant_and_not_what() -> None:
    for text in ("what did Ann deploy", "Ann's deploy", "deploy, said ANN"):
        assert await vector(WordAxes(), text, authors=["Ann Lee"]) == direction(deploy=1)
    both = await vector(WordAxes(), "ann deploy")
    assert both == pytest.approx(direction(deploy=1, ann=1))
    assert await vector(WordAxes(), "user deploy", authors=["user"]) == direction(deploy=1)


async def test_without_word_vectors_the_text_is_embedded_without_names() -> None:
    embedder = Axes()
    text = "What did Ann's deploy (Ann) break, José?"
    await vector(embedder, text, authors=["Ann Lee", "José", "user"])
    assert embedder.given == ["What did deploy break,"]
    assert embedder.loads == 1


async def test_a_question_of_names_alone_is_embedded_as_it_is() -> None:
    embedder = Axes()
    assert await vector(embedder, "Ann Lee?", authors=["Ann Lee"]) == direction(ann=1)
    assert embedder.given == ["Ann Lee?"]


@pytest.mark.parametrize("text", ["where is it", "xyzzy"])
async def test_what_no_word_vector_knows_is_embedded_whole(text: str) -> None:
    embedder = WordAxes()
    assert await vector(embedder, text) == [0.0] * len(AXES)
    assert embedder.given == [text]


@pytest.mark.parametrize("text", ["", "🎉", "?!", "...", "\0"])
async def test_what_holds_no_word_means_nothing(text: str) -> None:
    embedder = WordAxes()
    assert not any(await vector(embedder, text))
    assert embedder.given == []
    assert not any(await vector(StaticEmbedder(), text))


async def test_related_words_come_as_terms_with_the_square_of_their_cosine() -> None:
    sought = ask("deploy the cache").sought({})
    found = await Meaning(WordAxes(), ANALYZER).related(sought)
    assert found == {
        "deploi": {
            "releas": pytest.approx(0.81),  # the nearest of those that share the stem
            "ship": pytest.approx(0.36),
            "it": pytest.approx(0.36),
        },
        "cach": {},
    }


async def test_wholes_have_no_related_words() -> None:
    sought = ask("src/deploy.ts").sought({"=src/deploy.ts": 1, "=deploy.ts": 1})
    found = await Meaning(WordAxes(), ANALYZER).related(sought)
    assert set(found) == {"src", "deploi", "t"}


async def test_without_word_vectors_nothing_is_related_and_that_is_said() -> None:
    meaning = Meaning(Axes(), ANALYZER)
    assert not meaning.knows_words
    assert await meaning.related(ask("deploy").sought({})) == {}
    assert Meaning(WordAxes(), ANALYZER).knows_words


async def test_the_bundled_embedder_relates_what_means_about_the_same() -> None:
    meaning = Meaning(StaticEmbedder(), ANALYZER)
    (related,) = (await meaning.related(ask("kitten").sought({}))).values()
    assert "cat" in related
    assert all(CLOSE**2 - 1e-6 <= share <= 1 for share in related.values())
