"""A process that writes and says what was acknowledged, until somebody kills it."""

import asyncio
import random
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dualstore.documents.base import Database, DocumentStore, Settlement
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.outbox import Indexed
from tests.documents.writing import LEASE, NOW, SPEC, draft

EVERYWHERE = "common"
"""A word that all entries have."""
CLAIMED = 5
"""How many are indexed at a time."""


def text_of(name: str, revision: int) -> str:
    """What an entry says: words that tell it and its revision from all others."""
    return f"{EVERYWHERE} {name} {name}v{revision} " + "filler " * (len(name) * 7)


def write_until_killed(path: Path, seed: int, acknowledge: Connection) -> None:
    """Never returns."""
    asyncio.run(_write(path, seed, acknowledge))


async def _write(path: Path, seed: int, acknowledge: Connection) -> None:
    rng = random.Random(seed)
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        acknowledge.send(("open", ""))
        number = 0
        while True:
            number += 1
            for message in await _step(rng, database, store, f"n{seed}x{number}", seed):
                acknowledge.send(message)


async def _step(
    rng: random.Random, database: Database, store: DocumentStore, name: str, seed: int
) -> list[tuple[str, Any]]:
    """Do one thing; what is acknowledged with it."""
    match rng.randrange(6 if seed % 2 else 4):
        case 0 | 1:
            names = [f"{name}b{number}" for number in range(rng.choice([1, 1, 1, 40]))]
            await store.put([draft(each, text_of(each, 1)) for each in names], now=NOW)
            return [("put", (each, 1)) for each in names]
        case 2:
            await store.put([draft(name, text_of(name, 1))], now=NOW)
            await store.put([draft(name, text_of(name, 2))], now=NOW + 1)
            return [("put", (name, 2))]
        case 3:
            await database.records.create("crash", name, [name], tokens=[f"token-{name}"])
            await store.put([draft(name, text_of(name, 1))], now=NOW)
            await store.delete([name], now=NOW + 1)
            return [("record", name), ("gone", name)]
        case _:
            works = await store.claim(CLAIMED, now=NOW + 2, lease=LEASE)
            settlements = [
                Settlement(work, Indexed(work.entry.text_hash, 1, b"\x01"))
                for work in works
                if work.entry is not None
            ]
            done = await store.settle(settlements)
            assert all(done)
            return [("indexed", each.work.id) for each in settlements]
