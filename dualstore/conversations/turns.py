"""A turn: all that happens between a question and its answer, with a beginning and an end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

from dualstore.conversations.entries import LogEntry, new_id
from dualstore.errors import DualStoreError

Append = Callable[[Iterable[LogEntry | Mapping[str, Any]]], Awaitable[list[LogEntry]]]
Begin = Callable[[], Awaitable[Append]]
"""Gives what appends to the conversation that is there now, and to none that comes after it."""
_NO_BATCH: Final = (Mapping, LogEntry, str, bytes)
"""They can be gone through, too."""
Status = Literal["ok", "error", "aborted"]


class Turn:
    """What is appended through it carries its id."""

    def __init__(self, append: Append) -> None:
        self.id = new_id()
        self._append = append

    async def append(self, entries: Iterable[LogEntry | Mapping[str, Any]]) -> list[LogEntry]:
        """As the store's own; entries that name a turn already keep it."""
        if isinstance(entries, _NO_BATCH) or not isinstance(entries, Iterable):
            return await self._append(entries)  # which says what is wrong with it
        return await self._append([self._stamped(each) for each in entries])

    def _stamped(self, entry: LogEntry | Mapping[str, Any]) -> LogEntry | Mapping[str, Any]:
        """What is no entry is left as it is."""
        if isinstance(entry, LogEntry) and vars(entry).get("turn_id") is None:
            return entry.model_copy(update={"turn_id": self.id})
        if isinstance(entry, Mapping) and entry.get("turn_id") is None:
            return {**entry, "turn_id": self.id}
        return entry


@asynccontextmanager
async def bracketed(begin: Begin, running: set[str]) -> AsyncIterator[Turn]:
    """Starts a turn, and finishes it, however it ends. `running` has its id meanwhile."""
    turn = Turn(await begin())
    running.add(turn.id)
    try:
        await turn.append([{"type": "turn_started"}])
        try:
            yield turn
        except asyncio.CancelledError:
            await _finish_after(turn, "aborted")
            raise
        except BaseException as error:
            await _finish_after(turn, "error", error)
            raise
        await _finish(turn, "ok")
    finally:
        running.discard(turn.id)


async def _finish(turn: Turn, status: Status) -> None:
    await turn.append([{"type": "turn_finished", "status": status}])


async def _finish_after(turn: Turn, status: Status, error: BaseException | None = None) -> None:
    """What ended the turn is what its caller has to hear of; without an end in the log the turn
    is found to have broken off, which is true.
    """
    try:
        await asyncio.shield(_finish(turn, status))
    except DualStoreError as second:
        if error is not None:
            error.add_note(f"and the turn's end couldn't be written down: {second}")
