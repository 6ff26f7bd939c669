from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dualstore.documents.sqlite import SqliteDatabase
from dualstore.mirror.coverage import Coverage
from dualstore.mirror.followed import HEARD, LEASE, Followed, Lease, LeaseLostError
from dualstore.testing import FakeClock

NOW = 1_800_000_000_000
SPACE = "followed"


def held(*, until: int = LEASE, since: int | None = -1_000, at: int = 0) -> Followed:
    """As seen at `NOW`."""
    return Followed("me", NOW + until, None if since is None else NOW + since, NOW + at)


@pytest.mark.parametrize(
    ("followed", "expected"),
    [
        (held(), True),
        (held(until=1), True),
        (held(until=0), False),
        (held(until=-1), False),
        (held(until=LEASE + 1), False),  # the clock was set back
        (held(since=None), False),
        (held(at=1 - HEARD), True),
        (held(at=-HEARD), False),
        (held(at=HEARD), False),
    ],
)
def test_what_is_followed_is_current_while_the_remote_is_heard(
    followed: Followed, expected: bool
) -> None:
    assert followed.is_current(now=NOW) is expected
    assert Followed.from_record(followed.to_record()) == followed


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(tmp_path / "documents.db") as opened:
        yield opened


async def test_one_at_a_time_holds_the_lease(database: SqliteDatabase) -> None:
    clock = FakeClock(NOW)
    one, other = (Lease(database.records, space=SPACE, clock=clock) for _ in range(2))
    assert await one.acquire()
    assert not await other.acquire()
    assert await one.acquire()
    await one.release()
    assert await other.acquire()
    assert not await one.acquire()
    with pytest.raises(LeaseLostError):
        await one.tell(since=NOW, at=NOW, failing=())


async def test_who_is_silent_for_long_has_lost_it(database: SqliteDatabase) -> None:
    clock = FakeClock(NOW)
    one, other = (Lease(database.records, space=SPACE, clock=clock) for _ in range(2))
    assert await one.acquire()
    clock.advance(LEASE - 1)
    assert not await other.acquire()
    await one.tell(since=NOW, at=NOW, failing=())
    clock.advance(LEASE)
    assert await other.acquire()
    with pytest.raises(LeaseLostError):
        await one.tell(since=NOW, at=NOW, failing=())
    await one.release()
    assert not await one.acquire(), "what somebody else holds is not given back"


async def test_after_the_clock_was_set_back_nobody_is_shut_out(database: SqliteDatabase) -> None:
    clock = FakeClock(NOW)
    one, other = (Lease(database.records, space=SPACE, clock=clock) for _ in range(2))
    assert await one.acquire()
    clock.advance(-3_600_000)
    assert await other.acquire()


async def test_what_the_follower_says_is_read_with_the_lists(database: SqliteDatabase) -> None:
    clock = FakeClock(NOW)
    lease, coverage = (
        Lease(database.records, space=SPACE, clock=clock),
        Coverage(database.records, space=SPACE),
    )
    assert (await coverage.lists()).followed is None
    assert await lease.acquire()
    assert not (await coverage.lists()).is_kept(now=NOW)
    await lease.tell(since=NOW, at=NOW, failing=("ses_1",))
    lists = await coverage.lists()
    assert lists.is_kept(now=NOW)
    assert (lists.followed and lists.followed.failing) == ("ses_1",)
    await lease.release()
    assert not (await coverage.lists()).is_kept(now=NOW)
