"""The model that says what it is told to."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.model_stub import Message, ModelStub, model_stub


@pytest.fixture
def stub() -> Iterator[ModelStub]:
    with model_stub() as running:
        yield running


def _user(text: str) -> Message:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


async def _asked(stub: ModelStub, *messages: Message) -> list[dict[str, Any]]:
    """What each piece of the answer adds, and at last why it ended."""
    body = {"messages": messages, "tools": [{}]}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{stub.url}/chat/completions", json=body)
    *chunks, done, end = answer.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    told = [json.loads(each.removeprefix("data: "))["choices"][0] for each in chunks]
    return [each["delta"] or {"end": each["finish_reason"]} for each in told]


def _said(told: list[dict[str, Any]]) -> str:
    return "".join(each.get("content", "") for each in told)


async def test_the_last_tag_of_a_user_chooses_what_is_said(stub: ModelStub) -> None:
    told = await _asked(stub, _user("[[tools]] once"), _user("now [[plain]]"))
    assert _said(told) == "An answer without any tools."
    assert told[-1] == {"end": "stop"}


async def test_calls_follow_one_another_as_they_are_answered(stub: ModelStub) -> None:
    first = await _asked(stub, _user("[[tools]]"))
    (call,) = (each["tool_calls"][0] for each in first if "tool_calls" in each)
    assert call["function"]["name"] == "write"
    assert first[-1] == {"end": "tool_calls"}
    made = {"role": "assistant", "content": None, "tool_calls": [call]}
    second = await _asked(stub, _user("[[tools]]"), made)
    calls = [each["tool_calls"][0] for each in second if "tool_calls" in each]
    assert [each["function"]["name"] for each in calls] == ["read", "bash"]
    last = await _asked(stub, _user("[[tools]]"), *[made] * 3)
    assert last[-1] == {"end": "stop"}


async def test_a_held_answer_waits_to_be_released(stub: ModelStub) -> None:
    asking = asyncio.ensure_future(_asked(stub, _user("[[slow]]")))
    assert await asyncio.wait({asking}, timeout=0.1) == (set(), {asking})
    stub.release()
    assert _said(await asking) == "The beginning of a long answer."
    assert _said(await _asked(stub, _user("[[slow]]"))) == "The beginning of a long answer."


async def test_a_refusal_is_no_stream(stub: ModelStub) -> None:
    body = {"messages": [_user("[[error]]")], "tools": [{}]}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{stub.url}/chat/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "the stub says no")
