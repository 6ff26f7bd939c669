"""How well questions find their answers, through the public door.

Run: python -m bench.retrieval [--data FOLDER] [--parts] [--peers]

The data (six conversations of LoCoMo and the log of a coding agent) isn't part of the project;
without it nothing is measured. `--parts` switches the ingredients of the ranking off one by one,
`--peers` asks the vector stores of LangChain and LangGraph the same, with the same embedder.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any, Final
from unittest.mock import patch

from bench.peers_beside import SYSTEMS, PeersError, answers
from dualstore import DualStoreManager, Settings, Store, open_store
from dualstore.search import finder
from dualstore.search.ranking import RECIPE, Recipe
from dualstore.search.results import Mode

DATA: Final = Path(__file__).parents[2] / "shared" / "data"
MODES: Final[tuple[Mode, ...]] = ("hybrid", "text", "semantic")
LIMIT: Final = 10
PARTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "all": {},
    "no window": {"reach": 0},
    "no author": {"author": 0.0},
    "no dates": {"month": 0.0, "day": 0.0},
    "no when": {"when": 0.0},
    "no question": {"question": 0.0},
    "no meaning": {"meaning": 0.0},
    "no related words": {"related": 0.0},
    "neither meaning nor related": {"meaning": 0.0, "related": 0.0},
    "no passages": {"passage": 10**9},
}


@dataclass(frozen=True)
class Asked:
    """A question, and the ids that answer it."""

    text: str
    answers: frozenset[str]
    kind: str


@dataclass(frozen=True)
class Corpus:
    """Entries of one family, and what is asked of it."""

    name: str
    items: Sequence[Mapping[str, Any]]
    questions: Sequence[Asked]


def conversations(folder: Path) -> list[Corpus]:
    """One family for each conversation of LoCoMo."""
    return [_conversation(path) for path in sorted((folder / "locomo").glob("*.json"))]


def _conversation(path: Path) -> Corpus:
    content = json.loads(path.read_text())
    talk = content.get("conversation", content)
    items: list[dict[str, Any]] = []
    for name in sorted(filter(re.compile(r"session_\d+$").match, talk), key=_number):
        began = datetime.strptime(talk[f"{name}_date_time"], "%I:%M %p on %d %B, %Y")
        first = int(began.replace(tzinfo=UTC).timestamp() * 1000)
        for at, turn in enumerate(talk[name]):
            caption = turn.get("blip_caption")
            items.append(
                {
                    "id": turn["dia_id"],
                    "text": turn["text"] + (f" [image: {caption}]" if caption else ""),
                    "timestamp": first + 1000 * at,
                    "metadata": {"session_id": name, "author": turn["speaker"]},
                }
            )
    known = frozenset(item["id"] for item in items)
    asked = [
        Asked(each["question"], known.intersection(each["evidence"]), str(each["category"]))
        for each in content["qa"]
        if each["category"] in range(1, 5) and known.intersection(each["evidence"])
    ]
    return Corpus(path.stem, items, asked)


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def code_logs(folder: Path) -> Corpus:
    """The log of a coding agent."""
    content = json.loads((folder / "code-logs.json").read_text())
    items = [
        {
            "id": each["id"],
            "text": each["text"],
            "timestamp": 1000 * at,
            "metadata": {"session_id": each["session"], "author": each["role"]},
        }
        for at, each in enumerate(content["entries"])
    ]
    asked = [
        Asked(each["query"], frozenset(each["relevant"]), each["kind"])
        for each in content["queries"]
    ]
    return Corpus("code", items, asked)


@dataclass
class Figures:
    """What was found of what was asked."""

    first: list[bool]
    ten: list[bool]
    recall: list[float]

    @classmethod
    def none(cls) -> "Figures":
        """Nothing asked yet."""
        return cls([], [], [])

    def add(self, found: Sequence[str], asked: Asked) -> None:
        """Take in one answer."""
        hits = [each in asked.answers for each in found[:LIMIT]]
        self.first.append(any(hits[:1]))
        self.ten.append(any(hits))
        self.recall.append(len(asked.answers.intersection(found[:LIMIT])) / len(asked.answers))

    def __str__(self) -> str:
        return (
            f"hit@1 {fmean(self.first):.3f}  hit@10 {fmean(self.ten):.3f}"
            f"  recall@10 {fmean(self.recall):.3f}  of {len(self.first)}"
        )


async def filled(store: Store, corpora: Iterable[Corpus]) -> dict[str, DualStoreManager]:
    """A family for each corpus, indexed."""
    families = {}
    for corpus in corpora:
        family = families[corpus.name] = store.family(f"corpus-{corpus.name}")
        await family.insert_many(corpus.items)
        await family.drain()
    return families


async def asked(family: DualStoreManager, corpus: Corpus, mode: Mode) -> dict[str, Figures]:
    """By the kind of question."""
    figures: dict[str, Figures] = defaultdict(Figures.none)
    for each in corpus.questions:
        result = await family.search(each.text, mode=mode, limit=LIMIT)
        figures[each.kind].add([hit.entry.id for hit in result.hits], each)
    return figures


def summed(some: Iterable[Figures]) -> Figures:
    """All of them together."""
    total = Figures.none()
    for each in some:
        total.first += each.first
        total.ten += each.ten
        total.recall += each.recall
    return total


@asynccontextmanager
async def opened() -> AsyncIterator[Store]:
    """The defaults, in a folder that goes afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            documents=f"sqlite:///{folder}/documents.sqlite", vectors=f"chroma:///{folder}/vectors"
        )
        async with open_store(settings) as store:
            yield store


async def beside(corpora: Sequence[Corpus]) -> None:
    """What others find in the conversations; who speaks stands before what is said, as with us."""
    given = [
        {
            "name": corpus.name,
            "items": [
                {**item, "text": f"{item['metadata']['author']}: {item['text']}"}
                for item in corpus.items
            ],
            "queries": [each.text for each in corpus.questions],
        }
        for corpus in corpora
    ]
    for system in SYSTEMS:
        figures = Figures.none()
        try:
            found = await answers(system, given)
        except PeersError as error:
            print(f"no {system}: {error}")
            continue
        for corpus, lists in zip(corpora, found, strict=True):
            for each, ids in zip(corpus.questions, lists, strict=True):
                figures.add(ids, each)
        print(f"  {system:24}{figures}")


async def measure(folder: Path, *, parts: bool, peers: bool) -> None:
    """Print all figures."""
    talks, code = conversations(folder), code_logs(folder)
    async with opened() as store:
        families = await filled(store, [*talks, code])
        for mode in MODES:
            print(f"\n{mode}")
            await _show(families, talks, code, mode)
    if peers:
        print("\nbeside us, conversations")
        await beside(talks)
    if parts:
        await _by_parts(talks, code)


async def _show(
    families: Mapping[str, DualStoreManager], talks: Sequence[Corpus], code: Corpus, mode: Mode
) -> None:
    found = [await asked(families[talk.name], talk, mode) for talk in talks]
    print(f"  {'conversations':24}{summed(each for one in found for each in one.values())}")
    for kind, figures in sorted((await asked(families[code.name], code, mode)).items()):
        print(f"  {'code: ' + kind:24}{figures}")


async def _by_parts(talks: Sequence[Corpus], code: Corpus) -> None:
    for name, change in PARTS.items():
        print(f"\nhybrid, {name}")
        recipe: Recipe = replace(RECIPE, **change)
        with patch.object(finder, "RECIPE", recipe):
            async with opened() as store:
                families = await filled(store, [*talks, code])
                await _show(families, talks, code, "hybrid")


def main() -> None:
    """As the first lines of this file say."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=DATA)
    options.add_argument("--parts", action="store_true")
    options.add_argument("--peers", action="store_true")
    given = options.parse_args()
    if not (given.data / "locomo").is_dir():
        sys.exit(f"skipped: the data isn't at {given.data}")
    asyncio.run(measure(given.data, parts=given.parts, peers=given.peers))


if __name__ == "__main__":
    main()
