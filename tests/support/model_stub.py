"""A language model that says what it is told to: OpenAI's streaming API on 127.0.0.1.

What it answers depends on the last `[[tag]]` that a user has written, and on how many of its tool
calls have been answered since. It keeps nothing, so the same conversation always goes the same way.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

HELD_SECONDS = 60.0
"""Longer than anybody waits."""

Message = dict[str, Any]


@dataclass(frozen=True)
class Think:
    text: str


@dataclass(frozen=True)
class Say:
    text: str


@dataclass(frozen=True)
class Call:
    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Hold:
    """Nothing more until `ModelStub.release`."""


@dataclass(frozen=True)
class Refuse:
    """Instead of a stream."""

    status: int
    reason: str


Step = Think | Say | Call | Hold | Refuse

PLAIN: Final[tuple[Step, ...]] = (Say("An answer without any tools."),)
SCENARIOS: Final[dict[str, tuple[tuple[Step, ...], ...]]] = {
    "plain": (PLAIN,),
    "tools": (
        (
            Think("A file is needed first."),
            Say("Let me write it."),
            Call("write", {"filePath": "notes.txt", "content": "one line\n"}),
        ),
        (
            Call("read", {"filePath": "notes.txt"}),
            Call("bash", {"command": "echo shown", "description": "Show"}),
        ),
        (
            Call(
                "todowrite",
                {"todos": [{"content": "Rest", "status": "pending", "priority": "low"}]},
            ),
        ),
        (Think("That is all."), Say("Done: the file is written, read and shown.")),
    ),
    "slow": ((Say("The beginning of "), Hold(), Say("a long answer.")),),
    "error": ((Refuse(400, "the stub says no"),),),
    "subagent": (
        (
            Say("Somebody else shall look."),
            Call(
                "task",
                {
                    "description": "Find the marmot",
                    "prompt": "[[plain]] find the marmot",
                    "subagent_type": "general",
                },
            ),
        ),
        (Say("It was found."),),
    ),
}


class ModelStub(ThreadingHTTPServer):
    """Serves while its context lasts."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._going_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def hold(self) -> None:
        """From now on a scenario waits where it says so."""
        self._going_on.clear()

    def release(self) -> None:
        """It goes on, and holds nothing until the next `hold`."""
        self._going_on.set()

    def wait(self) -> None:
        self._going_on.wait(HELD_SECONDS)


@contextmanager
def model_stub() -> Iterator[ModelStub]:
    """Answers from a thread of its own."""
    with ModelStub() as stub:
        thread = threading.Thread(target=stub.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield stub
        finally:
            stub.release()
            stub.shutdown()
            thread.join()


def answer_to(messages: list[Message], *, has_tools: bool) -> tuple[Step, ...]:
    """Who has no tools was only asked for a title."""
    tagged = [
        (at, tag)
        for at, each in enumerate(messages)
        if each["role"] == "user"
        for tag in re.findall(r"\[\[(\w+)\]\]", _text(each))
    ]
    if not tagged or not has_tools:
        return PLAIN
    at, tag = tagged[-1]
    turns = SCENARIOS[tag]
    made = sum(1 for each in messages[at:] if each["role"] == "assistant" and "tool_calls" in each)
    return turns[min(made, len(turns) - 1)]


def _text(message: Message) -> str:
    content = message["content"] or ""
    if isinstance(content, str):
        return content
    return "\n".join(each.get("text", "") for each in content)


class _Handler(BaseHTTPRequestHandler):
    server: ModelStub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, ARG002 - its name
        return

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        steps = answer_to(asked["messages"], has_tools=bool(asked.get("tools")))
        if isinstance(steps[0], Refuse):
            self._refuse(steps[0])
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            self._stream(steps, number=len(asked["messages"]))
        except ConnectionError:
            return  # whoever asked doesn't want to know any more

    def _refuse(self, refusal: Refuse) -> None:
        body = json.dumps({"error": {"message": refusal.reason, "type": "refused"}}).encode()
        self.send_response(refusal.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, steps: tuple[Step, ...], *, number: int) -> None:
        self._send({"role": "assistant"})
        calls = 0
        for step in steps:
            match step:
                case Think(text):
                    self._say("reasoning_content", text)
                case Say(text):
                    self._say("content", text)
                case Call():
                    self._call(step, at=calls, name=f"call_{number}_{calls}")
                    calls += 1
                case Hold():
                    self.server.wait()
                case Refuse():
                    raise AssertionError("nothing comes before a refusal")
        self._send({}, finish="tool_calls" if calls else "stop")
        self._write(b"[DONE]")

    def _say(self, field: str, text: str) -> None:
        """Word by word."""
        for word in re.findall(r"\S+\s*", text):
            self._send({field: word})

    def _call(self, call: Call, *, at: int, name: str) -> None:
        function = {"name": call.tool, "arguments": json.dumps(call.arguments)}
        one = {"index": at, "id": name, "type": "function", "function": function}
        self._send({"tool_calls": [one]})

    def _send(self, delta: dict[str, Any], *, finish: str | None = None) -> None:
        chunk: dict[str, Any] = {
            "id": "chatcmpl-stub",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "none",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
        if finish:
            chunk["usage"] = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        self._write(json.dumps(chunk).encode())

    def _write(self, data: bytes) -> None:
        self.wfile.write(b"data: " + data + b"\n\n")
        self.wfile.flush()
