"""What a search gives back."""

from dataclasses import dataclass
from typing import Literal

from dualstore.entry import Entry
from dualstore.search.ranking import Parts
from dualstore.search.snippets import Snippet

Mode = Literal["hybrid", "text", "semantic"]


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that was found."""

    entry: Entry
    score: float
    """From 0 to 1: of what the question could have earned."""
    snippet: Snippet
    modes: tuple[str, ...]
    """What found it: `text`, `semantic`, or `neighbours`, when only its thread speaks for it."""
    explanation: Parts
    """What its score is made of."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and what stood in the way of finding more."""

    hits: tuple[Hit, ...]
    next_cursor: str | None = None
    """Leads to the next hits of this very ranking, whatever is written meanwhile."""
    candidates: int = 0
    """How many entries were ranked."""
    cut: bool = False
    """There were more that could have been ranked, and weren't: they have less in common."""
    degraded: tuple[str, ...] = ()
    """Reasons why something may be missing; empty if nothing is."""
