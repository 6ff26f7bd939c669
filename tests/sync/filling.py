"""A process that fills a memory from a server, until it is done or somebody kills it."""

import asyncio
from pathlib import Path

from dualstore.embedders.static import StaticEmbedder
from tests.support.opencode_server import OpenCodeServer
from tests.sync.world import place


def fill(server: OpenCodeServer, file: Path, url: str) -> None:
    """Asks at that address."""
    asyncio.run(_fill(server, file, url))


async def _fill(server: OpenCodeServer, file: Path, url: str) -> None:
    async with StaticEmbedder() as embedder, place(server, file, embedder, url=url) as here:
        await here.context.sync.backfill()
