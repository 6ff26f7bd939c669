"""The family that holds what is said in all conversations, and the only way to it.

Every question names a scope and every write a log, so there is nothing here that could be asked
or written without one. The thread of a text is its log: neighbours never leave the conversation.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from dualstore.conversations.scope import LogName, Scope
from dualstore.conversations.texts import Spoken
from dualstore.entry import SourceVersion
from dualstore.family import FamilySpec, family_name
from dualstore.manager import DualStoreManager
from dualstore.search.results import Hit, Mode, SearchResult

NAME: Final = "conversations"
ORIGIN: Final = "conversations"
"""Not local: what was deleted here stays deleted, however late somebody comes with it."""
_AT_ONCE: Final = 200
_ONLY: Final = SourceVersion("sequence", 1)
"""An entry never changes, so there is one version of it."""


class Line(NamedTuple):
    """A text of an entry."""

    seq: int
    at: int
    spoken: Spoken


class Found(NamedTuple):
    """A text that was found, and where it is."""

    log: str
    seq: int
    place: int
    hit: Hit


def shelf_spec(house: str) -> FamilySpec:
    """One family for all conversations of a house."""
    return FamilySpec(
        family_name(house, NAME),
        thread_key="log",
        author_key="role",
        filter_fields=("scope", "conversation"),
    )


class Shelf:
    """What is said, by scope."""

    def __init__(self, open_manager: Callable[[], DualStoreManager]) -> None:
        self._open = open_manager

    async def put(self, name: LogName, lines: Iterable[Line]) -> None:
        """Write them; what is there already, or was taken away, stays as it is."""
        family = await self._open().family()
        log = str(name)
        drafts = [
            family.drafter.compose(
                id=_key(log, line.seq, line.spoken.place),
                text=line.spoken.text,
                timestamp=line.at,
                metadata={
                    "log": log,
                    "scope": name.scope.name,
                    "conversation": name.conversation_id,
                    "role": line.spoken.role,
                    "seq": line.seq,
                    "place": line.spoken.place,
                },
                origin=ORIGIN,
                source_version=_ONLY,
            )
            for line in lines
            if line.spoken.text
        ]
        try:
            for start in range(0, len(drafts), _AT_ONCE):
                await family.store.put(drafts[start : start + _AT_ONCE], now=family.clock())
        finally:
            family.worker.wake()

    async def take_away(self, name: LogName, places: Sequence[tuple[int, int]]) -> None:
        """Delete them for good, also those that somebody is still about to write."""
        family = await self._open().family()
        ids = [_key(str(name), seq, place) for seq, place in places]
        try:
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                await family.store.delete(
                    some, now=family.clock(), origin=ORIGIN, source_version=_ONLY
                )
        finally:
            family.worker.wake()

    async def search(
        self,
        scope: Scope,
        query: str,
        *,
        mode: Mode,
        conversation_id: str | None,
        limit: int,
        cursor: str | None,
    ) -> tuple[SearchResult, list[Found]]:
        """What answers best of what was said in this scope."""
        where: dict[str, Any] = {"metadata.scope": scope.name}
        if conversation_id is not None:
            where["metadata.conversation"] = conversation_id
        result = await self._open().search(query, mode, where, limit, cursor=cursor)
        return result, [_found(hit) for hit in result.hits]


def _key(log: str, seq: int, place: int) -> str:
    return f"{log}:{seq}.{place}"


def _found(hit: Hit) -> Found:
    told = hit.entry.metadata
    return Found(told["log"], told["seq"], told["place"], hit)
