"""The indexes of one family, open: the one that is asked and the one that is written."""

from dualstore.embedders.base import Embedder
from dualstore.errors import VectorsGoneError
from dualstore.indexing.completing import completed
from dualstore.indexing.generations import Generation, GenerationBook, Generations
from dualstore.vectors.base import VectorIndex, VectorPlace


class Indexes:
    """Looked up at each use, because any process may switch them at any time."""

    def __init__(self, place: VectorPlace, book: GenerationBook, embedder: Embedder) -> None:
        self._place = place
        self._book = book
        self._embedder = embedder
        self._known: dict[str, VectorIndex] = {}

    async def live(self) -> VectorIndex | None:
        """The one that is asked; None while nothing was ever indexed.

        Raises `VectorsGoneError` when it is lost, which is recorded then: whoever indexes next
        fills another one. Raises `FamilyMismatchError` when it is another embedder's.
        """
        present = await self._book.read()
        return await self._existing(present, present.live) if present else None

    async def written(self) -> VectorIndex | None:
        """The one that work goes into, as `live` without making it."""
        present = await self._book.read()
        return await self._existing(present, present.target) if present else None

    async def target(self) -> VectorIndex:
        """The one that work goes into, made when it is new or lost.

        Raises `FamilyMismatchError` when it is another embedder's.
        """
        await self._embedder.load()
        while True:
            present = await self._book.open(self._embedder)
            self._check(present.target)
            index = await self._opened(present)
            if index is not None:
                return index

    async def check(self) -> None:
        """Raise `FamilyMismatchError` when the target is surely another embedder's."""
        present = await self._book.read()
        if present and not present.target.may_be_made_by(self._embedder):
            raise self._book.mismatch(present.target, self._embedder)

    def forget(self) -> None:
        """Look all of them up again: one that was here is gone."""
        self._known.clear()

    async def drop(self, name: str) -> None:
        """Remove an index that nobody asks any more."""
        self._known.pop(name, None)
        await self._place.drop(name)

    async def _opened(self, present: Generations) -> VectorIndex | None:
        """The target's index; None if the record has to be read again."""
        target = present.target
        if target.made:
            index = await self._found(target)
            if index is None:
                await self._book.replace(present, present.lost(self._book.family))
            return index
        await completed(self._make(present))
        return None

    async def _make(self, present: Generations) -> None:
        """Whoever was held up may make anew what others have dropped, and nobody would again."""
        name = present.target.index_name(self._book.family)
        await self._place.index(name, dimension=present.target.dimension)
        if not await self._book.replace(present, present.made()):
            now = await self._book.read()
            both = (now.live, now.target) if now else ()
            if name not in [each.index_name(self._book.family) for each in both]:
                await self.drop(name)

    async def _found(self, generation: Generation) -> VectorIndex | None:
        name = generation.index_name(self._book.family)
        index = self._known.get(name)
        if index is None:
            index = await self._place.find(name, dimension=generation.dimension)
            if index is not None:
                self._known[name] = index
        return index

    async def _existing(self, present: Generations, generation: Generation) -> VectorIndex | None:
        if not generation.made:
            return None
        await self._embedder.load()
        self._check(generation)
        index = await self._found(generation)
        if index is None:
            if generation == present.target:  # another one would take its place anyway
                await self._book.replace(present, present.lost(self._book.family))
            raise VectorsGoneError(
                f"the vectors of {self._book.family!r} are gone; they are made again as soon as "
                "somebody indexes"
            )
        return index

    def _check(self, generation: Generation) -> None:
        if not generation.is_made_by(self._embedder):
            raise self._book.mismatch(generation, self._embedder)
