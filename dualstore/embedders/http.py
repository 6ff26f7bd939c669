"""Embedders that are asked over HTTP: Ollama, and whatever speaks OpenAI's embeddings API."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
import numpy as np

from dualstore.chunking import SIZE
from dualstore.embedders.base import Embedder, Vectors
from dualstore.embedders.checking import checked_rows
from dualstore.embedders.http_asking import MissingError, Patience, Server
from dualstore.errors import EmbedderError

OLLAMA_URL: Final = "http://127.0.0.1:11434"
OPENAI_URL: Final = "https://api.openai.com/v1"

_BATCH: Final = 32
_BATCH_CHARS: Final = 65_536
_READ_CHUNKS: Final = 2
_PROBE: Final = "dimension"
_DIGEST_CHARS: Final = 12
_PATIENCE: Final = Patience()


class _HttpEmbedder(Embedder):
    """Learns its dimension and version by asking, once, when it is first used.

    Opening asks nobody, so it works while the server is down. Blank text is never sent, and of a
    long one only twice `chunk_chars`.
    """

    def __init__(self, name: str, *, server: Server, chunk_chars: int) -> None:
        self.name = name
        self.version = ""
        self.dimension = 0
        self.chunk_chars = chunk_chars
        self.takes_images = False
        self._server = server
        self._asking = asyncio.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, url={self._server!r})"

    async def __aenter__(self) -> Self:
        await self._server.open()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._server.close()

    async def load(self) -> None:
        async with self._asking:
            if not self.dimension:
                self.version = await self._fetch_version()
                self.dimension = _width(await self._fetch([_PROBE]), by=self._by)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Bounded by `Patience` for each batch, not for all of them together."""
        await self.load()
        heads = [self._head(text) for text in texts]
        rows = np.zeros((len(heads), self.dimension), np.float32)
        asked = [place for place, head in enumerate(heads) if head]
        for batch in _batches(asked, heads):
            rows[batch] = await self._rows([heads[place] for place in batch])
        return rows

    async def _rows(self, texts: list[str]) -> Vectors:
        found = await self._fetch(texts)
        return await asyncio.to_thread(
            checked_rows, found, count=len(texts), dimension=self.dimension, by=self._by
        )

    def _head(self, text: str) -> str:
        """What is sent; empty for what has nothing to embed. No half of a surrogate pair."""
        head = text.lstrip()[: _READ_CHUNKS * self.chunk_chars].rstrip()
        return head if head.isascii() else head.encode(errors="replace").decode()

    @property
    def _by(self) -> str:
        return f"{self.name} at {self._server}"

    @abstractmethod
    async def _fetch(self, texts: list[str]) -> list[Any]:
        """What the server gave for these texts, in their order, not looked at."""

    @abstractmethod
    async def _fetch_version(self) -> str:
        """What tells this model from another one of the same name; empty if nothing does."""

    def _field(self, answer: Any, key: str) -> list[Any]:
        value = answer.get(key) if isinstance(answer, dict) else None
        if not isinstance(value, list):
            raise EmbedderError(f"{self._by} answers without a list {key!r}: is this its address?")
        return value


class OllamaEmbedder(_HttpEmbedder):
    """A model of an Ollama server. Its version is the beginning of the model's digest."""

    def __init__(
        self,
        model: str,
        *,
        url: str = OLLAMA_URL,
        key: str = "",
        chunk_chars: int = SIZE,
        patience: Patience = _PATIENCE,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._model = model
        super().__init__(
            f"ollama:{model}",
            server=Server(url, key=key, patience=patience, transport=transport),
            chunk_chars=chunk_chars,
        )

    async def _fetch(self, texts: list[str]) -> list[Any]:
        try:
            answer = await self._server.ask(
                "POST", "/api/embed", {"model": self._model, "input": texts}
            )
        except MissingError as error:
            raise self._missing(error) from None
        return self._field(answer, "embeddings")

    def _missing(self, error: MissingError) -> EmbedderError:
        if self._model.split(":")[0] in error.reason:
            way_out = f"`ollama pull {self._model}` gets it"
        else:
            way_out = "is it Ollama (0.2 or newer), and is this its address?"
        return EmbedderError(f"{error}: {way_out}")

    async def _fetch_version(self) -> str:
        try:
            answer = await self._server.ask("GET", "/api/tags")
        except MissingError:
            return ""
        names = (self._model, f"{self._model}:latest")
        for model in self._field(answer, "models"):
            if isinstance(model, dict) and model.get("name") in names:
                return str(model.get("digest") or "").removeprefix("sha256:")[:_DIGEST_CHARS]
        return ""


class OpenAIEmbedder(_HttpEmbedder):
    """A model of any server with OpenAI's embeddings API. Nothing tells its versions apart.

    `url` is what comes before `/embeddings`; one without a path gets `/v1`.
    """

    def __init__(
        self,
        model: str,
        *,
        url: str = OPENAI_URL,
        key: str = "",
        chunk_chars: int = SIZE,
        patience: Patience = _PATIENCE,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._model = model
        super().__init__(
            f"openai:{model}",
            server=Server(_with_path(url), key=key, patience=patience, transport=transport),
            chunk_chars=chunk_chars,
        )

    async def _fetch(self, texts: list[str]) -> list[Any]:
        try:
            answer = await self._server.ask(
                "POST", "/embeddings", {"model": self._model, "input": texts}
            )
        except MissingError as error:
            way_out = f"has it a model {self._model!r}, and is this its address?"
            raise EmbedderError(f"{error}: {way_out}") from None
        return self._in_order(self._field(answer, "data"), count=len(texts))

    def _in_order(self, items: list[Any], *, count: int) -> list[Any]:
        """The vectors by their index: the order of the list is not promised."""
        if len(items) != count:
            raise EmbedderError(f"{self._by} gave {len(items)} vectors for {count} texts")
        found: list[Any] = [None] * count
        for place, item in enumerate(items):
            index = item.get("index", place) if isinstance(item, dict) else None
            if not isinstance(index, int) or not 0 <= index < count or found[index] is not None:
                raise EmbedderError(f"{self._by} gave vectors that don't say which text is whose")
            found[index] = item.get("embedding")
        return found

    async def _fetch_version(self) -> str:
        return ""


def _with_path(url: str) -> str:
    """Unless it has a path: then, or if it is no address at all, as it is."""
    try:
        bare = not urlsplit(url).path.strip("/")
    except ValueError:
        return url
    return f"{url.rstrip('/')}/v1" if bare and "?" not in url and "#" not in url else url


def _width(found: list[Any], *, by: str) -> int:
    """The dimension of the only vector of a probe, which must be a usable one."""
    if len(found) != 1 or not isinstance(found[0], list) or not found[0]:
        raise EmbedderError(f"{by} gave no vector for a single word")
    checked_rows(found, count=1, dimension=len(found[0]), by=by)
    return len(found[0])


def _batches(places: list[int], heads: list[str]) -> Iterator[list[int]]:
    """Places in their order, bounded in count and in characters together."""
    batch: list[int] = []
    room = _BATCH_CHARS
    for place in places:
        if batch and (len(batch) == _BATCH or len(heads[place]) > room):
            yield batch
            batch, room = [], _BATCH_CHARS
        batch.append(place)
        room -= len(heads[place])
    if batch:
        yield batch
