"""Sessions with more messages than are asked for where only the newest may have changed."""

import asyncio

import pytest

from actions import Answer, sessions
from actions.shapes import SessionWithMessages
from tests.actions.test_faults import changed
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


@pytest.mark.parametrize(("limit", "offset"), [(None, 0), (10, 0), (7, 125), (5, 200), (None, 99)])
async def test_what_was_just_written_is_not_read_back(
    world: DoubleWorld, limit: int | None, offset: int
) -> None:
    made = long_session(world)
    world.line.cut_where("/message", changed(world.double, lambda told, _: told[::-1]))
    told = await sessions.get(world.context, made, limit, offset)
    assert "documents.page" not in world.faults.calls
    kept = await sessions.get(world.context, made, limit, offset)
    assert (told.source, kept.source, told.value) == ("remote", "local", kept.value)


async def test_what_else_is_in_a_new_session_is_read_with_it(world: DoubleWorld) -> None:
    made = world.session("Talk")
    world.double.add_message(made, "theirs")
    own = {"text": "mine", "timestamp": 0, "metadata": {"session_id": made, "role": "user"}}
    await world.context.families.messages.insert(own)
    answer = await sessions.get(world.context, made)
    assert (texts(answer), answer.value.session.message_count) == (["mine", "theirs"], 2)


async def test_who_shares_an_answer_reads_it_all_the_same(world: DoubleWorld) -> None:
    made = long_session(world)
    both = await asyncio.gather(*(sessions.get(world.context, made, 10, each) for each in (0, 120)))
    assert [texts(each)[0] for each in both] == ["message 0", "message 120"]


def texts(answer: Answer[SessionWithMessages]) -> list[str]:
    return [part["text"] for each in answer.value.messages for part in each["parts"]]
