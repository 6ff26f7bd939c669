"""What a search gives back."""

from dataclasses import dataclass
from typing import Literal

from dualstore.entry import Entry

Mode = Literal["semantic"]


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that was found."""

    entry: Entry
    score: float
    """From 0 to 1."""
    snippet: str
    """The part of its text that answers best."""
    modes: tuple[str, ...]
    """Which ways of searching found it."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and what stood in the way of finding more."""

    hits: tuple[Hit, ...]
    degraded: tuple[str, ...] = ()
    """Reasons why something may be missing; empty if nothing is."""
    next_cursor: str | None = None
