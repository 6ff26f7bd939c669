"""A process that has a pair open and works on it, until it is done or somebody kills it."""

import asyncio
import random
from dataclasses import replace
from multiprocessing.connection import Connection

from dualstore.family import FamilySpec
from dualstore.manager import DualStoreManager
from dualstore.settings import Settings
from dualstore.terms import VERSION
from tests.dual.pairs import Pair

SPEC = FamilySpec("default_notes", filter_fields=("kind",))
RECORDED = replace(SPEC, analyzer=VERSION)
"""As a manager with the bundled embedder records it."""

SETTINGS = Settings(index_lease=1.0)
PATIENCE = 60.0
MOST_AT_ONCE = 20


def work(pair: Pair, what: str, name: str, say: Connection) -> None:
    """`drain`, `reindex` or `insert`; the last one never returns."""
    asyncio.run(_work(pair, what, name, say))


async def _work(pair: Pair, what: str, name: str, say: Connection) -> None:
    async with (
        pair.open() as backends,
        DualStoreManager(SPEC, settings=SETTINGS, backends=backends) as notes,
    ):
        say.send("open")
        match what:
            case "drain":
                await notes.drain(timeout=PATIENCE)
            case "reindex":
                await notes.reindex(timeout=PATIENCE)
            case _:
                await _insert(notes, name, say)
        say.send("done")


async def _insert(notes: DualStoreManager, name: str, say: Connection) -> None:
    """Says the ids of each batch once it is acknowledged."""
    rng = random.Random(name)
    number = 0
    while True:
        batch = [f"{name}-{number + at}" for at in range(rng.randint(1, MOST_AT_ONCE))]
        say.send(await notes.insert_many({"id": each, "text": text_of(each)} for each in batch))
        number += len(batch)


def text_of(name: str) -> str:
    """What an entry says that no other one does."""
    return f"a note that speaks of {name} and of nothing else"
