"""Both sides are damaged behind the manager's back: the report names it, and repair mends it."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dualstore.differences import Problem
from dualstore.documents.base import DocumentStore, Work
from dualstore.errors import UnavailableError
from dualstore.indexing.copies import from_copy, to_copies
from dualstore.manager import DualStoreManager
from dualstore.outbox import Outcome, Removed
from dualstore.settings import Settings
from dualstore.vectors.base import VectorId, VectorIndex
from dualstore.wiring import Backends
from tests.dual.damage import (
    OLD_TEXT,
    Contents,
    Planted,
    contents_of,
    indexed,
    settle,
    settle_again,
    spoil_copy,
    vector_id,
)
from tests.dual.indexing_process import RECORDED, SPEC, text_of
from tests.dual.listening import Listening
from tests.dual.looking import all_ids, copied, filed_otherwise, index_of, turned

LONG = "Word by word a text grows until it needs several vectors of its own. " * 60
ITEMS: list[dict[str, Any]] = [
    *(
        {"id": f"m{n}", "text": text_of(f"m{n}"), "metadata": {"kind": f"k{n % 3}"}}
        for n in range(300)
    ),
    *({"id": f"long{n}", "text": f"{n}. {LONG}"} for n in range(5)),
    *({"id": f"blank{n}", "text": "..."} for n in range(5)),
]
CLAIMS = ("claims", "claims a copy", "claims an old text", "claims more", "claims to be empty")
TEXTS = {each["id"]: each["text"] for each in ITEMS} | {each: text_of(each) for each in CLAIMS}
HAVE_COPIES = ("claims more", "long2")
"""Of those that lie: one that can be used, and one that can't."""
ASKED = [text_of("m0"), text_of("m3"), text_of("m50")]


@pytest.fixture
async def store(backends: Backends) -> DocumentStore:
    """The documents of a family that is indexed, and that no manager has open any more."""
    async with opened(backends) as notes:
        await notes.insert_many([*ITEMS, {"id": "gone", "text": "what was deleted"}])
        await notes.drain()
        await notes.delete("gone")
        await notes.drain()
        assert (await notes.consistency_report()).clean
    return await backends.documents.family(RECORDED)


@pytest.fixture
async def index(store: DocumentStore, backends: Backends) -> VectorIndex:
    """Its vectors."""
    return await index_of(backends, store.spec.name)


def opened(backends: Backends) -> DualStoreManager:
    """Nothing is indexed before it is asked to."""
    return DualStoreManager(SPEC, settings=Settings(index_lease=2.0), backends=backends)


async def damage_vectors(store: DocumentStore, index: VectorIndex, planted: Planted) -> None:
    ids = {f"m{n}": await vector_id(store, f"m{n}") for n in range(6)}
    await index.delete([ids["m1"], ids["m2"], await vector_id(store, "long0", 1)])
    planted.note(Problem.MISSING, "m1", "m2", "long0")
    await turned(index, ids["m3"])
    await turned(index, await vector_id(store, "long1", 2))
    await filed_otherwise(index, ids["m4"], **{"m.kind": "other"})
    await filed_otherwise(index, ids["m5"], entry="m6")
    planted.note(Problem.CHANGED, "m3", "long1", "m4", "m5")
    for problem, id_ in (
        (Problem.FOREIGN, "nobody's"),
        (Problem.FOREIGN, f"{OLD_TEXT}:first:m0"),
        (Problem.ORPHANED, str(VectorId("ghost", OLD_TEXT, 0))),
        (Problem.ORPHANED, str(VectorId("gone", OLD_TEXT, 3))),
        (Problem.STALE, str(VectorId("m7", OLD_TEXT, 0))),
        (Problem.STALE, await vector_id(store, "m7", 1)),
        (Problem.STALE, str(VectorId("blank0", OLD_TEXT, 0))),
        (Problem.STALE, await vector_id(store, "blank1")),
    ):
        await copied(index, ids["m0"], id_)
        planted.note(problem, id_)


async def damage_marks(backends: Backends, store: DocumentStore, planted: Planted) -> None:
    """Marks that were never true, of entries that the index knows nothing of."""
    (candidate,) = (await store.candidates_by_id(["m0"])).values()
    copy = candidate.vector
    outcomes: tuple[Callable[[Work], Outcome], ...] = (
        indexed,
        lambda work: indexed(work, copy=copy),
        lambda work: indexed(work, copy=copy, text_hash=OLD_TEXT),
        lambda work: indexed(work, copy=copy, chunks=3),
        lambda _: Removed(),
    )
    for id_, outcome in zip(CLAIMS, outcomes, strict=True):
        await settle(backends, store, [{"id": id_, "text": TEXTS[id_]}], outcome)
    planted.note(Problem.LYING, *set(CLAIMS) - {"claims a copy"})
    planted.note(Problem.MISSING, "claims a copy")
    await settle_again(backends, store, "m8", lambda _: Removed())
    planted.note(Problem.LYING, "m8")
    planted.note(Problem.STALE, await vector_id(store, "m8"))


async def damage_copies(
    backends: Backends, store: DocumentStore, embedder: Listening, planted: Planted
) -> None:
    def without_last_chunk(copy: bytes) -> bytes:
        rows = from_copy(copy, embedder.identity)
        assert rows is not None
        return to_copies([rows[:-1]], embedder.identity)[0]

    spoilt: dict[str, Callable[[bytes], bytes]] = {
        "m9": lambda copy: copy[:-1],
        "m10": lambda _: b"no copy",
        "m11": lambda _: to_copies([np.ones((1, embedder.dimension), np.float32)], "another/1/256")[
            0
        ],
        "m12": lambda copy: bytes(reversed(copy)),
        "long2": without_last_chunk,
    }
    for id_, spoil in spoilt.items():
        await spoil_copy(backends, store, id_, spoil)
    planted.note(Problem.LYING, *spoilt)


async def test_all_damage_is_named_exactly_and_mended_exactly(
    backends: Backends, store: DocumentStore, index: VectorIndex, embedder: Listening
) -> None:
    before = await contents_of(index)
    planted = Planted()
    await damage_vectors(store, index, planted)
    await damage_marks(backends, store, planted)
    await damage_copies(backends, store, embedder, planted)
    async with opened(backends) as notes:
        report = await notes.consistency_report()
        planted.check(report)
        assert (report.entries, report.pending, report.failed) == (len(ITEMS) + 5, 0, 0)
        assert report.vectors == len(await all_ids(index))
        await check_each(notes, planted)
        await check_searches(notes)
        embedder.given.clear()
        assert await notes.repair() == planted.count
        mending = asyncio.create_task(notes.drain())
        while not mending.done():
            await check_searches(notes)
        await mending
        report = await notes.consistency_report()
        assert report.clean, report
        assert (report.entries, report.pending, report.failed) == (len(ITEMS) + 5, 0, 0)
    await check_mended(await contents_of(index), before, planted, store)
    check_embedded(embedder.given, planted)


async def check_each(notes: DualStoreManager, planted: Planted) -> None:
    """Asked about one entry, it says the same."""
    for problem in (Problem.MISSING, Problem.CHANGED, Problem.LYING):
        for id_ in planted.ids[problem]:
            found = await notes.check_consistency(id_)
            assert found.problems == (problem,), id_
            assert not found.in_step
    assert (await notes.check_consistency("m0")).in_step
    assert (await notes.check_consistency("blank0")).in_step


async def check_searches(notes: DualStoreManager) -> None:
    """Whatever the index holds: nothing comes twice, and what comes is as its document says."""
    for query in ASKED:
        hits = (await notes.search(query, limit=40)).hits
        ids = [hit.entry.id for hit in hits]
        assert len(ids) == len(set(ids)) == 40
        assert {hit.entry.id: hit.entry.text for hit in hits}.items() <= TEXTS.items()
        assert all(hit.snippet.text in hit.entry.text for hit in hits)
    assert (await notes.search(ASKED[0], limit=40)).hits[0].entry.id == "m0"


async def check_mended(
    after: Contents, before: Contents, planted: Planted, store: DocumentStore
) -> None:
    """What was damaged is as it was, as far as a copy can tell, and the rest to the last bit."""
    marks = await store.marks(list(CLAIMS))
    new = {str(VectorId(id_, scanned.text_hash, 0)) for id_, scanned in marks.items()}
    assert after.keys() == before.keys() | new
    for id_, (vector, fields) in before.items():
        parsed = VectorId.parse(id_)
        assert parsed
        assert after[id_][1] == fields
        if any(parsed.entry in ids for ids in planted.ids.values()):
            assert vector @ after[id_][0] > 0.999
        else:
            assert (vector == after[id_][0]).all()


def check_embedded(given: list[str], planted: Planted) -> None:
    """Only what has no copy that could be used."""
    lying = {TEXTS[each] for each in planted.ids[Problem.LYING] if each not in HAVE_COPIES}
    others = set(given) - set(ASKED) - lying
    assert lying <= set(given)
    assert others
    assert all(each in TEXTS["long2"] for each in others)


async def test_a_copy_of_another_vector_is_named(
    backends: Backends, store: DocumentStore, embedder: Listening
) -> None:
    """It can't be seen which of them is the wrong one."""
    planted = Planted()
    (other,) = to_copies([np.ones((1, embedder.dimension), np.float32)], embedder.identity)
    await spoil_copy(backends, store, "m0", lambda _: other)
    planted.note(Problem.CHANGED, "m0")
    async with opened(backends) as notes:
        planted.check(await notes.consistency_report())


async def test_an_index_that_is_gone_leaves_everything_to_be_done(
    backends: Backends, index: VectorIndex, embedder: Listening
) -> None:
    before = await contents_of(index)
    await backends.vectors.drop(index.name)
    embedder.given.clear()
    async with opened(backends) as notes:
        report = await notes.consistency_report()
        assert (report.entries, report.vectors) == (0, 0)
        assert report.pending == len(ITEMS), "they wait for an indexer, and aren't in step"
        assert await notes.repair() == 0
        await notes.drain()
        report = await notes.consistency_report()
        assert report.clean
        assert (report.entries, report.pending) == (len(ITEMS), 0)
    after = await contents_of(await index_of(backends, SPEC.name))
    assert after.keys() == before.keys()
    assert all(vector @ after[id_][0] > 0.999 for id_, (vector, _) in before.items())
    assert embedder.given == [], "the copies are enough"


async def test_what_is_still_to_be_done_is_not_damage(
    backends: Backends, store: DocumentStore, index: VectorIndex, embedder: Listening
) -> None:
    async def refuse(_: object) -> None:
        raise UnavailableError("the embedder sleeps")

    planted = Planted()
    async with opened(backends) as notes:
        embedder.fails = refuse
        await notes.insert_many({"id": f"m{n}", "text": f"new words {n}"} for n in range(10))
        await notes.insert_many({"id": f"new{n}", "text": f"new words {n}"} for n in range(10))
        await notes.delete("m11")
        await index.delete(
            [str(VectorId.parse(each)) for each in await all_ids(index) if each.endswith(":m3")]
        )
        await index.delete([await vector_id(store, "m20")])
        planted.note(Problem.MISSING, "m20")
        await copied(index, await vector_id(store, "m21"), str(VectorId("ghost", OLD_TEXT, 0)))
        planted.note(Problem.ORPHANED, str(VectorId("ghost", OLD_TEXT, 0)))
        report = await notes.consistency_report()
        planted.check(report)
        assert 20 <= report.pending <= 21
        assert await notes.repair() == 2
        embedder.fails = None
        await notes.drain()
        report = await notes.consistency_report()
        assert report.clean
        assert report.entries == len(ITEMS) + 9


@pytest.mark.usefixtures("store")
async def test_a_report_beside_writes_and_a_reindex_gives_no_false_alarm(
    backends: Backends,
) -> None:
    rng = random.Random(7)
    texts = {id_: text for id_, text in TEXTS.items() if id_ not in CLAIMS}
    reports = 0

    async def write(notes: DualStoreManager) -> None:
        for number in range(60):
            some = rng.sample(sorted(texts), 8)
            texts.update({each: f"{text_of(each)}, said again ({number})" for each in some[:4]})
            texts.update({f"late{number}": text_of(f"late{number}")})
            items = [{"id": each, "text": texts[each]} for each in [*some, f"late{number}"]]
            await notes.insert_many({**each, "metadata": {"kind": f"{number}"}} for each in items)
            del texts[some[7]]
            await notes.delete(some[7])
            await asyncio.sleep(rng.uniform(0, 0.05))

    async with opened(backends) as notes, opened(backends) as other:
        await notes.reindex()
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(write(notes))
            reindexing = group.create_task(other.reindex(timeout=60))
            while not (writing.done() and reindexing.done()):
                report = await other.consistency_report()
                assert report.clean, report
                reports += 1
        assert reports
        await notes.drain()
        report = await notes.consistency_report()
        assert report.clean
        assert (report.entries, report.pending) == (len(texts), 0)
        for id_ in sorted(texts)[:20]:
            assert (await notes.check_consistency(id_)).in_step
