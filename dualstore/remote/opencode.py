"""OpenCode's server as a remote: conversations over HTTP, changes by history and by stream.

Facts of release 1.18 that this rests on: listing across projects loses ties between pages, so it
is asked in one; `/sync/history` fails when about a thousand sessions are named, and where a number
is below 0; ids of another form are answered as a fault of the server's, so they are never asked
for; its stream begins with `server.connected` some milliseconds before it listens to what happens.
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from heapq import nlargest
from typing import Final, Self

import httpx
import orjson

from dualstore.errors import InvalidInputError, RemoteError
from dualstore.remote.base import (
    CONNECTED,
    Capabilities,
    Change,
    RemoteMessages,
    RemoteSessions,
    RemoteSource,
    Thing,
)
from dualstore.remote.opencode_address import address
from dualstore.remote.opencode_asking import Answer, OpenCodeLine, Patience
from dualstore.remote.opencode_errors import NothingThereError
from dualstore.remote.opencode_reading import (
    frame,
    history,
    is_message_id,
    is_session_id,
    message,
    session,
    things,
)
from dualstore.remote.opencode_stream import Frames

_log = logging.getLogger(__name__)

_PATIENCE: Final = Patience()
_ALL: Final = 1_000_000_000
_MOST_NAMED: Final = 900
_NEXT: Final = "x-next-cursor"


class OpenCodeRemote(RemoteSource):
    """Several tasks may ask at once. A `transport` that is given is used and not closed."""

    capabilities = Capabilities(has_history=True, follows=True, most_named=_MOST_NAMED)

    def __init__(
        self,
        url: str,
        *,
        user: str = "",
        password: str = "",
        patience: Patience = _PATIENCE,
        transport: httpx.AsyncBaseTransport | None = None,
        name: str = "opencode",
    ) -> None:
        self.name = name
        self._patience = patience
        at = address(url, user=user, password=password)
        self.place = at.base
        self._line = OpenCodeLine(at, patience=patience, transport=transport)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self._line!r}>"

    async def __aenter__(self) -> Self:
        await self._line.open()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._line.close()

    async def fetch_sessions(self, *, limit: int | None = None) -> RemoteSessions:
        asked = _ALL if limit is None else _checked(limit) + 1
        parameters = {"archived": "true", "limit": str(asked)}
        answer = await self._ask("/experimental/session", parameters=parameters)
        found = things(answer.content, what="the sessions")
        is_all = len(found) < asked and not answer.headers.get(_NEXT)
        return RemoteSessions(found[: asked - 1], complete=is_all)

    async def fetch_session(self, session_id: str) -> Thing | None:
        if not is_session_id(session_id):
            return None
        answer = await self._find(f"/session/{session_id}")
        return None if answer is None else session(answer.content, session_id)

    async def fetch_messages(
        self, session_id: str, *, limit: int | None = None, before: str | None = None
    ) -> RemoteMessages | None:
        parameters = _page(limit, before)
        if not is_session_id(session_id):
            return None
        answer = await self._find(f"/session/{session_id}/message", parameters=parameters)
        if answer is None:
            return None
        found = things(answer.content, what=f"the messages of {session_id}")
        return RemoteMessages(found, next_cursor=answer.headers.get(_NEXT) or None)

    async def fetch_message(self, session_id: str, message_id: str) -> Thing | None:
        if not (is_session_id(session_id) and is_message_id(message_id)):
            return None
        answer = await self._find(f"/session/{session_id}/message/{message_id}")
        return None if answer is None else message(answer.content, session_id, message_id)

    async def fetch_history(self, known: Mapping[str, int]) -> list[Change]:
        answer = await self._ask("/sync/history", body=_named(known))
        return history(answer.content, known)

    async def follow(self) -> AsyncGenerator[Change, None]:
        """It says that it is connected before it listens, and so that it is, is said again."""
        frames = Frames(largest=self._patience.largest_answer)
        doubtful: Change | None = None
        async with self._line.stream("/global/event") as stream:
            while True:
                for data in frames.feed(await stream.piece()):
                    change = _told(data)
                    if change is not None and change.type == CONNECTED:
                        doubtful = change
                    elif doubtful is not None:  # whatever this is, it has been listened for
                        yield doubtful
                        doubtful = None
                    if change is not None:
                        yield change

    async def _find(
        self, path: str, *, parameters: Mapping[str, str] | None = None
    ) -> Answer | None:
        try:
            return await self._line.ask(path, parameters=parameters)
        except NothingThereError:
            return None

    async def _ask(
        self, path: str, *, parameters: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """What every server of this kind has."""
        try:
            return await self._line.ask(path, parameters=parameters, body=body)
        except NothingThereError:
            raise self._line.missing(path) from None


def _checked(limit: int) -> int:
    if limit < 1:
        raise InvalidInputError(f"limit must be at least 1, not {limit}")
    return limit


def _page(limit: int | None, before: str | None) -> dict[str, str]:
    """The server takes a cursor only with a limit, and an empty one for none."""
    if before is None:
        return {} if limit is None else {"limit": str(_checked(limit))}
    if not before or not before.isascii():
        raise RemoteError("the cursor is not one that the remote has given")
    return {"limit": str(_ALL if limit is None else _checked(limit)), "before": before}


def _named(known: Mapping[str, int]) -> dict[str, int]:
    """As many as may be named. Others come back in full, so they are the shortest ones; and those
    of which nothing is known, for which the server has no number.
    """
    ids = (each for each, sequence in known.items() if sequence >= 0 and is_session_id(each))
    return {each: known[each] for each in nlargest(_MOST_NAMED, ids, key=known.__getitem__)}


def _told(data: bytes) -> Change | None:
    """One event that can't be read hides no other, and is missed by its sequence number."""
    try:
        return frame(orjson.loads(data))
    except (orjson.JSONDecodeError, RemoteError) as error:
        kind = type(error).__name__
        _log.debug("an event of %d bytes can't be read: %s", len(data), kind)
        return None
