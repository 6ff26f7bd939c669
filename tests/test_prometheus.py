import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.errors import InvalidInputError
from dualstore.metrics import (
    BOUNDS,
    Counters,
    DocumentsWritten,
    Event,
    Histograms,
    Metrics,
    ReadAnswered,
    RemoteAsked,
)
from dualstore.prometheus import prometheus

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
_NUMBER = re.compile(r"[-+]?(Inf|[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?)|NaN")

Labels = tuple[tuple[str, str], ...]


@dataclass
class Metric:
    help: str
    kind: str = ""
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)


def parsed(text: str) -> dict[str, Metric]:
    """The format as its specification has it, and nothing that is merely put up with."""
    assert text == "" or text.endswith("\n")
    assert not text.endswith("\n\n")
    found: dict[str, Metric] = {}
    name = ""
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            name, _, told = line.removeprefix("# HELP ").partition(" ")
            assert name not in found, "all of a metric is in one place"
            assert _NAME.fullmatch(name)
            found[name] = Metric(_unescaped(told, quoted=False))
        elif line.startswith("# TYPE "):
            typed, kind = line.removeprefix("# TYPE ").split(" ")
            assert typed == name
            assert not found[name].samples
            assert kind in ("counter", "gauge", "histogram")
            found[name].kind = kind
        else:
            _sample(line, name, found[name])
    for name, metric in found.items():
        _check(name, metric)
    return found


def _sample(line: str, name: str, metric: Metric) -> None:
    match = re.fullmatch(r"([^{ ]+)\{(.*)\} (\S+)", line)
    assert match, line
    sample, labels, value = match.groups()
    suffixes = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
    assert sample in [name + each for each in suffixes]
    assert _NUMBER.fullmatch(value), value
    key = (sample.removeprefix(name), tuple(_labels(labels)))
    assert key not in metric.samples
    metric.samples[key] = float(value)


def _labels(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while True:
        match = _LABEL.match(text, at)
        assert match, text
        yield match[1], _unescaped(match[2], quoted=True)
        at = match.end()
        if at == len(text):
            return
        assert text[at] == ","
        at += 1


def _unescaped(text: str, *, quoted: bool) -> str:
    known = {r"\\": "\\", r"\n": "\n"} | ({r"\"": '"'} if quoted else {})
    return re.sub(r"\\(.|$)", lambda match: known[match[0]], text)


def _check(name: str, metric: Metric) -> None:
    assert metric.kind
    assert metric.samples
    if metric.kind == "counter":
        assert name.endswith("_total")
        assert all(value >= 0 for value in metric.samples.values())
    if metric.kind == "histogram":
        for family in {labels[0] for _, labels in metric.samples}:
            _check_histogram(metric, family)


def _check_histogram(metric: Metric, family: tuple[str, str]) -> None:
    buckets = [
        (float(dict(labels)["le"]), value)
        for (part, labels), value in metric.samples.items()
        if part == "_bucket" and labels[0] == family
    ]
    assert [bound for bound, _ in buckets] == [*BOUNDS, math.inf]
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == metric.samples["_count", (family,)]
    assert ("_sum", (family,)) in metric.samples


def family(name: str) -> Labels:
    return (("family", name),)


def test_nothing_happened_is_no_text() -> None:
    assert prometheus(Counters()) == ""
    assert prometheus(Counters(), Histograms(), gauges={}) == ""


def test_it_is_written_word_for_word() -> None:
    counters, histograms = Counters(), Histograms()
    metrics = Metrics(counters, histograms)
    metrics.emit(ReadAnswered("session", hits=2, seconds=0.004))
    metrics.emit(ReadAnswered("session", hits=1, seconds=40.0))
    metrics.emit(ReadAnswered("list", hits=1, misses=1, seconds=0.0625))
    lines = prometheus(counters, histograms, gauges={("a", "index_lag_ms"): 5}).split("\n")
    assert [line for line in lines if "_bucket" not in line] == [
        "# HELP dualstore_index_lag_ms index lag ms, now",
        "# TYPE dualstore_index_lag_ms gauge",
        'dualstore_index_lag_ms{family="a"} 5',
        "# HELP dualstore_read_answered_hits_total"
        " hits: A question to an action was answered, or couldn't be.",
        "# TYPE dualstore_read_answered_hits_total counter",
        'dualstore_read_answered_hits_total{family="list"} 1',
        'dualstore_read_answered_hits_total{family="session"} 3',
        "# HELP dualstore_read_answered_misses_total"
        " misses: A question to an action was answered, or couldn't be.",
        "# TYPE dualstore_read_answered_misses_total counter",
        'dualstore_read_answered_misses_total{family="list"} 1',
        "# HELP dualstore_read_answered_seconds"
        " seconds: A question to an action was answered, or couldn't be.",
        "# TYPE dualstore_read_answered_seconds histogram",
        'dualstore_read_answered_seconds_sum{family="list"} 0.0625',
        'dualstore_read_answered_seconds_count{family="list"} 1',
        'dualstore_read_answered_seconds_sum{family="session"} 40.004',
        'dualstore_read_answered_seconds_count{family="session"} 2',
        "",
    ]
    start = 'dualstore_read_answered_seconds_bucket{family="session",le='
    assert [line.removeprefix(start) for line in lines if line.startswith(start)] == [
        '"0.001"} 0',
        '"0.0025"} 0',
        *(f'"{bound}"}} 1' for bound in "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30".split()),
        '"+Inf"} 2',
    ]


def test_everything_is_found_again() -> None:
    counters, histograms = Counters(), Histograms()
    metrics = Metrics(counters, histograms)
    metrics.emit(DocumentsWritten("a_messages", created=2, unchanged=1))
    metrics.emit(DocumentsWritten("b_messages", created=3))
    metrics.emit(RemoteAsked("messages", answered=1, seconds=0.3))
    gauges = {("a", "index_due"): 3, ("b", "index_due"): 0, ("a", "load"): 0.25}
    found = parsed(prometheus(counters, histograms, gauges=gauges, prefix="mine"))
    assert {name: metric.kind for name, metric in found.items()} == {
        "mine_documents_written_created_total": "counter",
        "mine_documents_written_unchanged_total": "counter",
        "mine_index_due": "gauge",
        "mine_load": "gauge",
        "mine_remote_asked_answered_total": "counter",
        "mine_remote_asked_seconds": "histogram",
    }
    assert list(found) == sorted(found)
    assert found["mine_documents_written_created_total"].samples == {
        ("", family("a_messages")): 2,
        ("", family("b_messages")): 3,
    }
    assert found["mine_index_due"].samples == {("", family("a")): 3, ("", family("b")): 0}
    assert found["mine_load"].samples == {("", family("a")): 0.25}
    seconds = found["mine_remote_asked_seconds"]
    assert seconds.samples["_sum", family("messages")] == 0.3
    assert seconds.help == "seconds: A remote was asked."


def test_the_order_is_not_that_of_what_happened() -> None:
    events = [RemoteAsked(name, answered=1, seconds=0.5) for name in ("c", "a", "b")]
    texts = []
    for order in (events, events[::-1]):
        counters, histograms = Counters(), Histograms()
        for event in order:
            Metrics(counters, histograms).emit(event)
        gauges = {(event.family, "due"): 1.0 for event in order}
        texts.append(prometheus(counters, histograms, gauges=gauges))
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ('a"b', r"a\"b"),
        ("a\\b", r"a\\b"),
        ("a\nb", r"a\nb"),
        ('\\"\n', r"\\\"\n"),
        ("\\n", r"\\n"),
        ("ä}, {", "ä}, {"),
    ],
)
def test_labels_are_escaped(name: str, written: str) -> None:
    counters = Counters()
    counters(RemoteAsked(name, answered=1))
    text = prometheus(counters)
    assert text.endswith(f'{{family="{written}"}} 1\n')
    assert ("", family(name)) in parsed(text)["dualstore_remote_asked_answered_total"].samples


@given(
    st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False), max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers(0, 2**53), max_size=4),
    st.dictionaries(st.text(max_size=5), st.floats(0, 1e6), max_size=4),
)
def test_any_text_and_any_number_is_read_back(
    gauges: dict[str, float], counts: dict[str, int], seconds: dict[str, float]
) -> None:
    counters, histograms = Counters(), Histograms()
    for name, count in counts.items():
        counters(RemoteAsked(name, answered=count))
    for name, value in seconds.items():
        histograms(RemoteAsked(name, seconds=value))
    told = {(name, "load"): value for name, value in gauges.items()}
    found = parsed(prometheus(counters, histograms, gauges=told))
    empty = Metric("")
    assert found.get("dualstore_load", empty).samples == {
        ("", family(name)): value for name, value in gauges.items()
    }
    assert found.get("dualstore_remote_asked_answered_total", empty).samples == {
        ("", family(name)): count for name, count in counts.items() if count
    }
    measured = found.get("dualstore_remote_asked_seconds", empty).samples
    assert {labels: value for (part, labels), value in measured.items() if part == "_sum"} == {
        family(name): value for name, value in seconds.items()
    }


@dataclass(frozen=True, slots=True)
class HTTPDoorOpened(Event):
    """A door \\ was
    opened."""

    größe: int = 0  # noqa: PLC2401 - others write as they like


@dataclass(frozen=True, slots=True)
class Quiet(Event):
    knocks: int = 0


def test_events_of_ones_own_have_names_and_help_too() -> None:
    counters = Counters()
    counters(HTTPDoorOpened("a", größe=1))
    counters(Quiet("a", knocks=1))
    found = parsed(prometheus(counters))
    assert {name: metric.help for name, metric in found.items()} == {
        "dualstore_httpdoor_opened_gr__e_total": "größe: A door \\ was",
        "dualstore_quiet_knocks_total": "knocks: Quiet(family: str, knocks: int = 0)",
    }


@pytest.mark.parametrize("prefix", ["", "1a", "a-b", "a b", "ä", "a\n"])
def test_a_prefix_that_no_name_can_have_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidInputError, match="can't begin a metric's name"):
        prometheus(Counters(), prefix=prefix)


@pytest.mark.parametrize(
    ("value", "written"),
    [(3.0, "3"), (0.1, "0.1"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")],
)
def test_numbers(value: float, written: str) -> None:
    text = prometheus(Counters(), gauges={("a", "load"): value})
    assert text.endswith(f" {written}\n")
    parsed(text)
