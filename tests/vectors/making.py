"""Vectors and filters for the tests."""

from typing import Final

import numpy as np

from dualstore.vectors.base import FieldValue, Vector, VectorItem

DIMENSION: Final = 8


def vector(*numbers: float, dimension: int = DIMENSION) -> Vector:
    """These numbers, then zeros."""
    made = np.zeros(dimension, dtype=np.float32)
    made[: len(numbers)] = numbers
    return made


def item(id_: str, *numbers: float, **fields: FieldValue) -> VectorItem:
    return VectorItem(id_, vector(*(numbers or (1.0,))), fields)


def random_items(count: int, *, seed: int = 1, dimension: int = DIMENSION) -> list[VectorItem]:
    """Normalised vectors, as embedders make them, with a number each."""
    numbers = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    numbers /= np.linalg.norm(numbers, axis=1, keepdims=True)
    return [VectorItem(f"v{at}", row, {"n": at}) for at, row in enumerate(numbers)]
