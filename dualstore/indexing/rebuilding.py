"""Filling a new generation, and switching to it. Everybody may help, and nobody has to finish.

All that is here is marking and switching: the vectors are made by the indexers, as always. They
read which generation is the target after they have claimed, so whatever is marked due once a
generation has begun is written into it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from dualstore.documents.base import DocumentStore
from dualstore.embedders.base import Embedder
from dualstore.indexing.generations import GenerationBook, Generations
from dualstore.indexing.indexes import Indexes

PAGE: Final = 1000


class Rebuilding:
    """What is to be done for one family besides its documents' index work."""

    def __init__(
        self,
        store: DocumentStore,
        *,
        indexes: Indexes,
        book: GenerationBook,
        embedder: Embedder,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._indexes = indexes
        self._book = book
        self._embedder = embedder
        self._clock = clock

    async def begin(self) -> None:
        """From here on everything is made anew, into a new generation; the old one answers."""
        await self._embedder.load()
        while True:
            present = await self._book.open(self._embedder)
            if await self._book.replace(present, present.begun(self._embedder, self._book.family)):
                return

    async def is_under_way(self) -> bool:
        """Whether there is something left to do."""
        present = await self._book.read()
        return present is not None and not present.at_rest

    async def step(self) -> int:
        """Do some of it; 0 when there is nothing, or indexers have to get on first."""
        present = await self._book.read()
        if present is None or present.at_rest:
            return 0
        if present.walked is not None:
            return await self._walk(present, present.walked)
        if present.building is not None:
            return await self._switch(present)
        return await self._drop(present)

    async def _walk(self, present: Generations, walked: str) -> int:
        some = await self._store.scan(after=walked or None, limit=PAGE)
        await self._store.mark_due(
            [each.id for each in some if not each.deleted], now=self._clock()
        )
        last = some[-1].id if some else None
        await self._book.replace(present, replace(present, walked=last))
        return max(1, len(some))

    async def _switch(self, present: Generations) -> int:
        status = await self._store.index_status()
        if status.due or status.leased:
            return 0
        return int(await self._book.replace(present, present.switched(self._book.family)))

    async def _drop(self, present: Generations) -> int:
        name, *others = present.retired
        await self._indexes.drop(name)
        await self._book.replace(present, replace(present, retired=tuple(others)))
        return 1
