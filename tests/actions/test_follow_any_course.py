"""Whatever happens at the remote, to the stream and to the follower: in the end all is here."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest

from actions import Context
from dualstore.mirror import guarding, inbox, keeping_up, news_reading
from tests.actions.conftest import MakeWorld
from tests.actions.following import converged, followed
from tests.actions.world import DoubleWorld
from tests.support.opencode_faults import answers, refuses, resets

STEPS = 80
FAULTS = (refuses, resets, answers(500, b"{}"), answers(200, b"<html>", kind="text/html"))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for anything to come back."""
    monkeypatch.setattr(guarding, "_ticks", lambda: time.monotonic_ns() // 1000)
    monkeypatch.setattr(news_reading, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(inbox, "GATHERED", 0.001)
    for name, seconds in (
        ("FIRST_PAUSE", 0.002),
        ("LONGEST_PAUSE", 0.01),
        ("AGAIN", 0.01),
        ("HELD", 0.02),
        ("LOOKED", 0.05),
        ("SHARE", 0),
    ):
        monkeypatch.setattr(keeping_up, name, seconds)


class Course:
    """One course of things."""

    def __init__(self, world: DoubleWorld, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.held: list[bytes] = []
        world.double.listeners[:] = [self.told]
        self.is_rough = False
        self.numbers = iter(range(9_000, 10_000))

    def told(self, event: dict[str, Any]) -> None:
        """What is told gets lost, comes twice, or comes after what is told later."""
        frame = b"data: %b\n\n" % orjson.dumps(event)
        match self.chance.randrange(8) if self.is_rough else None:
            case 0:
                return
            case 1:
                self.world.double.tell(frame + frame)
            case 2:
                self.held.append(frame)
            case _:
                self.world.double.tell(frame)
        if self.held and self.chance.randrange(2):
            self.world.double.tell(self.held.pop(self.chance.randrange(len(self.held))))

    async def happens(self) -> None:
        double, chance = self.world.double, self.chance
        sessions = list(double.sessions)
        kinds: list[Callable[[str], object]] = [
            self.says,
            self.says,
            self.edits,
            self.removes,
            lambda each: double.rename(each, f"named {chance.random()}"),
            double.archive,
            lambda each: double.create_session("New", parent=chance.choice(("", each))),
            double.fork,
            lambda each: double.tell_once("session.idle", sessionID=each),
            self.reverts,
        ]
        if not sessions:
            double.create_session("The first")
        elif chance.randrange(12) == 0:
            double.delete_session(chance.choice(sessions))
        elif chance.randrange(12) == 0:
            await self.world.write.seed(next(self.numbers), messages=3)
        else:
            chance.choice(kinds)(chance.choice(sessions))

    def is_imported(self) -> None:
        """One session comes from elsewhere, without its past."""
        if there := list(self.world.double.sessions):
            session_id = self.chance.choice(there)
            self.says(session_id)
            self.world.double.forget_events(session_id)

    def says(self, session_id: str) -> None:
        for number in range(self.chance.choice((1, 2, 30))):
            self.world.double.add_message(session_id, f"text {number}")

    def edits(self, session_id: str) -> None:
        for message_id, parts in list(self.world.double.parts[session_id].items())[-2:]:
            for part_id in parts:
                self.world.double.write_part(session_id, message_id, "edited", part_id=part_id)

    def removes(self, session_id: str) -> None:
        if there := list(self.world.double.infos[session_id]):
            self.world.double.delete_message(session_id, self.chance.choice(there))

    def reverts(self, session_id: str) -> None:
        if there := list(self.world.double.infos[session_id]):
            self.world.double.revert(session_id, self.chance.choice(there))

    async def ends(self) -> None:
        """Something more in each session: what was lost before shows by its number."""
        while not self.world.double.followers:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        self.world.double.beat()
        for each in list(self.world.double.sessions):
            self.world.double.rename(each, "The end")

    async def breaks(self) -> None:
        self.mend()
        match self.chance.randrange(6):
            case 0:
                self.world.line.cut(self.chance.choice(FAULTS))
            case 1:
                self.world.faults.outage(self.chance.choice(("documents.put", "records.*")))
            case 2:
                self.is_rough = True
            case 3:
                self.world.double.hang_up()

    def mend(self) -> None:
        self.world.faults.heal()
        self.world.line.mend()
        self.is_rough = False


@asynccontextmanager
async def follower(world: DoubleWorld) -> AsyncIterator[Context]:
    """Another process on the same stores."""
    async with world.reopened() as context:
        task = asyncio.ensure_future(context.sync.follow())
        try:
            yield context
        finally:
            task.cancel()
            await asyncio.wait({task})


@pytest.mark.parametrize("seed", range(24))
async def test_when_it_is_quiet_all_is_here(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Every other time nobody looks but after a connection, or where something is missing."""
    chance, is_live = random.Random(seed), seed % 2
    if is_live:
        monkeypatch.setattr(keeping_up, "LOOKED", 3_600.0)
    async with make_world() as world, AsyncExitStack() as others:
        course = Course(world, chance)
        followers = [await others.enter_async_context(AsyncExitStack()) for _ in range(2)]
        await followers[0].enter_async_context(follower(world))
        for _ in range(STEPS):
            await chance.choice((course.happens, course.happens, course.happens, course.breaks))()
            if chance.randrange(20) == 0:
                for stack in followers:
                    await stack.aclose()
                course.is_imported()
                await followers[0].enter_async_context(follower(world))
            if chance.randrange(4) == 0:
                stack = chance.choice(followers)
                await stack.aclose()  # wherever it is
                await stack.enter_async_context(follower(world))
            for _ in range(chance.choice((0, 1, 5, 50))):
                await asyncio.sleep(0)
            if chance.randrange(8) == 0:
                await asyncio.sleep(0.02)
            world.later(chance.choice((0, 1, 20)))
        course.mend()
        for stack in followers[is_live:]:
            await stack.aclose()
        world.later(60)  # the last one may have died without a word
        if is_live:
            await course.ends()
            await converged(world.context, world.remote)
            return
        async with followed(world.context) as following:
            await converged(world.context, world.remote)
            assert following.failing == {}
