"""The bundled embedder, which notes what it is given, and fails when it is told to."""

from collections.abc import Awaitable, Callable, Sequence

from dualstore.embedders.base import Vectors
from dualstore.embedders.static import StaticEmbedder


class Listening(StaticEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []
        self.fails: Callable[[Sequence[str]], Awaitable[None]] | None = None

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self.fails:
            await self.fails(texts)
        self.given += texts
        return await super().embed(texts)
