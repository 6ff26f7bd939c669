"""What a question means, as a vector, and which words mean about the same as its words."""

import asyncio
import math
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Final

import numpy as np

from dualstore.documents.weights import idf
from dualstore.embedders.base import Embedder, WordVectors
from dualstore.search.asking import Question, Sought
from dualstore.search.english import STOP_WORDS
from dualstore.terms import Analyzer
from dualstore.vectors.base import Vector

CLOSE: Final = 0.5
"""The cosine from which on words count as related."""


class Meaning:
    """Asks the embedder; related words and weighed words need one with word vectors."""

    def __init__(self, embedder: Embedder, analyzer: Analyzer) -> None:
        self._embedder = embedder
        self._words = embedder if isinstance(embedder, WordVectors) else None
        self._analyzer = analyzer

    @property
    def knows_words(self) -> bool:
        """Whether there are related words at all."""
        return self._words is not None

    async def vector(
        self,
        question: Question,
        *,
        authors: Iterable[str],
        frequencies: Mapping[str, int],
        count: int,
    ) -> Vector:
        """Without the names of authors, which say who is meant and not what; rare words weigh more.

        Zeros if it means nothing, as every question without a word does.
        """
        await self._embedder.load()
        if not question.chunks:
            return np.zeros(self._embedder.dimension, np.float32)
        names = question.name_words(authors)
        if self._words is not None:
            vector = await asyncio.to_thread(self._weighed, question, names, frequencies, count)
            if vector.any():
                return vector
        (embedded,) = await self._embedder.embed([self._without(question.text, names)])
        row: Vector = embedded
        return row

    async def related(self, sought: Iterable[Sought]) -> dict[str, dict[str, float]]:
        """By term, other terms with the square of their cosine; none without word vectors."""
        if self._words is None:
            return {}
        await self._embedder.load()
        terms = {each.term: each.surface for each in sought if each.surface is not None}
        found = await asyncio.to_thread(
            self._words.related_words, list(terms.values()), at_least=CLOSE
        )
        return {
            term: self._by_stem(near, but=term) for term, near in zip(terms, found, strict=True)
        }

    def _weighed(
        self,
        question: Question,
        names: frozenset[str],
        frequencies: Mapping[str, int],
        count: int,
    ) -> Vector:
        parts = [
            part
            for chunk in question.chunks
            for part in chunk.parts
            if part.surface not in names and part.surface not in STOP_WORDS
        ]
        if self._words is None or not parts:
            return np.zeros(self._embedder.dimension, np.float32)
        rows = self._words.word_vectors([part.surface for part in parts])
        most = math.log(1 + (count + 0.5) / 0.5)
        weights = [idf(frequencies.get(part.stem, 0), count) / most for part in parts]
        vector: Vector = np.array(weights, np.float32) @ rows
        length = float(np.linalg.norm(vector))
        return vector / length if length > 0 else vector

    def _by_stem(self, words: Iterable[tuple[str, float]], *, but: str) -> dict[str, float]:
        """The nearest of the words that share a stem counts."""
        shares: dict[str, float] = {}
        for word, cosine in words:
            for stem in self._analyzer.stream(word):
                if stem != but:
                    shares.setdefault(stem, cosine * cosine)
        return shares

    def _without(self, text: str, names: frozenset[str]) -> str:
        words = text.split()
        kept = [word for word in words if not self._is_name(word, names)]
        return " ".join(kept or words)

    def _is_name(self, word: str, names: frozenset[str]) -> bool:
        parts = chain.from_iterable(chunk.parts for chunk in self._analyzer.chunks(word))
        surfaces = {part.surface for part in parts} - {"s"}  # of the genitive
        return bool(surfaces) and surfaces <= names
