"""A Chroma server of the user's own, asked over HTTP."""

from typing import Self

from dualstore.vectors.base import VectorHealth
from dualstore.vectors.chroma_api import DATABASE, TENANT, HttpCollections
from dualstore.vectors.chroma_index import ChromaPlace
from dualstore.vectors.chroma_wire import HttpClient, HttpWire, parse_url


class ChromaHttp(ChromaPlace):
    """`http(s)://[user:password@]host:port[/prefix]`, and a token where the server wants one."""

    def __init__(
        self,
        url: str,
        *,
        tenant: str = TENANT,
        database: str = DATABASE,
        token: str = "",
        timeout: float = 10.0,
    ) -> None:
        self._client = HttpClient(secure=parse_url(url).scheme == "https", timeout=timeout)
        wire = HttpWire(url, self._client, token=token)
        self._api = HttpCollections(wire, tenant=tenant, database=database)
        self._collections = self._api
        self.location = wire.location

    async def health(self) -> VectorHealth:
        return VectorHealth(f"Chroma server {await self._api.version()}", self.location)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._client.close()
