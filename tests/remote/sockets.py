"""A server on a real socket that answers every request in one way, byte by byte if need be."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Act = Callable[[asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CONNECTED = b'data: {"payload":{"id":"evt_0","type":"server.connected","properties":{}}}\n\n'


@dataclass
class SocketServer:
    """`heads` are the requests that came, up to their bodies."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    is_over: bool = False


@asynccontextmanager
async def serving(act: Act) -> AsyncIterator[SocketServer]:
    """All who are still being answered at the end are dropped."""
    server, running = SocketServer(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while not writer.is_closing():
                    server.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                    await act(writer)
        finally:
            writer.transport.abort() if server.is_over else writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.create_task(serve(reader, writer)))

    listener = await asyncio.start_server(begin, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        server.is_over = True
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def unused_url() -> str:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def says(content: bytes) -> Act:
    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(content), content))

    return act


async def stalls(_: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def stalls_midway(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 100\r\n\r\n[")
    await asyncio.Event().wait()


async def drips(writer: asyncio.StreamWriter) -> None:
    """So that no single read is slow."""
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def never_ends(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"\r\n[")
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


async def cuts_midway(writer: asyncio.StreamWriter) -> None:
    """Less than it has announced."""
    writer.write(HEAD + b"Content-Length: 100\r\n\r\n[")
    writer.close()


async def resets_midway(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 100\r\n\r\n[")
    await writer.drain()
    _reset(writer)


async def resets(writer: asyncio.StreamWriter) -> None:
    _reset(writer)


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def talks_nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\x01 not HTTP at all\r\n\r\n")
    writer.close()


async def connects_and_stalls(writer: asyncio.StreamWriter) -> None:
    writer.write(EVENTS + CONNECTED)
    await asyncio.Event().wait()


async def connects_and_resets(writer: asyncio.StreamWriter) -> None:
    writer.write(EVENTS + CONNECTED)
    await writer.drain()
    await asyncio.sleep(0.05)  # what is read before a reset is known to the other end
    _reset(writer)


async def connects_and_ends(writer: asyncio.StreamWriter) -> None:
    writer.write(EVENTS + CONNECTED)
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
