import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dualstore import DualStoreManager, Settings, open_store
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.errors import (
    ClosedError,
    DualStoreError,
    FamilyMismatchError,
    InvalidInputError,
    SettingsError,
    UnavailableError,
)
from dualstore.metrics import Counters, Metrics
from dualstore.testing import FakeClock, Fault, Faults, faulty
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.dual.listening import Listening


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


@pytest.fixture
async def backends(tmp_path: Path) -> AsyncIterator[Backends]:
    async with SqliteDatabase(tmp_path / "a.db") as documents, Listening() as embedder:
        yield Backends(documents, ExactVectors(), embedder)


async def test_it_works_with_nothing_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with open_store() as store:
        notes = store.family("notes")
        await notes.insert_many([{"text": "a kitten"}, {"text": "a tax report"}])
        await store.drain()
        assert (await notes.search("cat", limit=1)).hits[0].entry.text == "a kitten"
        health = await store.health()
        assert health.ok
        assert not isinstance(health.vectors, DualStoreError)
        assert "private server" in health.vectors.backend
    async with await DualStoreManager.create("notes") as again:
        assert await again.count() == 2
        assert (await again.consistency_report()).clean


async def test_reading_starts_neither_an_indexer_nor_chroma(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    before = len(asyncio.all_tasks())
    async with open_store() as store:
        notes = store.family("notes")
        assert (await notes.count(), await notes.get("a"), await notes.get_most_recent()) == (
            0,
            None,
            [],
        )
        assert (await notes.index_status()).due == 0
        assert len(asyncio.all_tasks()) == before
    assert "server.json" not in _files(tmp_path)


async def test_a_family_is_the_same_each_time_and_closes_with_the_store(
    backends: Backends,
) -> None:
    async with open_store(Settings(), backends=backends) as store:
        notes = store.family("notes")
        assert store.family("notes") is notes
        assert store.family("notes", agent_name="other") is not notes
        await notes.insert({"id": "a", "text": "words"})
        await store.family("notes", agent_name="other").insert({"text": "words"})
        await store.drain()
    with pytest.raises(ClosedError, match="closed"):
        await notes.get("a")
    async with open_store(Settings(agent_name="other"), backends=backends) as store:
        assert await store.family("notes").count() == 1
        assert await store.family("notes").get("a") is None


async def test_a_family_that_was_left_is_opened_anew(backends: Backends) -> None:
    async with open_store(Settings(), backends=backends) as store:
        async with store.family("notes") as notes:
            await notes.insert({"id": "a", "text": "words"})
        assert await store.family("notes").count() == 1


async def test_metrics_belong_to_backends(backends: Backends) -> None:
    with pytest.raises(InvalidInputError, match="metrics"):
        async with open_store(Settings(), backends=backends, metrics=Metrics()):
            pass
    with pytest.raises(InvalidInputError, match="metrics"):
        await DualStoreManager.create("notes", backends=backends, metrics=Metrics())


async def test_reindex_is_the_way_out_of_every_mismatch(backends: Backends) -> None:
    async with open_store(Settings(), backends=backends) as store:
        for name in ("notes", "tasks"):
            await store.family(name).insert({"id": "a", "text": f"a kitten in {name}"})
        await store.drain()
    newer = Listening()
    newer.version = "2"
    moved = replace(backends, embedder=newer)
    async with open_store(Settings(), backends=moved) as store:
        with pytest.raises(FamilyMismatchError, match="on_mismatch='reindex'"):
            await store.family("notes").count()
        assert await store.reindex() == ["default_notes", "default_tasks"]
        (hit,) = (await store.family("notes").search("cat")).hits
        assert hit.entry.text == "a kitten in notes"
        assert (await store.family("tasks").consistency_report()).clean
        assert len(newer.given) == 2
    async with open_store(Settings(), backends=backends) as store:
        with pytest.raises(FamilyMismatchError):
            await store.family("notes").count()


async def test_a_family_of_another_analyzer_is_made_anew(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("dualstore.opener.VERSION", "an older one")
        async with open_store(Settings(), backends=backends) as store:
            await store.family("notes").insert({"id": "a", "text": "a kitten"})
            await store.drain()
    async with open_store(Settings(), backends=backends) as store:
        with pytest.raises(FamilyMismatchError, match="analyzer"):
            await store.family("notes").count()
        await store.reindex()
        assert await store.family("notes").count() == 1


async def test_health_names_the_side_that_does_not_answer(backends: Backends) -> None:
    faults = Faults()
    async with open_store(Settings(), backends=faulty(backends, faults)) as store:
        assert (await store.health()).ok
        faults.outage("vectors.*", fault=Fault.BEFORE)
        health = await store.health()
        assert not health.ok
        assert isinstance(health.vectors, DualStoreError)
        assert not isinstance(health.documents, DualStoreError)
        faults.outage("documents.*", fault=Fault.BEFORE)
        assert isinstance((await store.health()).documents, DualStoreError)


async def test_metrics_are_told(tmp_path: Path) -> None:
    counters = Counters()
    settings = Settings(
        documents=f"sqlite:///{tmp_path / 'a.db'}", vectors=f"chroma:///{tmp_path / 'v'}"
    )
    async with open_store(settings, metrics=Metrics(counters)) as store:
        await store.family("notes").insert_many([{"text": "a"}, {"text": "b"}])
    assert counters.snapshot()["default_notes", "DocumentsWritten", "created"] == 2


async def test_gauges_tell_what_waits_for_the_index_of_what_is_open(backends: Backends) -> None:
    clock, faults = FakeClock(), Faults()
    async with open_store(
        Settings(), backends=faulty(replace(backends, clock=clock), faults)
    ) as store:
        notes, others = store.family("notes"), store.family("others")
        assert not notes.is_open
        assert await store.gauges() == {}
        assert faults.calls == []
        faults.outage("vectors.*")
        await notes.insert_many([{"text": "a"}, {"text": "b"}])
        clock.advance(5_000)
        gauges = await store.gauges()
        assert {name for _, name in gauges} == {
            "index_due",
            "index_leased",
            "index_failed",
            "index_lag_ms",
        }
        assert {family for family, _ in gauges} == {"default_notes"}
        waiting = gauges["default_notes", "index_due"] + gauges["default_notes", "index_leased"]
        assert (waiting, gauges["default_notes", "index_lag_ms"]) == (2, 5_000)
        faults.heal()
        await store.drain()
        assert set((await store.gauges()).values()) == {0}
        assert await others.count() == 0
        assert {family for family, _ in await store.gauges()} == {"default_notes", "default_others"}
        await notes.close()
        assert not notes.is_open
        assert {family for family, _ in await store.gauges()} == {"default_others"}


async def test_gauges_that_nobody_can_tell_are_no_zeros(backends: Backends) -> None:
    faults = Faults()
    async with open_store(Settings(), backends=faulty(backends, faults)) as store:
        await store.family("notes").count()
        faults.outage("documents.*")
        with pytest.raises(UnavailableError):
            await store.gauges()


async def test_old_tombstones_are_forgotten(backends: Backends) -> None:
    clock = FakeClock()
    aged = replace(backends, clock=clock)
    for days in (0, 366):
        clock.advance(days * 86_400_000)
        async with open_store(Settings(), backends=aged) as store:
            notes = store.family("notes")
            await notes.insert({"id": f"after {days}", "text": "words"})
            await notes.delete(f"after {days}")
            await store.drain()
            documents = await aged.documents.family((await aged.documents.specs())[0])
            for _ in range(200):
                kept = [each.id for each in await documents.scan()]
                if kept == [f"after {days}"]:
                    break
                await asyncio.sleep(0.02)
            assert kept == [f"after {days}"]


def test_settings_that_cant_be_are_refused() -> None:
    for wrong in ({"strict_timeout": 0}, {"index_lease": -1}, {"tombstone_days": 0}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            Settings(**wrong)
