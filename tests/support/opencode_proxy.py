"""A TCP proxy before an OpenCode server: it counts what is asked, and can stall everything.

It lives on the loop of its user, and serves other processes as well.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_REQUEST = re.compile(rb"(?:GET|POST) (/[^ ?]*)[^ ]* HTTP/1\.1\r\n")
_PIECE = 65_536


class OpenCodeProxy:
    """Made by `opencode_proxy`."""

    def __init__(self, target: str) -> None:
        self.url = ""
        self.asked: Counter[str] = Counter()
        """How often, by path."""
        self._target = urlsplit(target)
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def freeze(self) -> None:
        """From now on nothing passes, and no connection ends; new ones are taken."""
        self._flows.clear()

    def heal(self) -> None:
        """All that was held back passes."""
        self._flows.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all connections."""
        tasks = list(self._tasks)
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _closing(writer):
            try:
                there = await asyncio.open_connection(self._target.hostname, self._target.port)
            except OSError:
                return
            async with _closing(there[1]):
                await self._pump_both_ways(reader, writer, *there)

    async def _pump_both_ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        from_there: asyncio.StreamReader,
        to_there: asyncio.StreamWriter,
    ) -> None:
        """Until one side has ended."""
        pumps = {
            asyncio.create_task(self._pump(reader, to_there, self._counter())),
            asyncio.create_task(self._pump(from_there, writer, lambda _: None)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in pumps:
                each.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        see: Callable[[bytes], object],
    ) -> None:
        while piece := await reader.read(_PIECE):
            await self._flows.wait()
            see(piece)
            writer.write(piece)
            await writer.drain()

    def _counter(self) -> Callable[[bytes], None]:
        """Of one connection's requests, however they are cut into pieces."""
        begun = b""

        def see(piece: bytes) -> None:
            nonlocal begun
            whole = begun + piece
            self.asked.update(match[1].decode() for match in _REQUEST.finditer(whole))
            begun = whole[whole.rfind(b"\n") + 1 :]

        return see


@asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def opencode_proxy(target: str) -> AsyncIterator[OpenCodeProxy]:
    """At a port of its own, before the server with that address."""
    proxy = OpenCodeProxy(target)
    listener = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.close()
