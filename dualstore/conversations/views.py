"""What readers are given: values of their own, never written back."""

from dataclasses import dataclass
from typing import Any, Literal

from dualstore.conversations.entries import LogEntry, Message
from dualstore.conversations.folds import Display, UnfinishedTurn

Origin = Literal["log", "snapshot", "degraded"]


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A conversation without its messages."""

    id: str
    title: str
    parent: str | None
    created_at: int
    last_activity: int
    through_seq: int
    messages: int
    """How many are shown."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation, folded from its log."""

    id: str
    title: str
    parent: str | None
    created_at: int
    last_activity: int
    through_seq: int
    """The last entry that these views know of."""
    display: Display
    """The last messages that are shown, with their total and a cursor to the rest."""
    context: list[Message]
    """What a model is to see."""
    pending: list[dict[str, Any]]
    """Results that nobody has taken care of, with the `id` to consume each by."""
    unfinished: tuple[UnfinishedTurn, ...]
    """Turns that were started and not finished, those included that are running."""
    interrupted: tuple[UnfinishedTurn, ...]
    """Those that aren't running in this store: they broke off, or another process has them."""
    unknown_types: tuple[str, ...]
    """Types of entries that this release can't fold, among those that were looked at."""
    origin: Origin
    """Where the views come from: the log, what was there before it, or what could be had."""
    degraded: tuple[str, ...] = ()
    """Why something may be missing; empty when nothing is."""


class Entries(list[LogEntry]):
    """Entries of a log; `degraded` says what is missing or unreadable among them."""

    def __init__(self, entries: list[LogEntry], *, degraded: tuple[str, ...] = ()) -> None:
        super().__init__(entries)
        self.degraded = degraded
