"""How much a term weighs when candidates are gathered, the same on every backend."""

import math
from collections.abc import Mapping
from typing import Final

SCALE: Final = 1 << 20
"""Weights are whole numbers, so that a sum doesn't depend on the order of its parts."""
COMMON_SHARE: Final = 10
COMMON_FLOOR: Final = 1000
"""A term is common in more than a tenth of all entries, and in no fewer than these."""


def idf(frequency: int, count: int) -> float:
    """How rare a term is that `frequency` of `count` entries hold."""
    return math.log(1 + (count - frequency + 0.5) / (frequency + 0.5))


def weigh(
    factors: Mapping[str, float], frequencies: Mapping[str, int], count: int
) -> dict[str, int]:
    """The weight of each term that brings in candidates.

    Terms that nobody holds don't, nor do common ones when the query has a rarer one: what they
    would add is next to nothing, and finding it out costs the most.
    """
    held = [term for term in factors if frequencies.get(term)]
    common = max(count // COMMON_SHARE, COMMON_FLOOR)
    rare = [term for term in held if frequencies[term] <= common]
    return {
        term: round(factors[term] * idf(frequencies[term], count) * SCALE) for term in rare or held
    }
