"""What was counted and measured, as the text that Prometheus reads (format 0.0.4)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, NamedTuple

from dualstore.errors import InvalidInputError, shown
from dualstore.metrics import BOUNDS, Counters, Event, Histogram, Histograms

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""What the text is served as."""

_PREFIX: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

Gauges = Mapping[tuple[str, str], float]
"""By family and name."""


class _Metric(NamedTuple):
    """One metric of one family."""

    name: str
    kind: str
    help: str
    family: str
    value: float | Histogram


def prometheus(
    counters: Counters,
    histograms: Histograms | None = None,
    *,
    gauges: Gauges | None = None,
    prefix: str = "dualstore",
) -> str:
    """One metric for each event and field, with the family as its label; always in one order.

    `Store.gauges` tells the gauges.
    """
    if not _PREFIX.fullmatch(prefix):
        raise InvalidInputError(f"{shown(prefix)} can't begin a metric's name: letters, digits, _")
    found = [*_counted(counters), *_measured(histograms or Histograms()), *_gauged(gauges or {})]
    found.sort(key=lambda each: (each.name, each.family))
    lines: list[str] = []
    for name, same in groupby(found, key=lambda each: each.name):
        lines += _written(f"{prefix}_{name}", list(same))
    return "\n".join([*lines, ""])


def _counted(counters: Counters) -> Iterator[_Metric]:
    for (family, event, field), value in counters.snapshot().items():
        name = f"{_snake(event)}_{_snake(field)}_total"
        yield _Metric(name, "counter", _help(event, field), family, value)


def _measured(histograms: Histograms) -> Iterator[_Metric]:
    for (family, event, field), value in histograms.snapshot().items():
        name = f"{_snake(event)}_{_snake(field)}"
        yield _Metric(name, "histogram", _help(event, field), family, value)


def _gauged(gauges: Gauges) -> Iterator[_Metric]:
    for (family, name), value in gauges.items():
        yield _Metric(_snake(name), "gauge", f"{name.replace('_', ' ')}, now", family, value)


def _written(name: str, same: list[_Metric]) -> Iterator[str]:
    yield f"# HELP {name} {_escaped(same[0].help)}"
    yield f"# TYPE {name} {same[0].kind}"
    for each in same:
        label = f'family="{_quoted(each.family)}"'
        if isinstance(each.value, Histogram):
            yield from _histogram(name, label, each.value)
        else:
            yield f"{name}{{{label}}} {_number(each.value)}"


def _histogram(name: str, label: str, value: Histogram) -> Iterator[str]:
    for bound, count in zip(BOUNDS, value.counts, strict=True):
        yield f'{name}_bucket{{{label},le="{bound:g}"}} {count}'
    yield f'{name}_bucket{{{label},le="+Inf"}} {value.count}'
    yield f"{name}_sum{{{label}}} {_number(value.sum)}"
    yield f"{name}_count{{{label}}} {value.count}"


def _help(event: str, field: str) -> str:
    """The first line of what the event says of itself."""
    docs = (each.__doc__ for each in _events(Event) if each.__name__ == event)
    first = next((doc.strip().splitlines()[0] for doc in docs if doc and doc.strip()), event)
    return f"{field}: {first}"


def _events(kind: type[Event]) -> Iterable[type[Event]]:
    for each in kind.__subclasses__():
        yield each
        yield from _events(each)


def _snake(name: str) -> str:
    """`ReadAnswered` as `read_answered`, and nothing that a name can't have."""
    return re.sub(r"[^a-z0-9_]", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', r"\"")


def _number(value: float) -> str:
    text = str(value).removesuffix(".0")
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(text, text)
