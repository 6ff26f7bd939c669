"""What a user of the manager sees while something is in the way, and after it is gone."""

import re
from collections.abc import Sequence

import pytest

from dualstore.errors import DualStoreError
from dualstore.manager import DualStoreManager
from dualstore.settings import Settings
from dualstore.wiring import Backends
from tests.dual.indexing_process import SPEC, text_of

IDS = [f"m{n}" for n in range(8)]
PATIENCE = 1.5


def opened(backends: Backends) -> DualStoreManager:
    """Not open yet."""
    return DualStoreManager(SPEC, settings=Settings(index_lease=2.0), backends=backends)


async def insert(notes: DualStoreManager, ids: Sequence[str] = IDS) -> None:
    await notes.insert_many({"id": each, "text": text_of(each)} for each in ids)


async def check_in_the_way(
    notes: DualStoreManager,
    error: type[DualStoreError],
    match: str,
    *,
    new: str = "new",
    searching: type[DualStoreError] | None = None,
) -> None:
    """Documents work; whatever needs vectors says why it doesn't."""
    await insert(notes, [*IDS, new])
    assert (await notes.get_many([*IDS, new])).keys() == {*IDS, new}
    assert len((await notes.page()).entries) == await notes.count() >= len(IDS) + 1
    with pytest.raises(error, match=match) as caught:
        await notes.drain(timeout=PATIENCE)
    print(f"drain: {type(caught.value).__name__}: {caught.value}")
    status = await notes.index_status()
    assert status.due + status.leased > 0
    assert status.obstacle
    assert re.search(match, status.obstacle)
    result = await notes.search(text_of("m1"), limit=3)
    assert result.hits[0].entry.id == "m1", "words are enough"
    assert any("not indexed yet" in each for each in result.degraded)
    if searching:
        assert any(re.search(match, each) for each in result.degraded)
        with pytest.raises(searching, match=match) as asked:
            await notes.search(text_of("m1"), mode="semantic")
        print(f"search: {type(asked.value).__name__}: {asked.value}")


async def check_mended(notes: DualStoreManager, *, new: str = "new") -> None:
    """Nothing was lost, and everything is indexed."""
    await notes.drain(timeout=30)
    report = await notes.consistency_report()
    assert report.clean, report
    assert (report.entries, report.vectors) == (len(IDS) + 1, len(IDS) + 1)
    assert (report.pending, report.failed) == (0, 0)
    for each in ("m1", new):
        result = await notes.search(text_of(each), mode="semantic", limit=3)
        best = [hit.entry.id for hit in result.hits if hit.score == result.hits[0].score]
        assert each in best
    assert not [each for each in result.degraded if "related words" not in each]
