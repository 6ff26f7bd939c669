"""A small agent host whose only memory is the conversation log.

Run:      python -m examples.agent_loop
You see:  a turn with a tool call, a sub-agent whose result comes in later, a crash in the middle
          of a turn and the restart after it, a compaction, and a search; each time what the model
          is given is folded from the log.
Nothing is left behind: the folder is a temporary one. The model is a stub that answers by rules.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

from dualstore import Settings, Store, open_store
from dualstore.conversations.turns import Turn

NAME = "garden"
KILLED = 9
ENOUGH = 9
"""Messages in the context from which on it is compacted."""


def say(role: str, text: str) -> dict[str, Any]:
    """A message."""
    return {"role": role, "content": text}


def model(context: list[dict[str, Any]]) -> str:
    """What a model would answer to all it sees."""
    last = context[-1]["content"]
    if "water" in last:
        return "call: thermometer"
    if last.startswith("thermometer"):
        return "It is dry and warm: water them in the evening."
    if "roses" in last:
        return "call: sub-agent"
    if last.startswith("sub-agent"):
        return "The roses have aphids. Ladybirds would help."
    return f"I remember {len(context)} messages."


def thermometer() -> str:
    """A tool."""
    return "thermometer: 24 degrees"


class Host:
    """Runs turns. What it knows is what the log says."""

    def __init__(self, store: Store, *, crashes: bool = False) -> None:
        self.log = store.conversations
        self.crashes = crashes

    async def ask(self, text: str) -> str:
        """One turn: the question, what the model does about it, the answer."""
        async with self.log.turn(NAME) as turn:
            await turn.append([{"type": "user_message", "message": say("user", text)}])
            if self.crashes:
                os._exit(KILLED)  # nothing is finished, closed or said goodbye to
            return await self.answer(turn)

    async def answer(self, turn: Turn) -> str:
        """Ask the model until it answers."""
        while True:
            said = model((await self.log.get(NAME)).context)
            match said:
                case "call: thermometer":
                    await self.note(turn, say("assistant", said), say("tool", thermometer()))
                case "call: sub-agent":
                    await self.note(turn, say("assistant", said))
                    said = "I have sent somebody to look."
            if not said.startswith("call: "):
                message = say("assistant", said)
                await turn.append([{"type": "assistant_message", "message": message}])
                return said

    async def note(self, turn: Turn, *messages: dict[str, Any]) -> None:
        """What only the model sees."""
        await turn.append([{"type": "harness_message", "message": each} for each in messages])

    async def report(self, result_id: str, result: str) -> None:
        """A sub-agent comes back, perhaps twice: the same id is the same result."""
        told = {"subagent_id": "s1", "task": "roses", "status": "completed", "result": result}
        await self.log.append(NAME, [{"type": "subagent_result", "id": result_id, "result": told}])

    async def deliver(self) -> list[str]:
        """A turn for the results that nobody has taken care of."""
        waiting = (await self.log.get(NAME)).pending
        if not waiting:
            return []
        async with self.log.turn(NAME) as turn:
            consumed = [each["id"] for each in waiting]
            await turn.append([{"type": "callback_started", "consumed_ids": consumed}])
            for each in waiting:
                await self.note(turn, say("user", f"sub-agent: {each['result']}"))
            return [await self.answer(turn)]

    async def compact(self) -> bool:
        """Put a summary in the place of all but the last two messages that the model sees."""
        found = await self.log.get(NAME)
        if len(found.context) < ENOUGH:
            return False
        kept = [each["id"] for each in found.context[-2:]]
        summary = say("system", f"(what {len(found.context) - 2} messages said)")
        told = {"type": "compaction", "summary_message": summary, "kept_ids": kept}
        await self.log.append(NAME, [told])
        return True


async def first_life(store: Store) -> None:
    """Until it crashes, in a process of its own."""
    host = Host(store)
    await store.conversations.create(NAME, "In the garden")
    print("user:  Do they need water?")
    print("agent:", await host.ask("Do they need water?"))
    print("agent:", await host.ask("And what about the roses?"))
    await host.report("r1", "small green insects")
    host.crashes = True
    await host.ask("Are you there?")


async def second_life(store: Store) -> None:
    """What the restarted host finds."""
    host = Host(store)
    found = await host.log.get(NAME)
    print("the last thing said:", found.display[-1]["content"])
    print("turns that broke off:", len(found.interrupted))
    await host.report("r1", "small green insects")  # nobody knew that it had got through
    print("agent:", *await host.deliver())
    print("again:", await host.deliver())
    print("compacted:", await host.compact())
    print("agent:", await host.ask("What do you remember?"))
    found = await host.log.get(NAME)
    print("the model sees:", [each["content"] for each in found.context][:2], "...")
    print(
        "the user sees:",
        len(found.display),
        "messages, the first one:",
        found.display[0]["content"],
    )
    hits = (await host.log.search("aphids", "text", limit=1)).hits
    print("found:", hits[0].snippet, f"[{hits[0].title}, entry {hits[0].entry.seq}]")
    report = await host.log.verify(NAME)
    print(f"{report.entries} entries, clean: {report.clean}")


async def live(folder: str, life: Callable[[Store], Awaitable[None]]) -> None:
    """One life of the host, on what is in the folder."""
    settings = Settings(
        documents=f"sqlite:///{folder}/memory.sqlite", vectors=f"chroma:///{folder}/vectors"
    )
    async with open_store(settings) as store:
        await life(store)


async def main() -> None:
    """Two lives of one host."""
    if len(sys.argv) > 1:
        await live(sys.argv[1], first_life)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-u", "-m", "examples.agent_loop", folder]
        process = await asyncio.create_subprocess_exec(*command)
        print(f"-- it died with {await process.wait()}, and is started again --")
        await live(folder, second_life)


if __name__ == "__main__":
    asyncio.run(main())
