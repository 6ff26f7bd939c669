"""A context on real stores, before a remote that can be counted, held and broken."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from actions import Context, open_actions
from dualstore.documents.base import Database
from dualstore.embedders.base import Embedder
from dualstore.metrics import Metrics, ReadAnswered
from dualstore.mirror.refusals import Refusal
from dualstore.remote.opencode import OpenCodeRemote
from dualstore.remote.opencode_asking import Patience
from dualstore.settings import Settings
from dualstore.testing import FakeClock, Faults, Recorder, faulty
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.support.opencode_double import OpenCodeDouble
from tests.support.opencode_faults import Fault, refuses, stalls
from tests.support.opencode_seed import BEGINNING, OpenCodeWriter

RUNNING, FINISHED, LISTS, STALE, ABSENT = 5, 1_000, 10, 60, 30
"""Seconds."""
PATIENCE, IMPATIENCE = 20.0, 0.3
"""Seconds that an answer is waited for; and one that won't come."""
PASSWORD: Final = "geheim-5f1c"
NOW: Final = BEGINNING * 2
"""The time at the double."""


def settings(**given: Any) -> Settings:
    """Short lifetimes, and nothing from the environment."""
    short: dict[str, Any] = {
        "documents": "sqlite:///never",
        "vectors": "chroma:///never",
        "fresh_running": RUNNING,
        "fresh_finished": FINISHED,
        "fresh_lists": LISTS,
        "stale": STALE,
        "absent": ABSENT,
        "remote_timeout": PATIENCE,
    }
    return Settings(**short | given)


@dataclass
class Line(httpx.AsyncBaseTransport):
    """What lies between us and the server."""

    inner: httpx.AsyncBaseTransport
    requests: list[str] = field(default_factory=list)
    """As `GET /path`, in order."""
    fault_of: Callable[[httpx.Request], Fault | None] = lambda _: None
    meanwhile: Callable[[httpx.Request], Awaitable[None]] | None = None
    """Happens after the server has answered, and before the answer arrives."""

    wait: Callable[[float], None] = lambda _: None
    """Is told how long an answer is worth waiting for."""

    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        self._came.set()
        if fault := self.fault_of(request):
            return await fault(request)
        answer = await self.inner.handle_async_request(request)
        if self.meanwhile:
            await answer.aread()
            await self.meanwhile(request)
        return answer

    async def reached(self, count: int) -> None:
        """So many requests have come, in all."""
        async with asyncio.timeout(20):
            while len(self.requests) < count:
                self._came.clear()
                await self._came.wait()

    def cut(self, fault: Fault = refuses) -> None:
        """This happens to every request, until `mend`."""
        self.fault_of = lambda _: fault
        self.wait(IMPATIENCE if fault is stalls else PATIENCE)

    def cut_where(self, part: str, fault: Fault = refuses) -> None:
        """As `cut`, for the paths that end so."""
        self.fault_of = lambda request: fault if request.url.path.endswith(part) else None

    def hold(self, gate: asyncio.Event) -> None:
        """No answer arrives until it is open."""

        async def wait(_: httpx.Request) -> None:
            await gate.wait()

        self.meanwhile = wait

    def mend(self) -> None:
        self.fault_of = lambda _: None
        self.wait(PATIENCE)


@dataclass
class World:
    """A context, and everything around it."""

    context: Context
    clock: FakeClock
    line: Line
    write: OpenCodeWriter
    """Changes what is at the server, past the line."""
    faults: Faults
    """Of the stores."""
    heard: Recorder
    settings: Settings
    backends: Backends
    remote: OpenCodeRemote

    def later(self, seconds: float) -> None:
        self.clock.advance(round(seconds * 1000))

    def hurry(self, seconds: float) -> None:
        """The remote is waited for so long from now on."""
        assert self.context.upstream is not None
        self.context.upstream.source._timeout = seconds

    @property
    def asked(self) -> int:
        """How many requests the server was sent."""
        return len(self.line.requests)

    @property
    def rows(self) -> dict[str, int]:
        """How often each row of the table was taken, so far."""
        counts: dict[str, int] = {}
        for event in self.heard.of(ReadAnswered):
            for name in ("hits", "stale", "misses", "fallbacks", "remote_only", "negative"):
                counts[name] = counts.get(name, 0) + getattr(event, name)
            for name in ("absent", "failed", "coalesced"):
                counts[name] = counts.get(name, 0) + getattr(event, name)
        return {name: count for name, count in counts.items() if count}

    async def landed(self) -> None:
        """Nothing is under way any more."""
        async with asyncio.timeout(20):
            await self.context.flights.landed()

    async def refused(self) -> list[Refusal]:
        assert self.context.upstream is not None
        return await self.context.upstream.refusals.all()

    @asynccontextmanager
    async def reopened(self, **given: Any) -> AsyncIterator[Context]:
        """Another context on the same stores and the same remote."""
        changed = self.settings.model_copy(update=given)
        async with open_actions(changed, backends=self.backends, remote=self.remote) as context:
            yield context


@dataclass
class DoubleWorld(World):
    """A world whose server is the double."""

    double: OpenCodeDouble

    def session(self, title: str = "Talk", *, parent: str = "", ago: float = 0) -> str:
        """A session at the server, made that many seconds ago."""
        self.double.now = self.clock.now - round(ago * 1000)
        made = self.double.create_session(title, parent=parent)
        self.double.now = max(self.clock.now, self.double.now)
        return made


def patience() -> Patience:
    """One try: what the pauses between several are is another room's test."""
    return Patience(attempts=1, largest_answer=32 * 1024 * 1024)


@asynccontextmanager
async def double_world(
    documents: Database, embedder: Embedder, **given: Any
) -> AsyncIterator[DoubleWorld]:
    """Whoever opened the database closes it."""
    double, clock = OpenCodeDouble(password=PASSWORD), FakeClock(NOW)
    where = (double.url, double.user, double.password)
    async with (
        _surroundings(double, where, clock, documents, embedder, given) as parts,
        open_actions(**parts.pop("opening")) as context,
    ):
        world = DoubleWorld(context, double=double, **parts)
        world.line.wait = world.hurry
        yield world


@asynccontextmanager
async def real_world(
    where: tuple[str, str, str], documents: Database, embedder: Embedder, now: int, **given: Any
) -> AsyncIterator[World]:
    """As `double_world`; `where` are the server's address, its user and the password."""
    async with (
        httpx.AsyncHTTPTransport() as inner,
        _surroundings(inner, where, FakeClock(now), documents, embedder, given) as parts,
        open_actions(**parts.pop("opening")) as context,
    ):
        yield World(context, **parts)


@asynccontextmanager
async def _surroundings(
    server: httpx.AsyncBaseTransport,
    where: tuple[str, str, str],
    clock: FakeClock,
    documents: Database,
    embedder: Embedder,
    given: dict[str, Any],
) -> AsyncIterator[dict[str, Any]]:
    url, user, password = where
    line, faults, heard, chosen = Line(server), Faults(), Recorder(), settings(**given)
    backends = faulty(Backends(documents, ExactVectors(), embedder, clock), faults)
    async with AsyncExitStack() as stack:
        remote = await stack.enter_async_context(
            OpenCodeRemote(url, user=user, password=password, transport=line, patience=patience())
        )
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=url,
                auth=(user, password),
                transport=server if isinstance(server, OpenCodeDouble) else None,
                timeout=30,
                trust_env=False,
            )
        )
        opening = {
            "settings": chosen,
            "backends": backends,
            "remote": remote,
            "metrics": Metrics(heard),
        }
        yield {
            "opening": opening,
            "clock": clock,
            "line": line,
            "write": OpenCodeWriter(client),
            "faults": faults,
            "heard": heard,
            "settings": chosen,
            "backends": backends,
            "remote": remote,
        }
