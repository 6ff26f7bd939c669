"""The proxy that counts what is asked, and stalls."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.opencode_proxy import OpenCodeProxy, opencode_proxy

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def proxy() -> AsyncIterator[OpenCodeProxy]:
    """Before a server that answers everything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(ANSWER)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, opencode_proxy(f"http://127.0.0.1:{port}") as made:
        yield made


async def test_what_is_asked_is_counted_by_path(proxy: OpenCodeProxy) -> None:
    async with httpx.AsyncClient(base_url=proxy.url, trust_env=False) as client:
        for path in ("/session/a/message", "/session/a/message?limit=3", "/session"):
            assert (await client.get(path)).text == "ok"
    assert proxy.asked == {"/session/a/message": 2, "/session": 1}


async def test_a_request_that_comes_in_pieces_is_counted_once(proxy: OpenCodeProxy) -> None:
    port = httpx.URL(proxy.url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in (b"GET /ses", b"sion HTTP/1.1\r", b"\nHost: x\r\n", b"\r\n"):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.01)
    assert await reader.readexactly(len(ANSWER)) == ANSWER
    writer.close()
    await writer.wait_closed()
    assert proxy.asked == {"/session": 1}


async def test_while_it_is_frozen_nothing_passes_and_nothing_ends(proxy: OpenCodeProxy) -> None:
    async with httpx.AsyncClient(base_url=proxy.url, trust_env=False, timeout=20) as client:
        await client.get("/before")
        proxy.freeze()
        asking = [asyncio.ensure_future(client.get(path)) for path in ("/one", "/two")]
        assert await asyncio.wait(asking, timeout=0.1) == (set(), {*asking})
        proxy.heal()
        assert [(await each).text for each in asking] == ["ok", "ok"]
