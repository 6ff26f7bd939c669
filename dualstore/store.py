"""One memory: all families of one place for documents and one for vectors."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from dualstore.conversations.conversations import Conversations
from dualstore.conversations.shelf import shelf_spec
from dualstore.documents.base import Health
from dualstore.errors import DualStoreError, InvalidInputError
from dualstore.family import FamilySpec, family_name
from dualstore.manager import DualStoreManager
from dualstore.metrics import Metrics
from dualstore.mirror.kinds import EVENTS, MESSAGES, SESSIONS, TASKS, Kind
from dualstore.mirror.views import SessionManager
from dualstore.settings import Settings
from dualstore.vectors.base import VectorHealth
from dualstore.wiring import Backends, open_backends


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """What both sides say of themselves; the error of one that doesn't answer."""

    documents: Health | DualStoreError
    vectors: VectorHealth | DualStoreError

    @property
    def ok(self) -> bool:
        """Both answer."""
        both = (self.documents, self.vectors)
        return not any(isinstance(each, DualStoreError) for each in both)


class Store:
    """Families that share their backends. `open_store` makes one, and closes its families."""

    def __init__(self, backends: Backends, settings: Settings) -> None:
        self._backends = backends
        self._settings = settings
        self._families: dict[FamilySpec, DualStoreManager] = {}
        house = settings.agent_name
        self.conversations = Conversations(
            backends,
            house=house,
            open_family=partial(self._manager, shelf_spec(house)),
            read_log=settings.read_log,
        )
        """Conversations of hosts that run agents themselves: their logs."""

    def family(
        self,
        name: str,
        *,
        text_key: str = "text",
        time_key: str = "timestamp",
        thread_key: str | None = "session_id",
        author_key: str | None = "author",
        filter_fields: Iterable[str] = (),
        agent_name: str | None = None,
    ) -> DualStoreManager:
        """The family's manager, the same one each time. It opens with its first use."""
        return self._manager(
            FamilySpec(
                family_name(agent_name or self._settings.agent_name, name),
                text_key=text_key,
                time_key=time_key,
                thread_key=thread_key,
                author_key=author_key,
                filter_fields=tuple(filter_fields),
            )
        )

    @property
    def sessions(self) -> DualStoreManager:
        """What is known of sessions, a remote's and one's own."""
        messages = self.messages
        return self._manager(self._spec_of(SESSIONS), partial(SessionManager, messages))

    @property
    def messages(self) -> DualStoreManager:
        """The messages of all sessions."""
        return self._manager(self._spec_of(MESSAGES))

    @property
    def events(self) -> DualStoreManager:
        """What happened in all sessions."""
        return self._manager(self._spec_of(EVENTS))

    @property
    def tasks(self) -> DualStoreManager:
        """What agents were told to do."""
        return self._manager(self._spec_of(TASKS))

    async def drain(self, timeout: float | None = None) -> None:
        """Wait until everything is indexed in all families that were opened here, and what was
        said in conversations.
        """
        left = _countdown(timeout)
        await self.conversations.catch_up(timeout=left())
        for manager in list(self._families.values()):
            await manager.drain(timeout=left())

    async def reindex(self, timeout: float | None = None) -> list[str]:
        """Make every family there is anew for this store's embedder and analyzer; their names.

        The way out of a `FamilyMismatchError`. Nobody else may have the store open if the
        analyzer is another one than before. Killed in the middle, it goes on at the next call.
        """
        left = _countdown(timeout)
        specs = await self._backends.documents.specs()
        for spec in specs:
            manager = DualStoreManager(
                spec, settings=self._settings, backends=self._backends, on_mismatch="reindex"
            )
            async with manager:
                await manager.reindex(timeout=left())
        return [spec.name for spec in specs]

    async def health(self) -> StoreHealth:
        """Asks both sides. Asking a private Chroma server starts it."""
        return StoreHealth(await self._documents_health(), await self._vectors_health())

    async def gauges(self) -> dict[tuple[str, str], float]:
        """How much index work there is right now, by (family, name), of the families open here."""
        found: dict[tuple[str, str], float] = {}
        for manager in [each for each in self._families.values() if each.is_open]:
            status = await manager.index_status()
            for name in ("due", "leased", "failed", "lag_ms"):
                found[manager.spec.name, f"index_{name}"] = getattr(status, name)
        return found

    async def close(self) -> None:
        """Close the families that were opened here."""
        managers, self._families = list(self._families.values()), {}
        async with AsyncExitStack() as stack:
            for manager in managers:
                stack.push_async_callback(manager.close)
            stack.push_async_callback(self.conversations.close)

    def _manager(
        self, spec: FamilySpec, make: Callable[..., DualStoreManager] = DualStoreManager
    ) -> DualStoreManager:
        manager = self._families.get(spec)
        if manager is None or manager.is_closed:
            manager = make(spec, settings=self._settings, backends=self._backends)
            self._families[spec] = manager
        return manager

    def _spec_of(self, kind: Kind) -> FamilySpec:
        return FamilySpec(
            family_name(self._settings.agent_name, kind.name),
            thread_key=kind.thread_key,
            author_key=kind.author_key,
            filter_fields=kind.filter_fields,
        )

    async def _documents_health(self) -> Health | DualStoreError:
        try:
            return await self._backends.documents.health()
        except DualStoreError as error:
            return error

    async def _vectors_health(self) -> VectorHealth | DualStoreError:
        try:
            return await self._backends.vectors.health()
        except DualStoreError as error:
            return error


def _countdown(timeout: float | None) -> Callable[[], float | None]:
    """What is left of the seconds, at each call."""
    ends = None if timeout is None else time.monotonic() + timeout
    return lambda: None if ends is None else max(0.0, ends - time.monotonic())


@asynccontextmanager
async def open_store(
    settings: Settings | None = None,
    *,
    backends: Backends | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[Store]:
    """With nothing given: the defaults, offline. Backends that are given stay open."""
    settings = settings or Settings()
    if backends is not None:
        if metrics is not None:
            raise InvalidInputError("metrics are told by backends: give them to those")
        async with _store(backends, settings) as store:
            yield store
    else:
        async with (
            open_backends(settings, metrics=metrics) as opened,
            _store(opened, settings) as store,
        ):
            yield store


@asynccontextmanager
async def _store(backends: Backends, settings: Settings) -> AsyncIterator[Store]:
    store = Store(backends, settings)
    try:
        yield store
    finally:
        await store.close()
