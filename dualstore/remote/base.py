"""The contract of client APIs that conversations are fetched from.

A `RemoteSource` hands out what it is given: JSON objects as they came. One that was asked for by
its id is checked for what everything here relies on (ids, times); the members of a list are objects
and nothing more is known of them, so that one that can't be taken in hides no other. `fetch_*` goes
to the network. Any of them may raise
`UnavailableError` (nobody answered, or not now) or a `RemoteError` (an answer that can't be used,
or a refusal). None, where it is returned, is the remote's own word that there is no such thing;
no error ever is.
"""

from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

CONNECTED: Final = "server.connected"
"""The type of the change that says that what is followed is connected."""
BEAT: Final = "server.heartbeat"
"""The type of the change that says that it still is."""

Thing = dict[str, Any]
"""A session, a message with its parts, or an event, as the remote's JSON has it."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a remote can be asked, stated by it and not guessed."""

    has_history: bool = False
    """It tells, from known sequence numbers on, all that has happened since."""
    follows: bool = False
    """It tells what happens as it happens."""
    most_named: int | None = None
    """Sessions whose known sequence numbers it takes at once; of any others it tells everything."""


@dataclass(frozen=True, slots=True)
class RemoteSessions:
    """Some sessions, newest update first; `complete` when the remote has no others."""

    items: tuple[Thing, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class RemoteMessages:
    """Some messages of one session, oldest first.

    `next_cursor` leads to older ones; None when there are none.
    """

    items: tuple[Thing, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a session, with its place in the session's sequence."""

    session_id: str
    sequence: int | None
    """Grows by one with each durable change; None for what is told once and never again."""
    type: str
    id: str
    data: Thing
    flaw: str | None = None
    """Why it can't be taken in, where it is known to have happened and nothing more."""


class RemoteSource(Protocol):
    """One remote. `async with` opens it, which asks nothing yet."""

    name: str
    """The origin of what comes from it."""
    place: str
    """Where it is, without any secret. What is known to be complete is known of this place."""
    capabilities: Capabilities

    @abstractmethod
    async def fetch_sessions(self, *, limit: int | None = None) -> RemoteSessions:
        """The `limit` newest updated, or all; archived ones and children included.

        A limit is at least 1, here and of messages: `InvalidInputError`.
        """

    @abstractmethod
    async def fetch_session(self, session_id: str) -> Thing | None:
        """The session, or None."""

    @abstractmethod
    async def fetch_messages(
        self, session_id: str, *, limit: int | None = None, before: str | None = None
    ) -> RemoteMessages | None:
        """The newest `limit` of what is older than the cursor `before`; all without a limit.

        None when there is no such session. A cursor that the remote doesn't know is a
        `RemoteError`.
        """

    @abstractmethod
    async def fetch_message(self, session_id: str, message_id: str) -> Thing | None:
        """The message with its parts, or None."""

    @abstractmethod
    async def fetch_history(self, known: Mapping[str, int]) -> list[Change]:
        """What happened after the known sequence numbers, by session in the order it happened.

        Sessions that aren't named are told from their beginning, deleted ones not at all. What
        can't be read comes as a change of no session with its `flaw`, and hides no other. Raises
        `RemoteError` where `capabilities` don't have it.
        """

    @abstractmethod
    def follow(self) -> AsyncGenerator[Change, None]:
        """What happens from now on, by session in order.

        It begins with a `CONNECTED` of no session, which may come again: what happened before each
        of them has to be asked for, and nothing is missed after the last. Whenever nothing happens
        for long there is a `BEAT` of no session. What can't be read is left out, and shows by its
        missing sequence number. Leaving it early needs an `aclose`, or the connection stays open
        for a while.

        It ends by raising `UnavailableError`: what happened since then has to be asked with
        `fetch_history`. Raises `RemoteError` where `capabilities` don't have it.
        """

    @abstractmethod
    async def __aenter__(self) -> Self: ...
    @abstractmethod
    async def __aexit__(self, *details: object) -> None: ...
