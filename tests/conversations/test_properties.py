"""Any course of events, with delays, failures and crashes: the log says what a plain model says."""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualstore.conversations.conversations import Conversations
from dualstore.conversations.following import Follower
from dualstore.conversations.views import Conversation
from dualstore.documents.base import Database
from dualstore.embedders.static import StaticEmbedder
from dualstore.errors import DualStoreError
from dualstore.testing import Fault, Faults
from tests.conversations.houses import House
from tests.conversations.model import Model
from tests.conversations.telling import (
    Given,
    amendment,
    answer,
    callback,
    reset,
    result,
    summary,
    tasks,
    texts,
    tool,
    user,
)
from tests.documents.conftest import Place

T = TypeVar("T")

EFFORT = int(os.environ.get("DUALSTORE_TEST_EFFORT", "1"))
EXAMPLES = 12


class Trouble(NamedTuple):
    """A call that fails, counted from the next one on, and how."""

    call: int
    fault: Fault


class Step(NamedTuple):
    """What happens, in numbers that mean whatever there is by then."""

    kinds: list[str]
    number: int
    trouble: Trouble | None
    writer: int
    """Which of the stores; 2 is one that has just been started."""


KINDS = "user hidden answer tool amend compact keep reset result consume rename recreate".split()
FAULTS = (Fault.BEFORE, Fault.AFTER, Fault.HANG)
TROUBLES = st.builds(Trouble, st.integers(1, 6), st.sampled_from(FAULTS))
STEPS = st.lists(
    st.builds(
        Step,
        st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
        st.integers(0, 50),
        st.none() | TROUBLES,
        st.integers(0, 2),
    ),
    min_size=3,
    max_size=10,
)


class Course:
    """One conversation, its model, and stores that write to it through faults."""

    def __init__(self, house: House, name: str) -> None:
        self.house = house
        self.name = name
        self.model = Model()
        self.answers: list[str] = []
        self.seen: list[str] = []
        self.numbers = count()
        self.writers = [self._store(), self._store()]

    def _store(self) -> tuple[Faults, Conversations]:
        faults = Faults(hang=0.001)
        return faults, self.house.store(faults).conversations

    async def begin(self) -> None:
        await self.house.store().conversations.create(self.name)

    async def take(self, step: Step) -> None:
        faults, log = self.writers[step.writer] if step.writer < 2 else self._store()
        if step.kinds[0] == "rename":
            self.model.title = f"title {step.number}"
            await self._try(log.rename, faults, step.trouble, self.model.title)
        elif step.kinds[0] == "recreate":
            await self._try(log.delete, faults, step.trouble)
            await self._try(log.create, faults, None)
            self.model, self.answers, self.seen = Model(), [], []
        else:
            batch = [made for kind in step.kinds for made in self._made(kind, step.number)]
            if batch:
                await self._try(log.append, faults, step.trouble, batch)
                for each in batch:
                    self.model.apply(each)

    async def _try(self, call: Any, faults: Faults, trouble: Trouble | None, *given: Any) -> None:
        """As a careful caller does: again with the very same, until it is done."""
        if trouble is not None:
            faults.plan(len(faults.calls) + trouble.call, fault=trouble.fault)
        with suppress(DualStoreError):
            await call(self.name, *given)
        faults.heal()
        await call(self.name, *given)

    def _made(self, kind: str, number: int) -> list[Given]:
        name = f"{kind}-{next(self.numbers)}"
        ahead = self.model.seq
        match kind:
            case "user" | "hidden":
                self.seen.append(name)
                return [user(name, id=name, hidden=kind == "hidden")]
            case "answer":
                self.answers.append(name)
                self.seen.append(name)
                return [answer(name, id=name)]
            case "tool":
                self.seen.append(name)
                return [tool(name, id=name)]
            case "amend" if self.answers:
                target = self.answers[number % len(self.answers)]
                return [amendment(target, "+", id=name)]
            case "compact":
                return [summary(name, number % (ahead + 1), id=name)]
            case "keep" if self.seen:
                kept = self.seen[:: number % 3 + 1]
                return [summary(name, kept_ids=kept, id=name)]
            case "reset":
                return [reset(name, f"{name} again", id=name)]
            case "result":
                return [result(name, id=name)]
            case "consume":
                waiting = list(self.model.pending)[: number % 3]
                return [callback("nobody", *waiting, id=name)]
            case _:
                return []

    async def check(self, step: Step) -> None:
        """Whoever reads sees what the model says, or is told that he doesn't."""
        reader = self.house.store(read_log=bool(step.number % 2)).conversations
        found = await reader.get(self.name, tail=None)
        assert found.degraded == ()
        self._compare(found)
        faults = Faults(hang=0.001)
        faults.plan(1 + step.number % 5, fault=step.trouble.fault if step.trouble else Fault.BEFORE)
        with suppress(DualStoreError):
            found = await self.house.store(faults).conversations.get(self.name, tail=None)
            if not found.degraded:
                self._compare(found)

    def _compare(self, found: Conversation) -> None:
        model = self.model
        assert texts(found.display) == model.display
        assert texts(found.context) == model.context
        assert tasks(found.pending) == model.waiting
        assert (found.through_seq, found.title) == (model.seq, model.title)


class Runner:
    """One open place, in an event loop of its own, for all examples of a test."""

    def __init__(
        self, runner: asyncio.Runner, documents: Database, embedder: StaticEmbedder
    ) -> None:
        self.numbers = count()
        self._runner = runner
        self._documents = documents
        self._embedder = embedder

    def house(self) -> House:
        """The place, with stores that are closed before the next example."""
        return House(self._documents, self._embedder)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


@pytest.fixture
def runner(place: Place, embedder: StaticEmbedder) -> Iterator[Runner]:
    with asyncio.Runner() as loop, patch.object(Follower, "wake"):
        documents = place()
        loop.run(documents.__aenter__())
        try:
            yield Runner(loop, documents, embedder)
        finally:
            loop.run(documents.__aexit__(None, None, None))


@settings(
    max_examples=EXAMPLES * EFFORT,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_any_course_of_events_reads_as_a_plain_model_says(
    runner: Runner, steps: list[Step]
) -> None:
    async def run() -> None:
        async with runner.house() as house:
            course = Course(house, f"c{next(runner.numbers)}")
            await course.begin()
            for step in steps:
                await course.take(step)
                await course.check(step)
            report = await house.store().conversations.verify(course.name)
            assert report.clean, report.problems

    runner.run(run())
