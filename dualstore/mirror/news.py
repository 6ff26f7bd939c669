"""What changes mean for what is kept: which messages have to be read again. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from dualstore.mirror.coverage import Reached
from dualstore.mirror.telling import text_at
from dualstore.remote.base import Change

FEW: Final = 20
"""Messages that are read one by one. Of more all are read."""
OF_SESSIONS: Final = frozenset({"session.created", "session.updated", "session.deleted"})
_OF_MESSAGES: Final = {
    "message.updated": ("info", "id"),
    "message.removed": ("messageID",),
    "message.part.updated": ("part", "messageID"),
    "message.part.removed": ("messageID",),
}
_TOLD_ONCE: Final = frozenset(
    {
        "command.executed",
        "permission.asked",
        "permission.replied",
        "question.asked",
        "question.rejected",
        "question.replied",
        "session.compacted",
        "session.diff",
        "session.error",
        "session.idle",
        "session.status",
        "todo.updated",
    }
)
LASTING: Final = OF_SESSIONS | _OF_MESSAGES.keys()
"""Types of changes that leave something else than it was."""
KNOWN_TYPES: Final = LASTING | _TOLD_ONCE


@dataclass(slots=True)
class News:
    """What has changed of one session."""

    messages: set[str] | None = field(default_factory=set)
    """None for all of them."""
    reached: Reached | None = None
    """The last change that was looked at."""
    session: bool = False
    """Whether the session itself has to be read, too, and before its messages."""

    def add(self, change: Change) -> None:
        """A change that lasts, in the order of the session."""
        if change.sequence is not None:
            if self.reached is not None and change.sequence != self.reached.sequence + 1:
                self.messages = None  # what can't be read is left out of what is told
            self.reached = Reached(change.sequence, change.id)
        if change.type in OF_SESSIONS or self.messages is None:
            return
        message_id = text_at(change.data, *_OF_MESSAGES.get(change.type, ("",)))
        if message_id is None:  # of a kind that isn't known here, so anything may have changed
            self.messages = None
        else:
            self.messages.add(message_id)
            if len(self.messages) > FEW:
                self.messages = None

    @classmethod
    def of(cls, changes: Iterable[Change]) -> "News":
        """All that they change."""
        news = cls()
        for each in changes:
            news.add(each)
        return news


class Step(StrEnum):
    """What a durable change is after those that were looked at before."""

    NEXT = "next"
    OLD = "old"  # it was looked at
    GAP = "gap"  # others that come before it were missed
    RESTART = "restart"  # the session begins anew under the same id


def step(reached: Reached | None, change: Change) -> Step:
    """Of a change that has a sequence number."""
    sequence = change.sequence
    assert sequence is not None
    known = -1 if reached is None else reached.sequence
    if sequence == known + 1:
        return Step.NEXT
    if sequence > known:
        return Step.GAP
    is_other = reached is not None and sequence == known and change.id != reached.event_id
    return Step.RESTART if is_other else Step.OLD


def by_session(changes: Iterable[Change]) -> dict[str, list[Change]]:
    """In the order given."""
    found: dict[str, list[Change]] = defaultdict(list)
    for each in changes:
        found[each.session_id].append(each)
    return dict(found)


def is_continued(reached: Reached, told: Sequence[Change]) -> bool:
    """Whether what was told from the last known change on begins with that change."""
    if reached.sequence < 0:
        return True
    return bool(told) and (told[0].sequence, told[0].id) == reached
