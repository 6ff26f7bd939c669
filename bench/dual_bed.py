"""The default set-up in a folder of its own, and the lines of the table."""

import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.corpus import Corpus
from dualstore.documents.base import DocumentStore
from dualstore.entry import Drafter
from dualstore.manager import DualStoreManager
from dualstore.settings import Settings
from dualstore.terms import VERSION as ANALYZER
from dualstore.wiring import Backends, open_backends, system_clock

COUNT: Final = 10_000
BATCH: Final = 500

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Bed:
    """One SQLite file and one private Chroma server, which has been started already."""

    settings: Settings
    backends: Backends

    @asynccontextmanager
    async def family(self, name: str) -> AsyncIterator[DualStoreManager]:
        """A new one, whose indexer sleeps until the first write or `drain`."""
        manager = await DualStoreManager.create(
            name, settings=self.settings, backends=self.backends
        )
        async with manager:
            yield manager

    async def store_of(self, manager: DualStoreManager) -> DocumentStore:
        """The documents alone: what is put there stays due until the manager's indexer wakes."""
        images = self.backends.embedder.takes_images
        spec = replace(manager.spec, analyzer=ANALYZER, images=images)
        return await self.backends.documents.family(spec)

    async def leave_due(self, manager: DualStoreManager, messages: Messages) -> None:
        """Write as another process would that ends before it has indexed anything."""
        store = await self.store_of(manager)
        now = system_clock()
        await store.put(Drafter(store.spec).draft_many(messages, now=now), now=now)


@asynccontextmanager
async def made_bed(folder: Path) -> AsyncIterator[Bed]:
    """With server and embedder loaded."""
    settings = Settings(
        documents=f"sqlite:///{folder / 'documents.sqlite'}",
        vectors=f"chroma:///{folder / 'vectors'}",
        embedder="static",
    )
    async with open_backends(settings) as backends:
        await backends.embedder.load()
        await backends.vectors.health()
        yield Bed(settings, backends)


@contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """Gone in the end; what the server writes while it goes is no error."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        yield Path(name)


def messages(count: int, *, seed: int = 1, first: int = 0, length: int = 400) -> Messages:
    """Of `length` characters each, with ids of their own."""
    corpus = Corpus(seed=seed)
    return [
        {
            **message,
            "id": f"message:{number:08}",
            "text": message["text"][:length],
        }
        for number, message in enumerate(corpus.messages(count), first)
    ]


def portions(all_of_them: Messages, size: int = BATCH) -> Iterator[Messages]:
    """In their order."""
    for start in range(0, len(all_of_them), size):
        yield all_of_them[start : start + size]


def quantile(numbers: Sequence[float], share: float) -> float:
    """The number that `share` of them are at or below."""
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(numbers: Sequence[float], form: str = ".2f") -> str:
    """From the least to the most: how noisy it was."""
    return f"{min(numbers):{form}} to {max(numbers):{form}}"


def heading(first: str, second: str, third: str = "ratio") -> None:
    print(f"\n{'':46} {first:>12} {second:>12} {third:>8}")


def line(name: str, ours: float, beside: float, *, ratio: float, note: str = "") -> None:
    """What was measured of both, and their ratio, which is what counts."""
    print(f"{name:46} {ours:12,.2f} {beside:12,.2f} {ratio:8.2f}   {note}", flush=True)


def median_of(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, list[float]]:
    """The medians of both, and the ratio of each pair."""
    ours, beside = (statistics.median(each) for each in zip(*pairs, strict=True))
    return ours, beside, [mine / theirs for mine, theirs in pairs]
