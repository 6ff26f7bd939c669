"""Processes that index are killed with SIGKILL at any moment: nothing is lost, nothing twice."""

import multiprocessing
import random
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

import pytest

from dualstore.documents.base import DocumentStore
from dualstore.entry import Drafter
from dualstore.indexing.generations import GenerationBook, Generations
from dualstore.manager import DualStoreManager
from dualstore.outbox import IndexState
from dualstore.wiring import Backends, system_clock
from tests.dual.indexing_process import RECORDED, SETTINGS, SPEC, text_of, work
from tests.dual.looking import generations, held
from tests.dual.pairs import Pair

ENTRIES = 2_000
KILLS = 20
PLAN = (("drain",), ("reindex",), ("drain", "reindex"), ("reindex",), ("drain",))
"""What runs in each round, at once."""
EDITED = 40
INSERTERS = 6
LONGEST_WRITING = 0.5
LONGEST_LIFE = {"private": 1.1, "served": 0.9}
"""Seconds from when it has opened its documents; a private Chroma takes half of one to start."""


class Child:
    """One process that works on a pair."""

    def __init__(
        self, context: ForkServerContext, pair: Pair, what: str, *, name: str = ""
    ) -> None:
        self.told: list[Any] = []
        self._receiving, sending = context.Pipe(duplex=False)
        self._process: ForkServerProcess = context.Process(
            target=work, args=(pair, what, name, sending)
        )
        self._process.start()
        sending.close()

    def opened(self) -> None:
        """Waits until it has opened its documents."""
        self.told.append(self._receiving.recv())

    def kill(self, *, after: float) -> int | None:
        """With SIGKILL; its exit code. What it said before is in `told`."""
        time.sleep(after)
        self._process.kill()
        self._process.join()
        with suppress(EOFError):
            _read_on(self._receiving, self.told)
        self._receiving.close()
        return self._process.exitcode


def _read_on(receiving: Connection, told: list[Any]) -> None:
    while True:
        told.append(receiving.recv())


@pytest.fixture(scope="module")
def forkserver() -> ForkServerContext:
    """Starts processes that have imported everything, in a few milliseconds each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tests.documents.crash_writer", "tests.documents.racers", "tests.dual.indexing_process"]
    )
    return context


@pytest.fixture
def rng() -> random.Random:
    seed = random.randrange(2**32)
    print(f"the moments of death have the seed {seed}")
    return random.Random(seed)


async def test_a_process_that_indexes_is_killed_20_times_and_the_last_run_ends_clean(
    shared_pair: Pair, forkserver: ForkServerContext, rng: random.Random
) -> None:
    texts = {f"m{n}": text_of(f"m{n}") for n in range(ENTRIES)}
    killed = interrupted = 0
    async with shared_pair.open() as backends:
        store = await backends.documents.family(RECORDED)
        book = GenerationBook(backends.documents.records, SPEC.name)
        await _put(store, texts)
        for number in range(KILLS):
            kinds = PLAN[number % len(PLAN)]
            before = await book.read()
            codes = _killed_at_random(forkserver, shared_pair, kinds, rng)
            killed += sum(code == -signal.SIGKILL for code in codes)
            interrupted += (await store.index_status()).leased > 0
            _check_generations(before, await book.read(), begun=kinds.count("reindex"))
            await _edit(store, texts, rng, number)
    print(f"{killed} were killed, {interrupted} rounds left leases")
    assert killed >= KILLS / 2, "most of them were done before they were killed"
    assert interrupted, "none of them was killed while they indexed"
    await _check_the_last_run(shared_pair, texts)


def _killed_at_random(
    context: ForkServerContext, pair: Pair, kinds: Sequence[str], rng: random.Random
) -> list[int | None]:
    """Their exit codes: a process may have been done before."""
    children = [Child(context, pair, each) for each in kinds]
    for each in children:
        each.opened()
    codes: list[int | None] = []
    for each in children:
        life = rng.uniform(0, LONGEST_LIFE[pair.vectors] / len(kinds))
        codes.append(each.kill(after=life))
    assert set(codes) <= {0, -signal.SIGKILL}
    return codes


def _check_generations(
    before: Generations | None, after: Generations | None, *, begun: int
) -> None:
    """Whoever is asked to reindex goes on with what a killed one began."""
    if before is None or after is None:
        return
    grown = after.target.number - before.target.number
    if before.building and after.live.number < before.building.number:
        assert grown == 0, "it was begun again from the start"
        assert before.walked is None or after.walked is None or before.walked <= after.walked
    assert 0 <= grown <= begun, "an index counts as lost"


async def _put(store: DocumentStore, texts: Mapping[str, str]) -> None:
    items = [{"id": id_, "text": text} for id_, text in texts.items()]
    await store.put(Drafter(SPEC).draft_many(items, now=1), now=system_clock())


async def _edit(
    store: DocumentStore, texts: dict[str, str], rng: random.Random, number: int
) -> None:
    """Old vectors to replace and to remove, and new ones to make."""
    changed = rng.sample(sorted(texts), EDITED)
    gone = changed[: EDITED // 10]
    new = {each: f"{texts.pop(each)}, said again in round {number}" for each in changed}
    written = {id_: text for id_, text in new.items() if id_ not in gone}
    written |= {f"late{number}-{n}": text_of(f"late{number}-{n}") for n in range(len(gone))}
    await _put(store, written)
    await store.delete(gone, now=system_clock())
    texts |= written


async def _check_the_last_run(pair: Pair, texts: Mapping[str, str]) -> None:
    async with (
        pair.open() as backends,
        DualStoreManager(SPEC, settings=SETTINGS, backends=backends) as notes,
    ):
        await notes.drain(timeout=60)
        await _check_clean(notes, backends)
        assert await held(backends) == dict.fromkeys(texts, 1)
        entries = await notes.get_many(list(texts))
        assert {id_: entry.text for id_, entry in entries.items()} == texts
        assert await notes.count() == len(texts)
        asked = sorted(texts)[0]
        assert (await notes.search(texts[asked], limit=1)).hits[0].entry.id == asked


async def _check_clean(notes: DualStoreManager, backends: Backends) -> None:
    report = await notes.consistency_report()
    assert report.clean, report
    assert (report.pending, report.failed) == (0, 0)
    status = await notes.index_status()
    assert (status.due, status.leased, status.rebuilding) == (0, 0, False)
    live = (await generations(backends)).live
    assert await backends.vectors.names() == [live.index_name(SPEC.name)]


async def test_what_a_killed_process_acknowledged_is_indexed_by_the_next(
    shared_pair: Pair, forkserver: ForkServerContext, rng: random.Random
) -> None:
    acknowledged: list[str] = []
    for number in range(INSERTERS):
        child = Child(forkserver, shared_pair, "insert", name=f"by{number}")
        child.opened()
        assert child.kill(after=rng.uniform(0.05, LONGEST_WRITING)) == -signal.SIGKILL
        told = [id_ for batch in child.told if batch != "open" for id_ in batch]
        await _check_marks(shared_pair, told)
        acknowledged += told
    assert len(acknowledged) > INSERTERS
    async with (
        shared_pair.open() as backends,
        DualStoreManager(SPEC, settings=SETTINGS, backends=backends) as notes,
    ):
        await notes.drain(timeout=60)
        entries = await notes.get_many(acknowledged)
        assert {each: entries[each].text for each in acknowledged} == {
            each: text_of(each) for each in acknowledged
        }
        await _check_clean(notes, backends)
        counts = await held(backends)
        assert set(counts.values()) == {1}
        assert set(acknowledged) <= counts.keys()
        assert len(counts) == await notes.count(), "what wasn't acknowledged is indexed, too"


async def _check_marks(pair: Pair, ids: list[str]) -> None:
    """Each is still to be indexed, or is indexed as it says."""
    async with pair.documents.open() as documents:
        marks = await (await documents.family(RECORDED)).marks(ids)
    assert marks.keys() == set(ids)
    for scanned in marks.values():
        done = scanned.mark.state is IndexState.INDEXED and scanned.mark.held == scanned.text_hash
        assert done or scanned.mark.claim_at is not None
