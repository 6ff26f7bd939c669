"""Deletion: first nobody sees it any more, then everything goes; and what crashes left is swept."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from dualstore.conversations.cards import Cards, Held
from dualstore.conversations.coding import Stored, decoded
from dualstore.conversations.loading import Loader
from dualstore.conversations.payloads import Kept, Payloads
from dualstore.conversations.scope import LogName, Scope
from dualstore.conversations.shelf import Shelf
from dualstore.conversations.texts import SAYING, spoken
from dualstore.documents.journal import Journal

GRACE: Final = 3_600_000
"""Milliseconds that a payload may wait for the entry that names it."""
_PAGE: Final = 200


class Remover:
    """Removes conversations, and what belongs to none."""

    def __init__(
        self,
        journal: Journal,
        *,
        house: str,
        cards: Cards,
        payloads: Payloads,
        loader: Loader,
        shelf: Shelf,
        clock: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._house = house
        self._cards = cards
        self._payloads = payloads
        self._loader = loader
        self._shelf = shelf
        self._clock = clock

    async def delete(self, scope: Scope, conversation_id: str) -> bool:
        """Whether it was there. Its threads go with it.

        When it raises in the middle, the conversation is gone already, and calling it again
        removes the rest.
        """
        held = await self._cards.find(scope, conversation_id)
        if held is None:
            return False
        for thread in await self._cards.all_of(scope):
            if thread.card.parent == conversation_id and not thread.card.purged:
                await self.delete(scope, thread.name.conversation_id)
        was_there = await self._put_away(held)
        again = await self._cards.find(scope, conversation_id)
        if again is not None and not again.card.is_alive:
            await self.purge(again)
        return was_there

    async def _put_away(self, held: Held) -> bool:
        """From here on it is deleted, whatever else happens; whether it was us."""
        now: Held | None = held
        while now is not None and now.card.is_alive and now.card.log == held.card.log:
            card = replace(
                now.card,
                deleted_at=self._clock(),
                title="",
                called="",
                born="",
                distrust="",
                snapshot=None,
            )
            if await self._cards.put_away(now, card):
                return True
            now = await self._cards.again(now)
        return False

    async def purge(self, held: Held) -> None:
        """Remove what is left of a deleted conversation; again, it does nothing."""
        if held.card.purged:
            return
        await self.remove_log(held.card.log)
        await self._cards.put_away(held, replace(held.card, purged=True))

    async def remove_log(self, log: str) -> None:
        """Texts first: the log is what says which ones there are."""
        name = LogName.parse(log)
        after = 0
        while items := await self._journal.read(log, after=after, kinds=SAYING, limit=_PAGE):
            places = [(item.seq, 0) for item in items]
            imported = [item for item in items if item.kind == "imported"]
            for loaded in await self._loader.load(log, imported):
                said = spoken(loaded.entry)
                places += [(loaded.entry.seq, each.place) for each in said]
            await self._shelf.take_away(name, list(dict.fromkeys(places)))
            after = items[-1].seq
        await self._payloads.drop_all(log)
        await self._journal.remove(log)

    async def sweep(self, *, grace: int = GRACE) -> int:
        """Remove what crashes left behind: deleted conversations, and payloads that no entry
        names although they are older than `grace` milliseconds. How much it was.
        """
        return await self._sweep_cards() + await self._sweep_payloads(grace)

    async def _sweep_cards(self) -> int:
        swept, after = 0, ""
        while some := await self._cards.page(self._house, after=after):
            for held in some:
                if not held.card.is_alive and not held.card.purged:
                    await self.purge(held)
                    swept += 1
            after = some[-1].record.key
        return swept

    async def _sweep_payloads(self, grace: int) -> int:
        swept, after = 0, ""
        while some := await self._payloads.page(after=after):
            for kept in some:
                if kept.at + grace <= self._clock() and await self._is_nobodys(kept):
                    await self._payloads.drop(kept)
                    swept += 1
            after = some[-1].record.key
        return swept

    async def _is_nobodys(self, kept: Kept) -> bool:
        name = LogName.parse(kept.log)
        if name.scope.house != self._house:
            return False
        held = await self._cards.find(name.scope, name.conversation_id)
        if held is None or not held.card.is_alive or held.card.log != kept.log:
            return True
        if held.card.snapshot == kept.ref:
            return False
        item = (await self._journal.find(kept.log, [kept.owner])).get(kept.owner)
        stored = None if item is None else decoded(item, kept.log)
        return not isinstance(stored, Stored) or stored.ref != kept.ref
