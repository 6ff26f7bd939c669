"""Being sure that a server listens before something happens that it shall tell."""

import asyncio
from collections.abc import AsyncGenerator

from dualstore.remote.base import CONNECTED, Change
from tests.support.opencode_seed import OpenCodeWriter


async def connected(changes: AsyncGenerator[Change, None], writer: OpenCodeWriter) -> None:
    """Makes sessions of no matter until the server tells of one, or its heart beats."""
    first = await anext(changes)
    assert (first.type, first.session_id, first.sequence) == (CONNECTED, "", None)
    again = asyncio.ensure_future(anext(changes))
    while not again.done():
        await writer.create("Listen!")
        await asyncio.wait({again}, timeout=0.1)
    assert again.result() == first
