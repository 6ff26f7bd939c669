"""Chroma as a private local server: the default place for vectors."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from dualstore.errors import StorageError, UnavailableError, VectorsGoneError
from dualstore.vectors.base import VectorHealth
from dualstore.vectors.chroma_api import HttpCollections
from dualstore.vectors.chroma_errors import REBUILD, ServerLostError
from dualstore.vectors.chroma_index import ChromaPlace
from dualstore.vectors.chroma_private import Address, PrivateServer, full_or
from dualstore.vectors.chroma_watcher import DATABASES, HOST
from dualstore.vectors.chroma_wire import API, HttpClient, HttpWire, Wire

ATTEMPTS: Final = 3


class _Link:
    """A server that was found, and a wire to it."""

    def __init__(self, address: Address, client: HttpClient, *, location: str) -> None:
        self._wire = HttpWire(f"http://{HOST}:{address.port}", client, location=location)
        self._proof = f"{DATABASES.removeprefix(API)}/{address.database}"
        self._database = address.database
        self.ask = self._wire.ask

    async def proves(self) -> bool:
        """Whether the same server is still there: its port may be another's by now."""
        try:
            answer = await self._wire.ask("GET", self._proof)
        except (StorageError, ServerLostError):
            return False
        return isinstance(answer, dict) and answer.get("name") == self._database


class PrivateWire(Wire):
    """Asks the folder's server, wherever it is now, and starts it again when it is gone."""

    def __init__(self, server: PrivateServer, client: HttpClient) -> None:
        self.location = str(server.folder)
        self._server = server
        self._client = client
        self._found: _Link | None = None
        self._finding = asyncio.Lock()

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        for _ in range(ATTEMPTS):
            link = await self._link()
            try:
                return await link.ask(method, path, body)
            except ServerLostError as error:
                lost: Exception = error
            except VectorsGoneError as error:
                if await link.proves():
                    raise
                lost = error
            except StorageError as error:
                raise full_or(error, self._server.folder) from error
            self._lose(link)
        raise UnavailableError(
            f"the private Chroma server of {self.location} went away {ATTEMPTS} times while it was "
            f"asked; try again, and if this stays so, {REBUILD}"
        ) from lost

    async def prove(self) -> None:
        link = await self._link()
        if not await link.proves():
            self._lose(link)
            await self._link()

    def _lose(self, link: _Link) -> None:
        """Several may have noticed, and the next one may have been found already."""
        if self._found is link:
            self._found = None

    async def _link(self) -> _Link:
        async with self._finding:
            if self._found is None:
                address = await asyncio.to_thread(self._server.reach)
                self._found = _Link(address, self._client, location=self.location)
            return self._found


class ChromaPrivate(ChromaPlace):
    """`chroma:///folder`: one server per folder, shared by all processes that use it.

    It is started by whoever needs it first and goes a few seconds (`linger`) after its last user.
    `program` is the command that runs `chroma`, in case it isn't installed beside this Python.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        program: Sequence[str] = (),
        linger: float = 3.0,
        start_timeout: float = 30.0,
        timeout: float = 10.0,
    ) -> None:
        self._server = PrivateServer(
            Path(folder), program=program, linger=linger, patience=start_timeout
        )
        self._client = HttpClient(timeout=timeout)
        self._api = HttpCollections(PrivateWire(self._server, self._client))
        self._collections = self._api
        self.location = str(self._server.folder)

    async def health(self) -> VectorHealth:
        return VectorHealth(f"Chroma private server {await self._api.version()}", self.location)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._client.close()
        await asyncio.to_thread(self._server.leave)
