"""Local first: what is here and fresh is answered; else the remote is asked, and kept.

One question goes through the table of `docs/local-first.md`, whatever it is about.
"""

import time
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, assert_never

from actions.answer import Answer, Source
from actions.context import Context
from actions.shapes import Shape
from dualstore.errors import (
    DualStoreError,
    EntryError,
    NotFoundError,
    RemoteError,
    StorageError,
    UnavailableError,
)
from dualstore.metrics import ReadAnswered
from dualstore.mirror.fetching import Told
from dualstore.mirror.freshness import Age, Move, move

T = TypeVar("T", bound=Shape)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What is here."""

    value: T | None
    """None when the thing isn't here; a list always is, and may be empty."""
    age: Age
    complete: bool
    """Nothing that belongs to it is known to be missing."""
    final: bool = False
    """The remote has nothing to add, even if something is missing."""
    confirmed_at: int | None = None
    degraded: tuple[str, ...] = ()


class Question(Protocol[T]):
    """Something that is asked."""

    kind: str
    what: str
    """As errors say it."""

    @abstractmethod
    def key(self) -> str:
        """Questions with the same key ask the remote the same."""

    @abstractmethod
    async def look(self) -> Found[T]:
        """What is here."""

    @abstractmethod
    async def fetch(self) -> Told[Any]:
        """Ask the remote, and keep what it tells. Its content is None when it has no such thing."""

    @abstractmethod
    def shown(self, content: Any) -> tuple[T, bool]:
        """The answer from what the remote told, and whether it is complete: when nothing of it
        can be kept.
        """


async def read(context: Context, question: Question[T]) -> Answer[T]:
    """The answer. Raises only when there is none: `NotFoundError` when both sides say so,
    `UnavailableError` when nobody could be asked.
    """
    return await _Reading(context, question).answer()


class _Reading(Generic[T]):
    """One question on its way."""

    def __init__(self, context: Context, question: Question[T]) -> None:
        self._context = context
        self._question = question
        self._began = time.monotonic()
        self._coalesced = 0
        self._landings = 0

    async def answer(self) -> Answer[T]:
        self._landings = self._context.flights.landings
        try:
            found = await self._question.look()
        except (StorageError, UnavailableError) as error:
            return await self._without_store(error)
        if self._context.upstream is None:
            return self._alone(found)
        is_here = found.value is not None and (found.complete or found.final)
        match move(found.age, is_here=is_here):
            case Move.LOCAL:
                self._tell(hits=1)
                return self._answer(found, "local")
            case Move.REFRESH:
                self._context.flights.start(self._question.key(), self._question.fetch)
                self._tell(stale=1)
                return self._answer(found, "stale")
            case Move.ASK:
                return await self._asked(found)
            case other:
                assert_never(other)

    def _alone(self, found: Found[T]) -> Answer[T]:
        if found.value is None:
            raise self._absent("is not here, and there is no remote")
        self._tell(hits=1)
        return self._answer(found, "local")

    async def _asked(self, found: Found[T]) -> Answer[T]:
        if found.value is None and self._is_known_absent():
            raise self._was_absent()
        if self._context.flights.has_landed(self._question.key(), since=self._landings):
            return await self.answer()  # it was answered while we looked
        try:
            told = await self._told()
        except (RemoteError, UnavailableError) as error:
            return self._fallback(found, error)
        if told.content is None:
            return await self._gone(found)
        try:
            again = await self._question.look()
        except (StorageError, UnavailableError) as error:
            return self._only_told(told, error)
        if not told.is_kept:
            return self._unkept(again, told)
        if again.value is None:
            self._context.absences.note(self._question.key())
            raise self._absent("was deleted here")
        self._tell(misses=1)
        return self._answer(again, "remote", degraded=told.degraded)

    async def _told(self) -> Told[Any]:
        key = self._question.key()
        self._coalesced = int(self._context.flights.is_under_way(key))
        told = await self._context.flights.join(key, self._question.fetch)
        if told.content is None:
            self._context.absences.note(key)
        else:
            self._context.absences.forget(key)
        return told

    async def _gone(self, found: Found[T]) -> Answer[T]:
        """The remote doesn't have it; what is here stays, unless the policy says otherwise."""
        try:
            again = await self._question.look()
        except (StorageError, UnavailableError):
            again = found
        if again.value is not None:
            self._context.absences.forget(self._question.key())
        else:
            raise self._absent("is nowhere: neither here nor at the remote")
        self._tell(hits=1)
        return self._answer(again, "local")

    def _fallback(self, found: Found[T], error: DualStoreError) -> Answer[T]:
        if found.value is None:
            self._tell(failed=1)
            here = NotFoundError(f"{self._question.what} is not here")
            raise UnavailableError(
                f"{self._question.what} is not here, and the remote can't be asked: {error}",
                causes=(here, error),
            ) from error
        self._tell(fallbacks=1)
        answer = self._answer(found, "local" if found.confirmed_at is None else "stale")
        return replace(
            answer,
            complete=found.complete and found.age is not Age.EXPIRED,
            degraded=(*answer.degraded, f"the remote can't be asked: {error}"),
            errors=(error,),
        )

    async def _without_store(self, error: DualStoreError) -> Answer[T]:
        if self._context.upstream is None:
            self._tell(failed=1)
            raise error
        try:
            return await self._told_there(error)
        except (NotFoundError, RemoteError, UnavailableError) as other:
            self._tell(failed=1)
            raise UnavailableError(
                f"{self._question.what}: the store can't be asked, and the remote doesn't have it "
                f"or can't be asked either: {error}; {other}",
                causes=(error, other),
            ) from other

    async def _told_there(self, error: DualStoreError) -> Answer[T]:
        """Absence there is no answer: it may be here all the same."""
        told = None if self._is_known_absent() else await self._told()
        if told is not None and told.is_kept and (again := await self._looked()):
            self._tell(misses=1)
            notes = [f"the store couldn't be read at first: {error}", *told.degraded]
            return replace(self._answer(again, "remote", degraded=notes), errors=(error,))
        if told is None or told.content is None:
            raise NotFoundError(f"{self._question.what} is not at the remote")
        return self._only_told(told, error)

    async def _looked(self) -> Found[T] | None:
        """What is here, if the store is back."""
        try:
            found = await self._question.look()
        except (StorageError, UnavailableError):
            return None
        return None if found.value is None else found

    def _unkept(self, found: Found[T], told: Told[Any]) -> Answer[T]:
        try:
            return self._only_told(told)
        except RemoteError as error:
            return self._fallback(found, error)

    def _only_told(self, told: Told[Any], error: DualStoreError | None = None) -> Answer[T]:
        try:
            value, complete = self._question.shown(told.content)
        except EntryError as wrong:
            raise RemoteError(
                f"what the remote told of {self._question.what} can't be used: {wrong}"
            ) from wrong
        self._tell(remote_only=1)
        reasons = [] if error is None else [f"the store can't be read: {error}"]
        return Answer(
            value,
            "remote",
            complete=complete,
            age_ms=0,
            degraded=tuple(dict.fromkeys([*reasons, *told.degraded])),
            errors=() if error is None else (error,),
        )

    def _is_known_absent(self) -> bool:
        return self._context.absences.knows(self._question.key())

    def _was_absent(self) -> NotFoundError:
        self._tell(negative=1)
        return NotFoundError(f"{self._question.what} was nowhere a moment ago")

    def _absent(self, how: str) -> NotFoundError:
        self._tell(absent=1)
        return NotFoundError(f"{self._question.what} {how}")

    def _answer(
        self, found: Found[T], source: Source, *, degraded: Iterable[str] = ()
    ) -> Answer[T]:
        assert found.value is not None
        age = None
        if found.confirmed_at is not None:
            age = max(0, self._context.clock() - found.confirmed_at)
        return Answer(
            found.value,
            source,
            complete=found.complete,
            age_ms=age,
            degraded=(*found.degraded, *degraded),
        )

    def _tell(self, **counts: int) -> None:
        seconds = time.monotonic() - self._began
        event = ReadAnswered(
            self._question.kind, **counts, coalesced=self._coalesced, seconds=seconds
        )
        self._context.metrics.emit(event)
