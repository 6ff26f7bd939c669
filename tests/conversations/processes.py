"""What processes of their own do to one conversation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any, NoReturn
from unittest.mock import patch

from dualstore.conversations.conversations import Conversations
from dualstore.conversations.following import Follower
from dualstore.embedders.static import StaticEmbedder
from dualstore.settings import Settings
from dualstore.store import Store
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.conversations.telling import user
from tests.documents.places import Address

AT_ONCE = 10
BATCH = 4


@asynccontextmanager
async def conversations(address: Address) -> AsyncIterator[Conversations]:
    """Of a store of one's own, which makes nothing searchable: that is not what is tested."""
    with patch.object(Follower, "wake"):
        async with address.open(timeout=60.0) as documents:
            store = Store(Backends(documents, ExactVectors(), StaticEmbedder()), Settings())
            try:
                yield store.conversations
            finally:
                await store.close()


def append_many(address: Address, me: int, count: int) -> list[int]:
    """The numbers that this process's entries were given, in the order they were appended."""
    return asyncio.run(_append_many(address, me, count))


async def _append_many(address: Address, me: int, count: int) -> list[int]:
    seqs: list[int] = []
    async with conversations(address) as log:
        for first in range(0, count, AT_ONCE):
            some = range(first, first + AT_ONCE)
            stored = await asyncio.gather(
                *(log.append("c", [user(f"{me}.{n}", id=f"{me}.{n}")]) for n in some)
            )
            seqs += [each.seq for (each,) in stored]
    return seqs


def append_until_killed(address: Address, me: int, acknowledge: Connection) -> NoReturn:
    """Batches of four; says which ones were acknowledged."""
    asyncio.run(_append_until_killed(address, me, acknowledge))
    raise AssertionError("nobody killed it")


async def _append_until_killed(address: Address, me: int, acknowledge: Connection) -> None:
    async with conversations(address) as log:
        acknowledge.send("open")
        number = 0
        while True:
            number += 1
            batch: list[Any] = [user(f"{me}.{number}.{n}") for n in range(BATCH)]
            if number % 3 == 0:
                batch[0] = user(f"{me}.{number}.0" + "x" * 1_500_000)
            stored = await log.append("c", batch)
            acknowledge.send([each.seq for each in stored])
