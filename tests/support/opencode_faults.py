"""What may go wrong with one request to `OpenCodeDouble`, in place of its answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import orjson

Fault = Callable[[httpx.Request], Awaitable[httpx.Response]]

BEGUN = b'[{"id": "ses_1", "ti'


class Pieces(httpx.AsyncByteStream):
    """A body that comes as it comes."""

    def __init__(
        self, pieces: AsyncIterator[bytes], *, closed: Callable[[], None] = lambda: None
    ) -> None:
        self._pieces = pieces
        self._closed = closed

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        self._closed()


def answers(
    status: int = 200, body: Any = b"", *, kind: str = "application/json", **headers: str
) -> Fault:
    """Whole, and wrong: bytes as they are, else as JSON. `_` in the name of a header is a `-`."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"content-type": kind, **named}, content=content)

    return fault


def not_found(what: str = "Session not found: ses_x") -> Fault:
    return answers(404, {"name": "NotFoundError", "data": {"message": what}})


async def refuses(request: httpx.Request) -> httpx.Response:
    """Nobody listens."""
    raise httpx.ConnectError("All connection attempts failed", request=request)


async def stalls(_: httpx.Request) -> httpx.Response:
    """Takes the request and never answers."""
    await asyncio.Event().wait()
    raise AssertionError


async def resets(request: httpx.Request) -> httpx.Response:
    """In the middle of the answer."""

    async def pieces() -> AsyncIterator[bytes]:
        yield BEGUN
        raise httpx.ReadError("reset by peer", request=request)

    return _answer(pieces())


async def stalls_midway(_: httpx.Request) -> httpx.Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield BEGUN
        await asyncio.Event().wait()

    return _answer(pieces())


async def never_ends(_: httpx.Request) -> httpx.Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"["
        while True:
            yield b" " * 65_536
            await asyncio.sleep(0)

    return _answer(pieces())


def _answer(pieces: AsyncIterator[bytes]) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return httpx.Response(200, headers=headers, stream=Pieces(pieces))
