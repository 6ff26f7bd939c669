"""One HTTP connection to a Chroma server: JSON there, JSON back, and every failure one of ours."""

import asyncio
from abc import abstractmethod
from typing import Any, Final, Protocol
from urllib.parse import unquote

import httpx
import orjson

from dualstore.errors import SettingsError, UnavailableError
from dualstore.vectors.chroma_errors import garbled, refused, unanswered

API: Final = "/api/v2"
CONNECTIONS: Final = 8


class Wire(Protocol):
    """How a server is asked."""

    location: str

    @abstractmethod
    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer to one request, which may safely be asked twice."""

    @abstractmethod
    async def prove(self) -> None:
        """Make sure that who answers is who is meant; for what goes by name and not by id."""


class HttpClient:
    """An httpx client, made at its first use and where that doesn't stall the loop."""

    def __init__(self, *, secure: bool = False, timeout: float) -> None:
        self.timeout = timeout
        self._secure = secure
        self._client: httpx.AsyncClient | None = None
        self._making = asyncio.Lock()
        self._open = True

    async def get(self, location: str) -> httpx.AsyncClient:
        async with self._making:
            if not self._open:
                raise UnavailableError(f"{location} is closed")
            if self._client is None:
                # Trusted certificates take 50 ms and more to load, which plain HTTP doesn't need.
                self._client = await asyncio.to_thread(self._make) if self._secure else self._make()
            return self._client

    async def close(self) -> None:
        async with self._making:
            self._open = False
            if self._client is not None:
                await self._client.aclose()

    def _make(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        return httpx.AsyncClient(
            verify=self._secure,
            trust_env=self._secure,
            timeout=None,  # one clock is enough: when two go off at once, connections leak
            limits=limits,
            headers={"content-type": "application/json"},
        )


class HttpWire(Wire):
    """A server at an address."""

    def __init__(
        self, url: str, client: HttpClient, *, token: str = "", location: str = ""
    ) -> None:
        parsed = parse_url(url)
        shown = str(parsed.copy_with(userinfo=b"")).rstrip("/")
        self.location = location or shown
        self._base = shown + API
        self._auth = httpx.BasicAuth(*_user(parsed)) if parsed.userinfo else None
        self._headers = {"x-chroma-token": token} if token else {}
        self._client = client

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        client = await self._client.get(self.location)
        content = None if body is None else orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        try:
            async with asyncio.timeout(self._client.timeout):
                response = await client.request(
                    method,
                    self._base + path,
                    content=content,
                    headers=self._headers,
                    auth=self._auth,
                )
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError) as error:
            raise unanswered(error, self.location) from error
        if response.status_code != 200:
            raise refused(response.status_code, response.content, self.location)
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError:
            raise garbled(response.content, self.location) from None

    async def prove(self) -> None:
        """An address is all there is to go by."""


def parse_url(url: str) -> httpx.URL:
    """An address that can be asked; raises `SettingsError` without showing a password."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise SettingsError("Chroma's address isn't one; write http://host:port") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise SettingsError("Chroma's address must be http://host:port or https://host:port")
    return parsed.copy_with(query=None, fragment=None)


def _user(url: httpx.URL) -> tuple[str, str]:
    name, _, password = url.userinfo.decode().partition(":")
    return unquote(name), unquote(password)
