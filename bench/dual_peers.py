"""What others make of the same texts: run by peers_beside.py in an environment of their own.

Run: python dual_peers.py TEXTS FOLDER SYSTEM

TEXTS is a JSON object of `batches`, `singles` and `queries`, or of `corpora`, which have items and
queries each. Each system keeps its files in FOLDER, embeds with our static embedder, and says as
JSON, in its last line, how long everything took, or which ids it found.
"""

# The peers are not installed where types are checked.
# mypy: disable-error-code="import-not-found"

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dualstore.embedders.static import StaticEmbedder

BATCH = 100
LIMIT = 10

Given = dict[str, Any]
Write = Callable[[Sequence[Given]], object]


class Embedding:
    """The static embedder as LangChain wants it; without a loop, which would make it slower."""

    def __init__(self) -> None:
        self._embedder = StaticEmbedder()
        self.embed_documents(["load now"])

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        rows = self._embedder.word_vectors(texts)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        numbers: list[list[float]] = (rows / np.maximum(lengths, 1e-30)).tolist()
        return numbers

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@dataclass(frozen=True)
class System:
    """A store that is open."""

    version: str
    write: Write
    ask: Callable[[str], list[str]]
    """The ids of the best entries, best first."""


@contextmanager
def langchain(folder: Path) -> Iterator[System]:
    """Its Chroma vector store, kept in step by its indexing API."""
    from langchain_chroma import Chroma
    from langchain_classic.indexes import SQLRecordManager
    from langchain_core.documents import Document
    from langchain_core.indexing import index

    store = Chroma(
        "bench",
        embedding_function=Embedding(),
        persist_directory=str(folder / "chroma"),
        collection_metadata={"hnsw:space": "cosine"},
    )
    records = SQLRecordManager("chroma/bench", db_url=f"sqlite:///{folder / 'records.sqlite'}")
    records.create_schema()

    def write(some: Sequence[Given]) -> None:
        documents = [
            Document(page_content=each["text"], metadata={"source": each["id"], **each["metadata"]})
            for each in some
        ]
        index(
            documents,
            records,
            store,
            batch_size=BATCH,
            cleanup="incremental",
            source_id_key="source",
            key_encoder="blake2b",
        )

    def ask(query: str) -> list[str]:
        return [each.metadata["source"] for each in store.similarity_search(query, k=LIMIT)]

    yield System(f"langchain-chroma {version('langchain-chroma')}", write, ask)


@contextmanager
def langgraph(folder: Path) -> Iterator[System]:
    """Its SQLite store with an index over the text."""
    from langgraph.store.base import PutOp
    from langgraph.store.sqlite import SqliteStore

    embedding = Embedding()
    index = {"dims": 256, "embed": embedding.embed_documents, "fields": ["text"]}
    with SqliteStore.from_conn_string(str(folder / "store.sqlite"), index=index) as store:
        store.setup()

        def write(some: Sequence[Given]) -> None:
            store.batch([PutOp(("bench",), each["id"], each) for each in some])

        def ask(query: str) -> list[str]:
            found = store.search(("bench",), query=query, limit=LIMIT)
            return [each.key for each in found if each.score is not None]

        name = "langgraph-checkpoint-sqlite"
        yield System(f"{name} {version(name)}", write, ask)


Opened = Callable[[Path], AbstractContextManager[System]]


def measured(system: System, given: Given) -> Given:
    """Batches, then single writes, then questions."""
    start = time.perf_counter()
    write_all(system, given["batches"])
    seconds = time.perf_counter() - start
    singles = [seconds_of(system.write, [each]) for each in given["singles"]]
    if any(len(system.ask(each)) < LIMIT for each in given["queries"][:BATCH]):
        raise SystemExit("a question was answered with too little")
    queries = [seconds_of(system.ask, each) for each in given["queries"]]
    return {
        "version": system.version,
        "per_second": len(given["batches"]) / seconds,
        "single": statistics.median(singles or [0.0]),
        "query": statistics.median(queries),
    }


def write_all(system: System, items: Sequence[Given]) -> None:
    """In batches."""
    remaining = iter(items)
    while some := list(islice(remaining, BATCH)):
        system.write(some)


def seconds_of(call: Callable[[Any], object], argument: object) -> float:
    """What one call takes."""
    start = time.perf_counter()
    call(argument)
    return time.perf_counter() - start


def main() -> None:
    texts, folder, name = sys.argv[1:]
    given = json.loads(Path(texts).read_text(encoding="utf-8"))
    opened = {"langchain": langchain, "langgraph": langgraph}[name]
    if "corpora" in given:
        print(json.dumps([found(opened, Path(folder), each) for each in given["corpora"]]))
    else:
        with opened(Path(folder)) as system:
            print(json.dumps(measured(system, given)))


def found(opened: Opened, folder: Path, corpus: Given) -> list[list[str]]:
    """For each query the ids that were found."""
    place = folder / corpus["name"]
    place.mkdir()
    with opened(place) as system:
        write_all(system, corpus["items"])
        return [system.ask(each) for each in corpus["queries"]]


if __name__ == "__main__":
    main()
