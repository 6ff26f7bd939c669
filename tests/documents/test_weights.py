import math

from hypothesis import given
from hypothesis import strategies as st

from dualstore.documents.weights import COMMON_FLOOR, SCALE, idf, weigh


def test_the_rarer_a_term_the_more_it_weighs() -> None:
    weights = [idf(frequency, 1000) for frequency in range(1001)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] > 0
    assert math.isclose(idf(1, 10), math.log(1 + 9.5 / 1.5))


def test_terms_that_nobody_holds_weigh_nothing() -> None:
    assert weigh({"a": 1.0, "b": 1.0}, {"a": 1, "b": 0}, 10) == {"a": round(idf(1, 10) * SCALE)}
    assert weigh({"a": 1.0}, {}, 10) == {}
    assert weigh({}, {"a": 1}, 10) == {}


def test_factors_scale_the_weight() -> None:
    weights = weigh({"a": 0.3, "b": 2.0}, {"a": 4, "b": 4}, 100)
    assert weights == {"a": round(0.3 * idf(4, 100) * SCALE), "b": round(2 * idf(4, 100) * SCALE)}


def test_a_common_term_brings_in_nothing_beside_a_rarer_one() -> None:
    count = 20 * COMMON_FLOOR
    just = {"rare": 2 * COMMON_FLOOR, "common": 2 * COMMON_FLOOR + 1}
    assert set(weigh({"rare": 1.0, "common": 1.0}, just, count)) == {"rare"}
    assert set(weigh({"common": 1.0}, just, count)) == {"common"}
    assert set(weigh({"common": 1.0, "absent": 1.0}, just, count)) == {"common"}


def test_in_a_small_family_no_term_is_common() -> None:
    frequencies = {"all": COMMON_FLOOR, "one": 1}
    assert set(weigh({"all": 1.0, "one": 1.0}, frequencies, COMMON_FLOOR)) == {"all", "one"}


@given(
    st.dictionaries(st.text(max_size=3), st.floats(0.01, 2), max_size=6),
    st.dictionaries(st.text(max_size=3), st.integers(0, 5000), max_size=6),
    st.integers(5000, 100_000),
)
def test_weights_are_whole_and_of_terms_that_were_asked_for(
    factors: dict[str, float], frequencies: dict[str, int], count: int
) -> None:
    weights = weigh(factors, frequencies, count)
    held = {term for term in factors if frequencies.get(term)}
    assert set(weights) <= held
    assert bool(weights) == bool(held)
    assert all(type(weight) is int and weight >= 0 for weight in weights.values())
