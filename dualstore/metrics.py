"""What happened, as frozen records that are handed to hooks; and counters, the hook at hand."""

import logging
from collections import Counter
from dataclasses import dataclass, fields
from typing import Protocol

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a family. Fields that are whole numbers are what is counted."""

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
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def __call__(self, event: Event) -> None:
        kind = type(event).__name__
        for field in fields(event):
            value = getattr(event, field.name)
            if isinstance(value, int):
                self._counts[event.family, kind, field.name] += value

    def snapshot(self) -> dict[tuple[str, str, str], int]:
        """The sums by (family, event, field); what never happened is missing."""
        return {key: count for key, count in self._counts.items() if count}
