"""The rules that always hold, each by its name, on every pair of real parts."""

import asyncio
from collections.abc import Sequence

import pytest

from dualstore.documents.base import PutOutcome, Settlement
from dualstore.entry import Drafter, SourceVersion
from dualstore.errors import EmbedderError, EntryError, UnavailableError, VectorWriteError
from dualstore.family import FamilySpec
from dualstore.indexing.generations import GenerationBook
from dualstore.indexing.indexer import Indexer
from dualstore.indexing.indexes import Indexes
from dualstore.indexing.removals import Removals
from dualstore.manager import DualStoreManager
from dualstore.outbox import IndexState, Released
from dualstore.settings import Settings
from dualstore.terms import VERSION
from dualstore.vectors.base import VectorId
from dualstore.wiring import Backends
from tests.dual.listening import Listening
from tests.dual.looking import all_ids, copied, held, index_of
from tests.dual.pairs import Pair

WORDS = [
    {"id": f"m{n}", "text": f"message number {n} about {word}"}
    for n, word in enumerate("cats dogs taxes bread rain music trains mountains".split())
]
SPEC = FamilySpec("default_notes", filter_fields=("kind",), analyzer=VERSION)


async def test_1_the_documents_are_the_truth(
    notes: DualStoreManager, backends: Backends, embedder: Listening
) -> None:
    """Delete the whole index, and nothing is lost."""
    await notes.insert_many(WORDS)
    await notes.drain()
    embedded = len(embedder.given)
    for name in await backends.vectors.names():
        await backends.vectors.drop(name)
    with pytest.raises(Exception, match="made again"):
        await notes.search("kitten", mode="semantic")
    await notes.drain()
    assert (await notes.search("kitten", mode="semantic")).hits[0].entry.id == "m0"
    assert (await notes.consistency_report()).clean
    assert embedder.given[embedded:] == [], "nothing was embedded again"


async def test_2_what_is_acknowledged_is_durable_with_its_mark(
    pair: Pair, settings: Settings
) -> None:
    """Nothing runs after the insert: whoever opens it next finds both."""
    async with pair.open() as backends:
        store = await backends.documents.family(SPEC)
        drafts = Drafter(SPEC).draft_many(WORDS, now=5)
        await store.put(drafts, now=5)
    async with (
        pair.open() as backends,
        DualStoreManager(SPEC, settings=settings, backends=backends) as notes,
    ):
        status = await notes.index_status()
        assert (await notes.count(), status.due) == (8, 8)
        await notes.drain()
        assert await held(backends) == {f"m{n}": 1 for n in range(8)}


async def test_3_only_the_indexer_writes_vectors(
    notes: DualStoreManager, backends: Backends, embedder: Listening
) -> None:
    """Repair, searches and reports leave the index as it is while nobody indexes."""

    async def refuse(texts: Sequence[str]) -> None:
        if texts != ["kitten"]:
            raise ConnectionResetError("the embedder sleeps")

    await notes.insert_many(WORDS)
    await notes.drain()
    index = await index_of(backends)
    first, *others = await all_ids(index)
    await index.delete(others[:2])
    await copied(index, first, VectorId("ghost", "0" * 32, 0))
    before = await all_ids(index)
    embedder.fails = refuse
    async with _another(backends) as idle:
        await idle.search("kitten")
        assert not (await idle.consistency_report()).clean
    assert await all_ids(index) == before
    embedder.fails = None
    assert await notes.repair()
    await notes.drain()
    assert (await notes.consistency_report()).clean


async def test_4_the_newest_wins_over_a_paused_indexer(
    notes: DualStoreManager, backends: Backends, embedder: Listening
) -> None:
    """It wakes after a newer text was indexed, and writes what it was about to write."""
    gate, asleep = asyncio.Event(), asyncio.Event()

    async def pause(texts: Sequence[str]) -> None:
        if any("old" in text for text in texts):
            asleep.set()
            await gate.wait()

    embedder.fails = pause
    await notes.insert({"id": "a", "text": "old words about cats"})
    await asleep.wait()
    await notes.insert({"id": "a", "text": "new words about taxes"})
    async with _another(backends) as other:
        await other.drain()
        assert (await other.search("taxes")).hits[0].entry.text == "new words about taxes"
        gate.set()
        for _ in range(60):  # what it writes now is found out by itself, and removed
            await asyncio.sleep(0.02)
            await other.drain()
    entry = await notes.get("a")
    assert entry is not None
    assert await all_ids(await index_of(backends)) == [str(VectorId("a", entry.text_hash, 0))]
    assert (await notes.consistency_report()).clean


async def test_4_two_indexers_with_expired_leases_race(
    backends: Backends, embedder: Listening
) -> None:
    """Both hold the same work, each believing that it is its own."""
    store = await backends.documents.family(SPEC)
    await store.put(Drafter(SPEC).draft_many(WORDS, now=5), now=5)
    book = GenerationBook(backends.documents.records, SPEC.name)
    indexes = Indexes(backends.vectors, book, embedder)

    def indexer(now: int) -> Indexer:
        removals = Removals(backends.documents.records, store, indexes=indexes, clock=lambda: now)
        return Indexer(
            store,
            indexes=indexes,
            embedder=embedder,
            removals=removals,
            clock=lambda: now,
            lease=10,
        )

    turn = asyncio.Barrier(3)

    async def meet(_: Sequence[str]) -> None:
        async with asyncio.timeout(20):
            await turn.wait()

    embedder.fails = meet
    done: list[int] = []
    async with asyncio.TaskGroup() as group:
        for now in (1000, 2000, 3000):
            group.create_task(indexer(now).step()).add_done_callback(
                lambda task: done.append(task.result())
            )
            await asyncio.sleep(0.3)
    assert done == [8, 8, 8]
    embedder.fails = None
    async with _another(backends) as notes:
        await notes.drain()
        assert (await notes.consistency_report()).clean
        assert await held(backends) == {f"m{n}": 1 for n in range(8)}


async def test_5_a_search_never_lies(notes: DualStoreManager, backends: Backends) -> None:
    """Vectors whose document is gone, has another text or is none of ours are never shown."""
    await notes.insert_many(WORDS)
    await notes.drain()
    index = await index_of(backends)
    cats = next(each for each in await all_ids(index) if each.endswith("m0"))
    for lie in (VectorId("ghost", "0" * 32, 0), VectorId("m2", "0" * 32, 0), "nobody's"):
        await copied(index, cats, lie)
    hits = (await notes.search("message about cats", limit=8)).hits
    assert [hit.entry.id for hit in hits].count("m0") == 1
    assert len(hits) == len({hit.entry.id for hit in hits}) == 8
    assert hits[0].entry.id == "m0"
    assert "cats" not in next(hit for hit in hits if hit.entry.id == "m2").entry.text
    await notes.drain()
    assert await held(backends) == {f"m{n}": 1 for n in range(8)}


async def test_5_a_filter_is_checked_against_the_document(notes: DualStoreManager) -> None:
    """The index may be wrong about the fields that it filters by."""
    await notes.insert_many({**each, "metadata": {"kind": "new"}} for each in WORDS)
    await notes.insert_many(
        {"id": f"x{n}", "text": f"cats {n}", "metadata": {"kind": "new"}} for n in range(2100)
    )
    await notes.drain()
    await notes.insert({**WORDS[0], "metadata": {"kind": "moved"}})
    for where in ({"metadata.kind": "new"}, {"metadata.kind": {"$ne": "moved"}}):
        hits = await notes.get_most_relevant("cats", limit=50, where=where)
        assert "m0" not in [hit.entry.id for hit in hits]
        assert len(hits) == 50


async def test_8_the_same_write_twice_is_one_of_everything(
    notes: DualStoreManager, backends: Backends, embedder: Listening
) -> None:
    for _ in range(3):
        await notes.insert_many(WORDS)
        await notes.drain()
    assert await notes.count() == 8
    assert await held(backends) == {f"m{n}": 1 for n in range(8)}
    assert sorted(embedder.given) == sorted(each["text"] for each in WORDS)
    entry = await notes.get("m0")
    assert entry is not None
    assert entry.revision == 1


async def test_8_an_edit_of_metadata_embeds_nothing(
    notes: DualStoreManager, embedder: Listening
) -> None:
    await notes.insert_many(WORDS)
    await notes.drain()
    await notes.insert_many({**each, "metadata": {"kind": "k", "n": 1}} for each in WORDS)
    assert (await notes.search("cats", limit=1)).hits[0].entry.metadata == {"kind": "k", "n": 1}
    await notes.drain()
    assert len(embedder.given) == 8
    assert (await notes.consistency_report()).clean


async def test_9_deletes_stay_deleted(notes: DualStoreManager, backends: Backends) -> None:
    """Late writes of a remote's don't come back, nor do their vectors."""
    store = await backends.documents.family(SPEC)
    late = Drafter(SPEC).compose(
        id="r",
        text="what the remote said",
        timestamp=1,
        metadata={},
        origin="remote",
        source_version=SourceVersion("sequence", 1),
    )
    await store.put([late], now=1)
    await notes.drain()
    await notes.delete("r")
    (put,) = await store.put([late._replace(text="said later")], now=2)
    assert put.outcome is PutOutcome.DELETED
    await notes.drain()
    assert await notes.get("r") is None
    assert (await notes.search("what the remote said")).hits == ()
    assert await held(backends) == {}
    await notes.insert({"id": "r", "text": "said here, on purpose"})
    await notes.drain()
    assert await held(backends) == {"r": 1}


async def test_10_one_bad_text_harms_only_itself(
    notes: DualStoreManager, backends: Backends, embedder: Listening
) -> None:
    async def refuse(texts: Sequence[str]) -> None:
        if any("taxes" in text for text in texts):
            raise EmbedderError("no talk of taxes")

    embedder.fails = refuse
    await notes.insert_many(WORDS)
    await notes.drain()
    assert await held(backends) == {f"m{n}": 1 for n in range(8) if n != 2}
    bad = await notes.check_consistency("m2")
    assert (bad.state, bad.error) == (IndexState.FAILED, "no talk of taxes")
    assert (await notes.index_status()).failed == 1
    with pytest.raises(VectorWriteError, match="no talk of taxes") as caught:
        await notes.retry_vector_write("m2")
    assert (caught.value.ids, caught.value.reasons) == (("m2",), {"m2": "no talk of taxes"})
    embedder.fails = None
    assert (await notes.retry_vector_write("m2")).in_step
    assert (await notes.consistency_report()).clean


async def test_10_a_callers_own_batch_is_refused_whole(notes: DualStoreManager) -> None:
    with pytest.raises(EntryError, match="item 8: text"):
        await notes.insert_many([*WORDS, {"id": "x"}])
    assert await notes.count() == 0


async def test_strict_writes_return_with_their_vectors(backends: Backends) -> None:
    strict = Settings(consistency="strict")
    async with await DualStoreManager.create("notes", settings=strict, backends=backends) as notes:
        await notes.insert_many(WORDS)
        assert await held(backends) == {f"m{n}": 1 for n in range(8)}
        await notes.insert({"id": "blank", "text": "..."})
        assert (await notes.search("kitten")).hits[0].entry.id == "m0"


async def test_a_strict_write_that_cant_be_says_so_and_is_indexed_later(
    backends: Backends, embedder: Listening
) -> None:
    async def refuse(_: Sequence[str]) -> None:
        raise UnavailableError("the embedder sleeps")

    embedder.fails = refuse
    strict = Settings(consistency="strict", strict_timeout=0.3)
    async with await DualStoreManager.create("notes", settings=strict, backends=backends) as notes:
        with pytest.raises(VectorWriteError, match=r"1 not indexed within 0.3 s") as caught:
            await notes.insert(WORDS[0])
        assert caught.value.ids == ("m0",)
        assert await notes.get("m0") is not None
        embedder.fails = None
        await notes.drain()
        assert (await notes.check_consistency("m0")).in_step


async def test_a_lease_that_was_given_back_is_taken_up(backends: Backends) -> None:
    store = await backends.documents.family(SPEC)
    await store.put(Drafter(SPEC).draft_many(WORDS, now=5), now=5)
    works = await store.claim(100, now=backends.clock(), lease=60_000)
    await store.settle([Settlement(work, Released()) for work in works])
    async with _another(backends) as notes:
        await notes.drain(timeout=20)
        assert len(await held(backends)) == 8


def _another(backends: Backends) -> DualStoreManager:
    """The same family, as another process would have it open."""
    return DualStoreManager(SPEC, settings=Settings(), backends=backends)
