"""What happened, as frozen records that are handed to hooks; and two hooks that are at hand:
`Counters` adds up whole numbers, `Histograms` sorts fractions by size.
"""

import logging
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Final, Protocol

_LOG = logging.getLogger(__name__)

BOUNDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
"""The largest of each bucket, in seconds; one more bucket has no bound."""

Key = tuple[str, str, str]
"""The family, the name of the event's class, and the field."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a family, or to a kind of things.

    Fields that are whole numbers are counted, fractions are measured.
    """

    family: str


@dataclass(frozen=True, slots=True)
class DocumentsWritten(Event):
    """A batch was put; the last two are writes that were refused."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    outdated: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class WorkClaimed(Event):
    """An indexer took index work."""

    claimed: int


@dataclass(frozen=True, slots=True)
class WorkSettled(Event):
    """An indexer said how it went; `lost` leases were somebody else's by then."""

    settled: int
    lost: int


@dataclass(frozen=True, slots=True)
class ReadAnswered(Event):
    """A question to an action was answered, or couldn't be."""

    hits: int = 0
    """From here, fresh."""
    stale: int = 0
    """From here, while the remote is asked in the background."""
    misses: int = 0
    """By the remote, because it wasn't here or not fresh."""
    fallbacks: int = 0
    """From here, because the remote couldn't answer."""
    remote_only: int = 0
    """By the remote, because nothing can be kept here."""
    negative: int = 0
    """It was just asked for, and isn't there."""
    absent: int = 0
    failed: int = 0
    coalesced: int = 0
    """Somebody else was asking the remote the same just then."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RemoteAsked(Event):
    """A remote was asked."""

    answered: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RemoteSpared(Event):
    """A remote was not asked, because it failed a moment ago."""

    spared: int


@dataclass(frozen=True, slots=True)
class WrittenThrough(Event):
    """What a remote told was taken in; `refused` things couldn't be."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    outdated: int = 0
    deleted: int = 0
    refused: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LogAppended(Event):
    """Somebody appended to the log of a conversation."""

    appended: int = 0
    repeated: int = 0
    """They were there already, the same."""
    refused: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ConversationRead(Event):
    """A conversation was read, and where its views came from."""

    log: int = 0
    snapshot: int = 0
    degraded: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ParityChecked(Event):
    """A conversation was verified."""

    clean: int = 0
    mismatches: int = 0


class Hook(Protocol):
    """Is told what happened, on the event loop: it must not block."""

    def __call__(self, event: Event, /) -> None: ...


class Metrics:
    """Tells every hook. One that raises is logged and passed over: it can't undo what happened."""

    def __init__(self, *hooks: Hook) -> None:
        self._hooks = hooks

    def emit(self, event: Event) -> None:
        """Tell all hooks, in their order."""
        for hook in self._hooks:
            try:
                hook(event)
            except Exception:
                _LOG.exception("metrics hook %r failed on %r", hook, event)


class Counters:
    """A hook that adds up, by family, event and field."""

    def __init__(self) -> None:
        self._counts: Counter[Key] = Counter()

    def __call__(self, event: Event) -> None:
        kind = type(event).__name__
        for field in fields(event):
            value = getattr(event, field.name)
            if isinstance(value, int):
                self._counts[event.family, kind, field.name] += value

    def snapshot(self) -> dict[Key, int]:
        """The sums by (family, event, field); what never happened is missing."""
        return {key: count for key, count in self._counts.items() if count}


@dataclass(frozen=True, slots=True)
class Histogram:
    """How large some fractions were."""

    counts: tuple[int, ...]
    """How many were at most as large as each of `BOUNDS`, in their order."""
    count: int
    """How many there were."""
    sum: float


class Histograms:
    """A hook that sorts fractions into buckets, by family, event and field."""

    def __init__(self) -> None:
        self._buckets: dict[Key, list[int]] = {}
        self._sums: dict[Key, float] = {}

    def __call__(self, event: Event) -> None:
        kind = type(event).__name__
        for field in fields(event):
            value = getattr(event, field.name)
            if isinstance(value, float):
                self._sort((event.family, kind, field.name), value)

    def _sort(self, key: Key, value: float) -> None:
        buckets = self._buckets.setdefault(key, [0] * (len(BOUNDS) + 1))
        buckets[bisect_left(BOUNDS, value)] += 1
        self._sums[key] = self._sums.get(key, 0.0) + value

    def snapshot(self) -> dict[Key, Histogram]:
        """By (family, event, field); what never happened is missing."""
        return {key: _histogram(buckets, self._sums[key]) for key, buckets in self._buckets.items()}


def _histogram(buckets: list[int], total: float) -> Histogram:
    *counts, count = accumulate(buckets)
    return Histogram(tuple(counts), count, total)
