"""Messages that a remote told once, and leaves out now where they stood: they stay, with a mark."""

from collections.abc import Callable, Iterable, Sequence, Set
from functools import partial
from typing import Final

from dualstore.manager import DualStoreManager
from dualstore.mirror.coverage import Coverage, Mark, Position
from dualstore.mirror.intake import Revisions
from dualstore.mirror.keys import keyed, message_key
from dualstore.mirror.telling import text_at
from dualstore.remote.base import Thing

_MOST: Final = 1_000
"""Of the newest messages. Who is further back is found when all are told."""


class Departures:
    """Of one remote's messages."""

    def __init__(
        self,
        messages: DualStoreManager,
        coverage: Coverage,
        *,
        origin: str,
        clock: Callable[[], int],
    ) -> None:
        self._messages = messages
        self._coverage = coverage
        self._origin = origin
        self._clock = clock

    async def note(
        self,
        session_id: str,
        told: Sequence[Thing],
        seen: Revisions,
        *,
        since: Position | None,
        at: int,
    ) -> None:
        """All messages of a session from that place on were told, or all there are: what was seen
        here before and isn't among them is gone, and what is among them isn't.
        """
        if not seen:
            return
        ids = filter(None, (text_at(each, "info", "id") for each in told))
        keys = keyed(ids, partial(message_key, session_id)).keys()
        gone = await self._left_out(session_id, seen.keys() - keys, since)
        marks = await self._coverage.messages([*gone, *(keys & seen.keys())])
        for key in gone:
            if key not in marks or marks[key].gone_at is None:
                await self._coverage.mark_message(key, Mark(at, at, is_left_out=True))
        await self.are_back(keys & marks.keys(), at=at)

    async def are_back(self, keys: Iterable[str], *, at: int) -> None:
        """These were told, each by itself."""
        marks = await self._coverage.messages(keys)
        for key, mark in marks.items():
            if mark.gone_at is not None and not at <= mark.gone_at <= self._clock():
                await self._coverage.mark_message(key, Mark(at))

    async def _left_out(self, session_id: str, keys: Set[str], since: Position | None) -> list[str]:
        """Those of them that came from the remote, and belong there."""
        if not keys:
            return []
        if since is None:
            found = await self._messages.get_many(sorted(keys))
            return [key for key, each in found.items() if each.origin == self._origin]
        where = {
            "metadata.session_id": session_id,
            "origin": self._origin,
            "timestamp": {"$gte": since.created},
        }
        page = await self._messages.page(where, limit=_MOST)
        places = (Position(each.timestamp, each.id) for each in page.entries)
        return [each.id for each in places if each.id in keys and each >= since]
