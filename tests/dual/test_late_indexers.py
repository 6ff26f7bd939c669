"""Indexers that go on with work they have lost take nothing away that is newer."""

import asyncio
from collections.abc import Sequence

from dualstore.manager import DualStoreManager
from dualstore.settings import Settings
from dualstore.wiring import Backends
from tests.dual.indexing_process import SPEC
from tests.dual.listening import Listening
from tests.dual.looking import held


class Gates:
    """The embedder waits where a text has a word for which there is a gate."""

    def __init__(self, embedder: Listening, *words: str) -> None:
        self.reached = {word: asyncio.Event() for word in words}
        self.open = {word: asyncio.Event() for word in words}
        embedder.fails = self._wait

    async def _wait(self, texts: Sequence[str]) -> None:
        for word in self.open:
            if any(word in text for text in texts):
                self.reached[word].set()
                await self.open[word].wait()


def another(backends: Backends) -> DualStoreManager:
    return DualStoreManager(SPEC, settings=Settings(), backends=backends)


async def test_an_old_text_that_is_taken_up_again_keeps_its_vector(
    notes: DualStoreManager, backends: Backends, embedder: Listening
) -> None:
    """The late one believes that the vector of the old text has to go."""
    gates = Gates(embedder, "taxes")
    await notes.insert({"id": "a", "text": "about cats"})
    await notes.drain()
    await notes.insert({"id": "a", "text": "about taxes"})
    await gates.reached["taxes"].wait()
    async with another(backends) as other:
        await other.insert({"id": "a", "text": "about cats"})
        await other.drain()
    gates.open["taxes"].set()
    await _check(notes, backends)


async def test_a_late_one_that_clears_up_after_others_leaves_the_newest_vector(
    notes: DualStoreManager, backends: Backends, embedder: Listening
) -> None:
    """It removes what it finds of the entry: an attempt before it may have left something."""
    gates = Gates(embedder, "cats", "taxes")
    await notes.insert({"id": "a", "text": "about cats"})
    await gates.reached["cats"].wait()
    async with another(backends) as late, another(backends) as other:
        await late.insert({"id": "a", "text": "about taxes"})
        await gates.reached["taxes"].wait()
        await other.insert({"id": "a", "text": "about bread"})
        await other.drain()
        gates.open["taxes"].set()
        await _check(late, backends)
        gates.open["cats"].set()
        await _check(notes, backends)


async def _check(late: DualStoreManager, backends: Backends) -> None:
    await late.drain()
    await asyncio.sleep(0.2)
    await late.drain()
    report = await late.consistency_report()
    assert report.clean, report
    assert await held(backends) == {"a": 1}
