"""How fast what is due is indexed, and how fast one can write meanwhile."""

import statistics
import time
from collections.abc import Sequence
from itertools import count
from typing import Final

from bench.dual_bed import (
    COUNT,
    Bed,
    Messages,
    folder_of_its_own,
    line,
    made_bed,
    median_of,
    messages,
    quantile,
    spread,
)
from dualstore.entry import Drafter
from dualstore.indexing.filing import fields_of
from dualstore.manager import DualStoreManager
from dualstore.vectors.base import VectorId, VectorItem

SIZES: Final = (200, 500, 1_000)
WRITES: Final = 150
"""Single writes in one round, each some milliseconds long."""

_NAMES = count()


async def throughput(pairs: int) -> None:
    """From due to settled, against Chroma's upsert of the same vectors and fields by itself."""
    given = messages(COUNT)
    with folder_of_its_own() as folder:
        async with made_bed(folder) as bed:
            items = await _items(bed, given)
            await _indexed(bed, given[: COUNT // 10])
            alone = {size: await _upserted(bed, items, size) for size in SIZES}
            best = min(SIZES, key=alone.__getitem__)
            found = []
            for turn in range(pairs):
                if turn % 2:
                    floor, ours = await _upserted(bed, items, best), await _indexed(bed, given)
                else:
                    ours, floor = await _indexed(bed, given), await _upserted(bed, items, best)
                found.append((COUNT / ours, COUNT / floor))
    ours, floor, ratios = median_of(found)
    line(
        f"indexed a second; upsert alone, by {best:,}",
        ours,
        floor,
        ratio=statistics.median(ratios),
        note=f"(at least 0.6; {spread(ratios)})",
    )


async def _indexed(bed: Bed, given: Messages) -> float:
    async with bed.family(f"ours{next(_NAMES)}") as manager:
        await bed.leave_due(manager, given)
        start = time.perf_counter()
        await manager.drain()
        return time.perf_counter() - start


async def _upserted(bed: Bed, items: Sequence[VectorItem], size: int) -> float:
    index = await bed.backends.vectors.index(
        f"floor{next(_NAMES)}", dimension=bed.backends.embedder.dimension
    )
    start = time.perf_counter()
    for at in range(0, len(items), size):
        await index.upsert(items[at : at + size])
    return time.perf_counter() - start


async def _items(bed: Bed, given: Messages) -> list[VectorItem]:
    """What the indexer would write of them."""
    async with bed.family(f"items{next(_NAMES)}") as manager:
        await bed.leave_due(manager, given)
        store = await bed.store_of(manager)
        entries = (await store.get([each["id"] for each in given])).values()
        drafter = Drafter(store.spec)
        vectors = await bed.backends.embedder.embed(
            [drafter.indexed_text(each) for each in entries]
        )
        return [
            VectorItem(
                str(VectorId(entry.id, entry.text_hash, 0)), vector, fields_of(entry, store.spec)
            )
            for entry, vector in zip(entries, vectors, strict=True)
        ]


async def latency(rounds: int) -> None:
    """Single writes while thousands are due, and while none is."""
    busy: list[list[float]] = []
    idle: list[list[float]] = []
    with folder_of_its_own() as folder:
        async with made_bed(folder) as bed:
            for turn in range(rounds):
                async with bed.family(f"latency{turn}") as manager:
                    backlog, more = messages(COUNT), messages(2 * WRITES, seed=2, first=COUNT)
                    await bed.leave_due(manager, backlog)
                    busy.append(await _writes(manager, more[:WRITES], while_busy=True))
                    await manager.drain()
                    idle.append(await _writes(manager, more[WRITES:], while_busy=False))
    for share in (0.5, 0.95):
        found = [
            (quantile(mine, share), quantile(theirs, share))
            for mine, theirs in zip(busy, idle, strict=True)
        ]
        ours, beside, ratios = median_of(found)
        goal = "at most 3; " if share > 0.5 else ""
        line(
            f"single write, ms, indexer busy; idle: p{share * 100:.0f}",
            ours * 1e3,
            beside * 1e3,
            ratio=statistics.median(ratios),
            note=f"({goal}{spread(ratios)})",
        )


async def _writes(manager: DualStoreManager, given: Messages, *, while_busy: bool) -> list[float]:
    """Seconds of each. The first is not counted: it wakes the indexer."""
    times = []
    for each in given:
        start = time.perf_counter()
        await manager.insert(each)
        times.append(time.perf_counter() - start)
        if not while_busy:
            await manager.drain()
    if while_busy and not (await manager.index_status()).due:
        raise SystemExit("the indexer was done before the writes were: take a larger backlog")
    return times[1:]
