"""What of an entry can be searched: what somebody said. Pure."""

from typing import Any, Final, NamedTuple

from dualstore.conversations.entries import (
    AssistantAmendment,
    AssistantMessage,
    HarnessMessage,
    Imported,
    LogEntry,
    Message,
    SubagentResult,
    UserMessage,
)

SAYING: Final = frozenset(
    {
        "user_message",
        "assistant_message",
        "assistant_amendment",
        "harness_message",
        "subagent_result",
        "imported",
    }
)
"""The types that have a text. Summaries and resets only say again what was said."""
MOST: Final = 64 * 1024
"""Characters of a text that are looked at."""


class Spoken(NamedTuple):
    """One text: its place in the entry, who said it, and what."""

    place: int
    role: str
    text: str


def spoken(entry: LogEntry) -> list[Spoken]:
    """All that an entry says; a hidden message is said as well."""
    match entry:
        case UserMessage() | AssistantMessage() | HarnessMessage():
            return [_said(entry.message, 0)]
        case AssistantAmendment():
            return [Spoken(0, "assistant", (entry.append_text or "")[:MOST])]
        case SubagentResult():
            told = (entry.result.get(name) for name in ("task", "result", "error"))
            text = "\n".join(each for each in told if isinstance(each, str))
            return [Spoken(0, "subagent", text[:MOST])]
        case Imported():
            return [_said(message, place) for place, message in enumerate(entry.display)]
        case _:
            return []


def _said(message: Message, place: int) -> Spoken:
    return Spoken(place, message["role"], _text(message.get("content"))[:MOST])


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content or ""
