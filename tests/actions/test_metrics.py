import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from actions import Context, messages, open_actions, sessions
from dualstore.errors import InvalidInputError, UnavailableError
from dualstore.metrics import Counters, Histograms, Metrics, ReadAnswered
from dualstore.prometheus import prometheus
from dualstore.remote.opencode import OpenCodeRemote
from dualstore.settings import Settings
from tests.actions.world import PASSWORD, DoubleWorld, Line, patience
from tests.support.opencode_double import OpenCodeDouble
from tests.test_prometheus import parsed


@dataclass
class Measured:
    """Actions that were opened as users do, with both hooks."""

    context: Context
    double: OpenCodeDouble
    line: Line
    counters: Counters
    histograms: Histograms

    def count(self, family: str, event: str, field: str) -> int:
        return self.counters.snapshot().get((family, event, field), 0)


@pytest.fixture
async def measured(tmp_path: Path) -> AsyncIterator[Measured]:
    counters, histograms = Counters(), Histograms()
    double = OpenCodeDouble(password=PASSWORD)
    line = Line(double)
    settings = Settings(
        documents=f"sqlite:///{tmp_path / 'a.db'}", vectors=f"chroma+embedded:///{tmp_path / 'v'}"
    )
    async with (
        OpenCodeRemote(
            double.url,
            user=double.user,
            password=double.password,
            transport=line,
            patience=patience(),
        ) as remote,
        open_actions(settings, remote=remote, metrics=Metrics(counters, histograms)) as context,
    ):
        yield Measured(context, double, line, counters, histograms)


async def test_whoever_passes_metrics_is_told_everything(measured: Measured) -> None:
    context, count = measured.context, measured.count
    made = measured.double.create_session("The hose")
    await sessions.list(context)
    await sessions.list(context)
    await context.store.drain()
    assert (await sessions.search(context, "hose")).value.total_count == 1
    measured.line.cut()
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await sessions.get(context, "ses_00000000000000000000000001")
    assert (await sessions.list(context)).value.sessions[0].id == made

    assert count("default_sessions", "DocumentsWritten", "created") == 1
    assert count("default_sessions", "WorkClaimed", "claimed") == 1
    assert count("default_sessions", "WorkSettled", "settled") == 1
    assert count("sessions", "WrittenThrough", "created") == 1
    assert count("sessions", "RemoteAsked", "answered") == 1
    assert count("sessions", "ReadAnswered", "misses") == 1
    assert count("sessions", "ReadAnswered", "hits") == 2
    assert count("search", "ReadAnswered", "hits") == 1
    assert count("session", "ReadAnswered", "failed") == 2
    failed = sum(count(family, "RemoteAsked", "failed") for family in ("session", "messages"))
    spared = sum(count(family, "RemoteSpared", "spared") for family in ("session", "messages"))
    assert failed >= 1
    assert spared >= 1

    durations = {key[:2]: each for key, each in measured.histograms.snapshot().items()}
    assert durations["sessions", "WrittenThrough"].count == 1
    assert durations["sessions", "RemoteAsked"].count == 1
    assert durations["sessions", "ReadAnswered"].count == 3
    assert durations["search", "ReadAnswered"].count == 1
    assert all(each.sum > 0 for each in durations.values())

    gauges = await context.store.gauges()
    text = parsed(prometheus(measured.counters, measured.histograms, gauges=gauges))
    answered = text["dualstore_read_answered_hits_total"].samples
    assert answered["", (("family", "sessions"),)] == 2
    assert text["dualstore_read_answered_seconds"].kind == "histogram"
    assert text["dualstore_index_due"].samples["", (("family", "default_sessions"),)] == 0


async def test_a_search_is_measured_and_counted_however_it_ends(world: DoubleWorld) -> None:
    began = time.monotonic()
    await messages.search(world.context, "hose", mode="text")
    with pytest.raises(InvalidInputError):
        await messages.search(world.context, "hose", k=0)
    with pytest.raises(InvalidInputError):
        await messages.search(world.context, "hose", mode="nonsense")  # type: ignore[arg-type]
    world.faults.outage("documents.*")
    with pytest.raises(UnavailableError):
        await messages.search(world.context, "hose", mode="text")
    told = [each for each in world.heard.of(ReadAnswered) if each.family == "search"]
    assert [(each.hits, each.failed) for each in told] == [(1, 0), (0, 1)]
    assert all(each.seconds > 0 for each in told)
    assert sum(each.seconds for each in told) <= time.monotonic() - began
