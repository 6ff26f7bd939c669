"""Documents on their own: write, filter, page and look up words in one SQLite file.

Run:      python -m examples.notes
You see:  what became of each write, the newest entries of a session, and what holds a word.
Nothing is left behind: the file is in a temporary folder.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from dualstore.documents.base import DocumentStore
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.entry import Drafter
from dualstore.family import FamilySpec, family_name
from dualstore.filters import parse
from dualstore.terms import Analyzer

NOTES = [
    {"id": "n1", "text": "parseConfig fails with ENOENT", "metadata": {"session_id": "monday"}},
    {"id": "n2", "text": "The settings file was missing", "metadata": {"session_id": "monday"}},
    {"id": "n3", "text": "Release notes are written", "metadata": {"session_id": "friday"}},
]


def now() -> int:
    """The present, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


async def show(notes: DocumentStore) -> None:
    """Write the notes twice, then read them in three ways."""
    drafter = Drafter(notes.spec)
    for attempt in ("first", "again"):
        puts = await notes.put(drafter.draft_many(NOTES, now=now()), now=now())
        print(f"{attempt}:", ", ".join(f"{put.id} {put.outcome}" for put in puts))

    monday = parse({"metadata.session_id": "monday"})
    page = await notes.page(monday, newest=False)
    print("monday:", " / ".join(entry.text for entry in page.entries))

    terms = dict.fromkeys(Analyzer().stream("parse_config"), 1.0)
    found = await notes.candidates(terms)
    print("parse_config is in:", ", ".join(candidate.id for candidate in found.found))


async def main() -> None:
    """Open a file, make a family in it, show it."""
    spec = FamilySpec(family_name("default", "notes"))
    with tempfile.TemporaryDirectory() as folder:
        async with SqliteDatabase(Path(folder) / "notes.sqlite") as database:
            await show(await database.family(spec))


if __name__ == "__main__":
    asyncio.run(main())
