"""What only the exact index does."""

import numpy as np

from dualstore.filters import parse
from dualstore.vectors.base import VectorItem
from dualstore.vectors.exact import ExactVectors
from tests.vectors.making import DIMENSION, item, random_items, vector


async def test_it_takes_every_filter_on_fields() -> None:
    index = await ExactVectors().index("family", dimension=DIMENSION)
    await index.upsert([item("a", x=1.5), item("b", x="text"), item("c")])
    for where, expected in (
        ({"metadata.x": {"$exists": True}}, {"a", "b"}),
        ({"metadata.x": None}, {"c"}),
        ({"metadata.x": {"$contains": "TEX"}}, {"b"}),
        ({"metadata.x": {"$not": {"$gt": 1.2}}}, {"b", "c"}),
    ):
        tree = parse(where)
        assert index.supports(tree)
        found = await index.query(vector(1), limit=9, where=tree)
        assert {hit.id for hit in found} == expected


async def test_what_is_held_cant_be_changed_from_outside() -> None:
    index = await ExactVectors().index("family", dimension=DIMENSION)
    numbers = vector(1)
    await index.upsert([VectorItem("a", numbers, {})])
    numbers[0] = 7
    held = (await index.get(["a"]))["a"].vector
    assert held[0] == 1
    assert not held.flags.writeable


async def test_it_finds_what_a_loop_finds() -> None:
    index = await ExactVectors().index("family", dimension=DIMENSION)
    items = random_items(200)
    await index.upsert(items)
    wanted = random_items(1, seed=9)[0].vector
    found = await index.query(wanted, limit=20)
    best = sorted(items, key=lambda each: -float(np.dot(each.vector, wanted)))[:20]
    assert [hit.id for hit in found] == [each.id for each in best]


async def test_it_stays_what_it_was_when_opened_again() -> None:
    place = ExactVectors()
    async with place:
        await (await place.index("family", dimension=DIMENSION)).upsert([item("a")])
    async with place:
        assert await (await place.index("family", dimension=DIMENSION)).scan() == ["a"]
