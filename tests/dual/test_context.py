from typing import Any

import pytest

from dualstore.errors import InvalidInputError
from dualstore.manager import DualStoreManager


def _said(at: int, text: str, role: Any = "user") -> dict[str, Any]:
    return {"id": f"m{at}", "text": text, "timestamp": at, "metadata": {"role": role}}


TALK = [
    _said(1, "The password of the printer is swordfish", "assistant"),
    _said(2, "Thanks"),
    *(_said(at, f"small talk number {at}", "assistant") for at in range(3, 30)),
    _said(30, "   "),
    _said(31, "What is for lunch?", None),
]


@pytest.fixture
async def talk(notes: DualStoreManager) -> DualStoreManager:
    await notes.insert_many(TALK)
    await notes.drain()
    return notes


async def test_the_newest_and_the_most_relevant_come_once_in_order_of_time(
    talk: DualStoreManager,
) -> None:
    context = await talk.compile_context("printer password", recent=3, relevant=1)
    assert context == [
        {"role": "assistant", "content": "The password of the printer is swordfish"},
        {"role": "assistant", "content": "small talk number 28"},
        {"role": "assistant", "content": "small talk number 29"},
        {"role": "user", "content": "What is for lunch?"},
    ]
    lunch = await talk.compile_context("lunch", recent=1, relevant=1)
    assert [each["content"] for each in lunch] == ["What is for lunch?"]


async def test_one_side_alone_will_do(talk: DualStoreManager) -> None:
    (newest,) = await talk.compile_context("printer password", recent=1, relevant=0)
    assert newest["content"] == "What is for lunch?"
    (found,) = await talk.compile_context("printer password", recent=0, relevant=1)
    assert "swordfish" in found["content"]
    assert await talk.compile_context("printer password", recent=0, relevant=0) == []


async def test_a_budget_ends_it_at_whole_entries(talk: DualStoreManager) -> None:
    lunch, secret = "What is for lunch?", TALK[0]["text"]
    for room, contents in (
        (len(lunch) - 1, []),
        (len(lunch), [lunch]),
        (len(lunch) + len(secret) - 1, [lunch]),
        (len(lunch) + len(secret), [secret, lunch]),
    ):
        context = await talk.compile_context("printer password", max_chars=room)
        assert [each["content"] for each in context] == contents


async def test_a_filter_holds_for_both_sides(talk: DualStoreManager) -> None:
    context = await talk.compile_context(
        "printer password", recent=2, relevant=2, where={"metadata.role": "user"}
    )
    assert {each["content"] for each in context} <= {"Thanks", "What is for lunch?"}


async def test_a_number_that_is_none_is_refused(talk: DualStoreManager) -> None:
    with pytest.raises(InvalidInputError):
        await talk.compile_context("printer", recent=-1)
    with pytest.raises(InvalidInputError):
        await talk.compile_context("printer", relevant=-1)
