"""What every backend takes, and the cosine."""

import numpy as np
import pytest

from dualstore.vectors.rules import cosines, last_of_each, takes_field
from tests.vectors.making import item, vector


def test_cosines_are_those_of_the_textbook() -> None:
    rows = np.stack([vector(2), vector(1, 1), vector(0, 3), vector(-1), vector(0)])
    assert cosines(vector(5), rows).tolist() == pytest.approx([1, 0.5**0.5, 0, -1, 0])
    assert not cosines(vector(0), rows).any()


def test_cosines_of_tiny_and_huge_vectors_stay_in_range() -> None:
    rows = np.stack([vector(1e-18, 1e-18), vector(1e18, 1e18)])
    found = cosines(vector(1e18, 1e18), rows)
    assert found.tolist() == pytest.approx([1, 1], abs=1e-5)


def test_the_last_of_each_id_stays() -> None:
    found = last_of_each([item("a", x=1), item("b"), item("a", x=2)])
    assert [(each.id, each.fields) for each in found] == [("a", {"x": 2}), ("b", {})]


@pytest.mark.parametrize("name", ["x", "a.b", "chroma", "ü", " ", "a$"])
def test_names_that_fields_may_have(name: str) -> None:
    assert takes_field(name)


@pytest.mark.parametrize("name", ["", "$x", "#document", "chroma:document"])
def test_names_that_chroma_keeps_for_itself(name: str) -> None:
    assert not takes_field(name)
