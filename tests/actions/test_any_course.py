"""Whatever happens at the remote, on the way to it and here, in any order: the end is the truth."""

import random
from typing import Any

import pytest

from actions import messages, sessions
from dualstore.errors import NotFoundError, UnavailableError
from tests.actions.conftest import MakeWorld, Ticks
from tests.actions.world import ABSENT, FINISHED, LISTS, RUNNING, STALE, DoubleWorld
from tests.support.opencode_faults import answers, refuses, resets

STEPS = 60
FAULTS = (refuses, resets, answers(500, b"{}"), answers(200, b"<html>", kind="text/html"))


class Course:
    """One course of things. Sessions stay; the messages of the first one are never deleted."""

    def __init__(self, world: DoubleWorld, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.ids = [world.session(str(number)) for number in range(3)]

    async def step(self) -> None:
        await self.chance.choice(
            (self.happens, self.happens, self.passes, self.breaks, self.reads, self.reads)
        )()

    async def happens(self) -> None:
        double, session_id = self.world.double, self.chance.choice(self.ids)
        there = list(double.infos[session_id])
        match self.chance.randrange(4):
            case 0 if there:
                double.write_part(session_id, self.chance.choice(there), "more")
            case 1:
                double.rename(session_id, f"named {self.chance.random()}")
            case _:
                for number in range(self.chance.choice((1, 2, 150))):
                    double.add_message(session_id, str(number))

    async def passes(self) -> None:
        self.world.later(self.chance.choice((0.001, RUNNING, LISTS, STALE, FINISHED + STALE)))
        self.world.double.now = max(self.world.double.now, self.world.clock.now)

    async def breaks(self) -> None:
        self.world.faults.heal()
        self.world.line.mend()
        match self.chance.randrange(4):
            case 0:
                self.world.line.cut(self.chance.choice(FAULTS))
            case 1:
                self.world.faults.outage(self.chance.choice(("documents.put", "records.*")))

    async def reads(self) -> None:
        context, session_id = self.world.context, self.chance.choice(self.ids)
        try:
            match self.chance.randrange(3):
                case 0:
                    got = await sessions.get(context, session_id)
                    if got.source == "remote" and got.complete:
                        self.check(session_id, got.value.messages, None)
                case 1:
                    limit = self.chance.choice((1, 3, 50, 120))
                    page = await messages.list(context, session_id, limit)
                    if page.source == "remote" and page.complete:
                        self.check(session_id, page.value.messages, limit)
                case _:
                    await sessions.list(context)
        except (UnavailableError, NotFoundError):
            assert self.world.faults._plans or self.world.line.fault_of(None)  # type: ignore[arg-type]

    def check(self, session_id: str, told: list[dict[str, Any]], limit: int | None) -> None:
        """What is called complete is the truth."""
        there = self.world.double.messages(session_id)
        assert told == (there if limit is None else there[-limit:])

    async def ends(self) -> None:
        context, double = self.world.context, self.world.double
        self.world.faults.heal()
        self.world.line.mend()
        self.world.later(2 * (FINISHED + STALE + ABSENT))
        listed = await sessions.list(context)
        assert {each.id: each.title for each in listed.value.sessions} == {
            each: double.sessions[each]["title"] for each in self.ids
        }
        for each in self.ids:
            got = await sessions.get(context, each)
            assert got.complete
            self.check(each, got.value.messages, None)


@pytest.mark.parametrize("seed", range(8))
async def test_the_end_is_the_truth(make_world: MakeWorld, ticks: Ticks, seed: int) -> None:
    async with make_world() as world:
        course = Course(world, seed)
        for _ in range(STEPS):
            await course.step()
            await world.landed()
            ticks.later()
        await course.ends()
