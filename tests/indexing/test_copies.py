import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dualstore.embedders.base import Vectors
from dualstore.indexing.copies import from_copy, to_copies


def _directions(rows: int, dimension: int, seed: int) -> Vectors:
    made = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    normalised: Vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
    return normalised


@given(st.integers(1, 50), st.integers(2, 300), st.integers(0, 1000))
def test_a_copy_points_where_the_vectors_do(rows: int, dimension: int, seed: int) -> None:
    vectors = _directions(rows, dimension, seed)
    back = from_copy(to_copies([vectors], "me")[0], "me")
    assert back is not None
    assert back.shape == vectors.shape
    assert ((back * vectors).sum(axis=1) > 0.999).all()


@given(npst.arrays(np.float32, (3, 4), elements=st.floats(-1, 1, width=32)))
def test_any_finite_vectors_come_back_finite(
    vectors: Vectors,
) -> None:
    back = from_copy(to_copies([vectors], "me")[0], "me")
    assert back is not None
    assert np.isfinite(back).all()
    norms = np.linalg.norm(back, axis=1)
    assert ((norms == 0) | (abs(norms - 1) < 1e-4)).all()


def test_copies_that_are_made_together_are_what_each_is_alone() -> None:
    some = [_directions(rows, 8, rows) for rows in (1, 3, 1, 2)]
    assert to_copies(some, "me") == [to_copies([each], "me")[0] for each in some]
    assert to_copies([], "me") == []


def test_a_vector_of_zeros_stays_one() -> None:
    back = from_copy(to_copies([np.zeros((1, 8), np.float32)], "me")[0], "me")
    assert back is not None
    assert not back.any()


@pytest.mark.parametrize("cut", [0, 1, 11, 12, 13, -1])
def test_what_is_not_a_whole_copy_is_none(cut: int) -> None:
    (copy,) = to_copies([_directions(2, 8, 1)], "me")
    assert from_copy(copy[:cut], "me") is None


def test_another_embedders_copy_is_none() -> None:
    assert from_copy(to_copies([_directions(1, 8, 1)], "me")[0], "you") is None
