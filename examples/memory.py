"""A memory in one folder: written, searched by words and by meaning, compared, repaired.

Run:      python -m examples.memory
You see:  answers with the matching words marked, a question that shares no word with its answer,
          the context for a model, and that both stores agree.
Nothing is left behind: the folder is a temporary one.
"""

import asyncio
import tempfile
from typing import Any

from dualstore import DualStoreManager, Settings, open_store


def said(id_: str, role: str, text: str, **more: Any) -> dict[str, Any]:
    """One message of Monday's session."""
    return {"id": id_, "text": text, "metadata": {"session_id": "monday", "role": role, **more}}


MESSAGES = [
    said("m1", "user", "The build is red: parseConfig raises ENOENT in src/app.ts:42"),
    said("m2", "assistant", "The settings file was missing. I restored config/app.toml."),
    said("m3", "user", "Now the physician's calendar shows every appointment twice"),
    said("m4", "assistant", "Fixed: the sync job ran on two machines at once."),
]


async def ask(messages: DualStoreManager, question: str) -> None:
    """Print the best answer, and what found it."""
    result = await messages.search(question, limit=1)
    for hit in result.hits:
        print(f"{question}\n  -> {hit.snippet}  [{hit.entry.id}, {' and '.join(hit.modes)}]")


async def main() -> None:
    """Fill a memory, and ask it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            documents=f"sqlite:///{folder}/memory.sqlite", vectors=f"chroma:///{folder}/vectors"
        )
        async with open_store(settings) as store:
            messages = store.family("messages", filter_fields=["role"])
            await messages.insert_many(MESSAGES)
            await messages.drain()
            await ask(messages, "parse_config")
            await ask(messages, "src/app.ts")
            await ask(messages, "doctor schedule")
            context = await messages.compile_context("doctor", recent=1, relevant=1)
            print("for a model:", ", ".join(each["role"] for each in context))
            report = await messages.consistency_report()
            print(f"{report.entries} entries, {report.vectors} vectors, clean: {report.clean}")


if __name__ == "__main__":
    asyncio.run(main())
