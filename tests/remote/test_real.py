"""What only a real server does by itself."""

import asyncio
from contextlib import aclosing

import httpx

from dualstore.remote.opencode import OpenCodeRemote
from tests.remote.following import connected
from tests.support.opencode_seed import OpenCodeWriter
from tests.support.opencode_server import OpenCodeServer

SECONDS = 30.0


async def test_what_is_told_once_of_a_session_at_work(real_server: OpenCodeServer) -> None:
    """Its model can't be reached: it tries again until it is stopped."""
    login = (real_server.user, real_server.password)
    told: list[str] = []
    async with (
        asyncio.timeout(SECONDS),
        httpx.AsyncClient(base_url=real_server.url, auth=login, trust_env=False) as client,
        OpenCodeRemote(real_server.url, password=real_server.password) as remote,
        aclosing(remote.follow()) as changes,
    ):
        writer = OpenCodeWriter(client)
        await connected(changes, writer)
        session_id = await writer.create("At work")
        body = {"parts": [{"type": "text", "text": "Hello"}]}
        await client.post(f"/session/{session_id}/prompt_async", json=body)
        async for change in changes:
            if change.session_id == session_id and change.sequence is None:
                told.append(change.data.get("status", {}).get("type", change.type))
                if told[-1] == "retry":
                    await client.post(f"/session/{session_id}/abort")
            if change.type == "session.idle":
                break
    assert told[0] == "busy"
    assert "retry" in told
    assert told[-1] == "session.idle"
