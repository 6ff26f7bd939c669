"""Vectors of a text that is still the present one, and that its entry doesn't speak for."""

from dualstore.manager import DualStoreManager
from dualstore.wiring import Backends
from tests.dual.damage import vector_id
from tests.dual.indexing_process import RECORDED
from tests.dual.looking import copied, held, index_of


async def test_a_chunk_too_many_and_a_vector_of_an_excluded_entry_are_removed(
    notes: DualStoreManager, backends: Backends
) -> None:
    await notes.insert_many([{"id": "a", "text": "words"}, {"id": "blank", "text": "..."}])
    await notes.drain()
    store = await backends.documents.family(RECORDED)
    index = await index_of(backends)
    mine = await vector_id(store, "a")
    await copied(index, mine, await vector_id(store, "a", 1))
    await copied(index, mine, await vector_id(store, "blank"))
    assert await notes.repair() == 2
    await notes.drain()
    assert await held(backends) == {"a": 1}
    assert (await notes.consistency_report()).clean
