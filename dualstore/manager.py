"""DualStoreManager: one family of entries in both stores, kept in step."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self, get_args

from dualstore.assembly import Family, OnMismatch
from dualstore.differences import ConsistencyReport, EntryConsistency
from dualstore.documents.base import DeleteOutcome, Order, Page
from dualstore.documents.doors import check_limit, check_skip
from dualstore.entry import Draft, Entry, check_id
from dualstore.errors import InvalidInputError, NotFoundError, shown
from dualstore.family import FamilySpec, family_name
from dualstore.filters import Filter, leaves, parse
from dualstore.indexing.work import IndexingStatus
from dualstore.metrics import Metrics
from dualstore.opener import Opener
from dualstore.search.context import Message, compiled
from dualstore.search.results import Hit, Mode, SearchResult
from dualstore.settings import Settings
from dualstore.strictness import wait_for_vectors
from dualstore.values import check_text
from dualstore.wiring import Backends

_CHECKED_AT_ONCE: Final = 100
"""Items that are checked before others get their turn on the loop."""
_DELETED_AT_ONCE: Final = 100

Where = Mapping[str, Any] | None
"""A filter; None for everything."""


class DualStoreManager:
    """One family of entries. Opens with its first use, or with `async with` or `create`.

    Reading starts neither the indexer nor Chroma: the first write, search by meaning or `drain`
    does.
    """

    def __init__(
        self,
        spec: FamilySpec,
        *,
        settings: Settings,
        backends: Backends | None = None,
        metrics: Metrics | None = None,
        on_mismatch: OnMismatch = "refuse",
    ) -> None:
        self.spec = spec
        self._settings = settings
        self._opened = Opener(
            spec, settings, backends=backends, metrics=metrics, on_mismatch=on_mismatch
        )

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, for good."""
        return self._opened.is_closed

    @property
    def is_open(self) -> bool:
        """Whether a use has opened it."""
        return self._opened.is_open

    @classmethod
    async def create(
        cls,
        name: str,
        *,
        text_key: str = "text",
        time_key: str = "timestamp",
        thread_key: str | None = "session_id",
        author_key: str | None = "author",
        filter_fields: Iterable[str] = (),
        agent_name: str | None = None,
        settings: Settings | None = None,
        backends: Backends | None = None,
        metrics: Metrics | None = None,
        on_mismatch: OnMismatch = "refuse",
    ) -> Self:
        """The family `{agent_name}_{name}`, open. `close` it, or use it with `async with`.

        Backends that are given stay open when it closes. A family that was made with another
        spec or embedder is refused with a `FamilyMismatchError`, or, with
        `on_mismatch="reindex"`, made anew: nobody else may have it open then.
        """
        settings = settings or Settings()
        spec = FamilySpec(
            family_name(agent_name or settings.agent_name, name),
            text_key=text_key,
            time_key=time_key,
            thread_key=thread_key,
            author_key=author_key,
            filter_fields=tuple(filter_fields),
        )
        manager = cls(
            spec, settings=settings, backends=backends, metrics=metrics, on_mismatch=on_mismatch
        )
        await manager._opened()
        return manager

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish or give back what is being indexed. What is due stays due."""
        await self._opened.close()

    async def family(self) -> Family:
        """The open family, for rooms that stand beside this one: it lives as long as this."""
        return await self._opened()

    # Writing

    async def insert(self, item: Mapping[str, Any]) -> str:
        """Write one entry, new or again; its id. See `insert_many`."""
        family = await self._opened()
        draft = family.drafter.draft(item, now=family.clock())
        await self._put(family, [draft])
        return draft.id

    async def insert_many(self, items: Iterable[Mapping[str, Any]]) -> list[str]:
        """Write entries in their order, all checked before the first; their ids.

        An item has the family's text field, and may have `id`, the time field, `metadata` and
        `body`. One that is wrong refuses all, with an `EntryError` that names it. When it
        returns, all are durable; with strict consistency their vectors are in, too, or there is
        a `VectorWriteError`. The same id again takes the place of what was there.
        """
        family = await self._opened()
        drafts = await _drafted(family, items)
        if drafts:
            await self._put(family, drafts)
        return [draft.id for draft in drafts]

    async def _put(self, family: Family, drafts: Sequence[Draft]) -> None:
        try:
            await family.store.put(drafts, now=family.clock())
        finally:  # what failed may have been written all the same
            family.worker.wake()
        if self._settings.consistency == "strict":
            await self._wait_for(family, {draft.id: draft.text_hash for draft in drafts})

    async def _wait_for(self, family: Family, hashes: Mapping[str, str]) -> None:
        await wait_for_vectors(
            family.store,
            hashes,
            timeout=self._settings.strict_timeout,
            obstacle=lambda: family.worker.obstacle,
        )

    async def delete(self, id: str) -> bool:  # noqa: A002 - the field's name in the public API
        """Whether it was there. What is deleted comes back only if it is inserted again."""
        family = await self._opened()
        try:
            outcomes = await family.store.delete([check_id(id)], now=family.clock())
        finally:
            family.worker.wake()
        return outcomes[id] is DeleteOutcome.DELETED

    async def delete_where(self, where: Mapping[str, Any]) -> int:
        """Delete what the filter finds; how many that were. An empty filter is refused.

        What changes meanwhile is deleted only if the filter still finds it.
        """
        if not where:
            raise InvalidInputError("delete_where needs a filter: an empty one would delete all")
        family = await self._opened()
        tree, deleted = parse(where), 0
        try:
            while True:
                some, changed = await self._delete_all(family, tree)
                deleted += some
                if not changed:
                    return deleted
        finally:
            family.worker.wake()

    async def _delete_all(self, family: Family, where: Filter) -> tuple[int, int]:
        """How many were deleted, and how many had changed since they were looked at."""
        outcomes: list[DeleteOutcome] = []
        cursor: str | None = None
        while True:
            page = await family.store.page(where, limit=_DELETED_AT_ONCE, cursor=cursor)
            expect = {entry.id: entry.revision for entry in page.entries}
            done = await family.store.delete(list(expect), now=family.clock(), expect=expect)
            outcomes += done.values()
            cursor = page.next_cursor
            if cursor is None:
                counts = Counter(outcomes)
                return counts[DeleteOutcome.DELETED], counts[DeleteOutcome.OUTDATED]

    # Reading

    async def get(self, id: str) -> Entry | None:  # noqa: A002
        """The entry, or None."""
        return (await self.get_many([id])).get(id)

    async def get_many(self, ids: Sequence[str]) -> dict[str, Entry]:
        """The entries by id; absent ones are missing."""
        return await (await self._opened()).store.get(ids)

    async def get_most_recent(
        self, limit: int = 10, where: Where = None, sort: Order = "timestamp"
    ) -> list[Entry]:
        """The newest entries, newest first; without blank ones, unless the filter is about text."""
        store = (await self._opened()).store
        tree, wanted = parse(where), check_limit(limit)
        takes_blank = any(leaf.field == "text" for leaf in leaves(tree))
        found: list[Entry] = []
        cursor: str | None = None
        while True:
            page = await store.page(tree, order=sort, limit=wanted, cursor=cursor)
            found += [each for each in page.entries if takes_blank or each.text.strip()]
            cursor = page.next_cursor
            if len(found) >= wanted or cursor is None:
                return found[:wanted]

    async def page(
        self,
        where: Where = None,
        *,
        order: Order = "timestamp",
        newest: bool = True,
        limit: int = 50,
        cursor: str | None = None,
        skip: int = 0,
    ) -> Page:
        """Some entries in order of time, and the cursor that leads on; None at the end."""
        return await (await self._opened()).store.page(
            parse(where), order=order, newest=newest, limit=limit, cursor=cursor, skip=skip
        )

    async def count(self, where: Where = None) -> int:
        """How many entries there are, exactly."""
        return await (await self._opened()).store.count(parse(where))

    # Searching

    async def search(
        self,
        query: str,
        mode: Mode = "hybrid",
        where: Where = None,
        limit: int = 10,
        *,
        cursor: str | None = None,
    ) -> SearchResult:
        """The entries that answer best: by words (`text`), by meaning (`semantic`) or by both.

        Where meaning can't be asked a hybrid search goes by words and says so in `degraded`; a
        semantic one raises what is in the way. A `cursor` goes on in the same ranking.
        """
        if mode not in get_args(Mode):
            raise InvalidInputError(f"there is no mode {shown(mode)}: {', '.join(get_args(Mode))}")
        asked, tree, most = check_text(query, "query"), parse(where), check_limit(limit)
        family = await self._opened()
        return await family.finder.search(asked, mode=mode, where=tree, limit=most, cursor=cursor)

    async def get_most_relevant(
        self, texts: str | Sequence[str], limit: int = 10, where: Where = None
    ) -> list[Hit]:
        """The entries that answer any of the texts best, `limit` in all, best first.

        As `search` by words and meaning; only that says what may be missing.
        """
        asked = [texts] if isinstance(texts, str) else texts
        if not isinstance(asked, Sequence):
            raise InvalidInputError(f"texts must be a text or a list of them, not {shown(texts)}")
        check_limit(limit)
        best: dict[str, Hit] = {}
        for text in asked:
            for hit in (await self.search(text, where=where, limit=limit)).hits:
                if hit.entry.id not in best or hit.score > best[hit.entry.id].score:
                    best[hit.entry.id] = hit
        return sorted(best.values(), key=lambda hit: -hit.score)[:limit]

    async def compile_context(
        self,
        question: str,
        recent: int = 10,
        relevant: int = 10,
        max_chars: int | None = None,
        *,
        where: Where = None,
    ) -> list[Message]:
        """Chat messages for a model: the newest entries and those that answer best, each once.

        They come in order of time and are never cut: with `max_chars` the first one that no
        longer fits ends it.
        """
        if max_chars is not None:
            check_skip(max_chars)
        newest: list[Entry] = []
        answers: list[Entry] = []
        if check_skip(recent):
            newest = await self.get_most_recent(recent, where)
        if check_skip(relevant):
            found = await self.search(question, where=where, limit=relevant)
            answers = [hit.entry for hit in found.hits]
        return compiled(newest, answers, max_chars=max_chars)

    # Keeping in step

    async def drain(self, timeout: float | None = None) -> None:
        """Wait until everything is indexed, by whomever.

        Raises what is in the way: see `IndexWorker.drain`. What is due stays due.
        """
        await (await self._opened()).worker.drain(timeout=timeout)

    async def index_status(self) -> IndexingStatus:
        """How far indexing is."""
        return await (await self._opened()).worker.status()

    async def check_consistency(self, id: str) -> EntryConsistency:  # noqa: A002
        """What both sides say of one entry. Raises `NotFoundError` if there is none."""
        found = await (await self._opened()).consistency.check(id)
        if found is None:
            raise NotFoundError(f"{self.spec.name!r} has no entry {shown(id)}")
        return found

    async def consistency_report(self) -> ConsistencyReport:
        """Compare both sides completely, and name whatever differs.

        What is named is true. While somebody indexes, vectors that move meanwhile may be missed;
        after a `drain` none is.
        """
        return await (await self._opened()).consistency.report()

    async def repair(self) -> int:
        """Have everything put right that `consistency_report` would name; how much that is.

        The indexer does it: `drain` waits for it.
        """
        family = await self._opened()
        found = await family.consistency.repair()
        family.worker.wake()
        return found

    async def retry_vector_write(self, id: str) -> EntryConsistency:  # noqa: A002
        """Index one entry again, whatever its state, and wait for it as a strict write does.

        Raises `NotFoundError` if there is none, and `VectorWriteError` if it fails again.
        """
        family = await self._opened()
        entry = await self.get(id)
        if entry is None:
            raise NotFoundError(f"{self.spec.name!r} has no entry {shown(id)}")
        await family.store.mark_due([id], now=family.clock())
        family.worker.wake()
        await self._wait_for(family, {id: entry.text_hash})
        return await self.check_consistency(id)

    async def reindex(self, timeout: float | None = None) -> None:
        """Make all vectors anew, into a new index, while the old one keeps answering.

        Embeds only what was never embedded by this embedder. Killed in the middle, it goes on
        with the next `drain`, write or `reindex`.
        """
        family = await self._opened()
        await family.rebuilding.begin()
        await family.worker.drain(timeout=timeout)


async def _drafted(family: Family, items: Iterable[Mapping[str, Any]]) -> list[Draft]:
    """All of them checked, letting others have the loop now and then."""
    drafts: list[Draft] = []
    now = family.clock()
    for position, item in enumerate(items):
        drafts.append(family.drafter.draft_at(position, item, now=now))
        if len(drafts) % _CHECKED_AT_ONCE == 0:
            await asyncio.sleep(0)
    return drafts
