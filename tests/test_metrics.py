import logging

import pytest

from dualstore.metrics import Counters, DocumentsWritten, Event, Metrics, WorkSettled


def test_counters_add_up_by_family_event_and_field() -> None:
    counters = Counters()
    metrics = Metrics(counters)
    metrics.emit(DocumentsWritten("a", created=2, unchanged=1))
    metrics.emit(DocumentsWritten("a", created=3))
    metrics.emit(WorkSettled("b", settled=1, lost=0))
    assert counters.snapshot() == {
        ("a", "DocumentsWritten", "created"): 5,
        ("a", "DocumentsWritten", "unchanged"): 1,
        ("b", "WorkSettled", "settled"): 1,
    }


def test_a_hook_that_raises_is_logged_and_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_: Event) -> None:
        raise RuntimeError("no")

    counters = Counters()
    with caplog.at_level(logging.ERROR):
        Metrics(broken, counters).emit(DocumentsWritten("a", created=1))
    assert counters.snapshot()
    assert "broken" in caplog.text
