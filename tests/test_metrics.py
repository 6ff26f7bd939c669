import logging

import pytest

from dualstore.metrics import (
    BOUNDS,
    Counters,
    DocumentsWritten,
    Event,
    Histogram,
    Histograms,
    Metrics,
    RemoteAsked,
    WorkSettled,
    WrittenThrough,
)


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


def test_fractions_are_not_counted_and_whole_numbers_not_measured() -> None:
    counters, histograms = Counters(), Histograms()
    Metrics(counters, histograms).emit(RemoteAsked("a", answered=1, seconds=0.5))
    assert counters.snapshot() == {("a", "RemoteAsked", "answered"): 1}
    assert histograms.snapshot().keys() == {("a", "RemoteAsked", "seconds")}


@pytest.mark.parametrize(
    ("value", "first"),
    [
        (0.0, 0),
        (0.001, 0),
        (0.0011, 1),
        (0.005, 2),
        (1.0, 9),
        (29.9, 13),
        (30.0, 13),
        (30.1, 14),
        (float("inf"), 14),
    ],
)
def test_a_fraction_is_in_every_bucket_that_is_as_large(value: float, first: int) -> None:
    histograms = Histograms()
    histograms(RemoteAsked("a", seconds=value))
    (found,) = histograms.snapshot().values()
    assert found == Histogram((0,) * first + (1,) * (len(BOUNDS) - first), 1, value)


def test_buckets_go_from_a_millisecond_to_half_a_minute() -> None:
    assert (BOUNDS[0], BOUNDS[-1]) == (0.001, 30.0)
    assert list(BOUNDS) == sorted(set(BOUNDS))


def test_histograms_are_kept_by_family_event_and_field() -> None:
    histograms = Histograms()
    for seconds in (0.002, 0.25, 40.0):
        histograms(RemoteAsked("a", seconds=seconds))
    histograms(RemoteAsked("b", seconds=0.1))
    histograms(WrittenThrough("a", seconds=0.1))
    before = histograms.snapshot()
    assert before["a", "RemoteAsked", "seconds"] == Histogram(
        (0, *(1,) * 6, *(2,) * 7), 3, 0.002 + 0.25 + 40.0
    )
    tenth = Histogram((0,) * 6 + (1,) * 8, 1, 0.1)
    assert before["b", "RemoteAsked", "seconds"] == tenth
    assert before["a", "WrittenThrough", "seconds"] == tenth
    histograms(RemoteAsked("b", seconds=0.1))
    assert before["b", "RemoteAsked", "seconds"] == tenth
    assert histograms.snapshot()["b", "RemoteAsked", "seconds"].count == 2


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
