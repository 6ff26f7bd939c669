"""Sessions, which also show all of their messages under a key of its own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from dualstore.assembly import Family
from dualstore.entry import Draft, Entry
from dualstore.errors import EntryError, InvalidNameError
from dualstore.manager import DualStoreManager
from dualstore.mirror.keys import parse_key, session_key

_AT_ONCE: Final = 500


class SessionManager(DualStoreManager):
    """The family of sessions. `session:{id}:messages` is a view: read here, and never stored."""

    def __init__(self, messages: DualStoreManager, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._messages = messages

    async def _put(self, family: Family, drafts: Sequence[Draft]) -> None:
        for position, draft in enumerate(drafts):
            if _viewed(draft.id) is not None:
                reason = "names a view, which is read and never written"
                raise EntryError("id", reason, position=position)
        await super()._put(family, drafts)

    async def get_many(self, ids: Sequence[str]) -> dict[str, Entry]:
        """The entries by id; of a view, whose body is the list of all messages, oldest first."""
        views = {each: session_id for each in ids if (session_id := _viewed(each)) is not None}
        found = await super().get_many([each for each in ids if each not in views])
        for key, session_id in views.items():
            view = await self._view(key, session_id)
            if view is not None:
                found[key] = view
        return found

    async def _view(self, key: str, session_id: str) -> Entry | None:
        where = {"metadata.session_id": session_id}
        bodies: list[Any] = []
        base = await self.get(session_key(session_id))
        cursor: str | None = None
        while True:
            page = await self._messages.page(where, newest=False, limit=_AT_ONCE, cursor=cursor)
            bodies += [each.body for each in page.entries]
            base = base or next(iter(page.entries), None)
            cursor = page.next_cursor
            if cursor is None:
                break
        return base and replace(base, id=key, text="", body=bodies)


def _viewed(key: str) -> str | None:
    try:
        kind, parts = parse_key(key)
    except InvalidNameError:
        return None
    return parts[0] if kind == "messages" else None
