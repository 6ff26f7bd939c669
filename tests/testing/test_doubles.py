from pathlib import Path

from dualstore.documents.sqlite import SqliteDatabase
from dualstore.entry import Drafter
from dualstore.metrics import DocumentsWritten, Metrics, WorkClaimed
from dualstore.testing import FakeClock, Recorder
from tests.testing.conftest import SPEC


def test_a_fake_clock_moves_only_when_it_is_told_to() -> None:
    clock = FakeClock(1000)
    assert (clock(), clock()) == (1000, 1000)
    clock.advance(250)
    assert clock() == 1250
    clock.advance(-300)
    assert clock() == 950
    clock.now = 7
    assert clock() == 7


def test_a_fake_clock_starts_in_our_times_in_milliseconds() -> None:
    assert 1_700_000_000_000 < FakeClock()() < 2_000_000_000_000


async def test_a_recorder_keeps_what_a_database_tells(tmp_path: Path) -> None:
    recorder = Recorder()
    async with SqliteDatabase(tmp_path / "a.db", metrics=Metrics(recorder)) as database:
        store = await database.family(SPEC)
        draft = Drafter(SPEC).draft({"id": "a", "text": "hello", "timestamp": 5}, now=1)
        await store.put([draft], now=1)
        await store.put([draft], now=2)
        await store.claim(10, now=3, lease=1000)
    written = [DocumentsWritten(SPEC.name, created=1), DocumentsWritten(SPEC.name, unchanged=1)]
    assert recorder.of(DocumentsWritten) == written
    assert recorder.of(WorkClaimed) == [WorkClaimed(SPEC.name, claimed=1)]
    assert recorder.events == [*written, WorkClaimed(SPEC.name, claimed=1)]
