"""What neighbours in a thread lend each other: each term counts at its best place. Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dualstore.documents.base import Neighbours

Row = NDArray[np.float32]


def in_windows(own: Row, after: NDArray[np.intp], *, shares: Sequence[tuple[float, float]]) -> Row:
    """What each passage (a column) earns of each term (a row), by itself or through others.

    `shares` say, for each step away, what a term earns that stands before and one that stands
    after.
    """
    count = own.shape[1]
    before = np.full(count + 1, count)
    before[after[:-1]] = np.arange(count)
    before[count] = count
    padded = np.concatenate([own, np.zeros((len(own), 1), np.float32)], axis=1)
    found = own.copy()
    left = right = np.arange(count)
    for earlier, later in shares:
        left, right = before[left], after[right]
        np.maximum(found, earlier * padded[:, left], out=found)
        np.maximum(found, later * padded[:, right], out=found)
    return found


def linked(neighbours: Mapping[str, Neighbours]) -> dict[str, str]:
    """From each entry to the next one of its thread, as far as is known."""
    links: dict[str, str] = {}
    for each, around in neighbours.items():
        row = [
            *(one.id for one in reversed(around.before)),
            each,
            *(one.id for one in around.after),
        ]
        links |= dict(pairwise(row))
    return links


def chained(
    places: Mapping[str, int], starts: Sequence[int], links: Mapping[str, str]
) -> NDArray[np.intp]:
    """For each passage the next one, for the last of a chain the number of all."""
    count = starts[-1]
    after = np.arange(1, count + 2)
    after[count] = count
    after[np.array(starts[1:]) - 1] = count
    for each, following in links.items():
        if each in places and following in places:
            after[starts[places[each] + 1] - 1] = starts[places[following]]
    return after
