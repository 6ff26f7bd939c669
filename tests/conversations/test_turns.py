"""Turns: what is written through one belongs to it, and to the conversation that it began in."""

from typing import Any

import pytest

from dualstore.conversations import UserMessage
from dualstore.conversations.conversations import Conversations
from dualstore.conversations.turns import Turn
from dualstore.errors import InvalidInputError, NotFoundError
from tests.conversations.houses import House
from tests.conversations.telling import answer, user


async def test_what_is_no_batch_is_refused_by_a_turn_as_by_the_store(log: Conversations) -> None:
    await log.create("c")
    batches: list[tuple[Any, str]] = [
        (None, "list of entries"),
        (user("q"), "list of entries"),
        (UserMessage(message={"role": "user", "content": "q"}), "list of entries"),
        ("q", "list of entries"),
        ([None], "item 0: entry: must be a mapping"),
        ([user("q"), "x"], "item 1: entry: must be a mapping"),
        ([user("q", turn_id="")], "item 0: turn_id"),
    ]
    async with log.turn("c") as turn:
        for batch, why in batches:
            with pytest.raises(InvalidInputError, match=why):
                await turn.append(batch)
    assert len(await log.read("c")) == 2


async def test_whatever_names_no_turn_gets_the_turns_id(log: Conversations) -> None:
    await log.create("c")
    async with log.turn("c") as turn:
        model = UserMessage(message={"role": "user", "content": "q"})
        stored = await turn.append([user("q"), user("q", turn_id=None), model])
        (other,) = await turn.append([user("q", turn_id="other")])
    assert {each.turn_id for each in stored} == {turn.id}
    assert other.turn_id == "other"


async def test_a_turn_that_outlives_its_conversation_writes_nothing_into_the_next_one(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    other = house.store().conversations

    async def outlive() -> None:
        async with log.turn("c") as turn:
            turns.append(turn)
            await turn.append([user("before")])
            await other.delete("c")
            await other.create("c")
            await turn.append([answer("too late")])

    turns: list[Turn] = []
    with pytest.raises(NotFoundError, match="'c' was deleted"):
        await outlive()
    assert await log.read("c") == []
    (stored,) = await log.append("c", [user("new")])
    assert stored.seq == 1
    with pytest.raises(NotFoundError):
        await turns[0].append([answer("far too late")])
    assert [each.id for each in await log.read("c")] == [stored.id]
