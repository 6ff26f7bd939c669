"""Making conversations: new ones, and those that are older than their log."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from dualstore.conversations.cards import Card, Cards
from dualstore.conversations.doors import imported
from dualstore.conversations.entries import new_id
from dualstore.conversations.removing import Remover
from dualstore.conversations.scope import LogName, Scope
from dualstore.conversations.snapshots import Snapshots, import_id
from dualstore.errors import ConflictError, shown


class Maker:
    """Writes the first card of a conversation."""

    def __init__(
        self,
        *,
        cards: Cards,
        snapshots: Snapshots,
        remover: Remover,
        clock: Callable[[], int],
    ) -> None:
        self._cards = cards
        self._snapshots = snapshots
        self._remover = remover
        self._clock = clock

    async def create(
        self,
        scope: Scope,
        conversation_id: str,
        *,
        title: str,
        parent: str | None,
        told: Mapping[str, Any] | None,
    ) -> None:
        """Unless it was made so before; `told` is what it was before its log.

        Raises `ConflictError` if there is another one, and `NotFoundError` without its parent.
        """
        if parent is not None:
            await self._cards.get(scope, parent)
        card = await self._make(scope, conversation_id, title, parent, told)
        if (card.called, card.parent) != (title, parent):
            raise _conflict(conversation_id)

    async def begin(
        self, scope: Scope, conversation_id: str, *, title: str, told: Mapping[str, Any]
    ) -> None:
        """As `create`, for one that may have got its card, and its title, long ago."""
        await self._make(scope, conversation_id, title, None, told)

    async def _make(
        self,
        scope: Scope,
        conversation_id: str,
        title: str,
        parent: str | None,
        told: Mapping[str, Any] | None,
    ) -> Card:
        log = str(LogName(scope, conversation_id, new_id()))
        snapshot = None if told is None else imported(import_id(log), told)
        born = "" if snapshot is None else snapshot.digest
        old = await self._cards.find(scope, conversation_id)
        if old is not None and not old.card.is_alive:
            await self._remover.purge(old)
        elif old is not None:
            return _same(old.card, born, conversation_id)
        card = Card(log, title, parent, self._clock(), called=title, born=born)
        if snapshot is None:
            made = await self._cards.create(replace(card, complete="created"))
        else:
            ref = await self._snapshots.keep(log, snapshot)
            shown_before = len(snapshot.entry.payload().get("display", ()))
            made = await self._cards.create(replace(card, snapshot=ref, shown=shown_before))
        if made is not None:
            return made.card
        other = await self._cards.get(scope, conversation_id)
        return _same(other.card, born, conversation_id)


def _same(card: Card, born: str, conversation_id: str) -> Card:
    if card.born != born:
        raise _conflict(conversation_id)
    return card


def _conflict(conversation_id: str) -> ConflictError:
    return ConflictError(
        f"conversation {shown(conversation_id)} is there, and was made otherwise",
        ids=[conversation_id],
    )
