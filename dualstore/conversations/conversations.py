"""Conversations: what a host that runs agents itself keeps of them, and reads back."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Final, get_args

from dualstore.conversations.coding import ANY_SIZE
from dualstore.conversations.doors import check_count, check_entries, check_types
from dualstore.conversations.entries import LogEntry, Message, new_id
from dualstore.conversations.finding import ConversationResult
from dualstore.conversations.folds import (
    build_display_snapshot,
    build_llm_context,
    pending_subagent_results,
)
from dualstore.conversations.reading import summary_of, without_running
from dualstore.conversations.removing import GRACE
from dualstore.conversations.rooms import furnished
from dualstore.conversations.scope import Scope
from dualstore.conversations.turns import Append, Turn, bracketed
from dualstore.conversations.verifying import ParityReport
from dualstore.conversations.views import Conversation, ConversationSummary, Entries
from dualstore.conversations.windows import place_of
from dualstore.documents.journal import LAST
from dualstore.errors import EntryError, InvalidInputError, UnavailableError, shown
from dualstore.manager import DualStoreManager
from dualstore.search.results import Mode
from dualstore.values import check_text, to_json
from dualstore.wiring import Backends

TAIL: Final = 200
Given = LogEntry | Mapping[str, Any]
Stored = list[LogEntry]
Summaries = list[ConversationSummary]


class Conversations:
    """All conversations, by tenant and agent: None is a scope of its own, never all of them."""

    build_llm_context = staticmethod(build_llm_context)
    build_display_snapshot = staticmethod(build_display_snapshot)
    pending_subagent_results = staticmethod(pending_subagent_results)

    def __init__(
        self,
        backends: Backends,
        *,
        house: str,
        open_family: Callable[[], DualStoreManager],
        read_log: bool,
    ) -> None:
        """`open_family` gives the manager of the family that `shelf_spec` describes."""
        self._house = house
        self._rooms = furnished(backends, house=house, open_family=open_family, read_log=read_log)
        self._running: set[str] = set()

    async def close(self) -> None:
        """Finish what is being appended; what can't be searched yet is left to others."""
        await self._rooms.writer.close()
        await self._rooms.follower.close()

    # Making, naming, deleting

    async def create(
        self,
        conversation_id: str | None = None,
        title: str = "",
        messages: Sequence[Message] | None = None,
        parent: str | None = None,
        *,
        tenant: str | None = None,
        agent: str | None = None,
    ) -> Conversation:
        """A new one, or the one that was made so before; `messages` are from before its log.

        Raises `ConflictError` if there is another one of that id, and `NotFoundError` if the
        parent isn't there.
        """
        scope = self._scope(tenant, agent)
        given = _told(messages, messages, ()) if messages else None
        conversation_id = new_id() if conversation_id is None else conversation_id
        await self._rooms.maker.create(
            scope,
            conversation_id,
            title=check_text(title, "title"),
            parent=parent,
            told=given,
        )
        return await self._get(scope, conversation_id)

    async def import_snapshot(
        self,
        conversation_id: str,
        display: Sequence[Message] | None = None,
        context: Sequence[Message] | None = None,
        pending: Sequence[Mapping[str, Any]] | None = None,
        *,
        title: str = "",
        tenant: str | None = None,
        agent: str | None = None,
    ) -> Conversation:
        """Begin the log of a conversation that is older than it; again, it does nothing.

        Without messages it is what `create` was given. Raises `ConflictError` for another
        snapshot than the one that is there.
        """
        scope = self._scope(tenant, agent)
        if display is not None or context is not None or pending is not None:
            told = _told(display or (), context, pending or ())
            title = check_text(title, "title")
            await self._rooms.maker.begin(scope, conversation_id, title=title, told=told)
        await self._rooms.writer.append(scope, conversation_id, [])
        return await self._get(scope, conversation_id)

    async def rename(
        self,
        conversation_id: str,
        title: str,
        *,
        tenant: str | None = None,
        agent: str | None = None,
    ) -> ConversationSummary:
        """Give it another title; nothing else changes."""
        check_text(title, "title")
        held = await self._rooms.cards.get(self._scope(tenant, agent), conversation_id)
        changed = await self._rooms.cards.change(held, lambda card: replace(card, title=title))
        return summary_of(changed)

    async def delete(
        self, conversation_id: str, *, tenant: str | None = None, agent: str | None = None
    ) -> bool:
        """Whether it was there. Entries, texts, vectors and payloads go, and so do its threads."""
        return await self._rooms.remover.delete(self._scope(tenant, agent), conversation_id)

    async def sweep(self, *, grace: int = GRACE) -> int:
        """Remove what crashes left: unfinished deletions, and payloads that no entry names
        although they are older than `grace` milliseconds. How much it was.
        """
        return await self._rooms.remover.sweep(grace=check_count(grace, "grace", least=0))

    async def catch_up(self, timeout: float | None = None) -> None:
        """Have everything that was said taken over into the search, by words at once.

        Raises what is in the way, and `UnavailableError` when `timeout` seconds aren't enough.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._rooms.follower.catch_up()
        except TimeoutError:
            raise UnavailableError("not everything that was said is searchable yet") from None

    # Writing

    async def append(
        self,
        conversation_id: str,
        entries: Iterable[Given],
        *,
        tenant: str | None = None,
        agent: str | None = None,
    ) -> Stored:
        """All of them in one step, in their order, or none; as they are stored.

        An entry whose id is there with the same payload is not written again; one with another
        payload refuses the batch with a `ConflictError`. One that can't be taken refuses it with
        an `EntryError` that names it. Raises `NotFoundError` without such a conversation.
        """
        return await self._append(self._scope(tenant, agent), conversation_id, entries)

    def turn(
        self, conversation_id: str, *, tenant: str | None = None, agent: str | None = None
    ) -> AbstractAsyncContextManager[Turn]:
        """A turn: `async with` starts and finishes it; what ends it by an error is in the log.

        It writes to the conversation that is there when it starts: if that is deleted, it raises
        `NotFoundError`, also when another one was made under the id.
        """

        async def begin() -> Append:
            scope = self._scope(tenant, agent)
            log = (await self._rooms.cards.get(scope, conversation_id)).card.log
            return partial(self._append, scope, conversation_id, log=log)

        return bracketed(begin, self._running)

    # Reading

    async def get(
        self,
        conversation_id: str,
        tail: int | None = TAIL,
        before: str | None = None,
        *,
        tenant: str | None = None,
        agent: str | None = None,
    ) -> Conversation:
        """The conversation with the last `tail` messages of its display; None for all of them.

        `before` is a display's cursor. Raises `NotFoundError` without such a conversation; what
        of it can't be read is said in `degraded`.
        """
        return await self._get(self._scope(tenant, agent), conversation_id, tail, before)

    async def read(  # noqa: PLR0917 - the public API
        self,
        conversation_id: str,
        types: Sequence[str] | None = None,
        after_seq: int | None = None,
        before_seq: int | None = None,
        limit: int | None = None,
        newest: bool = False,
        *,
        tenant: str | None = None,
        agent: str | None = None,
    ) -> Entries:
        """Entries between the two numbers, oldest first; with `newest` the newest first."""
        return await self._rooms.reader.read(
            self._scope(tenant, agent),
            conversation_id,
            types=check_types(types),
            after=0 if after_seq is None else check_count(after_seq, "after_seq", least=0),
            before=LAST if before_seq is None else check_count(before_seq, "before_seq", least=0),
            limit=None if limit is None else check_count(limit, "limit", least=1),
            newest=newest,
        )

    async def list(
        self, limit: int | None = None, *, tenant: str | None = None, agent: str | None = None
    ) -> Summaries:
        """Conversations that are nobody's threads, the one that was used last first; all of them,
        or as many as are wanted.
        """
        return await self._listed(self._scope(tenant, agent), None, limit)

    async def list_threads(
        self,
        parent: str,
        limit: int | None = None,
        *,
        tenant: str | None = None,
        agent: str | None = None,
    ) -> Summaries:
        """The threads of a conversation, the one that was used last first."""
        scope = self._scope(tenant, agent)
        await self._rooms.cards.get(scope, parent)
        return await self._listed(scope, parent, limit)

    async def search(
        self,
        query: str,
        mode: Mode = "hybrid",
        conversation_id: str | None = None,
        limit: int = 10,
        neighbours: int = 2,
        *,
        cursor: str | None = None,
        tenant: str | None = None,
        agent: str | None = None,
    ) -> ConversationResult:
        """What answers best of what was said, with so many neighbours on both sides."""
        if mode not in get_args(Mode):
            raise InvalidInputError(f"there is no mode {shown(mode)}: {', '.join(get_args(Mode))}")
        return await self._rooms.search.search(
            self._scope(tenant, agent),
            check_text(query, "query"),
            mode=mode,
            conversation_id=conversation_id,
            limit=check_count(limit, "limit", least=1),
            neighbours=check_count(neighbours, "neighbours", least=0),
            cursor=cursor,
        )

    async def verify(
        self, conversation_id: str, *, tenant: str | None = None, agent: str | None = None
    ) -> ParityReport:
        """Compute everything again from the first entry on, and say what isn't so.

        While something is wrong, reads go by the entries alone and say that they do.
        """
        return await self._rooms.verifier.verify(self._scope(tenant, agent), conversation_id)

    def _scope(self, tenant: str | None, agent: str | None) -> Scope:
        return Scope(self._house, tenant, agent)

    async def _append(
        self,
        scope: Scope,
        conversation_id: str,
        entries: Iterable[Given],
        *,
        log: str | None = None,
    ) -> Stored:
        ready = check_entries(entries, scope)
        return await self._rooms.writer.append(scope, conversation_id, ready, log=log)

    async def _get(
        self,
        scope: Scope,
        conversation_id: str,
        tail: int | None = TAIL,
        before: str | None = None,
    ) -> Conversation:
        most = None if tail is None else check_count(tail, "tail", least=0)
        place = place_of(before)
        found = await self._rooms.reader.get(scope, conversation_id, tail=most, before=place)
        return without_running(found, self._running)

    async def _listed(self, scope: Scope, parent: str | None, limit: int | None) -> Summaries:
        most = None if limit is None else check_count(limit, "limit", least=1)
        return (await self._rooms.reader.list(scope, parent))[:most]


def _told(
    display: Sequence[Message],
    context: Sequence[Message] | None,
    pending: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What there was before a log; without a context of its own the model saw what is shown."""
    named = [_named(message, place) for place, message in enumerate(display)]
    if context is None or context is display or _spelled(context) == _spelled(display):
        seen = named
    else:
        seen = list(context)
    return {"display": named, "context": seen, "pending": list(pending)}


def _spelled(messages: Sequence[object]) -> str:
    told = [dict(each) if isinstance(each, Mapping) else each for each in messages]
    return to_json(told, "messages", most=ANY_SIZE)


def _named(message: Message, place: int) -> Message:
    """With an id, the same wherever it is shown or seen."""
    if not isinstance(message, Mapping):
        raise EntryError("messages", f"must be mappings, not {type(message).__name__}")
    return {"id": f"before-{place + 1}", **message}
