"""Searching what was said: what is found is shown with its entry, conversation and neighbours."""

from dataclasses import dataclass

from dualstore.conversations.cards import Cards, Held
from dualstore.conversations.entries import LogEntry, Message
from dualstore.conversations.folds import Place, Shown
from dualstore.conversations.following import Follower
from dualstore.conversations.loading import Loader
from dualstore.conversations.scope import Scope
from dualstore.conversations.shelf import Found, Shelf
from dualstore.conversations.texts import SAYING
from dualstore.documents.journal import Journal, JournalItem
from dualstore.errors import DualStoreError, StorageError
from dualstore.search.ranking import Parts
from dualstore.search.results import Mode
from dualstore.search.snippets import Snippet


@dataclass(frozen=True, slots=True)
class ConversationHit:
    """Something that was said, and where."""

    conversation_id: str
    title: str
    entry: LogEntry
    message: Message | None
    """The message that is shown, of an entry that has any; of an imported one the one found."""
    before: tuple[LogEntry, ...]
    """What was said just before, oldest first."""
    after: tuple[LogEntry, ...]
    """And just after."""
    score: float
    snippet: Snippet
    modes: tuple[str, ...]
    explanation: Parts

    @property
    def conversation(self) -> str:
        """Its id."""
        return self.conversation_id

    @property
    def neighbours(self) -> tuple[LogEntry, ...]:
        """What was said around it, oldest first."""
        return (*self.before, *self.after)


@dataclass(frozen=True, slots=True)
class ConversationResult:
    """Hits, best first, and what stood in the way of finding more."""

    hits: tuple[ConversationHit, ...]
    next_cursor: str | None
    candidates: int
    cut: bool
    degraded: tuple[str, ...]


class Search:
    """Searches the conversations of a scope."""

    def __init__(
        self,
        journal: Journal,
        *,
        cards: Cards,
        loader: Loader,
        shelf: Shelf,
        follower: Follower,
    ) -> None:
        self._journal = journal
        self._cards = cards
        self._loader = loader
        self._shelf = shelf
        self._follower = follower

    async def search(
        self,
        scope: Scope,
        query: str,
        *,
        mode: Mode,
        conversation_id: str | None,
        limit: int,
        neighbours: int,
        cursor: str | None,
    ) -> ConversationResult:
        """One page. What was said a moment ago is taken over first, as far as that can be."""
        late = await self._catch_up()
        result, found = await self._shelf.search(
            scope, query, mode=mode, conversation_id=conversation_id, limit=limit, cursor=cursor
        )
        held: dict[str, Held | None] = {}
        hits: list[ConversationHit] = []
        for each in found:
            try:
                hit = await self._hit(scope, each, held, neighbours)
            except StorageError as error:
                late.append(f"without a hit: {error}")
                continue
            if hit is not None:
                hits.append(hit)
        return ConversationResult(
            tuple(hits),
            result.next_cursor,
            result.candidates,
            result.cut,
            (*late, *result.degraded),
        )

    async def _catch_up(self) -> list[str]:
        try:
            await self._follower.catch_up()
        except DualStoreError as error:
            return [f"without what was said last: {error}"]
        return []

    async def _hit(
        self, scope: Scope, found: Found, held: dict[str, Held | None], neighbours: int
    ) -> ConversationHit | None:
        """None for what belongs to a conversation that isn't there any more."""
        conversation_id = found.hit.entry.metadata["conversation"]
        if conversation_id not in held:
            held[conversation_id] = await self._cards.find(scope, conversation_id)
        card = held[conversation_id]
        if card is None or not card.card.is_alive or card.card.log != found.log:
            return None
        items = await self._journal.read(found.log, after=found.seq - 1, before=found.seq + 1)
        if not items:
            return None
        (entry,) = await self._entries(found.log, items)
        return ConversationHit(
            conversation_id=conversation_id,
            title=card.card.title,
            entry=entry,
            message=_message(entry, found.place),
            before=await self._beside(found, neighbours, backwards=True),
            after=await self._beside(found, neighbours, backwards=False),
            score=found.hit.score,
            snippet=found.hit.snippet,
            modes=found.hit.modes,
            explanation=found.hit.explanation,
        )

    async def _beside(self, found: Found, count: int, *, backwards: bool) -> tuple[LogEntry, ...]:
        if not count:
            return ()
        bounds = {"before": found.seq} if backwards else {"after": found.seq}
        items = await self._journal.read(
            found.log, kinds=SAYING, limit=count, backwards=backwards, **bounds
        )
        return tuple(await self._entries(found.log, items[::-1] if backwards else items))

    async def _entries(self, log: str, items: list[JournalItem]) -> list[LogEntry]:
        return [each.entry for each in await self._loader.load(log, items)]


def _message(entry: LogEntry, place: int) -> Message | None:
    shown = Shown([entry])
    return shown.message(Place(entry.seq, place)) if (entry.seq, place) in shown.places else None
