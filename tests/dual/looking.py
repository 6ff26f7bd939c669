"""Looking at an index behind the manager's back, and changing it there."""

from dualstore.indexing.generations import GenerationBook, Generations
from dualstore.vectors.base import VectorId, VectorIndex, VectorItem
from dualstore.wiring import Backends


async def generations(backends: Backends, family: str = "default_notes") -> Generations:
    """What is recorded of a family that was indexed."""
    found = await GenerationBook(backends.documents.records, family).read()
    assert found is not None
    return found


async def index_of(backends: Backends, family: str = "default_notes") -> VectorIndex:
    """The index that is asked."""
    live = (await generations(backends, family)).live
    return await backends.vectors.index(live.index_name(family), dimension=live.dimension)


async def all_ids(index: VectorIndex) -> list[str]:
    """Of every vector in it."""
    found: list[str] = []
    while page := await index.scan(offset=len(found), limit=1000):
        found += page
    return sorted(found)


async def held(backends: Backends, family: str = "default_notes") -> dict[str, int]:
    """How many vectors each entry has."""
    counts: dict[str, int] = {}
    for each in await all_ids(await index_of(backends, family)):
        vector = VectorId.parse(each)
        name = vector.entry if vector else each
        counts[name] = counts.get(name, 0) + 1
    return counts


async def copied(index: VectorIndex, old: str, new: VectorId | str, **fields: str) -> None:
    """Write the vector of one id under another one as well."""
    (stored,) = (await index.get([old])).values()
    await index.upsert([VectorItem(str(new), stored.vector, {**stored.fields, **fields})])


async def filed_otherwise(index: VectorIndex, id_: str, **fields: str) -> None:
    """Change what a vector is filed under."""
    await copied(index, id_, id_, **fields)


async def turned(index: VectorIndex, id_: str) -> None:
    """Turn a vector round."""
    (stored,) = (await index.get([id_])).values()
    await index.upsert([VectorItem(id_, -stored.vector, stored.fields)])
