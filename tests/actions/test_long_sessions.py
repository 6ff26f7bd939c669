"""Sessions with more messages than are asked for where only the newest may have changed."""

import pytest

from actions import Answer, sessions
from actions.shapes import SessionWithMessages
from tests.actions.world import FINISHED, RUNNING, STALE, DoubleWorld

MANY = 130


def long_session(world: DoubleWorld) -> str:
    made = world.session("Long", ago=100_000)
    for number in range(MANY):
        world.double.add_message(made, f"message {number}")
    return made


@pytest.fixture
async def made(world: DoubleWorld) -> str:
    """It was read as a whole, long ago."""
    made = long_session(world)
    first = await sessions.get(world.context, made)
    assert (first.source, first.complete, len(first.value.messages)) == ("remote", True, MANY)
    world.later(FINISHED + STALE + 1)
    return made


async def test_what_was_read_again_is_fresh_again(world: DoubleWorld, made: str) -> None:
    again = await sessions.get(world.context, made)
    assert (again.source, len(again.value.messages)) == ("remote", MANY)
    asked = world.asked
    third = await sessions.get(world.context, made)
    assert (third.source, third.complete, len(third.value.messages)) == ("local", True, MANY)
    assert world.asked == asked


async def test_only_the_newest_are_asked_for_while_the_others_are_fresh(
    world: DoubleWorld, made: str
) -> None:
    await sessions.get(world.context, made)
    world.double.now = world.clock.now
    world.double.add_message(made, "one more")
    world.double.write_part(made, next(iter(world.double.infos[made])), "a change long ago")
    await sessions.list(world.context)  # tells that something goes on there
    world.later(RUNNING + STALE + 1)
    answer = await sessions.get(world.context, made)
    assert (answer.source, answer.complete) == ("remote", True)
    assert texts(answer) == [*(f"message {number}" for number in range(MANY)), "one more"]
    world.later(FINISHED + STALE + 1)
    answer = await sessions.get(world.context, made)
    assert texts(answer)[:3] == ["message 0", "a change long ago", "message 1"]


def texts(answer: Answer[SessionWithMessages]) -> list[str]:
    return [part["text"] for each in answer.value.messages for part in each["parts"]]
