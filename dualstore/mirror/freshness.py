"""Whether what is here may be answered, and whether the remote is asked. Pure.

All times are epoch milliseconds of this machine. A clock that was set back makes unknown what was
confirmed further ahead than it would stay fresh: so nothing is fresh for longer than twice its
time, and clocks that differ a little don't matter. One that was set forward makes everything old.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ACTIVE_FOR: Final = 10 * 60 * 1000
"""How long after its last update a session may still be running."""


class Age(StrEnum):
    """How long ago the remote said the same."""

    FRESH = "fresh"
    STALE = "stale"  # still answered, while the remote is asked in the background
    EXPIRED = "expired"  # answered only when the remote can't be asked


class Move(StrEnum):
    """What is to be done about a question."""

    LOCAL = "local"
    REFRESH = "refresh"  # local now, and the remote is asked in the background
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long something stays fresh, and how long it is stale after that, in milliseconds."""

    fresh: int
    stale: int


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Of everything that comes from a remote."""

    running: Lifetime
    """A session that something may be going on in, and its messages."""
    finished: Lifetime
    lists: Lifetime
    """Which sessions there are, and which events."""

    def of_session(self, updated: int, *, now: int) -> Lifetime:
        """By the time of its last update."""
        return self.finished if updated < now - ACTIVE_FOR else self.running


def age_of(confirmed_at: int | None, lifetime: Lifetime, *, now: int) -> Age:
    """What was never confirmed, or will only be in some time, is expired."""
    if confirmed_at is None or confirmed_at > now + lifetime.fresh:
        return Age.EXPIRED
    age = now - confirmed_at
    if age < lifetime.fresh:
        return Age.FRESH
    return Age.STALE if age < lifetime.fresh + lifetime.stale else Age.EXPIRED


def older(one: Age, other: Age) -> Age:
    """The worse of both."""
    return max(one, other, key=list(Age).index)


def move(age: Age, *, is_here: bool) -> Move:
    """`is_here`: the thing itself, or for a list all that belongs to it."""
    if not is_here or age is Age.EXPIRED:
        return Move.ASK
    return Move.LOCAL if age is Age.FRESH else Move.REFRESH
