"""The contract of embedders."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors. What one makes can't be compared with what another makes."""

    name: str
    version: str
    dimension: int
    """0 until it is known: see `load`."""
    chunk_chars: int
    """Characters of text that one vector can speak for; longer text is embedded in chunks."""
    takes_images: bool

    @property
    def identity(self) -> str:
        """Recorded with a family: a family is never opened with another one."""
        return f"{self.name}/{self.version}/{self.dimension}"

    @abstractmethod
    async def load(self) -> None:
        """From here on `version` and `dimension` are known, and embedding starts at once.

        Raises as `embed` does, which loads by itself.
        """

    @abstractmethod
    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One normalised row per text, in their order; off the event loop.

        A text that has no direction (nothing the embedder knows) gives a row of zeros.
        Raises `UnavailableError` when trying again may help, `EmbedderError` when it won't.
        """

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Open it. Nothing may be loaded or asked before the first use."""

    @abstractmethod
    async def __aexit__(self, *details: object) -> None:
        """Give back what it holds."""


@runtime_checkable
class WordVectors(Protocol):
    """An ability some embedders have: vectors of single words, at once and for nothing."""

    @abstractmethod
    def word_vectors(self, words: Sequence[str]) -> Vectors:
        """One row per word, not normalised, so that sums of them weigh words as texts do.

        A word it doesn't know gives a row of zeros.
        """

    @abstractmethod
    def related_words(
        self, words: Sequence[str], *, at_least: float = 0.5
    ) -> list[list[tuple[str, float]]]:
        """For each, words it knows with a cosine of `at_least` or more, nearest first.

        In lower case, without the word itself. Costs milliseconds for new words at most, however
        many they are, and nothing for known ones.
        """
