"""What is remembered, and for how long."""

from actions.memo import LONGEST, Memo
from dualstore.testing import FakeClock


class Finding:
    def __init__(self) -> None:
        self.value = True
        self.count = 0

    async def __call__(self) -> bool:
        self.count += 1
        return self.value


async def test_the_same_is_found_out_once() -> None:
    memo, find = Memo(FakeClock(1_000)), Finding()
    assert [await memo.recall((1, 2), find) for _ in range(3)] == [True] * 3
    assert find.count == 1


async def test_something_else_is_found_out_anew() -> None:
    memo, find = Memo(FakeClock(1_000)), Finding()
    assert await memo.recall((1, 2), find)
    find.value = False
    assert not await memo.recall((1, 3), find)
    assert not await memo.recall(None, find)
    find.value = True
    assert await memo.recall(None, find), "nobody could tell whether it changed"


async def test_after_a_while_it_is_found_out_anew() -> None:
    clock = FakeClock(100_000)
    memo, find = Memo(clock), Finding()
    assert await memo.recall("a", find)
    find.value = False
    clock.advance(LONGEST - 1)
    assert await memo.recall("a", find)
    clock.advance(1)
    assert not await memo.recall("a", find)


async def test_a_clock_that_was_set_back_keeps_nothing() -> None:
    clock = FakeClock(100_000)
    memo, find = Memo(clock), Finding()
    assert await memo.recall("a", find)
    find.value = False
    clock.advance(-1)
    assert not await memo.recall("a", find)
