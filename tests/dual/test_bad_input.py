"""Texts nobody thought of, and embedders that fail: what a user of the manager sees."""

import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualstore.documents.base import Database
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.base import Embedder, Vectors
from dualstore.embedders.http import OllamaEmbedder, OpenAIEmbedder
from dualstore.embedders.http_asking import Patience
from dualstore.embedders.static import StaticEmbedder
from dualstore.errors import EmbedderError, FamilyMismatchError, UnavailableError
from dualstore.manager import DualStoreManager
from dualstore.outbox import IndexState
from dualstore.settings import Settings
from dualstore.vectors.base import VectorPlace
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.dual.indexing_process import SPEC, text_of
from tests.dual.looking import generations, held
from tests.dual.refusing import IDS, check_in_the_way, check_mended, insert, opened
from tests.embedders.stub import BROKEN, CUT, HTML, MODEL, RESET, Fault, StubServer, stub_server

MEBI = 1024 * 1024
HASTE = Patience(
    attempts=2, connect=0.3, attempt=0.3, total=1.0, first_pause=0.01, longest_pause=0.02
)
Served = type[OllamaEmbedder] | type[OpenAIEmbedder]


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[Database]:
    async with SqliteDatabase(tmp_path / "documents.db") as database:
        yield database


@pytest.fixture
def vectors() -> VectorPlace:
    return ExactVectors()


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with stub_server() as server:
        yield server


@pytest.fixture(params=[OllamaEmbedder, OpenAIEmbedder])
def kind(request: pytest.FixtureRequest) -> Served:
    found: Served = request.param
    return found


# Texts


def every_script() -> dict[str, str]:
    """Letters of everything that Unicode has, some thousand at a time."""
    letters = [
        chr(code) for code in range(0x20, 0x20000) if unicodedata.category(chr(code))[0] in "LMNPSZ"
    ]
    parts = [letters[start : start + 4000] for start in range(0, len(letters), 4000)]
    return {
        f"script{n}": " ".join(map("".join, zip(*[iter(part)] * 5, strict=False)))
        for n, part in enumerate(parts)
    }


async def test_texts_nobody_thought_of_are_kept_and_indexed(
    notes: DualStoreManager, backends: Backends
) -> None:
    texts = every_script() | {
        "giant word": "w" * MEBI,
        "giant word in Chinese": "字" * (MEBI // 3),
        "emoji": "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪👍🏽" * 500,
        "accents": "a" + "\u0301" * 100_000,
        "right to left": "שלום \u202eעולם\u202c مرحبا " * 1000,
        "with zeros": "before\0after \0" * 100,
        "blank": " \n\t\u3000\u200b" * 1000,
        "controls": "".join(map(chr, range(32))) + "words",
        "one letter": "x",
    }
    await notes.insert_many({"id": id_, "text": text} for id_, text in texts.items())
    await notes.drain(timeout=60)
    entries = await notes.get_many(list(texts))
    assert {id_: entry.text for id_, entry in entries.items()} == texts
    states = {id_: entry.index.state for id_, entry in entries.items()}
    excluded = {id_ for id_, state in states.items() if state is IndexState.EXCLUDED}
    assert {"blank", "emoji"} <= excluded, "there is nothing in them to find"
    assert not {"accents", "controls", "one letter", "right to left", "script0"} & excluded
    assert set(states.values()) <= {IndexState.INDEXED, IndexState.EXCLUDED}
    report = await notes.consistency_report()
    assert report.clean
    assert max((await held(backends)).values()) <= 64 * 1024 // 1000
    for query in ("字", "w" * 100_000, "👍🏽", "\0", "שלום", texts["script3"]):
        await notes.search(query)
    assert (await notes.search("שלום")).hits[0].entry.id == "right to left"


async def test_ten_mebibytes_are_kept_whole_and_their_beginning_indexed(
    notes: DualStoreManager, backends: Backends
) -> None:
    text = (
        "the kitten sleeps on the sofa. " + "words that fill a text. " * 430_000 + "sesquipedalian"
    )
    assert len(text) > 9.8 * MEBI
    await notes.insert_many([{"id": "large", "text": text}, {"id": "small", "text": "a dog barks"}])
    await notes.drain(timeout=30)
    entry = await notes.get("large")
    assert entry
    assert entry.text == text
    counts = await held(backends)
    assert 64 * 1024 / 1600 <= counts["large"] <= 64 * 1024 / 1000
    hit = (await notes.search("words that fill a text", mode="semantic", limit=1)).hits[0]
    assert hit.entry.id == "large"
    assert "words" in hit.snippet.text
    assert len(hit.snippet.text) < 5000
    assert (await notes.search("sesquipedalian", mode="text")).hits == ()
    assert (await notes.consistency_report()).clean


# Embedders that answer with nonsense


class Odd(StaticEmbedder):
    """Spoils what it gives whenever one of the texts has the word."""

    def __init__(self, spoil: Callable[[Vectors], Any], word: str) -> None:
        super().__init__()
        self.spoil = spoil
        self.word = word

    async def embed(self, texts: Any) -> Vectors:
        rows = await super().embed(texts)
        spoilt = not self.word or (
            self.word != "nothing" and any(self.word in text for text in texts)
        )
        return self.spoil(rows) if spoilt else rows


SPOILT: dict[str, tuple[Callable[[Vectors], Any], str]] = {
    "too few": (lambda rows: rows[:-1], "shape"),
    "too many": (lambda rows: np.concatenate([rows, rows]), "shape"),
    "too narrow": (lambda rows: rows[:, :-1], "shape"),
    "not numbers": (lambda rows: np.full_like(rows, np.nan), "not finite"),
    "words": (lambda rows: rows.astype(str), "where numbers belong"),
}


@pytest.mark.parametrize("how", SPOILT)
async def test_nonsense_for_one_text_fails_that_text_alone(
    how: str, documents: Database, vectors: VectorPlace
) -> None:
    spoil, said = SPOILT[how]
    odd = Odd(spoil, "m3")
    backends = Backends(documents, vectors, odd)
    async with odd, opened(backends) as notes:
        await insert(notes)
        await notes.drain(timeout=10)
        assert await held(backends) == {each: 1 for each in IDS if each != "m3"}
        found = await notes.check_consistency("m3")
        assert found.state is IndexState.FAILED
        assert said in (found.error or "")
        assert (await notes.index_status()).failed == 1
        assert (await notes.consistency_report()).failed == 1
        odd.word = "nothing"
        assert (await notes.retry_vector_write("m3")).in_step
        await insert(notes, ["new"])
        await check_mended(notes)


@pytest.mark.parametrize("how", SPOILT)
async def test_nonsense_for_every_text_is_an_embedder_that_is_unavailable(
    how: str, documents: Database, vectors: VectorPlace
) -> None:
    spoil, said = SPOILT[how]
    odd = Odd(spoil, "")
    async with odd, opened(Backends(documents, vectors, odd)) as notes:
        await check_in_the_way(notes, UnavailableError, f"the embedder.* Odd.*{said}")
        odd.word = "nothing"
        await check_mended(notes)


async def test_a_text_without_direction_is_excluded_alone(
    documents: Database, vectors: VectorPlace
) -> None:
    odd = Odd(lambda rows: rows * 0, "m3")
    backends = Backends(documents, vectors, odd)
    async with odd, opened(backends) as notes:
        await insert(notes, ["m3"])
        await notes.drain(timeout=10)
        assert (await notes.check_consistency("m3")).state is IndexState.EXCLUDED
        assert (await notes.consistency_report()).clean
        odd.word = "nothing"
        assert (await notes.consistency_report()).lying == ("m3",)
        await notes.repair()
        await insert(notes, [*IDS, "new"])
        await check_mended(notes)


async def test_an_embedder_that_gives_no_direction_to_anything_is_unavailable(
    documents: Database, vectors: VectorPlace
) -> None:
    odd = Odd(lambda rows: rows * 0, "")
    async with odd, opened(Backends(documents, vectors, odd)) as notes:
        await check_in_the_way(
            notes, UnavailableError, "the embedder .* can't be used: it gives nothing but zeros"
        )
        odd.word = "nothing"
        await check_mended(notes)


# Embedders that are served


def served(kind: Served, stub: StubServer) -> OllamaEmbedder | OpenAIEmbedder:
    return kind(MODEL, url=stub.url, patience=HASTE)


@asynccontextmanager
async def family(
    documents: Database, vectors: VectorPlace, embedder: Embedder
) -> AsyncIterator[DualStoreManager]:
    async with embedder, opened(Backends(documents, vectors, embedder)) as notes:
        yield notes


TROUBLE = {
    "down": (RESET, "can't be reached"),
    "dying": (CUT, "can't be reached"),
    "slow": (Fault(delay=0.6), "did not answer in time"),
    "overrun": (Fault(status=429, headers={"Retry-After": "30"}), "answers 429.* wait 30 s"),
    "broken": (BROKEN, "answers 500: out of memory"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_a_server_in_trouble_keeps_nobody_from_writing(
    kind: Served, trouble: str, documents: Database, vectors: VectorPlace, stub: StubServer
) -> None:
    """The family is new, so nobody knows yet what the embedder is."""
    fault, said = TROUBLE[trouble]
    stub.faults.extend([fault] * 1000)
    async with family(documents, vectors, served(kind, stub)) as notes:
        match = f"the embedder at {stub.url}.*{said}"
        await check_in_the_way(notes, UnavailableError, match, searching=UnavailableError)
        stub.faults.clear()
        await check_mended(notes)


async def test_a_server_that_goes_down_later_is_named(
    kind: Served, documents: Database, vectors: VectorPlace, stub: StubServer
) -> None:
    async with family(documents, vectors, served(kind, stub)) as notes:
        await insert(notes)
        await notes.drain(timeout=10)
        stub.faults.extend([RESET] * 1000)
        match = f"the embedder at {stub.url}.*can't be reached"
        await check_in_the_way(notes, UnavailableError, match, searching=UnavailableError)
        stub.faults.clear()
        await check_mended(notes)


async def test_what_is_no_embedding_server_is_named(
    kind: Served, documents: Database, vectors: VectorPlace, stub: StubServer
) -> None:
    stub.faults.extend([HTML] * 1000)
    async with family(documents, vectors, served(kind, stub)) as notes:
        match = f"the embedder at {stub.url}.*is this its address"
        await check_in_the_way(notes, UnavailableError, match, searching=EmbedderError)
        stub.faults.clear()
        await check_mended(notes)


async def test_a_model_that_isnt_there_is_named(
    kind: Served, documents: Database, vectors: VectorPlace, stub: StubServer
) -> None:
    missing = kind("missing-model", url=stub.url, patience=HASTE)
    async with family(documents, vectors, missing) as notes:
        match = f"the embedder at {stub.url}.*missing-model"
        await check_in_the_way(notes, UnavailableError, match, searching=EmbedderError)
    async with family(documents, vectors, served(kind, stub)) as notes:
        await check_mended(notes)


async def test_a_model_that_changes_while_it_is_in_use_spoils_nothing(
    kind: Served, documents: Database, vectors: VectorPlace, stub: StubServer
) -> None:
    async with family(documents, vectors, served(kind, stub)) as notes:
        await insert(notes)
        await notes.drain(timeout=10)
        stub.dimension = 32
        await check_in_the_way(notes, UnavailableError, "shape", searching=EmbedderError)
        assert (await notes.index_status()).failed == 0
        stub.dimension = 16
        await check_mended(notes)


@pytest.mark.parametrize("change", ["digest", "dimension"])
async def test_a_model_that_was_changed_on_its_server_is_never_mixed_with_the_old(
    change: str, documents: Database, vectors: VectorPlace, stub: StubServer
) -> None:
    """It is noticed as soon as the server is asked; opening asks nobody."""
    async with family(documents, vectors, served(OllamaEmbedder, stub)) as notes:
        await insert(notes)
        await notes.drain(timeout=10)
    if change == "digest":
        stub.digest = "f" * 64
    else:
        stub.dimension = 32
    async with family(documents, vectors, served(OllamaEmbedder, stub)) as notes:
        match = "are made by ollama:stub-model/.*/16, not by ollama:stub-model/.*reindex"
        await check_in_the_way(notes, FamilyMismatchError, match, searching=FamilyMismatchError)
        old = await vectors.names()
    embedder = served(OllamaEmbedder, stub)
    backends = Backends(documents, vectors, embedder)
    async with (
        embedder,
        DualStoreManager(
            SPEC, settings=Settings(), backends=backends, on_mismatch="reindex"
        ) as notes,
    ):
        assert (await notes.search(text_of("m1"))).hits[0].entry.id == "m1"
        await check_mended(notes)
        assert len(await vectors.names()) == 1
        assert not set(await vectors.names()) & set(old)
        assert await held(backends) == dict.fromkeys([*IDS, "new"], 1)
        live = (await generations(backends)).live
        assert live.embedder == embedder.identity
        embedded = [text for texts in stub.texts() for text in texts]
        assert embedded.count(text_of("m1")) > 1, "no vector of the old model's was kept"
