"""Store, remote and clock in one hand: what every action is given first."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from actions.census import CensusTaker
from actions.flights import Absences, Flights
from actions.memo import Memo
from dualstore.errors import InvalidInputError
from dualstore.metrics import Metrics
from dualstore.mirror.coverage import Coverage
from dualstore.mirror.families import Families
from dualstore.mirror.fetching import Fetcher
from dualstore.mirror.followed import Lease
from dualstore.mirror.freshness import Lifetime, Lifetimes
from dualstore.mirror.guarding import GuardedRemote
from dualstore.mirror.intake import Intake
from dualstore.mirror.refusals import Refusals
from dualstore.mirror.sync import Sync
from dualstore.mirror.writethrough import WriteThrough
from dualstore.remote.base import RemoteSource
from dualstore.settings import Settings
from dualstore.store import Store, open_store
from dualstore.wiring import Backends, made_remote, open_backends

_PATIENCE: Final = 60.0
"""Seconds that an answer is waited for that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A remote, and all that is known of what is there."""

    source: GuardedRemote
    coverage: Coverage
    refusals: Refusals
    fetcher: Fetcher
    sync: Sync


@dataclass(frozen=True, slots=True)
class Context:
    """What actions work with. Any number of them may run at once."""

    store: Store
    families: Families
    upstream: Upstream | None
    """None without a remote: what is here is all there is."""
    census: CensusTaker
    lifetimes: Lifetimes
    flights: Flights
    absences: Absences
    all_here: Memo
    """Whether all messages of all sessions are here."""
    clock: Callable[[], int]
    metrics: Metrics

    @property
    def remote(self) -> RemoteSource | None:
        """The remote, which is asked only when it is worth it."""
        return self.upstream.source if self.upstream else None

    async def gauges(self) -> dict[tuple[str, str], float]:
        """Those of the store, and how long ago the remote told all sessions and all events."""
        found = await self.store.gauges()
        if self.upstream is not None:
            lists = await self.upstream.coverage.lists()
            for kind, told in (("sessions", lists.sessions), ("events", lists.events)):
                if (last := lists.last_known(told)) is not None:
                    found[kind, "sync_lag_ms"] = max(0, self.clock() - last)
        return found

    @property
    def sync(self) -> Sync:
        """Fills the memory ahead of questions. Raises `InvalidInputError` without a remote."""
        if self.upstream is None:
            raise InvalidInputError("there is no remote to sync with: set one in the settings")
        return self.upstream.sync


def upstream_of(context: Context) -> Upstream:
    """For what is only done where there is a remote."""
    assert context.upstream is not None
    return context.upstream


@asynccontextmanager
async def open_actions(
    settings: Settings | None = None,
    *,
    backends: Backends | None = None,
    remote: RemoteSource | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[Context]:
    """With nothing given: the defaults, and the remote of the settings.

    Backends and a remote that are given are open, and stay so.
    """
    settings, told = settings or Settings(), metrics or Metrics()
    async with AsyncExitStack() as stack:
        if backends is None:
            backends = await stack.enter_async_context(open_backends(settings, metrics=metrics))
        if remote is None and (made := made_remote(settings)):
            remote = await stack.enter_async_context(made)
        store = await stack.enter_async_context(open_store(settings, backends=backends))
        families = Families(store.sessions, store.messages, store.events, store.tasks)
        yield Context(
            store=store,
            families=families,
            upstream=_upstream(remote, families, backends, settings, told) if remote else None,
            census=CensusTaker(families),
            lifetimes=_lifetimes(settings),
            flights=await stack.enter_async_context(Flights()),
            absences=Absences(_ms(settings.absent), backends.clock),
            all_here=Memo(backends.clock),
            clock=backends.clock,
            metrics=told,
        )


def _upstream(
    remote: RemoteSource,
    families: Families,
    backends: Backends,
    settings: Settings,
    metrics: Metrics,
) -> Upstream:
    source = GuardedRemote(remote, timeout=settings.remote_timeout, metrics=metrics)
    place = blake2b(remote.place.encode(), digest_size=8).hexdigest()
    space = f"dualstore.mirror.{settings.agent_name}.{place}"
    records, clock = backends.documents.records, backends.clock
    coverage, refusals = Coverage(records, space=space), Refusals(records, space=space)
    through = WriteThrough(
        families,
        intake=Intake(origin=remote.name, refusals=refusals, clock=clock),
        coverage=coverage,
        origin=remote.name,
        clock=clock,
    )

    def fetcher_of(remote: RemoteSource) -> Fetcher:
        return Fetcher(
            remote,
            through,
            coverage=coverage,
            on_remote_delete=settings.on_remote_delete,
            clock=clock,
            metrics=metrics,
        )

    patient = GuardedRemote(
        remote, timeout=max(_PATIENCE, settings.remote_timeout), metrics=metrics, spares=False
    )
    sync = Sync(
        patient,
        fetcher_of(patient),
        coverage,
        lease=lambda: Lease(records, space=space, clock=clock),
        clock=clock,
    )
    return Upstream(source, coverage, refusals, fetcher_of(source), sync)


def _lifetimes(settings: Settings) -> Lifetimes:
    stale = _ms(settings.stale)
    return Lifetimes(
        running=Lifetime(_ms(settings.fresh_running), stale),
        finished=Lifetime(_ms(settings.fresh_finished), stale),
        lists=Lifetime(_ms(settings.fresh_lists), stale),
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
