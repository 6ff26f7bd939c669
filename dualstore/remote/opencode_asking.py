"""Asking an OpenCode server over HTTP: one address, one connection pool, one meaning per answer."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson

from dualstore.errors import ClosedError, RemoteError, SettingsError, UnavailableError
from dualstore.remote.opencode_address import Address
from dualstore.remote.opencode_errors import NothingThereError, breakage, refusal
from dualstore.trying import ExhaustedError, TransientError, tried

_JSON: Final = {"Accept": "application/json"}
_EVENTS: Final = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
_LATE: Final = "does not answer in time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the server is waited for, in seconds, and how much is taken from it."""

    attempts: int = 3
    connect: float = 3.0
    read: float = 15.0
    """Between two pieces of an answer."""
    total: float = 30.0
    """All attempts and the pauses between them."""
    greeting: float = 5.0
    """Until what is followed begins: a server that starts takes connections and forgets them."""
    silence: float = 30.0
    """Between two pieces of what is followed; the server says something every 10 s."""
    first_pause: float = 0.1
    longest_pause: float = 2.0
    largest_answer: int = 256 * 1024 * 1024
    """Bytes of one answer, or of one event."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, read to its end and parsed."""

    content: Any
    headers: Mapping[str, str]


class OpenCodeLine:
    """One server. Its password is in no message, no log and no representation."""

    def __init__(
        self,
        address: Address,
        *,
        patience: Patience,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._address = address
        self._patience = patience
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return self._address.shown

    async def open(self) -> None:
        try:
            self._client = await asyncio.to_thread(self._make_client)  # on the loop: 30 to 80 ms
        except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
            raise SettingsError(  # without what it says: a proxy's address may hold a password
                f"{self} can't be asked through the proxies or with the certificates that the "
                f"environment names: {type(error).__name__}"
            ) from None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _make_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            auth=self._address.login,
            transport=self._transport and _Borrowed(self._transport),
            trust_env=not self._address.is_here,
            verify=self._address.is_secure,  # a TLS context for nothing is most of the cost
        )

    async def ask(
        self, path: str, *, parameters: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """Only questions go this way, so any may be asked again. Raises `NothingThereError`."""
        try:
            return await tried(
                self._patience, lambda ends: self._ask_once(path, parameters, body, ends=ends)
            )
        except ExhaustedError as error:
            raise UnavailableError(f"{self} {error}") from error.__cause__

    async def _ask_once(
        self, path: str, parameters: Mapping[str, str] | None, body: object, *, ends: float
    ) -> Answer:
        try:
            async with (
                asyncio.timeout(max(0.0, ends - time.monotonic())),
                self._exchange(path, headers=_JSON, parameters=parameters, body=body) as answer,
            ):
                content = await self._whole(answer)
        except TimeoutError as error:
            raise TransientError(_LATE) from error
        return Answer(self._parsed(content, path), answer.headers)

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncGenerator["Stream"]:
        """An answer that goes on, asked for once. Its end is an `UnavailableError`."""
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._patience.greeting):
                    exchange = self._exchange(path, headers=_EVENTS, read=self._patience.silence)
                    answer = await stack.enter_async_context(exchange)
                yield Stream(answer, silence=self._patience.silence)
        except NothingThereError:
            raise self.missing(path) from None
        except TimeoutError as error:
            raise UnavailableError(f"{self} {_LATE}") from error
        except TransientError as error:
            raise UnavailableError(f"{self} {error}") from error.__cause__

    def missing(self, path: str) -> RemoteError:
        """What every server of this kind has isn't there."""
        return RemoteError(f"{self} has no {path}: is it of another release?")

    @asynccontextmanager
    async def _exchange(
        self,
        path: str,
        *,
        headers: dict[str, str],
        parameters: Mapping[str, str] | None = None,
        body: object = None,
        read: float | None = None,
    ) -> AsyncGenerator[httpx.Response]:
        """An answer as it was asked for, its body yet to be read; everything else is raised."""
        if self._client is None:
            raise ClosedError("the remote is not open: use it with `async with`")
        try:
            async with self._client.stream(
                "GET" if body is None else "POST",
                self._address.base + path,
                params=parameters,
                json=body,
                headers=headers,
                timeout=httpx.Timeout(read or self._patience.read, connect=self._patience.connect),
            ) as answer:
                await self._check(answer, path, kind=headers["Accept"])
                yield answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise breakage(self._address, error) from error

    async def _check(self, answer: httpx.Response, path: str, *, kind: str) -> None:
        status, headers = answer.status_code, answer.headers
        if status != httpx.codes.OK:
            content = await self._whole(answer)
            raise refusal(self._address, path, status, headers=headers, content=content)
        given = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if given != kind:
            raise RemoteError(
                f"{self} answers {path} with {given[:50] or 'no type'} where {kind} was asked: is "
                "this the address of an OpenCode server?"
            )

    async def _whole(self, answer: httpx.Response) -> bytes:
        largest = self._patience.largest_answer
        content = bytearray()
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > largest:
                raise RemoteError(f"{self} answers with more than {largest} bytes")
        return bytes(content)

    def _parsed(self, content: bytes, path: str) -> Any:
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise RemoteError(
                f"{self} answers {path} with broken JSON ({len(content)} bytes: {error.msg})"
            ) from None


class Stream:
    """The pieces of an answer that goes on."""

    def __init__(self, answer: httpx.Response, *, silence: float) -> None:
        self._pieces = answer.aiter_bytes()
        self._silence = silence

    async def piece(self) -> bytes:
        try:
            async with asyncio.timeout(self._silence):
                return await anext(self._pieces)
        except TimeoutError as error:
            raise TransientError(f"has said nothing for {self._silence:g} s") from error
        except StopAsyncIteration:
            raise TransientError("has ended the stream") from None


class _Borrowed(httpx.AsyncBaseTransport):
    """A transport that was given, and so is not ours to close."""

    def __init__(self, lent: httpx.AsyncBaseTransport) -> None:
        self._lent = lent

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._lent.handle_async_request(request)
