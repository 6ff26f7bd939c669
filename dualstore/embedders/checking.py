"""Nothing but embeddings gets through: what an embedder answered is looked at before it is used."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike

from dualstore.embedders.base import Embedder, Vectors, WordVectors
from dualstore.errors import EmbedderError, UnavailableError

_LARGEST_DIMENSION: Final = 65_536
_NUMBERS: Final = "fiu"


def checked(embedder: Embedder) -> Embedder:
    """The same embedder, unable to poison an index: opens and closes it, has its abilities.

    What is no embedding becomes an `EmbedderError`; a connection that fails, or a time that runs
    out in it, an `UnavailableError`. Its attributes are read anew when it is loaded.
    """
    if isinstance(embedder, WordVectors):
        return _CheckedWords(embedder, words=embedder)
    return _Checked(embedder)


def checked_rows(rows: ArrayLike, *, count: int, dimension: int, by: str) -> Vectors:
    """As many normalised rows as there were texts; `by` is who is blamed for what is wrong."""
    numbers = checked_numbers(rows, count=count, dimension=dimension, by=by).astype(np.float64)
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(numbers, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise EmbedderError(f"{by} gave numbers that are not finite or too large")
    np.divide(numbers, lengths, out=numbers, where=lengths > 0)
    return numbers.astype(np.float32)


def checked_numbers(rows: ArrayLike, *, count: int, dimension: int, by: str) -> Vectors:
    """As many rows of finite numbers as there were texts, of any length."""
    try:
        numbers = np.asarray(rows)
    except (ValueError, TypeError):  # rows of different lengths
        raise EmbedderError(f"{by} gave vectors of different dimensions") from None
    if count == 0 and numbers.size == 0:
        return np.zeros((0, dimension), np.float32)
    if numbers.dtype.kind not in _NUMBERS:
        raise EmbedderError(f"{by} gave values of type {numbers.dtype} where numbers belong")
    if numbers.shape != (count, dimension):
        expected = f"{count} vectors of dimension {dimension}"
        raise EmbedderError(f"{by} gave an array of shape {numbers.shape} instead of {expected}")
    if not np.isfinite(numbers).all():
        raise EmbedderError(f"{by} gave numbers that are not finite")
    return numbers


class _Checked(Embedder):
    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self._by = f"the embedder {type(inner).__name__}"
        self._loaded = False
        self._read()

    def _read(self) -> None:
        """An embedder may learn what it is when it is opened, or loaded."""
        inner = self._inner
        self.name, self.version, self.dimension = inner.name, inner.version, inner.dimension
        self.chunk_chars, self.takes_images = inner.chunk_chars, inner.takes_images

    async def __aenter__(self) -> Self:
        inner: AbstractAsyncContextManager[object] = self._inner
        await inner.__aenter__()
        self._read()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._inner.__aexit__(*details)

    async def load(self) -> None:
        if not self._loaded:
            with self._blamed():
                await self._inner.load()
            self._read()
            self._check_itself()
            self._loaded = True

    async def embed(self, texts: Sequence[str]) -> Vectors:
        await self.load()
        with self._blamed():
            rows = await self._inner.embed(texts)
        return await asyncio.to_thread(
            checked_rows, rows, count=len(texts), dimension=self.dimension, by=self._by
        )

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnavailableError(f"{self._by} failed: {error!r}") from error

    def _check_itself(self) -> None:
        for what in ("name", "version"):
            value: object = getattr(self, what)
            if not isinstance(value, str):
                raise EmbedderError(f"{self._by}: its {what} must be a string, not {value!r}")
        if not self.name:
            raise EmbedderError(f"{self._by}: its name must not be empty")
        for what, most in (("dimension", _LARGEST_DIMENSION), ("chunk_chars", None)):
            number: object = getattr(self, what)
            if not _is_count(number, most):
                raise EmbedderError(f"{self._by}: its {what} must be a count, not {number!r}")


class _CheckedWords(_Checked, WordVectors):
    def __init__(self, inner: Embedder, *, words: WordVectors) -> None:
        super().__init__(inner)
        self._words = words

    def word_vectors(self, words: Sequence[str]) -> Vectors:
        rows = self._words.word_vectors(words)
        numbers = checked_numbers(rows, count=len(words), dimension=self.dimension, by=self._by)
        return numbers.astype(np.float32)

    def related_words(
        self, words: Sequence[str], *, at_least: float = 0.5
    ) -> list[list[tuple[str, float]]]:
        found = self._words.related_words(words, at_least=at_least)
        if len(found) != len(words):
            raise EmbedderError(f"{self._by} gave related words of {len(found)} of {len(words)}")
        return [[(str(word), float(cosine)) for word, cosine in some] for some in found]


def _is_count(number: object, most: int | None) -> bool:
    if not isinstance(number, int) or isinstance(number, bool):
        return False
    return number >= 1 and (most is None or number <= most)
