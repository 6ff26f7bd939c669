"""A writer is killed with SIGKILL at any moment: what it had acknowledged is there."""

import random
import signal
import sqlite3
import time
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path

from dualstore.documents.base import DocumentStore
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.entry import Entry
from dualstore.outbox import IndexState
from tests.documents.crash_writer import CLAIMED, EVERYWHERE, text_of, write_until_killed
from tests.documents.writing import SPEC, claim, ids, put

ROUNDS = 55
OPENINGS = 15
LONGEST_LIFE = 0.06


@dataclass
class Acknowledged:
    """What killed writers had been told is durable."""

    opened: int = 0
    revisions: dict[str, int] = field(default_factory=dict)
    records: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    indexed: set[str] = field(default_factory=set)

    def note(self, kind: str, what: object) -> None:
        match kind, what:
            case "open", _:
                self.opened += 1
            case "put", (str(name), int(revision)):
                self.revisions[name] = revision
            case "record", str(name):
                self.records.add(name)
            case "gone", str(name):
                self.gone.add(name)
            case "indexed", str(name):
                self.indexed.add(name)


def _write_and_kill(
    context: ForkServerContext, path: Path, seed: int, life: float, told: Acknowledged
) -> None:
    """One writer's life, counted from when it has opened the file (from its start, if negative)."""
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=write_until_killed, args=(path, seed, sending))
    process.start()
    sending.close()
    try:
        if life >= 0:
            told.note(*receiving.recv())
        time.sleep(abs(life))
        process.kill()
        process.join()
        while True:
            told.note(*receiving.recv())
    except EOFError:
        assert process.exitcode == -signal.SIGKILL
    finally:
        process.kill()
        process.join()
        process.close()
        receiving.close()


def _check_file(path: Path) -> None:
    """As SQLite itself sees it: sound tables and indexes, and words that belong to rows."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        words = connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%USING fts5(%'")
        for (name,) in words.fetchall():
            connection.execute(f"INSERT INTO {name} ({name}, rank) VALUES ('integrity-check', 1)")
        connection.rollback()
    finally:
        connection.close()


def _check_marks(found: dict[str, Entry], told: Acknowledged) -> None:
    """Due, or leased, until somebody was told that it is indexed: all but a writer's last words."""
    indexed = {name for name, entry in found.items() if entry.index.state is IndexState.INDEXED}
    assert told.indexed & found.keys() <= indexed
    assert len(indexed - told.indexed) <= CLAIMED * told.opened
    for name, entry in found.items():
        if name in indexed:
            assert entry.index.held == entry.text_hash
        else:
            assert entry.index.claim_at is not None


async def _check_store(store: DocumentStore, told: Acknowledged, *, sample: list[str]) -> None:
    found = await store.get(list(told.revisions))
    assert sorted(told.revisions.keys() - found.keys()) == []
    for name, revision in told.revisions.items():
        assert (found[name].revision, found[name].text) == (revision, text_of(name, revision))
    _check_marks(found, told)
    assert await store.get(list(told.gone)) == {}
    living = [one.id for one in await store.scan(limit=10**6) if not one.deleted]
    assert await store.count() == len(living)
    words = await store.candidates({EVERYWHERE: 1.0}, limit=1)
    assert (words.frequencies[EVERYWHERE], words.count) == (len(living), len(living))
    for name in sample:
        assert ids((await store.candidates({f"{name}v{told.revisions[name]}": 1.0})).found) == [
            name
        ]


async def test_every_acknowledged_write_survives_the_death_of_its_writer(
    tmp_path: Path, forkserver: ForkServerContext
) -> None:
    path = tmp_path / "documents.db"
    rng = random.Random()
    everything = Acknowledged()
    for seed in range(ROUNDS):
        told = Acknowledged()
        _write_and_kill(forkserver, path, seed, rng.uniform(0, LONGEST_LIFE), told)
        everything.opened += told.opened
        everything.records |= told.records
        everything.gone |= told.gone
        everything.revisions |= told.revisions
        everything.indexed |= told.indexed
        async with SqliteDatabase(path) as database:
            store = await database.family(SPEC)
            names = list(told.revisions)
            await _check_store(store, told, sample=rng.sample(names, min(5, len(names))))
            records = [record.key for record in await database.records.range("crash", limit=10**6)]
            assert everything.records <= set(records)
            tokens = await database.records.find("crash", [f"token-{key}" for key in records])
            assert sorted(record.key for record in tokens.values()) == records
        _check_file(path)
    assert everything.opened == ROUNDS
    assert len(everything.revisions) > ROUNDS
    assert everything.indexed
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        await _check_store(store, everything, sample=[])
        assert await put(store, []) == []
        assert len(await claim(store, now=2**50)) > 0


async def test_a_file_opens_whenever_its_first_user_died(
    tmp_path: Path, forkserver: ForkServerContext
) -> None:
    rng = random.Random()
    for seed in range(OPENINGS):
        path = tmp_path / f"{seed}.db"
        told = Acknowledged()
        _write_and_kill(forkserver, path, seed, -rng.uniform(0.001, LONGEST_LIFE), told)
        async with SqliteDatabase(path) as database:
            await _check_store(await database.family(SPEC), told, sample=[])
        _check_file(path)
