"""A memory before a real server, by the system's clock."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import orjson

from actions import Context, events, messages, open_actions
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.base import Embedder
from dualstore.errors import UnavailableError
from dualstore.mirror.coverage import SessionMark
from dualstore.mirror.keeping_up import Following
from dualstore.remote.base import Change
from dualstore.remote.opencode import OpenCodeRemote
from dualstore.remote.opencode_asking import Patience
from dualstore.settings import Settings
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.support.opencode_seed import OpenCodeWriter
from tests.support.opencode_server import (
    OpenCodeServer,
    lasting_port,
    opencode_server,
    run_opencode,
)

PATIENCE: Final = 30.0
"""Seconds."""
ONE_TRY: Final = Patience(attempts=1)


def settings() -> Settings:
    """Nothing is fresh by itself."""
    return Settings(
        documents="sqlite:///never",
        vectors="chroma:///never",
        fresh_running=0.0,
        fresh_finished=0.0,
        fresh_lists=0.0,
        stale=0.0,
    )


@dataclass
class Place:
    """A memory and its server."""

    context: Context
    remote: OpenCodeRemote
    """Goes straight to the server, and is not the memory's."""
    write: OpenCodeWriter

    async def mark(self, session_id: str) -> SessionMark:
        assert self.context.upstream is not None
        return await self.context.upstream.coverage.session(session_id)

    async def is_current(self) -> bool:
        """Whether nothing is missed, as the follower says."""
        assert self.context.upstream is not None
        lists = await self.context.upstream.coverage.lists()
        return lists.is_kept(now=self.context.clock())

    async def events(self, session_id: str) -> Counter[str]:
        """The ids of those that are here."""
        listed = await events.list(self.context, session_id=session_id)
        return Counter(each["id"] for each in listed.value.events)

    async def events_there(self, session_id: str) -> Counter[str]:
        """The ids of all durable ones that the server tells of."""
        told = await self.remote.fetch_history({})
        return Counter(each.id for each in told if each.session_id == session_id)

    async def durable_events(self, session_id: str) -> Counter[str]:
        """The ids of those here that have a sequence number."""
        listed = await events.list(self.context, session_id=session_id)
        found = listed.value.events
        return Counter(each["id"] for each in found if each["sequence"] is not None)

    async def texts(self, session_id: str) -> list[str]:
        """Of all parts of its newest message that have one, as they are here; none are, if nothing
        is here yet and the server is too busy to be asked.
        """
        try:
            listed = await messages.list(self.context, session_id, limit=1)
        except UnavailableError:
            return []
        return [
            part["text"]
            for message in listed.value.messages
            for part in message["parts"]
            if message["info"]["role"] == "assistant" and "text" in part
        ]

    async def gone(self, session_ids: Iterable[str]) -> list[str]:
        """Those of which it is said here that they are gone at the server."""
        return [each for each in session_ids if (await self.mark(each)).gone_at is not None]


@asynccontextmanager
async def writer(server: OpenCodeServer) -> AsyncIterator[OpenCodeWriter]:
    """Straight to the server."""
    async with httpx.AsyncClient(
        base_url=server.url,
        auth=(server.user, server.password),
        timeout=PATIENCE,
        trust_env=False,
    ) as client:
        yield OpenCodeWriter(client)


@asynccontextmanager
async def place(
    server: OpenCodeServer,
    file: Path,
    embedder: Embedder,
    *,
    url: str = "",
    patience: Patience = ONE_TRY,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Place]:
    """A memory in that file. It asks at `url` if that is given, and else the server itself."""
    user, password = server.user, server.password
    async with (
        SqliteDatabase(file) as documents,
        OpenCodeRemote(
            url or server.url, user=user, password=password, patience=patience, transport=transport
        ) as remote,
        OpenCodeRemote(server.url, user=user, password=password) as straight,
        writer(server) as write,
        open_actions(
            settings(),
            backends=Backends(documents, ExactVectors(), embedder),
            remote=remote,
        ) as context,
    ):
        yield Place(context, straight, write)


class LastingServer:
    """A server whose data and address outlive it. Starting it blocks for some seconds."""

    def __init__(self, home: Path, *, model: str) -> None:
        self._home = home
        self._model = model
        self._port = lasting_port()
        self._running = ExitStack()
        self._is_dead = False
        self.server = self._started()

    def strike(self) -> None:
        """SIGKILL."""
        os.killpg(self.server.pid, signal.SIGKILL)
        self._is_dead = True

    async def kill(self) -> None:
        """It is dead when this returns."""
        self.strike()
        await asyncio.to_thread(self._running.close)

    async def start(self) -> None:
        """Again, if it was killed."""
        if self._is_dead:
            await asyncio.to_thread(self._running.close)
            self.server = await asyncio.to_thread(self._started)
            self._is_dead = False

    def second(self) -> AbstractContextManager[OpenCodeServer]:
        """Another process that serves the same data, at another address."""
        return opencode_server(home=self._home, port=lasting_port(), model=self._model)

    async def take_in(self, exported: object) -> None:
        """A session, by the command line, which writes no events."""
        file = self._home / "exported.json"
        file.write_bytes(orjson.dumps(exported))
        await asyncio.to_thread(run_opencode, "import", str(file), home=self._home)

    def close(self) -> None:
        self._running.close()

    def _started(self) -> OpenCodeServer:
        return self._running.enter_context(
            opencode_server(home=self._home, port=self._port, model=self._model)
        )


@asynccontextmanager
async def another(lasting: LastingServer) -> AsyncIterator[OpenCodeServer]:
    """A second process that serves the same data."""
    running = lasting.second()
    try:
        yield await asyncio.to_thread(running.__enter__)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


@dataclass
class Watched:
    """How following goes."""

    meanwhile: Callable[[Following], object] | None = None
    now: Following = field(default_factory=Following)

    def tell(self, now: Following) -> None:
        self.now = now
        if self.meanwhile:
            self.meanwhile(now)


@asynccontextmanager
async def following(
    context: Context, *, meanwhile: Callable[[Following], object] | None = None
) -> AsyncIterator[Watched]:
    """While it lasts; whether it succeeds is to be watched."""
    watched = Watched(meanwhile)
    task = asyncio.ensure_future(context.sync.follow(progress=watched.tell))
    try:
        yield watched
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def heard(remote: OpenCodeRemote) -> AsyncIterator[list[Change]]:
    """What the server's stream tells meanwhile, but perhaps of the first milliseconds."""
    told: list[Change] = []

    async def listen() -> None:
        async with aclosing(remote.follow()) as changes:
            async for each in changes:
                told.append(each)

    task = asyncio.ensure_future(listen())
    try:
        await until(lambda: bool(told))
        yield told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool | Awaitable[bool]], *, within: float = PATIENCE) -> None:
    """Looks again and again."""
    async with asyncio.timeout(within):
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.005)
