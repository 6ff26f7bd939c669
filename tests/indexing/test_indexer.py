import asyncio
from collections.abc import Sequence

import pytest

from dualstore.documents.base import Settlement, Work
from dualstore.errors import EmbedderError, FamilyMismatchError, UnavailableError
from dualstore.outbox import IndexState, Released
from dualstore.vectors.base import VectorId
from tests.indexing.conftest import Family


async def test_what_is_due_is_embedded_written_and_settled(family: Family) -> None:
    await family.put("a", "the cat sleeps", session_id="s", author="Ann", role="user")
    await family.put("b", "...")
    assert await family.indexer().step() == 1
    assert await family.indexer().step() == 0
    entry = (await family.store.get(["a"]))["a"]
    assert (entry.index.state, entry.index.chunks) == (IndexState.INDEXED, 1)
    (stored,) = (await (await family.index()).get([f"{entry.text_hash}:0:a"])).values()
    assert stored.fields == {
        "entry": "a",
        "m.session_id": "s",
        "m.author": "Ann",
        "m.role": "user",
        "timestamp": 5,
        "origin": "local",
    }
    assert family.embedder.given == ["Ann: the cat sleeps"]
    assert len((await family.store.candidates_by_id(["a"]))["a"].vector) > 256


async def test_the_nearest_is_what_is_about_the_same(family: Family) -> None:
    for each, text in (("a", "the cat sleeps on the sofa"), ("b", "quarterly tax report")):
        await family.put(each, text)
    await family.indexer().step()
    (asked,) = await family.embedder.embed(["a kitten naps on the couch"])
    hits = await (await family.index()).query(asked, limit=2)
    assert [VectorId.parse(hit.id).entry for hit in hits if VectorId.parse(hit.id)] == ["a", "b"]  # type: ignore[union-attr]


async def test_a_newer_text_takes_the_place_of_the_older(family: Family) -> None:
    await family.put("a", "word " * 2000)
    await family.indexer().step()
    assert (await family.held())["a"] > 3
    await family.put("a", "short now")
    await family.indexer().step()
    assert await family.held() == {"a": 1}


async def test_what_is_deleted_or_has_no_words_any_more_leaves_nothing(family: Family) -> None:
    for each in ("a", "b"):
        await family.put(each, "some words")
    await family.indexer().step()
    await family.store.delete(["a"], now=family.now)
    await family.put("b", "!!!")
    assert await family.indexer().step() == 2
    assert await family.held() == {}
    marks = {scanned.id: scanned.mark.state for scanned in await family.store.scan()}
    assert marks == {"a": IndexState.EXCLUDED, "b": IndexState.EXCLUDED}


async def test_an_edit_of_metadata_embeds_nothing_and_a_move_is_filed_anew(family: Family) -> None:
    await family.put("a", "some words", session_id="s", note=1)
    await family.indexer().step()
    await family.put("a", "some words", session_id="s", note=2)
    assert await family.indexer().step() == 0
    await family.put("a", "some words", session_id="t", note=2)
    assert await family.indexer().step() == 1
    assert family.embedder.given == ["some words"]
    index = await family.index()
    (stored,) = (await index.get(await index.scan())).values()
    assert stored.fields["m.session_id"] == "t"


async def test_what_an_unfinished_attempt_left_is_removed(family: Family) -> None:
    """An indexer writes an old text's vectors, and dies before it settles."""
    await family.put("a", "old words")
    [work] = await family.store.claim(1, now=family.now, lease=10)
    await family.indexer()._write(
        await family.index(), await family.indexer()._preparer.prepare([work])
    )
    assert await family.held() == {"a": 1}
    await family.put("a", "new words")
    await family.indexer().step()
    entry = (await family.store.get(["a"]))["a"]
    assert await (await family.index()).scan() == [f"{entry.text_hash}:0:a"]


async def test_a_paused_indexer_that_wakes_after_a_newer_one_harms_nothing(family: Family) -> None:
    """What it wrote too late is queued, and removed."""
    await family.put("a", "old words")
    gate, asleep, old = asyncio.Event(), asyncio.Event(), family.indexer()

    async def pause(_: Sequence[str]) -> None:
        asleep.set()
        await gate.wait()

    family.embedder.fails = pause
    sleeping = asyncio.create_task(old.step())
    await asleep.wait()
    family.embedder.fails = None
    await family.put("a", "new words")
    await family.indexer().step()
    gate.set()
    await sleeping
    entry = (await family.store.get(["a"]))["a"]
    assert entry.index.state is IndexState.INDEXED
    assert await family.held() == {"a": 2}
    assert await family.removals.step() == 1
    assert await (await family.index()).scan() == [f"{entry.text_hash}:0:a"]


async def test_a_removal_of_what_is_wanted_again_makes_it_due(family: Family) -> None:
    await family.put("a", "words")
    await family.indexer().step()
    index = await family.index()
    await family.removals.add(await index.scan())
    await family.removals.step()
    assert await family.held() == {"a": 1}
    assert (await family.store.index_status()).due == 1
    await family.removals.add(["not one of ours"])
    assert await family.removals.step() == 1
    assert await family.removals.step() == 0


async def test_a_text_that_the_embedder_refuses_fails_alone(family: Family) -> None:
    async def refuse(texts: Sequence[str]) -> None:
        if any("poison" in text for text in texts):
            raise EmbedderError("no poison")

    family.embedder.fails = refuse
    for each, text in (("a", "fine"), ("b", "poison"), ("c", "fine as well")):
        await family.put(each, text)
    assert await family.indexer().step() == 3
    assert await family.held() == {"a": 1, "c": 1}
    mark = (await family.store.get(["b"]))["b"].index
    assert (mark.state, mark.error) == (IndexState.FAILED, "no poison")


async def test_an_embedder_that_refuses_everything_is_unavailable(family: Family) -> None:
    async def refuse(_: Sequence[str]) -> None:
        raise EmbedderError("the key is wrong")

    family.embedder.fails = refuse
    await family.put("a", "fine")
    with pytest.raises(UnavailableError, match="the key is wrong"):
        await family.indexer().step()
    mark = (await family.store.get(["a"]))["a"].index
    assert (mark.state, mark.attempts) == (IndexState.DUE, 1)
    assert mark.claim_at is not None
    assert mark.claim_at > family.now
    family.embedder.fails = None
    family.now = mark.claim_at
    assert await family.indexer().step() == 1


async def test_a_cancelled_step_gives_back_what_it_claimed(family: Family) -> None:
    begun = asyncio.Event()

    async def hang(_: Sequence[str]) -> None:
        begun.set()
        await asyncio.sleep(60)

    family.embedder.fails = hang
    await family.put("a", "words")
    task = asyncio.create_task(family.indexer().step())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    mark = (await family.store.get(["a"]))["a"].index
    assert (mark.state, mark.attempts) == (IndexState.DUE, 0)


async def test_a_claim_that_is_cancelled_is_given_back(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, claim = asyncio.Event(), family.store.claim

    async def slow(limit: int, **times: int) -> list[Work]:
        works = await claim(limit, **times)
        begun.set()
        await asyncio.sleep(0.05)
        return works

    monkeypatch.setattr(family.store, "claim", slow)
    await family.put("a", "words")
    task = asyncio.create_task(family.indexer().step())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    status = await family.store.index_status()
    assert (status.due, status.leased) == (1, 0)


async def test_a_slow_embedder_is_given_no_more_than_a_lease_can_bear(family: Family) -> None:
    async def slow(texts: Sequence[str]) -> None:
        await asyncio.sleep(0.002 * len(texts))

    family.embedder.fails = slow
    for number in range(200):
        await family.put(f"m{number}", f"word {number}")
    indexer = family.indexer(lease=100)
    done = [await indexer.step() for _ in range(3)]
    assert done[0] == 32
    assert 1 <= done[1] <= 13
    family.embedder.fails = None
    while done[-1]:
        done.append(await indexer.step())
    assert max(done[3:]) >= 16
    assert sum(done) == 200


async def test_two_indexers_share_the_work(family: Family) -> None:
    for number in range(40):
        await family.put(f"m{number}", f"word {number}")
    done = await asyncio.gather(*(family.indexer().step(10) for _ in range(4)))
    assert sum(done) == 40
    assert await family.held() == {f"m{number}": 1 for number in range(40)}


async def test_a_family_made_by_another_embedder_is_refused(family: Family) -> None:
    other = type(family.embedder)()
    other.version = "2"
    with pytest.raises(FamilyMismatchError, match="reindex all families to the new one"):
        await family.book.check(other)
    await family.put("a", "words")
    with pytest.raises(FamilyMismatchError, match="open it with that embedder"):
        await family.indexer(other).step()
    assert (await family.store.index_status()).due == 1


async def test_a_generation_is_replaced_only_by_who_knows_the_present_one(family: Family) -> None:
    before = await family.book.open(family.embedder)
    after = type(before)(live=before.live, building=before.live, walked="m")
    assert await family.book.replace(before, after)
    assert not await family.book.replace(before, before)
    assert await family.book.read() == after
    assert after.target == before.live
    assert after == type(after).from_record(after.to_record())


async def test_work_that_was_settled_meanwhile_is_not_settled_twice(family: Family) -> None:
    await family.put("a", "words")
    [work] = await family.store.claim(1, now=family.now, lease=10)
    await family.store.settle([Settlement(work, Released())])
    assert await family.indexer().step() == 1
    assert (await family.store.settle([Settlement(work, Released())])) == [False]
