"""A server that isn't Chroma, or not the Chroma one hopes for: it answers what a test tells it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

Answer = Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]

JSON: Final = "application/json"


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Stub:
    """What was asked, and by `answers` what is answered from now on: by the end of the path."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)


def says(body: str, *, status: int = 200, kind: str = JSON) -> Answer:
    """A whole answer."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        content = body.encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n"
        writer.write(f"{head}\r\n".encode() + content)

    return answer


async def stalls(_: Asked, __: asyncio.StreamWriter) -> None:
    """Takes the request and never answers."""
    await asyncio.sleep(3600)


async def drips(_: Asked, writer: asyncio.StreamWriter) -> None:
    """One byte at a time, so that no single read is slow."""
    writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def hangs_up(_: Asked, writer: asyncio.StreamWriter) -> None:
    """Closes the connection instead."""
    writer.close()


HEALTHY: Final[dict[str, Answer]] = {
    "/version": says('"1.0.0"'),
    "/pre-flight-checks": says('{"max_batch_size": 100, "supports_base64_encoding": false}'),
}


@asynccontextmanager
async def stub() -> AsyncIterator[Stub]:
    """A healthy Chroma as far as its greeting goes; anything else is told, or is an error 500."""
    made = Stub(answers=dict(HEALTHY))
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        with suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                asked = await _read(reader)
                made.asked.append(asked)
                await _choose(made, asked)(asked, writer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def _choose(made: Stub, asked: Asked) -> Answer:
    path = asked.path.partition("?")[0]
    ends = (answer for end, answer in made.answers.items() if path.endswith(end))
    return next(ends, says('{"error": "InternalError", "message": "not told"}', status=500))


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, path, headers, body)
