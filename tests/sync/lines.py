"""What may lie between a memory and its server: a sieve, or somebody with the wrong password."""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson


class Sieve(httpx.AsyncBaseTransport):
    """Lets through what `keeps` wants of the stream, and all answers."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.keeps: Callable[[dict[str, Any]], bool] = lambda _: True
        """Is asked of the payload of each event."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        if request.url.path == "/global/event":
            assert isinstance(answer.stream, httpx.AsyncByteStream)
            answer.stream = _Sieved(answer.stream, self)
        return answer


class _Sieved(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, sieve: Sieve) -> None:
        self._inner = inner
        self._sieve = sieve

    async def __aiter__(self) -> AsyncIterator[bytes]:
        begun = b""
        async for piece in self._inner:
            *frames, begun = (begun + piece).split(b"\n\n")
            for each in frames:
                told = orjson.loads(each.removeprefix(b"data:"))
                if self._sieve.keeps(told["payload"]):
                    yield each + b"\n\n"

    async def aclose(self) -> None:
        await self._inner.aclose()


class Forgetful(httpx.AsyncBaseTransport):
    """Logs in with another password, until it remembers the right one."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.remembers = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self.remembers:
            request.headers["Authorization"] = f"Basic {b64encode(b'opencode:wrong').decode()}"
        return await self._inner.handle_async_request(request)
