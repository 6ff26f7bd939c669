"""A log from its first entry on: what stands when nothing is believed that was summed up."""

from collections.abc import AsyncIterator
from typing import Final

from dualstore.conversations.entries import Compaction
from dualstore.conversations.loading import Loaded, Loader
from dualstore.conversations.standing import Complete, Standing, advanced, beginning
from dualstore.documents.journal import LAST, Journal
from dualstore.errors import StorageCorruptError

_PAGE: Final = 200


class Replaying:
    """Reads logs in pages, so that no log is too long."""

    def __init__(self, journal: Journal, loader: Loader) -> None:
        self._journal = journal
        self._loader = loader

    async def entries(self, log: str, *, before: int = LAST) -> AsyncIterator[Loaded]:
        """All entries in order, whatever is wrong with them."""
        after = 0
        while items := await self._journal.read(log, after=after, before=before, limit=_PAGE):
            for each in await self._loader.load(log, items):
                yield each
            after = items[-1].seq

    async def standing(self, log: str, complete: Complete) -> Standing:
        """Folded anew. Raises `StorageCorruptError` where an entry is missing or unreadable."""
        fold = StandingFold(log, complete)
        async for loaded in self.entries(log):
            if loaded.problem or loaded.stored is None or loaded.entry.seq != fold.standing.seq + 1:
                where = fold.standing.seq + 1
                raise StorageCorruptError(
                    f"log {log!r} is damaged at entry {where}; "
                    f"{loaded.problem or 'something is missing'}: see verify"
                )
            fold.add(loaded)
        return fold.standing


class StandingFold:
    """Where a log stands after each entry that is added."""

    def __init__(self, log: str, complete: Complete) -> None:
        self.standing = beginning(log, complete)
        self._places: dict[str, int] = {}

    def add(self, loaded: Loaded) -> None:
        """The next one; entries that can't be read move on nothing but the number."""
        entry, stored = loaded.entry, loaded.stored
        chain = self.standing.hash if stored is None else stored.hash
        self._places[entry.id] = entry.seq
        kept = entry.kept_ids or () if isinstance(entry, Compaction) else ()
        places = {each: self._places[each] for each in kept if each in self._places}
        self.standing = advanced(self.standing, entry, chain, places=places)
