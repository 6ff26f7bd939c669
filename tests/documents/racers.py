"""What several processes do at once to one place; each runs in a process of its own."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar

from dualstore.documents.base import Settlement
from dualstore.errors import FamilyMismatchError
from tests.documents.places import Address
from tests.documents.writing import LEASE, NOW, SPEC, done, draft

T = TypeVar("T")

KEYS = 15
STEPS = 50
ENTRIES = 60

_start: list[Barrier] = []


def prepare(start: Barrier) -> None:
    """Called once in each process."""
    _start.append(start)


def run(race: Coroutine[Any, Any, T]) -> T:
    """All processes begin together."""
    return asyncio.run(race)


def create_same_keys(address: Address, me: int) -> tuple[list[str], list[str]]:
    """The keys, and the tokens, that this process was the one to create."""
    return run(_create_same_keys(address, me))


async def _create_same_keys(address: Address, me: int) -> tuple[list[str], list[str]]:
    keys: list[str] = []
    tokens: list[str] = []
    async with address.open() as database:
        _start[0].wait()
        for number in range(KEYS):
            key, token = f"key-{number}", f"token-{number}"
            if await database.records.create("race", key, me, tokens=[f"{me}-{number}"]):
                keys.append(key)
            if await database.records.create("race", f"{me}-{number}", me, tokens=[token]):
                tokens.append(token)
    return keys, tokens


def count_up(address: Address) -> int:
    """How often this process had to try again."""
    return run(_count_up(address))


async def _count_up(address: Address) -> int:
    tries = 0
    async with address.open() as database:
        await database.records.create("race", "counter", 0)
        _start[0].wait()
        for _ in range(STEPS):
            while True:
                seen = await database.records.get("race", "counter")
                assert seen is not None
                if await database.records.replace(seen, seen.value + 1):
                    break
                tries += 1
    return tries


def insert_and_index(address: Address, me: int) -> list[str]:
    """The ids that this process indexed."""
    return run(_insert_and_index(address, me))


async def _insert_and_index(address: Address, me: int) -> list[str]:
    indexed: list[str] = []
    async with address.open() as database:
        store = await database.family(SPEC)
        _start[0].wait()
        for first in range(0, ENTRIES, 6):
            drafts = [draft(f"{me}-{first + at}", f"text {at}") for at in range(6)]
            await store.put([*drafts, draft("shared", f"by {me} at {first}")], now=NOW)
            indexed += await _index_some(store)
        while True:
            some = await _index_some(store)
            if not some and not (await store.index_status()).oldest_due:
                return indexed
            indexed += some


async def _index_some(store: Any) -> list[str]:
    works = await store.claim(9, now=NOW, lease=LEASE)
    results = await store.settle([Settlement(work, done(work)) for work in works])
    return [work.id for work, counted in zip(works, results, strict=True) if counted]


def open_new(address: Address, me: int, *, differently: bool) -> bool:
    """Whether the family could be opened as this process wants it."""
    return run(_open_new(address, me, differently=differently))


async def _open_new(address: Address, me: int, *, differently: bool) -> bool:
    spec = replace(SPEC, analyzer=f"{me % 2}") if differently else SPEC
    _start[0].wait()
    async with address.open() as database:
        try:
            store = await database.family(spec)
        except FamilyMismatchError:
            return False
        await store.put([draft(f"entry-{me}", f"text {me}")], now=NOW)
        return True
