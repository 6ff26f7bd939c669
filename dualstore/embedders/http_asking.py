"""Asking a server over HTTP until it answers, refuses, or the time is up."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import unquote, urlsplit

import httpx
import orjson

from dualstore.errors import EmbedderError, SettingsError, UnavailableError
from dualstore.trying import ExhaustedError, TransientError, retry_after, tried

_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED: Final = frozenset({401, 403})
_LARGEST_ANSWER: Final = 256 * 1024 * 1024
_LONGEST_REASON: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server is waited for, in seconds."""

    attempts: int = 4
    connect: float = 5.0
    attempt: float = 30.0
    """One attempt as a whole, however slowly the answer trickles in."""
    total: float = 60.0
    """All attempts and the pauses between them."""
    first_pause: float = 0.25
    longest_pause: float = 8.0


class MissingError(EmbedderError):
    """The server has no such thing (404). `reason` is what it says itself; may be empty."""

    def __init__(self, message: str, *, reason: str) -> None:
        self.reason = reason
        super().__init__(message)


class Server:
    """One server. Its key and password are in no message, no log and no representation."""

    def __init__(
        self,
        url: str,
        *,
        key: str,
        patience: Patience,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._base, self._login = _without_login(url)
        self._key = _checked_key(key)
        self._patience = patience
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return self._base

    async def open(self) -> None:
        self._client = await asyncio.to_thread(self._make_client)  # on the loop: 30 to 80 ms

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _make_client(self) -> httpx.AsyncClient:
        # Proxies and certificates of the environment matter only on the way out of this machine's
        # network, and making a TLS context for nothing is most of the cost.
        secure = self._base.startswith("https:")
        timeout = httpx.Timeout(self._patience.attempt, connect=self._patience.connect)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        return httpx.AsyncClient(
            auth=None if self._key else self._login,
            headers=headers,
            timeout=timeout,
            transport=self._transport and _Borrowed(self._transport),
            trust_env=secure,
            verify=secure,
        )

    async def ask(self, method: str, path: str, content: object = None) -> Any:
        """The answer's JSON. Raises `MissingError`, `EmbedderError` or `UnavailableError`."""
        body = None if content is None else await asyncio.to_thread(orjson.dumps, content)
        try:
            return await tried(
                self._patience, lambda ends: self._ask_once(method, path, body, ends=ends)
            )
        except ExhaustedError as error:
            raise UnavailableError(f"the embedder at {self} {error}") from error.__cause__

    async def _ask_once(self, method: str, path: str, body: bytes | None, *, ends: float) -> Any:
        longest = min(self._patience.attempt, max(0.0, ends - time.monotonic()))
        try:
            async with asyncio.timeout(longest):
                status, headers, content = await self._exchange(method, path, body)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise TransientError("did not answer in time") from error
        except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError) as error:
            raise TransientError(f"can't be reached: {_named(error)}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EmbedderError(f"the embedder at {self} can't be asked: {_named(error)}") from None
        if status != httpx.codes.OK:
            self._refuse(status, headers, content, path)
        return await asyncio.to_thread(self._parsed, content, headers)

    async def _exchange(
        self, method: str, path: str, body: bytes | None
    ) -> tuple[int, httpx.Headers, bytes]:
        if self._client is None:
            raise RuntimeError("the embedder is not open: use it with `async with`")
        headers = {} if body is None else {"Content-Type": "application/json"}
        content = bytearray()
        async with self._client.stream(
            method, self._base + path, content=body, headers=headers
        ) as answer:
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > _LARGEST_ANSWER:
                    raise EmbedderError(f"the embedder at {self} answers without an end")
            return answer.status_code, answer.headers, bytes(content)

    def _refuse(self, status: int, headers: httpx.Headers, content: bytes, path: str) -> NoReturn:
        if status in _REFUSED:  # what the server says may hold a part of the key
            given = "the key it was given" if self._key else "to answer without a key"
            raise EmbedderError(
                f"the embedder at {self} refuses {given} ({status}): set the embedder's key"
            )
        reason = self._reason(content)
        if status in _TRANSIENT and "context length" not in reason:
            raise TransientError(f"answers {_said(status, reason)}", wait=retry_after(headers))
        message = f"the embedder at {self} answers {path} with {_said(status, reason)}"
        if status == httpx.codes.NOT_FOUND:
            raise MissingError(message, reason=reason)
        raise EmbedderError(message)

    def _reason(self, content: bytes) -> str:
        """What the server says went wrong, if it says so in one of the usual ways."""
        try:
            said = orjson.loads(content)
        except orjson.JSONDecodeError:
            return ""
        while isinstance(said, dict):
            said = said.get("error") or said.get("message") or said.get("detail")
        reason = said if isinstance(said, str) else ""
        shown = reason.replace(self._key, "***") if self._key else reason
        return " ".join(shown.split())[:_LONGEST_REASON]

    def _parsed(self, content: bytes, headers: httpx.Headers) -> Any:
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            kind = headers.get("Content-Type", "").split(";")[0][:50] or "of no type"
            raise EmbedderError(
                f"the embedder at {self} answers with what isn't JSON ({kind}, {len(content)} "
                f"bytes: {error.msg}): is this its address?"
            ) from None


class _Borrowed(httpx.AsyncBaseTransport):
    """A transport that was given, and so is not ours to close."""

    def __init__(self, lent: httpx.AsyncBaseTransport) -> None:
        self._lent = lent

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._lent.handle_async_request(request)


def _said(status: int, reason: str) -> str:
    return f"{status}: {reason}" if reason else str(status)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _without_login(url: str) -> tuple[str, tuple[str, str] | None]:
    """The address as it may be shown, and the login that was in it."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise SettingsError(f"the embedder's address is not one: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError("the embedder's address must start with http:// or https://")
    if parts.query or parts.fragment:
        raise SettingsError("the embedder's address must end with its path: no ? and no #")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    login = (unquote(parts.username or ""), unquote(parts.password or ""))
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}", login if any(login) else None


def _checked_key(key: str) -> str:
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError("the embedder's key has characters that no header can carry")
    return key
