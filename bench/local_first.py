"""Reads through the actions against a real OpenCode server on this machine: ratios, in one run.

Run: python -m bench.local_first [--quick]

Beside each read stand the bare requests of a client that keeps its connection: the answer's JSON,
parsed, and nothing else. `--quick` seeds 200 sessions instead of 1,000.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from actions import Context, messages, open_actions, sessions
from bench.dual_bed import folder_of_its_own, heading, line, spread
from dualstore.metrics import Counters, Metrics
from dualstore.mirror.kinds import MESSAGES, message_copy
from dualstore.remote.base import Thing
from dualstore.remote.opencode import OpenCodeRemote
from dualstore.settings import Settings
from dualstore.store import open_store
from tests.support.opencode_seed import OpenCodeWriter
from tests.support.opencode_server import OpenCodeServer, opencode_server

SESSIONS: Final = 1_000
LONG: Final = 1_000
ROUNDS: Final = 3
SHORT: Final = 60
PAGE: Final = 50
ASKED: Final = 60
AT_ONCE: Final = 1_000
SEEDED_AT_ONCE: Final = 8

Call = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Bench:
    """A seeded server, somebody who asks it himself, and the actions."""

    client: httpx.AsyncClient
    context: Context
    counters: Counters
    folder: Path
    long: list[str]
    """Sessions of so many messages that what they cost is seen; each is cold once."""
    short: str

    async def ask(self, path: str) -> Any:
        """As anybody would."""
        answer = await self.client.get(path)
        answer.raise_for_status()
        return answer.json()


async def main() -> None:
    """Print all lines."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    count = 200 if options.parse_args().quick else SESSIONS
    with folder_of_its_own() as folder, opencode_server() as server:
        async with _bench(folder, server, count) as bench:
            await _cold(bench)
            await _warm(bench, count)
            await _together(bench)


@asynccontextmanager
async def _bench(folder: Path, server: OpenCodeServer, count: int) -> AsyncIterator[Bench]:
    settings = Settings(
        documents=f"sqlite:///{folder / 'documents.sqlite'}",
        vectors=f"chroma:///{folder / 'vectors'}",
        fresh_running=3600,
        fresh_lists=3600,
    )
    remote = OpenCodeRemote(server.url, user=server.user, password=server.password)
    counters = Counters()
    async with (
        httpx.AsyncClient(
            base_url=server.url, auth=(server.user, server.password), timeout=60, trust_env=False
        ) as client,
        remote,
        open_actions(settings, remote=remote, metrics=Metrics(counters)) as context,
    ):
        writer = OpenCodeWriter(client)
        long, short = await _seeded(writer, count)
        yield Bench(client, context, counters, folder, long, short)


async def _seeded(writer: OpenCodeWriter, count: int) -> tuple[list[str], str]:
    turn = asyncio.Semaphore(SEEDED_AT_ONCE)

    async def seed(number: int, length: int) -> str:
        async with turn:
            return await writer.seed(number, messages=length)

    await asyncio.gather(*(seed(number, 2) for number in range(count - ROUNDS - 1)))
    long = [await seed(count + number, LONG) for number in range(ROUNDS)]
    return long, await seed(count + ROUNDS, SHORT)


async def _cold(bench: Bench) -> None:
    """Sessions of 1,000 messages that were never here, with all that is kept of them."""
    heading("ours, ms", "allowed, ms")
    for round_, each in enumerate(bench.long):
        path = f"/session/{each}"
        remote = await _timed(partial(_two, bench, path, f"{path}/message"))
        ours = await _timed(partial(sessions.get, bench.context, each))
        await bench.context.store.drain()
        insert = await _inserted(bench, each, round_)
        allowed = remote + 1.5 * insert
        note = f"(at most 1) the request {remote * 1e3:.0f}, insert_many {insert * 1e3:.0f}"
        name = f"cold: {LONG:,} messages"
        line(name, ours * 1e3, allowed * 1e3, ratio=ours / allowed, note=note)


async def _inserted(bench: Bench, session_id: str, round_: int) -> float:
    """The same entries into a family of their own, which indexes likewise."""
    things: list[Thing] = await bench.ask(f"/session/{session_id}/message")
    copies = [message_copy(each, session_id=session_id) for each in things]
    items = [
        {"id": each.id, "text": each.text, "timestamp": each.timestamp}
        | {"metadata": each.metadata, "body": each.body}
        for each in copies
    ]
    settings = Settings(
        documents=f"sqlite:///{bench.folder / f'beside{round_}.sqlite'}",
        vectors=f"chroma:///{bench.folder / f'beside{round_}'}",
    )
    async with open_store(settings) as store:
        family = store.family(
            "beside", author_key=MESSAGES.author_key, filter_fields=MESSAGES.filter_fields
        )
        await family.count()
        return await _timed(lambda: family.insert_many(items))


async def _warm(bench: Bench, count: int) -> None:
    context, long, short = bench.context, bench.long[0], bench.short
    await sessions.list(context, PAGE)
    await sessions.get(context, short)
    await messages.list(context, long, PAGE)
    await context.store.drain()
    heading("ours, ms", "remote, ms", "times")
    await _compare(
        f"a session with its newest {PAGE} messages",
        lambda: sessions.get(context, short, PAGE, SHORT - PAGE),
        lambda: _two(bench, f"/session/{short}", f"/session/{short}/message?limit={PAGE}"),
    )
    await _compare(
        f"the newest {PAGE} messages of {LONG:,}",
        lambda: messages.list(context, long, PAGE),
        lambda: bench.ask(f"/session/{long}/message?limit={PAGE}"),
    )
    listed = f"/experimental/session?archived=true&limit={PAGE}"
    await _compare(
        f"a list of {PAGE} among {count:,} sessions",
        lambda: sessions.list(context, PAGE),
        lambda: bench.ask(listed),
    )
    await _compare(
        "the same with all that the answer tells",
        lambda: sessions.list(context, PAGE),
        lambda: _as_much(bench),
        asked=10,
    )
    asked = [await _timed(lambda: messages.search(context, "words of a message")) for _ in range(9)]
    found = statistics.median(asked) * 1e3
    print(f"{'content search, which the server has not, ms':46} {found:12.2f}")


async def _as_much(bench: Bench) -> None:
    """How many there are, and how many messages each of the page has."""
    found = await bench.ask("/experimental/session?archived=true&limit=1000000")
    for each in found[:PAGE]:
        await bench.ask(f"/session/{each['id']}/message")


async def _together(bench: Bench) -> None:
    """Nobody knows the session; everybody asks at once."""
    counters = bench.counters
    before = _asked(counters)
    results = await asyncio.gather(
        *(sessions.get(bench.context, "ses_nobody") for _ in range(AT_ONCE)),
        return_exceptions=True,
    )
    asked = _asked(counters) - before
    kinds = {type(each).__name__ for each in results}
    print(f"{f'{AT_ONCE:,} reads of a missing session at once':46} {asked} request, {kinds}")


def _asked(counters: Counters) -> int:
    """How many requests the remote was sent."""
    counts = counters.snapshot()
    return sum(count for (_, event, _), count in counts.items() if event == "RemoteAsked")


async def _compare(name: str, ours: Call, remote: Call, *, asked: int = ASKED) -> None:
    """In turn, so that what the machine does meanwhile is shared."""
    pairs = [(await _timed(ours), await _timed(remote)) for _ in range(asked)]
    mine, theirs = (statistics.median(each) * 1e3 for each in zip(*pairs, strict=True))
    ratios = [other / own for own, other in pairs]
    line(name, mine, theirs, ratio=theirs / mine, note=f"({spread(ratios, '.1f')}; at least 3)")


async def _two(bench: Bench, first: str, second: str) -> None:
    await bench.ask(first)
    await bench.ask(second)


async def _timed(call: Call) -> float:
    start = time.perf_counter()
    await call()
    return time.perf_counter() - start


if __name__ == "__main__":
    asyncio.run(main())
