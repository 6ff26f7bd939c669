import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Self

import pytest

from dualstore.breaker import FIRST_PAUSE, LONGEST_PAUSE
from dualstore.errors import RemoteError, RemoteRefusedError, UnavailableError
from dualstore.metrics import Metrics, RemoteAsked, RemoteSpared
from dualstore.mirror import guarding
from dualstore.mirror.guarding import GuardedRemote
from dualstore.remote.base import (
    Capabilities,
    Change,
    RemoteMessages,
    RemoteSessions,
    RemoteSource,
    Thing,
)
from dualstore.testing import FakeClock, Recorder

DOWN = UnavailableError("nobody is there")


class Remote(RemoteSource):
    """Answers each question as it was told to: with a thing, an error, or when a future is done."""

    name = "fake"
    place = "here"
    capabilities = Capabilities(has_history=True, follows=True)

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answers: Any = {"id": "ses_1"}
        self.is_open = False
        self.changed = asyncio.Event()

    async def is_asked(self, count: int) -> None:
        """Wait until it was asked that often."""
        async with asyncio.timeout(5):
            while len(self.asked) < count:
                self.changed.clear()
                await self.changed.wait()

    async def _answer(self, *asked: Any) -> Any:
        self.asked.append(asked)
        self.changed.set()
        answer = self.answers
        await asyncio.sleep(0)
        if isinstance(answer, asyncio.Future):
            return await answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def fetch_sessions(self, *, limit: int | None = None) -> RemoteSessions:
        return await self._answer("sessions", limit)  # type: ignore[no-any-return]

    async def fetch_session(self, session_id: str) -> Thing | None:
        return await self._answer("session", session_id)  # type: ignore[no-any-return]

    async def fetch_messages(
        self, session_id: str, *, limit: int | None = None, before: str | None = None
    ) -> RemoteMessages | None:
        return await self._answer("messages", session_id, limit, before)  # type: ignore[no-any-return]

    async def fetch_message(self, session_id: str, message_id: str) -> Thing | None:
        return await self._answer("message", session_id, message_id)  # type: ignore[no-any-return]

    async def fetch_history(self, known: Mapping[str, int]) -> list[Change]:
        return await self._answer("history", known)  # type: ignore[no-any-return]

    async def follow(self) -> AsyncGenerator[Change, None]:
        self.asked.append(("follow",))
        yield Change("ses_1", None, "session.idle", "evt_1", {})

    async def __aenter__(self) -> Self:
        self.is_open = True
        return self

    async def __aexit__(self, *details: object) -> None:
        self.is_open = False


@pytest.fixture
def remote() -> Remote:
    return Remote()


@pytest.fixture
def told() -> Recorder:
    return Recorder()


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock(0)
    monkeypatch.setattr(guarding, "_ticks", clock)
    return clock


@pytest.fixture
async def guarded(remote: Remote, told: Recorder, ticks: FakeClock) -> AsyncIterator[GuardedRemote]:
    assert ticks() == 0
    async with GuardedRemote(remote, timeout=5, metrics=Metrics(told)) as opened:
        yield opened


async def fails(guarded: GuardedRemote) -> str:
    with pytest.raises(UnavailableError) as caught:
        await guarded.fetch_session("ses_1")
    return str(caught.value)


def counts(told: Recorder) -> dict[str, int]:
    asked, spared = told.of(RemoteAsked), told.of(RemoteSpared)
    return {
        "answered": sum(each.answered for each in asked),
        "failed": sum(each.failed for each in asked),
        "spared": sum(each.spared for each in spared),
    }


async def test_all_questions_go_through(
    guarded: GuardedRemote, remote: Remote, told: Recorder
) -> None:
    assert (guarded.name, guarded.place) == ("fake", "here")
    assert guarded.capabilities == remote.capabilities
    await guarded.fetch_sessions(limit=3)
    await guarded.fetch_session("a")
    await guarded.fetch_messages("a", limit=4, before="c")
    await guarded.fetch_message("a", "b")
    await guarded.fetch_history({"a": 1})
    assert [change.id async for change in guarded.follow()] == ["evt_1"]
    assert remote.asked == [
        ("sessions", 3),
        ("session", "a"),
        ("messages", "a", 4, "c"),
        ("message", "a", "b"),
        ("history", {"a": 1}),
        ("follow",),
    ]
    families = [event.family for event in told.of(RemoteAsked)]
    assert families == ["sessions", "session", "messages", "message", "history"]
    assert counts(told) == {"answered": 5, "failed": 0, "spared": 0}
    assert all(event.seconds >= 0 for event in told.of(RemoteAsked))


async def test_it_opens_and_closes_the_remote(remote: Remote) -> None:
    async with GuardedRemote(remote, timeout=5, metrics=Metrics()):
        assert remote.is_open
    assert not remote.is_open


async def test_none_is_an_answer(guarded: GuardedRemote, remote: Remote, told: Recorder) -> None:
    remote.answers = None
    assert await guarded.fetch_session("a") is None
    assert counts(told) == {"answered": 1, "failed": 0, "spared": 0}


async def test_after_a_failure_it_is_spared_and_the_reason_told(
    guarded: GuardedRemote, remote: Remote, told: Recorder, ticks: FakeClock
) -> None:
    remote.answers = DOWN
    assert await fails(guarded) == "nobody is there"
    ticks.advance(FIRST_PAUSE // 2 - 1)
    assert await fails(guarded) == "fake is not asked for a while: nobody is there"
    with pytest.raises(UnavailableError, match="not asked"):
        await guarded.fetch_sessions()
    assert len(remote.asked) == 1
    assert counts(told) == {"answered": 0, "failed": 1, "spared": 2}
    assert [event.family for event in told.of(RemoteSpared)] == ["session", "sessions"]


async def test_after_the_pause_it_is_asked_and_all_is_well_again(
    guarded: GuardedRemote, remote: Remote, told: Recorder, ticks: FakeClock
) -> None:
    remote.answers = DOWN
    await fails(guarded)
    ticks.advance(FIRST_PAUSE)
    remote.answers = {"id": "a"}
    assert await guarded.fetch_session("a") == {"id": "a"}
    await asyncio.gather(*(guarded.fetch_session("a") for _ in range(10)))
    assert counts(told) == {"answered": 11, "failed": 1, "spared": 0}


async def test_one_question_at_a_time_is_let_through(
    guarded: GuardedRemote, remote: Remote, ticks: FakeClock
) -> None:
    remote.answers = DOWN
    await fails(guarded)
    ticks.advance(FIRST_PAUSE)
    remote.answers = asyncio.get_running_loop().create_future()
    probe = asyncio.create_task(guarded.fetch_session("a"))
    await remote.is_asked(2)
    for _ in range(3):
        assert "not asked for a while" in await fails(guarded)
    assert len(remote.asked) == 2
    remote.answers.set_result({"id": "a"})
    assert await probe == {"id": "a"}
    assert await guarded.fetch_session("a") == {"id": "a"}


async def test_a_question_of_earlier_that_ends_lets_nobody_else_through(
    guarded: GuardedRemote, remote: Remote, ticks: FakeClock
) -> None:
    slow: asyncio.Future[Thing] = asyncio.get_running_loop().create_future()
    remote.answers = slow
    early = asyncio.create_task(guarded.fetch_session("early"))
    await remote.is_asked(1)
    remote.answers = DOWN
    await fails(guarded)
    ticks.advance(FIRST_PAUSE)
    remote.answers = asyncio.get_running_loop().create_future()
    probe = asyncio.create_task(guarded.fetch_session("probe"))
    await remote.is_asked(3)
    slow.set_exception(UnavailableError("too late"))
    with pytest.raises(UnavailableError, match="too late"):
        await early
    assert "not asked for a while" in await fails(guarded)
    remote.answers.set_result({"id": "a"})
    await probe
    assert await guarded.fetch_session("a") == {"id": "a"}


async def test_a_probe_that_fails_makes_the_pause_longer(
    guarded: GuardedRemote, remote: Remote, ticks: FakeClock
) -> None:
    remote.answers = DOWN
    await fails(guarded)
    ticks.advance(FIRST_PAUSE)
    assert await fails(guarded) == "nobody is there"
    ticks.advance(FIRST_PAUSE - 1)
    assert "not asked for a while" in await fails(guarded)
    ticks.advance(FIRST_PAUSE + 1)
    assert await fails(guarded) == "nobody is there"


async def test_pauses_grow_and_have_an_end(
    guarded: GuardedRemote, remote: Remote, ticks: FakeClock
) -> None:
    remote.answers = DOWN
    pauses: list[int] = []
    step = FIRST_PAUSE // 4
    for _ in range(14):
        assert await fails(guarded) == "nobody is there"
        since = ticks()
        while "not asked" in await fails(guarded):  # the one that ends this fails, too
            ticks.advance(step)
        pauses.append(ticks() - since)
        ticks.advance(LONGEST_PAUSE)
    longest = [min(LONGEST_PAUSE, FIRST_PAUSE * 2**n) for n in range(0, 28, 2)]
    for pause, bound in zip(pauses, longest, strict=True):
        assert bound / 2 <= pause <= bound + step
    remote.answers = {"id": "a"}
    await guarded.fetch_session("a")
    remote.answers = DOWN
    await fails(guarded)
    ticks.advance(FIRST_PAUSE)  # and begin anew
    assert await fails(guarded) == "nobody is there"


async def test_those_that_fail_together_count_once(
    guarded: GuardedRemote, remote: Remote, told: Recorder, ticks: FakeClock
) -> None:
    remote.answers = asyncio.get_running_loop().create_future()
    asks = [asyncio.create_task(guarded.fetch_session(f"s{each}")) for each in range(50)]
    await remote.is_asked(50)
    remote.answers.set_exception(DOWN)
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert all(isinstance(each, UnavailableError) for each in results)
    assert counts(told) == {"answered": 0, "failed": 50, "spared": 0}
    ticks.advance(FIRST_PAUSE)
    remote.answers = {"id": "a"}
    assert await guarded.fetch_session("a") == {"id": "a"}


async def test_an_early_question_that_fails_shortens_no_pause(
    guarded: GuardedRemote, remote: Remote, ticks: FakeClock
) -> None:
    slow: asyncio.Future[Thing] = asyncio.get_running_loop().create_future()
    remote.answers = slow
    early = asyncio.create_task(guarded.fetch_session("early"))
    await remote.is_asked(1)
    remote.answers = DOWN
    for _ in range(12):
        assert await fails(guarded) == "nobody is there"
        ticks.advance(LONGEST_PAUSE)
    assert await fails(guarded) == "nobody is there"
    slow.set_exception(UnavailableError("too late"))
    with pytest.raises(UnavailableError, match="too late"):
        await early
    ticks.advance(LONGEST_PAUSE // 2 - 1)
    assert "not asked for a while" in await fails(guarded)


@pytest.mark.parametrize("error", [RemoteError("no use"), RemoteRefusedError("no")])
async def test_a_remote_that_says_no_is_there(
    guarded: GuardedRemote, remote: Remote, told: Recorder, ticks: FakeClock, error: RemoteError
) -> None:
    remote.answers = error
    for _ in range(3):
        with pytest.raises(RemoteError, match=str(error)):
            await guarded.fetch_session("a")
    assert counts(told) == {"answered": 0, "failed": 3, "spared": 0}
    remote.answers = DOWN
    await fails(guarded)
    ticks.advance(FIRST_PAUSE)
    remote.answers = error
    with pytest.raises(RemoteError):
        await guarded.fetch_session("a")
    results = await asyncio.gather(
        *(guarded.fetch_session("a") for _ in range(3)), return_exceptions=True
    )
    assert results == [error] * 3


async def test_a_slow_remote_counts_as_one_that_is_down(
    remote: Remote, told: Recorder, ticks: FakeClock
) -> None:
    remote.answers = asyncio.get_running_loop().create_future()
    guarded = GuardedRemote(remote, timeout=0.01, metrics=Metrics(told))
    assert await fails(guarded) == "fake didn't answer in 0.01 s"
    assert remote.answers.cancelled()
    assert "not asked for a while: fake didn't answer in 0.01 s" in await fails(guarded)
    assert counts(told) == {"answered": 0, "failed": 1, "spared": 1}
    assert told.of(RemoteAsked)[0].seconds >= 0.01
    ticks.advance(FIRST_PAUSE)
    remote.answers = TimeoutError("of its own")
    assert await fails(guarded) == "fake didn't answer in 0.01 s"


async def test_a_probe_that_is_given_up_lets_the_next_one_through(
    guarded: GuardedRemote, remote: Remote, told: Recorder, ticks: FakeClock
) -> None:
    remote.answers = DOWN
    await fails(guarded)
    ticks.advance(FIRST_PAUSE)
    remote.answers = asyncio.get_running_loop().create_future()
    probe = asyncio.create_task(guarded.fetch_session("a"))
    await remote.is_asked(2)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert counts(told) == {"answered": 0, "failed": 1, "spared": 0}
    remote.answers = {"id": "a"}
    assert await guarded.fetch_session("a") == {"id": "a"}


async def test_a_question_that_is_given_up_opens_nothing(
    guarded: GuardedRemote, remote: Remote
) -> None:
    remote.answers = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(guarded.fetch_session("a"))
    await remote.is_asked(1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    remote.answers = {"id": "a"}
    assert await guarded.fetch_session("a") == {"id": "a"}


async def test_a_probe_that_breaks_in_an_unknown_way_lets_the_next_one_through(
    guarded: GuardedRemote, remote: Remote, told: Recorder, ticks: FakeClock
) -> None:
    remote.answers = DOWN
    await fails(guarded)
    ticks.advance(FIRST_PAUSE)
    remote.answers = ZeroDivisionError("a mistake")
    with pytest.raises(RemoteError, match="a mistake"):
        await guarded.fetch_session("a")
    remote.answers = {"id": "a"}
    assert await guarded.fetch_session("a") == {"id": "a"}
    assert counts(told) == {"answered": 1, "failed": 2, "spared": 0}


async def test_an_early_question_that_is_answered_shows_that_it_is_back(
    guarded: GuardedRemote, remote: Remote
) -> None:
    slow: asyncio.Future[Thing] = asyncio.get_running_loop().create_future()
    remote.answers = slow
    early = asyncio.create_task(guarded.fetch_session("early"))
    await remote.is_asked(1)
    remote.answers = DOWN
    await fails(guarded)
    slow.set_result({"id": "early"})
    assert await early == {"id": "early"}
    remote.answers = {"id": "a"}
    assert await guarded.fetch_session("a") == {"id": "a"}
