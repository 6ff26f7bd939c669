"""Asking the remote, and taking in what it tells."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

from dualstore.documents.base import PutOutcome
from dualstore.errors import DualStoreError, RemoteError, UnavailableError
from dualstore.metrics import Metrics, WrittenThrough
from dualstore.mirror.coverage import Coverage, Reached
from dualstore.mirror.intake import Revisions, Taken
from dualstore.mirror.keys import parse_key
from dualstore.mirror.writethrough import WriteThrough
from dualstore.remote.base import Change, RemoteMessages, RemoteSessions, RemoteSource, Thing

OnRemoteDelete = Literal["keep", "drop"]
"""What becomes of a copy whose original is gone."""

_TRIES: Final = 3
_DROPPED_AT_ONCE: Final = 100
"""Sessions that are asked for before a list is answered."""

_T = TypeVar("_T")
_U = TypeVar("_U")


@dataclass(slots=True)
class Told(Generic[_T]):
    """What a remote has told."""

    content: _T
    is_kept: bool = True
    """It can be read here now."""
    error: DualStoreError | None = None
    """Why nothing of it can be kept, if it isn't for what it is."""
    is_outdated: bool = False
    """Some of it was not kept, because it was changed here again and again."""
    degraded: list[str] = field(default_factory=list)
    is_new: bool = False
    """Nothing of the kind was here before, and all of it is here now, word for word."""

    def about(self, content: _U) -> "Told[_U]":
        """The same of what was told in another form."""
        return Told(
            content,
            is_kept=self.is_kept,
            error=self.error,
            is_outdated=self.is_outdated,
            degraded=self.degraded,
        )


class Fetcher:
    """Fetches from one remote. What the remote raises goes through; what a store raises while
    something is kept is said in `degraded`: the answer is there all the same.
    """

    def __init__(
        self,
        remote: RemoteSource,
        through: WriteThrough,
        *,
        coverage: Coverage,
        on_remote_delete: OnRemoteDelete,
        clock: Callable[[], int],
        metrics: Metrics,
    ) -> None:
        self._remote = remote
        self._through = through
        self._coverage = coverage
        self._drops = on_remote_delete == "drop"
        self._clock = clock
        self._metrics = metrics

    async def sessions(self) -> Told[RemoteSessions]:
        """All of them."""

        async def take(told: RemoteSessions, seen: Revisions, at: int) -> Taken:
            is_same = await self._through.is_same(told.items, seen)
            taken = await self._through.take_sessions(
                told.items, seen, at=at, are_all=told.complete
            )
            if self._drops and told.complete and is_same:
                await self._drop_unlisted(at)
            return taken

        return await self._fetched(
            "sessions", self._remote.fetch_sessions, self._through.seen_sessions, take
        )

    async def session(self, session_id: str) -> Told[Thing | None]:
        """One; None when the remote says that there is none."""

        async def take(told: Thing | None, seen: Revisions, at: int) -> Taken:
            if told is not None:
                return await self._through.take_session(session_id, told, seen, at=at)
            return await self._session_is_gone(session_id, at)

        told = await self._fetched(
            "session",
            lambda: self._remote.fetch_session(session_id),
            lambda: self._through.seen_session(session_id),
            take,
        )
        if not told.is_kept and told.error is None:
            await self._check_own(session_id)
        return told

    async def messages(
        self, session_id: str, *, newest: int | None, reached: Reached | None = None
    ) -> Told[RemoteMessages | None]:
        """The newest of a session, or all; None when there is no such session. `reached` is the
        last change that is known of it before.
        """
        updated: int | None = None

        async def see() -> Revisions:
            nonlocal updated
            await self._check_own(session_id)
            updated = await self._through.updated_of(session_id)
            return await self._through.seen_messages(session_id)

        async def take(told: RemoteMessages | None, seen: Revisions, at: int) -> Taken:
            if told is None:
                return await self._session_may_be_gone(session_id, at)
            if self._drops and told.next_cursor is None:
                await self._drop_others(session_id, told.items, seen)
            return await self._through.take_messages(
                session_id, told, seen, at=at, updated=updated, reached=reached
            )

        return await self._fetched(
            "messages",
            lambda: self._remote.fetch_messages(session_id, limit=newest),
            see,
            take,
        )

    async def message(self, session_id: str, message_id: str) -> Told[Thing | None]:
        """One; None when the remote says that there is none."""

        async def see() -> Revisions:
            await self._check_own(session_id)
            return await self._through.seen_some(session_id, [message_id])

        async def take(told: Thing | None, seen: Revisions, at: int) -> Taken:
            if told is not None:
                return await self._through.take_message(session_id, told, seen, at=at)
            await self._messages_are_gone(seen, at)
            return Taken()

        return await self._fetched(
            "message", lambda: self._remote.fetch_message(session_id, message_id), see, take
        )

    async def news(
        self, session_id: str, message_ids: Collection[str], *, reached: Reached | None
    ) -> Told[list[Thing]]:
        """Messages that have changed, when all the others are known to be as they were."""
        updated: int | None = None
        gone: list[str] = []

        async def see() -> Revisions:
            nonlocal updated
            await self._check_own(session_id)
            updated = await self._through.updated_of(session_id)
            return await self._through.seen_some(session_id, message_ids)

        async def ask() -> list[Thing]:
            fetch = self._remote.fetch_message
            told = {each: await fetch(session_id, each) for each in message_ids}
            gone[:] = [each for each, thing in told.items() if thing is None]
            return [thing for thing in told.values() if thing is not None]

        async def take(told: list[Thing], seen: Revisions, at: int) -> Taken:
            await self._messages_are_gone(await self._through.seen_some(session_id, gone), at)
            return await self._through.take_news(
                session_id, told, seen, at=at, updated=updated, reached=reached
            )

        return await self._fetched("messages", ask, see, take)

    async def changes(self, changes: Sequence[Change], *, are_all: bool) -> Told[Sequence[Change]]:
        """What was told without being asked for."""

        async def nothing() -> Revisions:
            return {}

        async def ask() -> Sequence[Change]:
            return changes

        async def take(told: Sequence[Change], _: Revisions, at: int) -> Taken:
            return await self._through.take_changes(told, at=at, are_all=are_all)

        return await self._fetched("events", ask, nothing, take)

    async def events(self) -> Told[list[Change]]:
        """All that has happened since they were asked for last."""

        known: dict[str, int] = {}

        async def see() -> Revisions:
            known.update(await self._coverage.sequences())
            return known

        async def take(told: list[Change], _: Revisions, at: int) -> Taken:
            return await self._through.take_changes(told, at=at, are_all=True)

        return await self._fetched("events", lambda: self._remote.fetch_history(known), see, take)

    async def _messages_are_gone(self, keys: Iterable[str], at: int) -> None:
        """The remote said so of each of them. Without their session they are gone as it is."""
        gone = list(keys)
        if not self._drops:
            for each in gone:
                await self._through.take_gone_message(each, at=at)
        elif gone and await self._has_session(parse_key(gone[0]).parts[0]):
            await self._through.drop_messages(gone)

    async def _has_session(self, session_id: str) -> bool:
        try:
            return await self._remote.fetch_session(session_id) is not None
        except (RemoteError, UnavailableError):
            return False

    async def _session_may_be_gone(self, session_id: str, at: int) -> Taken:
        """Who says that it has no messages may still have the session: it is asked for itself."""
        if not await self._through.seen_session(session_id):
            return Taken()
        try:
            told = await self._remote.fetch_session(session_id)
        except (RemoteError, UnavailableError):
            return Taken()
        return Taken() if told is not None else await self._session_is_gone(session_id, at)

    async def _session_is_gone(self, session_id: str, at: int) -> Taken:
        """Of a session that was never here nothing is noted, and of one that this remote never
        told nothing is dropped.
        """
        if await self._through.seen_session(session_id):
            drops = self._drops and await self._through.was_told(session_id)
            if drops and await self._is_same():
                await self._through.drop_session(session_id, at=at)
            else:
                await self._through.take_gone(session_id, at=at)
        return Taken()

    async def _is_same(self) -> bool:
        """Nothing is dropped because it isn't at a remote that it never came from."""
        try:
            told = await self._remote.fetch_sessions()
        except (RemoteError, UnavailableError):
            return False
        return await self._through.is_same(told.items, await self._through.seen_sessions())

    async def _check_own(self, session_id: str) -> None:
        if (await self._coverage.session(session_id)).is_other:
            raise RemoteError(
                f"{self._remote.name} has another session than the one that is here under the id "
                f"{session_id}, which is kept"
            )

    async def _drop_unlisted(self, at: int) -> None:
        """As `_drop_others`; of very many only some each time."""
        for session_id in (await self._through.listing.left_out())[:_DROPPED_AT_ONCE]:
            try:
                told = await self._remote.fetch_session(session_id)
            except (RemoteError, UnavailableError):
                break
            if told is None:
                await self._session_is_gone(session_id, at)

    async def _drop_others(self, session_id: str, told: Sequence[Thing], seen: Revisions) -> None:
        """A list may be wrong: what it leaves out goes only when the remote says so itself."""
        gone: list[str] = []
        for key in await self._through.left_out(session_id, told, seen):
            (_, message_id) = parse_key(key).parts
            try:
                if await self._remote.fetch_message(session_id, message_id) is None:
                    gone.append(key)
            except (RemoteError, UnavailableError):
                break
        await self._through.drop_messages(gone)

    async def _fetched(
        self,
        what: str,
        ask: Callable[[], Awaitable[_T]],
        see: Callable[[], Awaitable[Revisions]],
        take: Callable[[_T, Revisions, int], Awaitable[Taken]],
    ) -> Told[_T]:
        """Asks again while something changes here meanwhile."""
        for _ in range(_TRIES):
            at = self._clock()
            try:
                seen = await see()
            except RemoteError:
                raise
            except DualStoreError as error:
                return _not_kept(await ask(), error)
            told = await ask()
            try:
                taken = await self._timed(what, take(told, seen, at))
            except DualStoreError as error:
                return _not_kept(told, error)
            if not taken.is_outdated:
                break
        degraded = [f"{each} can't be kept: {why}" for each, why in taken.refused.items()]
        if taken.is_outdated:
            degraded.append("what was changed here meanwhile was left as it is")
        is_one = isinstance(told, dict)
        is_new = not (seen or taken.refused) and set(taken.outcomes.values()) <= {
            PutOutcome.CREATED
        }
        return Told(
            told,
            is_kept=not (is_one and taken.refused),
            is_outdated=taken.is_outdated,
            is_new=is_new,
            degraded=degraded,
        )

    async def _timed(self, what: str, taking: Awaitable[Taken]) -> Taken:
        began = time.monotonic()
        taken = await taking
        counts = Counter(map(str, taken.outcomes.values()))
        seconds = time.monotonic() - began
        self._metrics.emit(
            WrittenThrough(what, **counts, refused=len(taken.refused), seconds=seconds)
        )
        return taken


def _not_kept(told: _T, error: DualStoreError) -> Told[_T]:
    return Told(told, is_kept=False, error=error, degraded=[f"nothing can be kept: {error}"])
