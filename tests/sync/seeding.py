"""Sessions with a past at a real server, many at once."""

import asyncio
from collections.abc import Iterable

from tests.support.opencode_seed import OpenCodeWriter

AT_ONCE = 8
MOST = 3
"""Messages of one, and some have none."""


async def seed(write: OpenCodeWriter, numbers: Iterable[int]) -> list[str]:
    """One for each number."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> str:
        async with turns:
            return await write.seed(number, messages=number % (MOST + 1))

    return list(await asyncio.gather(*map(one, numbers)))
