"""Filling and following: against the bare requests to a real OpenCode server, in one run.

Run: python -m bench.sync [--quick]

The memory of a large backfill is measured on the double of the server, in a process of its own.
`--quick` takes a fifth of everything.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import orjson

from actions import Context, messages, open_actions
from bench.dual_bed import folder_of_its_own, heading, line, quantile
from dualstore.mirror.catching_up import PORTION
from dualstore.mirror.keeping_up import Following
from dualstore.mirror.news_reading import AT_ONCE
from dualstore.remote.opencode import OpenCodeRemote
from dualstore.settings import Settings
from tests.support.model_stub import model_stub
from tests.support.opencode_seed import OpenCodeWriter
from tests.support.opencode_server import OpenCodeServer, opencode_server

FILLED: Final = (200, 50)
"""Sessions, and messages of each."""
MANY: Final = 1_000
CHANGED: Final = 10
PROMPTS: Final = 25
LARGE: Final = (1_000, 100)
SEEDED_AT_ONCE: Final = 8
ROUNDS: Final = 3
PATIENCE: Final = 30.0


async def main() -> None:
    """Print all lines."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.memory:
        await _measure_memory(given.memory)
        return
    share = 5 if given.quick else 1
    with folder_of_its_own() as folder:
        with opencode_server() as server:
            await _fill(folder, server, FILLED[0] // share, FILLED[1])
            await _reconcile(folder, server, MANY // share - FILLED[0] // share)
        with model_stub() as model, opencode_server(model=model.url) as server:
            await _follow(folder, server, PROMPTS)
    own = [sys.executable, "-m", "bench.sync", "--memory", str(LARGE[0] // share)]
    measured = await asyncio.create_subprocess_exec(*own)
    if await measured.wait():
        raise SystemExit("the memory could not be measured")


class Counting(httpx.AsyncBaseTransport):
    """Counts what goes over a line."""

    def __init__(self) -> None:
        self.inner = httpx.AsyncHTTPTransport()
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return await self.inner.handle_async_request(request)


@dataclass(frozen=True)
class Place:
    """A memory of its own before a server."""

    context: Context
    line: Counting


@asynccontextmanager
async def _place(folder: Path, server: OpenCodeServer, name: str) -> AsyncIterator[Place]:
    transport = Counting()
    settings = _settings(folder, name)
    async with (
        transport.inner,
        OpenCodeRemote(server.url, password=server.password, transport=transport) as remote,
        open_actions(settings, remote=remote) as context,
    ):
        yield Place(context, transport)


def _settings(folder: Path, name: str) -> Settings:
    return Settings(
        documents=f"sqlite:///{folder / f'{name}.sqlite'}",
        vectors=f"chroma:///{folder / name}",
        remote_timeout=60,
    )


def _client(server: OpenCodeServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=server.url, auth=(server.user, server.password), timeout=60, trust_env=False
    )


async def _seed(server: OpenCodeServer, first: int, sessions: int, each: int) -> list[str]:
    turn = asyncio.Semaphore(SEEDED_AT_ONCE)
    async with _client(server) as client:
        writer = OpenCodeWriter(client)

        async def seed(number: int) -> str:
            async with turn:
                return await writer.seed(number, messages=each)

        return list(await asyncio.gather(*(seed(first + number) for number in range(sessions))))


async def _fill(folder: Path, server: OpenCodeServer, sessions: int, each: int) -> None:
    """The same answers are read by somebody who parses them and keeps nothing."""
    ids = await _seed(server, 0, sessions, each)
    heading("ours, /s", "bare, /s")
    ratios: list[float] = []
    for round_ in range(ROUNDS):
        bare = await _bare(server, ids)
        async with _place(folder, server, f"filled{round_}") as place:
            await place.context.families.messages.count()
            began = time.perf_counter()
            synced = await place.context.sync.backfill()
            ours = time.perf_counter() - began
        assert synced.messages == sessions * each, synced
        ratios.append(bare / ours)
        line(
            f"backfill: {sessions} sessions of {each} messages",
            synced.messages / ours,
            synced.messages / bare,
            ratio=bare / ours,
            note=f"(at least 0.5) {synced.events:,} events kept, too",
        )
    print(f"{'median':46} {'':12} {'':12} {statistics.median(ratios):8.2f}")


async def _bare(server: OpenCodeServer, ids: Sequence[str]) -> float:
    """The list, the history in portions, and the messages of each session."""
    left = list(ids)
    async with _client(server) as client:
        began = time.perf_counter()
        listed = await client.get("/experimental/session?archived=true&limit=1000000")
        orjson.loads(listed.content)
        for start in range(0, len(ids), PORTION):
            portion = ids[start : start + PORTION]
            others = {each: 2**52 for each in ids if each not in portion}
            orjson.loads((await client.post("/sync/history", json=others)).content)

        async def work() -> None:
            while left:
                told = await client.get(f"/session/{left.pop()}/message")
                orjson.loads(told.content)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return time.perf_counter() - began


async def _reconcile(folder: Path, server: OpenCodeServer, more: int) -> None:
    """What a catching up costs after a few changes, and after none."""
    ids = await _seed(server, FILLED[0], more, 2)
    async with _place(folder, server, "reconciled") as place, _client(server) as client:
        await place.context.sync.backfill()
        writer = OpenCodeWriter(client)
        for changed in (0, CHANGED, 2 * CHANGED):
            for each in ids[:changed]:
                await writer.say(each, "something new")
            place.line.requests = 0
            began = time.perf_counter()
            synced = await place.context.sync.backfill()
            seconds = time.perf_counter() - began
            print(
                f"caught up with {changed} changes among {len(ids):,}+ sessions: "
                f"{place.line.requests} requests, {seconds * 1e3:.0f} ms, "
                f"{synced.messages} messages read"
            )


async def _follow(folder: Path, server: OpenCodeServer, prompts: int) -> None:
    """From the end of a turn at the server until its answer is found here."""
    caught_up = asyncio.Event()

    def tell(now: Following) -> None:
        if now.state == "following":
            caught_up.set()

    async with _place(folder, server, "followed") as place, _client(server) as client:
        task = asyncio.create_task(place.context.sync.follow(progress=tell))
        await caught_up.wait()
        writer = OpenCodeWriter(client)
        session_id = await writer.create("Followed")
        await _prompt(client, session_id, "[[plain]] the first one costs the server more")
        seconds = []
        for number in range(prompts):
            word = f"marmot{number:03}x"
            await _prompt(client, session_id, f"[[plain]] what is {word}?")
            seconds.append(await _found(place.context, word))
        task.cancel()
        await asyncio.wait({task})
    print(
        f"from a turn's end to found by search, {prompts} turns: "
        f"p50 {statistics.median(seconds) * 1e3:.0f} ms, "
        f"p95 {quantile(seconds, 0.95) * 1e3:.0f} ms (under 1000)"
    )


async def _prompt(client: httpx.AsyncClient, session_id: str, text: str) -> None:
    body = {"parts": [{"type": "text", "text": text}]}
    (await client.post(f"/session/{session_id}/message", json=body)).raise_for_status()


async def _found(context: Context, word: str) -> float:
    """Both the question and the answer that repeats nothing of it are there."""
    began = time.perf_counter()
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await messages.search(context, word, k=2)
            if any(word in str(each.message["parts"]) for each in found.value.results):
                return time.perf_counter() - began
            await asyncio.sleep(0.005)


async def _measure_memory(sessions: int) -> None:
    """Above what the process takes with the double's sessions in it."""
    from tests.support.opencode_double import OpenCodeDouble

    double = OpenCodeDouble()
    for number in range(sessions):
        made = double.create_session(f"Session {number}")
        for at in range(LARGE[1]):
            double.add_message(made, f"message {at} of session {number}, with some words in it")
    with folder_of_its_own() as folder:
        async with (
            OpenCodeRemote(double.url, transport=double) as remote,
            open_actions(_settings(folder, "large"), remote=remote) as context,
        ):
            await context.families.messages.search("anything")
            idle, most = _resident(), 0
            told = Counter[str]()

            def tell(_: object) -> None:
                nonlocal most
                most = max(most, _resident())
                told["sessions"] += 1

            began = time.perf_counter()
            synced = await context.sync.backfill(progress=tell)
            seconds = time.perf_counter() - began
            assert synced.messages == sessions * LARGE[1], synced
            print(
                f"backfill of {synced.messages:,} messages and {synced.events:,} events in "
                f"{seconds:.0f} s: {(most - idle) / 2**20:.0f} MiB above idle (under 200)"
            )


def _resident() -> int:
    """Bytes of this process that are in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


if __name__ == "__main__":
    asyncio.run(main())
