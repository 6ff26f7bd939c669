"""Turns: what is written through one belongs to it, and to the conversation that it began in."""

import pytest

from dualstore.conversations.conversations import Conversations
from dualstore.conversations.turns import Turn
from dualstore.errors import NotFoundError
from tests.conversations.houses import House
from tests.conversations.telling import answer, user


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
