import copy
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import pytest

from dualstore.documents.base import Database, DocumentStore, Records
from dualstore.documents.journal import Journal
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.base import Embedder, Vectors, WordVectors
from dualstore.embedders.static import StaticEmbedder
from dualstore.entry import Drafter
from dualstore.errors import FamilyMismatchError, UnavailableError
from dualstore.filters import EVERYTHING, Leaf, Op
from dualstore.testing import FakeClock, Faults, faulty
from dualstore.vectors.base import VectorIndex, VectorItem, VectorPlace
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.testing.conftest import SPEC

CONTRACTS: dict[type, str] = {
    Database: "documents",
    DocumentStore: "documents",
    Records: "records",
    Journal: "journal",
    VectorPlace: "vectors.place",
    VectorIndex: "vectors.index",
    Embedder: "embedder",
}
METHODS = [
    (contract, name)
    for contract in CONTRACTS
    for name, method in vars(contract).items()
    if inspect.iscoroutinefunction(method) and not name.startswith("_")
]


class Echo:
    """Whatever a contract has: notes what it is asked, and gives the same answer to everything."""

    def __init__(self, contract: type, *, answer: object = None, **attributes: object) -> None:
        self.contract = contract
        self.answer = answer or object()
        self.asked: list[tuple[str, dict[str, object]]] = []
        vars(self).update(attributes)

    def __getattr__(self, name: str) -> Any:
        if name not in vars(self.contract):
            raise AttributeError(name)

        async def ask(*args: object, **kwargs: object) -> object:
            signature = inspect.signature(getattr(self.contract, name))
            given = signature.bind(self, *args, **kwargs).arguments
            self.asked.append((name, {key: given[key] for key in given if key != "self"}))
            return self.answer

        return ask


class Echoes:
    """One of each contract, and the same ones made faulty."""

    def __init__(self) -> None:
        index, store = Echo(VectorIndex), Echo(DocumentStore)
        records, journal = Echo(Records), Echo(Journal)
        place = Echo(VectorPlace, answer=index)
        database = Echo(Database, answer=store, records=records, journal=journal)
        embedder = Echo(Embedder)
        self.faults = Faults()
        inner = Backends(cast(Any, database), cast(Any, place), cast(Any, embedder))
        self.faulty = faulty(inner, self.faults)
        every = (database, store, records, journal, place, index, embedder)
        self.inner = {each.contract: each for each in every}

    async def part(self, contract: type) -> Any:
        documents, vectors = self.faulty.documents, self.faulty.vectors
        if contract is DocumentStore:
            return await documents.family(SPEC)
        if contract is VectorIndex:
            return await vectors.index("a", dimension=1)
        same: dict[type, Any] = {Database: documents, Records: documents.records}
        same |= {Journal: documents.journal}
        same |= {VectorPlace: vectors, Embedder: self.faulty.embedder}
        return same[contract]


@pytest.mark.parametrize(
    ("contract", "method"), METHODS, ids=[f"{one.__name__}.{name}" for one, name in METHODS]
)
async def test_every_call_of_a_contract_is_counted_and_passed_on_whole(
    contract: type, method: str
) -> None:
    echoes = Echoes()
    part, inner = await echoes.part(contract), echoes.inner[contract]
    echoes.faults.calls.clear()
    inner.asked.clear()
    signature = inspect.signature(getattr(contract, method))
    given = {name: object() for name in signature.parameters if name != "self"}
    keywords = {
        name: value
        for name, value in given.items()
        if signature.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
    }
    answer = await getattr(part, method)(
        *(value for name, value in given.items() if name not in keywords), **keywords
    )

    assert echoes.faults.calls == [f"{CONTRACTS[contract]}.{method}"]
    assert inner.asked == [(method, given)]
    if signature.return_annotation is None:
        assert answer is None
    elif isinstance(inner.answer, Echo) and method in {"family", "index", "find"}:
        assert answer is not inner.answer
        assert answer.contract is inner.answer.contract
    else:
        assert answer is inner.answer


def test_all_contracts_are_looked_at_and_no_two_calls_share_a_name() -> None:
    names = [f"{CONTRACTS[contract]}.{method}" for contract, method in METHODS]
    assert len(set(names)) == len(names)
    assert {contract for contract, _ in METHODS} == set(CONTRACTS)
    some = {"documents.family", "documents.put", "documents.claim", "records.replace"}
    some |= {"vectors.place.find", "vectors.index.upsert", "embedder.embed", "embedder.load"}
    assert some <= set(names)


async def _scenario(backends: Backends) -> None:
    documents, embedder = backends.documents, backends.embedder
    store = await documents.family(SPEC)
    draft = Drafter(SPEC).draft({"id": "a", "text": "hello world"}, now=backends.clock())
    (put,) = await store.put([draft], now=backends.clock())
    assert (put.id, put.outcome) == ("a", "created")
    assert (await store.get(["a", "b"]))["a"].text == "hello world"
    assert await store.count() == 1
    record = await documents.records.create("space", "key", [1])
    assert record is not None
    replaced = await documents.records.replace(record, [2])
    assert replaced is not None
    assert replaced.value == [2]
    vectors = await embedder.embed(["hello world", "a cat"])
    assert await backends.vectors.find("notes", dimension=embedder.dimension) is None
    index = await backends.vectors.index("notes", dimension=embedder.dimension)
    items = [VectorItem(each, row, {}) for each, row in zip("ab", vectors, strict=True)]
    await index.upsert(items)
    (hit,) = await index.query(vectors[0], limit=1)
    assert hit.id == "a"
    found = await backends.vectors.find("notes", dimension=embedder.dimension)
    assert found is not None
    assert await found.count() == 2


CALLS = [
    "documents.family",
    "documents.put",
    "documents.get",
    "documents.count",
    "records.create",
    "records.replace",
    "embedder.embed",
    "vectors.place.find",
    "vectors.place.index",
    "vectors.index.upsert",
    "vectors.index.query",
    "vectors.place.find",
    "vectors.index.count",
]


async def test_without_a_plan_everything_is_as_it_was_and_is_counted_in_order(
    inner: Backends, backends: Backends, faults: Faults
) -> None:
    await _scenario(backends)
    assert faults.calls == CALLS
    assert faults.struck == []
    inner_store = await inner.documents.family(SPEC)
    assert await inner_store.count() == 1
    assert await inner.vectors.names() == ["notes"]
    assert faults.calls == CALLS


async def test_errors_of_the_inner_ones_come_through(backends: Backends, faults: Faults) -> None:
    await backends.vectors.index("notes", dimension=2)
    with pytest.raises(FamilyMismatchError):
        await backends.vectors.index("notes", dimension=3)
    assert faults.calls == ["vectors.place.index"] * 2
    assert faults.struck == []


async def test_attributes_are_those_of_the_inner_ones(inner: Backends, backends: Backends) -> None:
    store = await backends.documents.family(SPEC)
    index = await backends.vectors.index("notes", dimension=7)
    assert store.spec == SPEC
    assert (index.name, index.dimension) == ("notes", 7)
    assert copy.copy(index).name == "notes"
    mine, its = backends.embedder, inner.embedder
    for name in ("name", "version", "dimension", "chunk_chars", "takes_images", "identity"):
        assert getattr(mine, name) == getattr(its, name), name
    assert backends.clock is inner.clock
    with pytest.raises(AttributeError, match="nothing"):
        _ = cast(Any, index).nothing


class Learning(StaticEmbedder):
    """Knows its dimension only when it is loaded, and isn't known by its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.dimension = 0
        self.entered = 0

    @property
    def identity(self) -> str:
        return f"learning {self.dimension}"

    async def load(self) -> None:
        self.dimension = 256

    async def __aenter__(self) -> Self:
        self.entered += 1
        return await super().__aenter__()

    async def __aexit__(self, *details: object) -> None:
        self.entered -= 1


async def test_what_an_embedder_learns_later_is_seen(inner: Backends) -> None:
    learning = Learning()
    embedder = faulty(Backends(inner.documents, inner.vectors, learning), Faults()).embedder
    assert (embedder.dimension, embedder.identity) == (0, "learning 0")
    await embedder.load()
    assert (embedder.dimension, embedder.identity) == (256, "learning 256")


async def test_what_answers_at_once_is_neither_counted_nor_failed(
    inner: Backends, backends: Backends, faults: Faults
) -> None:
    index = await backends.vectors.index("notes", dimension=2)
    faults.calls.clear()
    faults.outage("*")
    assert index.supports(Leaf("metadata.role", Op.EQ, "user"))
    assert index.supports(EVERYTHING)
    assert not index.supports(Leaf("text", Op.CONTAINS, "x"))
    words, its = backends.embedder, inner.embedder
    assert isinstance(words, WordVectors)
    assert inspect.getattr_static(words, "word_vectors")  # what `isinstance` sees from 3.12 on
    assert isinstance(its, WordVectors)
    assert np.array_equal(words.word_vectors(["cat"]), its.word_vectors(["cat"]))
    assert words.related_words(["cat"], at_least=0.6) == its.related_words(["cat"], at_least=0.6)
    assert faults.calls == []


class Plain(Embedder):
    """Without the ability."""

    name = version = "plain"
    dimension = chunk_chars = 2
    takes_images = False

    async def load(self) -> None: ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return np.zeros((len(texts), 2), np.float32)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None: ...


def test_an_ability_the_embedder_lacks_is_not_made_up(inner: Backends) -> None:
    wrapped = faulty(Backends(inner.documents, inner.vectors, Plain()), Faults()).embedder
    assert not isinstance(wrapped, WordVectors)


class Watched(ExactVectors):
    """Counts who is inside."""

    entered = 0

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self

    async def __aexit__(self, *details: object) -> None:
        self.entered -= 1


async def test_opening_and_closing_passes_through_uncounted(tmp_path: Path) -> None:
    place, embedder, faults = Watched(), Learning(), Faults()
    made = Backends(SqliteDatabase(tmp_path / "a.db"), place, embedder, FakeClock())
    backends = faulty(made, faults)
    faults.outage("*")
    async with backends.documents as one, backends.vectors as two, backends.embedder as three:
        assert (one, two, three) == (backends.documents, backends.vectors, backends.embedder)
        assert (place.entered, embedder.entered) == (1, 1)
        faults.heal()
        assert (await one.health()).layout > 0
    assert (place.entered, embedder.entered) == (0, 0)
    assert faults.calls == ["documents.health"]
    with pytest.raises(UnavailableError, match="open it"):
        await made.documents.health()
