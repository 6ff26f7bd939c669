"""What a conversation is, in plain lists: the judge of the log.

Written from the rules alone, without any of the rooms it judges. It never folds: each command
changes the views at once.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """Something that may be in the context: its place, its entry, its text."""

    seq: int
    id: str
    text: str


@dataclass
class Model:
    """The views, and what a compaction may bring back."""

    seq: int = 0
    title: str = ""
    shown: list[Seen] = field(default_factory=list)
    since_reset: list[Seen] = field(default_factory=list)
    """All that came since the newest reset, whatever was compacted."""
    summary: Seen | None = None
    kept: set[int] = field(default_factory=set)
    """The places that the newest summary leaves."""
    pending: dict[str, str] = field(default_factory=dict)

    @property
    def display(self) -> list[str]:
        return [each.text for each in self.shown]

    @property
    def context(self) -> list[str]:
        if self.summary is None:
            return [each.text for each in self.since_reset]
        left = [
            each.text
            for each in self.since_reset
            if each.seq in self.kept or each.seq > self.summary.seq
        ]
        return [self.summary.text, *left]

    @property
    def waiting(self) -> list[str]:
        return list(self.pending.values())

    def apply(self, entry: dict[str, Any]) -> None:
        """One entry that was appended."""
        self.seq += 1
        told, name = entry.get("message", {}).get("content"), entry["id"]
        match entry["type"]:
            case "user_message" | "assistant_message":
                seen = Seen(self.seq, name, told)
                self.since_reset.append(seen)
                if not entry.get("hidden"):
                    self.shown.append(seen)
            case "harness_message":
                self.since_reset.append(Seen(self.seq, name, told))
            case "assistant_amendment":
                for seen in {id(each): each for each in [*self.shown, *self.since_reset]}.values():
                    if seen.id == entry["target_entry_id"]:
                        seen.text += entry["append_text"]
            case "compaction":
                self._compact(entry)
            case "context_reset":
                texts = [each["content"] for each in entry["messages"]]
                self.since_reset = [Seen(self.seq, name, text) for text in texts]
                self.summary = None
            case "subagent_result":
                self.pending[name] = entry["result"]["task"]
            case "callback_started":
                for consumed in entry["consumed_ids"]:
                    self.pending.pop(consumed, None)

    def _compact(self, entry: dict[str, Any]) -> None:
        self.summary = Seen(self.seq, entry["id"], entry["summary_message"]["content"])
        through, ids = entry.get("covers_through_seq"), entry.get("kept_ids", ())
        self.kept = {
            each.seq
            for each in self.since_reset
            if (each.id in ids if through is None else each.seq > through)
        }
