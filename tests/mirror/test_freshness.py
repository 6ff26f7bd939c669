import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.mirror.freshness import (
    ACTIVE_FOR,
    Age,
    Lifetime,
    Lifetimes,
    Move,
    age_of,
    move,
    older,
)
from dualstore.testing import FakeClock

LIFETIME = Lifetime(fresh=5_000, stale=60_000)
LIFETIMES = Lifetimes(running=Lifetime(1, 0), finished=Lifetime(2, 0), lists=Lifetime(3, 0))


@pytest.mark.parametrize(
    ("passed", "age"),
    [
        (0, Age.FRESH),
        (4_999, Age.FRESH),
        (5_000, Age.STALE),
        (64_999, Age.STALE),
        (65_000, Age.EXPIRED),
        (10**12, Age.EXPIRED),
    ],
)
def test_what_was_confirmed_ages(passed: int, age: Age) -> None:
    clock = FakeClock()
    confirmed_at = clock()
    clock.advance(passed)
    assert age_of(confirmed_at, LIFETIME, now=clock()) is age


@pytest.mark.parametrize(
    ("back", "age"),
    [
        (1, Age.FRESH),  # clocks of two machines are never quite the same
        (5_000, Age.FRESH),
        (5_001, Age.EXPIRED),
        (10**12, Age.EXPIRED),
    ],
)
def test_a_clock_that_was_set_back_makes_unknown_what_lies_too_far_ahead(
    back: int, age: Age
) -> None:
    clock = FakeClock()
    confirmed_at = clock()
    clock.advance(-back)
    assert age_of(confirmed_at, LIFETIME, now=clock()) is age


def test_a_clock_that_was_set_forward_makes_everything_old() -> None:
    clock = FakeClock()
    confirmed_at = clock()
    clock.advance(10**15)
    assert age_of(confirmed_at, LIFETIME, now=clock()) is Age.EXPIRED
    assert age_of(clock(), LIFETIME, now=clock()) is Age.FRESH


def test_what_was_never_confirmed_is_expired_whatever_the_lifetime() -> None:
    for lifetime in (LIFETIME, Lifetime(0, 0), Lifetime(10**18, 10**18)):
        assert age_of(None, lifetime, now=FakeClock()()) is Age.EXPIRED


@pytest.mark.parametrize(
    ("lifetime", "passed", "age"),
    [
        (Lifetime(0, 0), -1, Age.EXPIRED),
        (Lifetime(0, 0), 0, Age.EXPIRED),
        (Lifetime(0, 0), 1, Age.EXPIRED),
        (Lifetime(0, 10), 0, Age.STALE),
        (Lifetime(0, 10), 9, Age.STALE),
        (Lifetime(0, 10), 10, Age.EXPIRED),
        (Lifetime(10, 0), 9, Age.FRESH),
        (Lifetime(10, 0), 10, Age.EXPIRED),
    ],
)
def test_lifetimes_of_nothing(lifetime: Lifetime, passed: int, age: Age) -> None:
    now = FakeClock()()
    assert age_of(now - passed, lifetime, now=now) is age


@given(
    confirmed_at=st.none() | st.integers(0, 2_000),
    fresh=st.integers(0, 500),
    stale=st.integers(0, 500),
    now=st.integers(0, 2_000),
    later=st.integers(0, 500),
)
def test_nothing_gets_younger_by_waiting(
    confirmed_at: int | None, fresh: int, stale: int, now: int, later: int
) -> None:
    lifetime = Lifetime(fresh, stale)
    before = age_of(confirmed_at, lifetime, now=now)
    after = age_of(confirmed_at, lifetime, now=now + later)
    if confirmed_at is None or confirmed_at <= now:
        assert older(before, after) is after
    if after is Age.FRESH:
        assert confirmed_at is not None
        assert abs(now + later - confirmed_at) <= fresh


@pytest.mark.parametrize(
    ("one", "other", "worse"),
    [
        (Age.FRESH, Age.FRESH, Age.FRESH),
        (Age.FRESH, Age.STALE, Age.STALE),
        (Age.FRESH, Age.EXPIRED, Age.EXPIRED),
        (Age.STALE, Age.STALE, Age.STALE),
        (Age.STALE, Age.EXPIRED, Age.EXPIRED),
        (Age.EXPIRED, Age.EXPIRED, Age.EXPIRED),
    ],
)
def test_the_older_of_two_ages(one: Age, other: Age, worse: Age) -> None:
    assert older(one, other) is worse
    assert older(other, one) is worse


@pytest.mark.parametrize(
    ("age", "is_here", "what"),
    [
        (Age.FRESH, True, Move.LOCAL),
        (Age.STALE, True, Move.REFRESH),
        (Age.EXPIRED, True, Move.ASK),
        (Age.FRESH, False, Move.ASK),
        (Age.STALE, False, Move.ASK),
        (Age.EXPIRED, False, Move.ASK),
    ],
)
def test_what_is_to_be_done(age: Age, is_here: bool, what: Move) -> None:
    assert move(age, is_here=is_here) is what


@pytest.mark.parametrize(
    ("quiet_for", "lifetime"),
    [
        (-(10**12), LIFETIMES.running),  # the remote's clock is ahead, or this one was set back
        (0, LIFETIMES.running),
        (ACTIVE_FOR, LIFETIMES.running),
        (ACTIVE_FOR + 1, LIFETIMES.finished),
        (10**12, LIFETIMES.finished),
    ],
)
def test_a_session_is_finished_after_ten_minutes_without_news(
    quiet_for: int, lifetime: Lifetime
) -> None:
    now = FakeClock()()
    assert LIFETIMES.of_session(now - quiet_for, now=now) is lifetime
