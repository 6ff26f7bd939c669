"""The conversation log: ratios, measured in one run.

Run: python -m bench.conversations [--quick]

On an SQLite file. What is said is made searchable behind the appends; here that waits until the
measuring is over, as the bare insert's vectors do.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.corpus import Corpus
from dualstore.conversations.conversations import Conversations
from dualstore.conversations.following import Follower
from dualstore.documents.journal import Journal, JournalItem
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.static import StaticEmbedder
from dualstore.entry import Drafter
from dualstore.family import FamilySpec
from dualstore.settings import Settings
from dualstore.store import Store
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends

SPEC = FamilySpec("default_bench")
TOOL = 20_000
"""Characters of a tool's result."""
WRITERS = 50


@dataclass
class Meter:
    """Notes what is read of a journal."""

    calls: int = 0
    bytes: int = 0
    _answers: list[Any] = field(default_factory=list)

    def watch(self, journal: Journal) -> None:
        """From now on."""
        for name in ("read", "find"):
            setattr(journal, name, self._watched(getattr(journal, name)))

    def _watched(self, ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def watched(*given: Any, **more: Any) -> Any:
            answer = await ask(*given, **more)
            items: Sequence[JournalItem] = answer if isinstance(answer, list) else answer.values()
            self.calls += 1
            self.bytes += sum(len(item.text) for item in items)
            return answer

        return watched

    def taken(self) -> tuple[int, int]:
        """Calls and bytes since it was asked last."""
        taken, self.calls, self.bytes = (self.calls, self.bytes), 0, 0
        return taken


@dataclass(frozen=True)
class Bed:
    """Open conversations, and the documents under them."""

    log: Conversations
    database: SqliteDatabase
    corpus: Corpus
    meter: Meter


@asynccontextmanager
async def bed(path: Path) -> AsyncIterator[Bed]:
    """A file of its own."""
    with patch.object(Follower, "wake"):
        async with SqliteDatabase(path) as database:
            store = Store(Backends(database, ExactVectors(), StaticEmbedder()), Settings())
            meter = Meter()
            meter.watch(database.journal)
            yield Bed(store.conversations, database, Corpus(), meter)
            await store.close()


def said(role: str, text: str, kind: str) -> dict[str, Any]:
    """One entry."""
    return {"type": kind, "message": {"role": role, "content": text}}


async def timed(call: Awaitable[Any]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    await call
    return (time.perf_counter() - start) * 1e3


def report(name: str, value: float, other: float, *, goal: str, unit: str = "ms") -> None:
    """One line: two values and their ratio."""
    print(f"{name:58} {value:9.3f} {other:9.3f} {unit}  {value / other:6.2f}   ({goal})")


async def appends(bed: Bed, count: int) -> None:
    """One entry, against the bare insert of a document with the same text."""
    store, drafter = await bed.database.family(SPEC), Drafter(SPEC)
    await bed.log.create("one by one")
    pairs = []
    for number in range(count):
        text = bed.corpus.text()
        entry = said("user", text, "user_message")
        item = {"id": f"m{number}", "text": text, "metadata": {"session_id": "s", "role": "user"}}
        mine = await timed(bed.log.append("one by one", [entry]))

        async def insert(item: dict[str, Any] = item) -> None:
            await store.put([drafter.draft(item, now=1)], now=1)

        pairs.append((mine, await timed(insert())))
    ours, bare = (statistics.median(side) for side in zip(*pairs[20:], strict=True))
    report("append of one entry / bare insert, p50", ours, bare, goal="at most 2")


async def compacted(bed: Bed, name: str, turns: int) -> None:
    """Turns with a tool's result each, compacted ten turns before the end."""
    await bed.log.create(name)
    for turn in range(turns):
        if turn == turns - 10 and turn:
            end = (await bed.log.read(name, limit=1, newest=True))[0].seq
            told = {"role": "system", "content": "so far"}
            await bed.log.append(
                name,
                [{"type": "compaction", "summary_message": told, "covers_through_seq": end}],
            )
        await bed.log.append(
            name,
            [
                said("user", bed.corpus.text(), "user_message"),
                said("tool", bed.corpus.text(TOOL), "harness_message"),
                said("assistant", bed.corpus.text(), "assistant_message"),
            ],
        )


async def reads(bed: Bed, turns: int) -> None:
    """A long conversation, against one of ten turns."""
    await compacted(bed, "long", turns)
    await compacted(bed, "short", 10)
    times: dict[str, list[float]] = {"long": [], "short": []}
    taken: dict[str, tuple[int, int]] = {}
    for _ in range(30):
        for name, mine in times.items():
            bed.meter.taken()
            mine.append(await timed(bed.log.get(name)))
            taken[name] = bed.meter.taken()
    long, short = (statistics.median(times[name]) for name in ("long", "short"))
    report(f"get of {turns:,} turns, compacted / of 10 turns, p50", long, short, goal="at most 3")
    for name, (calls, size) in taken.items():
        print(f"    {name}: {size:,} bytes in {calls} reads of the log")


async def ends(bed: Bed, count: int) -> None:
    """The last 50 of many messages, against the last 50 of few."""
    for name, size in (("many", count), ("few", 1_000)):
        await bed.log.create(name)
        for start in range(0, size, 1_000):
            batch = min(1_000, size - start)
            entries = [said("user", f"message {start + n}", "user_message") for n in range(batch)]
            await bed.log.append(name, entries)
        told = {"role": "system", "content": "so far"}
        await bed.log.append(
            name, [{"type": "compaction", "summary_message": told, "covers_through_seq": size}]
        )
    pairs = [
        (await timed(bed.log.get("many", tail=50)), await timed(bed.log.get("few", tail=50)))
        for _ in range(30)
    ]
    many, few = (statistics.median(side) for side in zip(*pairs, strict=True))
    report(f"the last 50 of {count:,} / of 1,000, p50", many, few, goal="constant, about 1")
    assert (await bed.log.get("many", tail=50)).display.total == count


async def crowds(bed: Bed, each: int) -> None:
    """Writers on one conversation, against as many on one each."""
    for name in ["shared", *(f"own {n}" for n in range(WRITERS))]:
        await bed.log.create(name)

    async def write(name: str) -> None:
        for _ in range(each):
            await bed.log.append(name, [said("user", "a few words", "user_message")])

    rates: dict[bool, list[float]] = {True: [], False: []}
    for shared in (True, False) * 4:
        names = ["shared" if shared else f"own {n}" for n in range(WRITERS)]
        start = time.perf_counter()
        await asyncio.gather(*map(write, names))
        rates[shared].append(WRITERS * each / (time.perf_counter() - start))
    one, many = (statistics.median(rates[shared][1:]) for shared in (True, False))
    name = f"{WRITERS} appenders on one conversation / on {WRITERS}"
    report(name, one, many, goal="at least 0.5", unit="/s")


async def main() -> None:
    """Print every ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    quick = parser.parse_args().quick
    tenth = 10 if quick else 1
    with tempfile.TemporaryDirectory() as folder:
        async with bed(Path(folder) / "log.sqlite") as made:
            await appends(made, 2_000 // tenth)
            await crowds(made, 40 // tenth)
            await reads(made, 1_000 // tenth)
            await ends(made, 100_001 if not quick else 10_001)


if __name__ == "__main__":
    asyncio.run(main())
