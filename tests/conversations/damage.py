"""What somebody could do to a log behind our back, on any backend: by copying it, changed."""

from collections.abc import Callable
from typing import Any

from dualstore.conversations.scope import Scope
from dualstore.documents.base import Database
from dualstore.documents.journal import JournalItem, Tip
from dualstore.values import from_json, to_json

Change = Callable[[list[JournalItem]], list[JournalItem]]


class Damaged:
    """A database whose journal answers with what somebody has made of it."""

    def __init__(self, documents: Database) -> None:
        self.documents = documents
        self.change: Change = lambda items: items
        self.tip: Callable[[Tip], Tip | None] = lambda tip: tip
        inner = documents.journal
        read, tip, find = inner.read, inner.tip, inner.find

        async def damaged_read(log: str, **asked: Any) -> list[JournalItem]:
            wanted = {name: asked.pop(name, None) for name in ("limit", "backwards")}
            kinds, after = asked.pop("kinds", None), asked.pop("after", 0)
            before = asked.pop("before", 2**53)
            items = self.change(await read(log))
            found = [
                item
                for item in items
                if after < item.seq < before and (kinds is None or item.kind in kinds)
            ]
            return (found[::-1] if wanted["backwards"] else found)[: wanted["limit"]]

        async def damaged_tip(log: str) -> Tip | None:
            found = await tip(log)
            return None if found is None else self.tip(found)

        async def damaged_find(log: str, ids: Any) -> dict[str, JournalItem]:
            found = await find(log, ids)
            left = {item.id: item for item in self.change(list(found.values()))}
            return {name: left[name] for name in found if name in left}

        inner.read = damaged_read  # type: ignore[method-assign]
        inner.tip = damaged_tip  # type: ignore[method-assign]
        inner.find = damaged_find  # type: ignore[method-assign]

    def heal(self) -> None:
        """As if nothing had been done."""
        self.change = lambda items: items
        self.tip = lambda tip: tip


def without(*seqs: int) -> Change:
    """Entries are missing."""
    return lambda items: [item for item in items if item.seq not in seqs]


def with_text(seq: int, change: Callable[[str], str]) -> Change:
    """One entry's text is another one."""
    return lambda items: [
        item._replace(text=change(item.text)) if item.seq == seq else item for item in items
    ]


def with_fields(**changed: Any) -> Callable[[str], str]:
    """Some fields of an item's text are others."""
    return lambda text: to_json({**from_json(text), **changed}, "text")


async def log_name(documents: Database, conversation_id: str = "c", **scope: Any) -> str:
    """The name of its log."""
    record = await documents.records.get(
        "conversations", Scope("default", **scope).conversation(conversation_id)
    )
    assert record is not None
    name: str = record.value["log"]
    return name
