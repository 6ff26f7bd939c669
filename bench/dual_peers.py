"""What others make of the same texts: run by peers_beside.py in an environment of their own.

Run: python dual_peers.py TEXTS FOLDER SYSTEM

TEXTS is a JSON object of `batches`, `singles` and `queries`. Each system keeps its files in FOLDER,
embeds with our static embedder, and says how long everything took as JSON, in its last line.
"""

# The peers are not installed where types are checked.
# mypy: disable-error-code="import-not-found"

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
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


def langchain(folder: Path, given: Given) -> Given:
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

    def ask(query: str) -> int:
        return len(store.similarity_search(query, k=LIMIT))

    return {
        "version": f"langchain-chroma {version('langchain-chroma')}",
        **measured(given, write, ask),
    }


def langgraph(folder: Path, given: Given) -> Given:
    """Its SQLite store with an index over the text."""
    from langgraph.store.base import PutOp
    from langgraph.store.sqlite import SqliteStore

    embedding = Embedding()
    index = {"dims": 256, "embed": embedding.embed_documents, "fields": ["text"]}
    with SqliteStore.from_conn_string(str(folder / "store.sqlite"), index=index) as store:
        store.setup()

        def write(some: Sequence[Given]) -> None:
            store.batch([PutOp(("bench",), each["id"], each) for each in some])

        def ask(query: str) -> int:
            found = store.search(("bench",), query=query, limit=LIMIT)
            return sum(each.score is not None for each in found)

        name = "langgraph-checkpoint-sqlite"
        return {"version": f"{name} {version(name)}", **measured(given, write, ask)}


def measured(given: Given, write: Write, ask: Callable[[str], int]) -> Given:
    """Batches, then single writes, then questions."""
    remaining = iter(given["batches"])
    start = time.perf_counter()
    while some := list(islice(remaining, BATCH)):
        write(some)
    seconds = time.perf_counter() - start
    singles = [seconds_of(write, [each]) for each in given["singles"]]
    if any(ask(each) < LIMIT for each in given["queries"][:BATCH]):
        raise SystemExit("a question was answered with too little")
    queries = [seconds_of(ask, each) for each in given["queries"]]
    return {
        "per_second": len(given["batches"]) / seconds,
        "single": statistics.median(singles),
        "query": statistics.median(queries),
    }


def seconds_of(call: Callable[[Any], object], argument: object) -> float:
    """What one call takes."""
    start = time.perf_counter()
    call(argument)
    return time.perf_counter() - start


def main() -> None:
    texts, folder, system = sys.argv[1:]
    given = json.loads(Path(texts).read_text(encoding="utf-8"))
    measure = {"langchain": langchain, "langgraph": langgraph}[system]
    print(json.dumps(measure(Path(folder), given)))


if __name__ == "__main__":
    main()
