"""What happens in the conversations of the tests, in short."""

from collections.abc import Iterable
from typing import Any

Given = dict[str, Any]


def user(text: str, **more: Any) -> Given:
    return {"type": "user_message", "message": {"role": "user", "content": text}, **more}


def answer(text: Any, metadata: Given | None = None, **more: Any) -> Given:
    message: Given = {"role": "assistant", "content": text}
    if metadata is not None:
        message["metadata"] = metadata
    return {"type": "assistant_message", "message": message, **more}


def tool(text: str, **more: Any) -> Given:
    return {"type": "harness_message", "message": {"role": "tool", "content": text}, **more}


def summary(text: str, through: int | None = None, **more: Any) -> Given:
    told = {"role": "system", "content": text}
    covers = {} if through is None else {"covers_through_seq": through}
    return {"type": "compaction", "summary_message": told, **covers, **more}


def reset(*texts: str, **more: Any) -> Given:
    messages = [{"role": "user", "content": text} for text in texts]
    return {"type": "context_reset", "messages": messages, **more}


def result(task: str, status: str = "completed", **more: Any) -> Given:
    told = {"subagent_id": "sub", "task": task, "status": status, "result": f"done: {task}"}
    return {"type": "subagent_result", "result": {**told, "timestamp": 1}, **more}


def callback(*consumed: str, **more: Any) -> Given:
    return {"type": "callback_started", "consumed_ids": list(consumed), **more}


def amendment(target: str, text: str | None = None, **more: Any) -> Given:
    appended = {} if text is None else {"append_text": text}
    return {"type": "assistant_amendment", "target_entry_id": target, **appended, **more}


def messages(*texts: str) -> list[Given]:
    """What a conversation was before its log: questions and answers in turn."""
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]


def texts(messages: Iterable[Given]) -> list[Any]:
    """What messages say."""
    return [message["content"] for message in messages]


def tasks(pending: Iterable[Given]) -> list[str]:
    """What results are about."""
    return [each["task"] for each in pending]


def seqs(entries: Iterable[Any]) -> list[int]:
    return [entry.seq for entry in entries]


def numbered(entries: Iterable[Given]) -> list[Given]:
    """As if they were stored: with ids `e1`, `e2` and numbers from 1."""
    return [{"id": f"e{seq}", **entry, "seq": seq} for seq, entry in enumerate(entries, 1)]
