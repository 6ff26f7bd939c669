"""A turn: all that happens between a question and its answer, with a beginning and an end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from dualstore.conversations.entries import LogEntry, new_id
from dualstore.errors import DualStoreError

Append = Callable[[Sequence[LogEntry | Mapping[str, Any]]], Awaitable[list[LogEntry]]]
Begin = Callable[[], Awaitable[Append]]
"""Gives what appends to the conversation that is there now, and to none that comes after it."""
Status = Literal["ok", "error", "aborted"]


class Turn:
    """What is appended through it carries its id."""

    def __init__(self, append: Append) -> None:
        self.id = new_id()
        self._append = append

    async def append(self, entries: Iterable[LogEntry | Mapping[str, Any]]) -> list[LogEntry]:
        """As the store's own; entries that name a turn already keep it."""
        return await self._append([self._stamped(each) for each in entries])

    def _stamped(self, entry: LogEntry | Mapping[str, Any]) -> LogEntry | Mapping[str, Any]:
        if isinstance(entry, LogEntry):
            return entry if entry.turn_id else entry.model_copy(update={"turn_id": self.id})
        return {"turn_id": self.id, **entry}


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
