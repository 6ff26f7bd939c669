"""The append-only log of conversations: what was said, and what it folds into."""

from dualstore.conversations.entries import (
    AssistantAmendment,
    AssistantMessage,
    CallbackStarted,
    Compaction,
    ContextReset,
    HarnessMessage,
    Imported,
    LogEntry,
    SubagentResult,
    TurnFinished,
    TurnStarted,
    UnknownEntry,
    UnreadableEntry,
    UserMessage,
)
from dualstore.conversations.folds import (
    build_display_snapshot,
    build_llm_context,
    pending_subagent_results,
    unfinished_turns,
)

__all__ = [
    "AssistantAmendment",
    "AssistantMessage",
    "CallbackStarted",
    "Compaction",
    "ContextReset",
    "HarnessMessage",
    "Imported",
    "LogEntry",
    "SubagentResult",
    "TurnFinished",
    "TurnStarted",
    "UnknownEntry",
    "UnreadableEntry",
    "UserMessage",
    "build_display_snapshot",
    "build_llm_context",
    "pending_subagent_results",
    "unfinished_turns",
]
