"""Claiming and settling index work, on every backend."""

import asyncio

import pytest

from dualstore.documents.base import DocumentStore, IndexStatus, Settlement
from dualstore.outbox import Failed, Indexed, IndexState, Outcome, Released, Removed, Retry
from tests.documents.writing import LEASE, NOW, claim, done, draft, get, index, put, settle

DUE, LEASED, INDEXED, FAILED, EXCLUDED = IndexState


async def _state(store: DocumentStore, name: str = "a") -> IndexState:
    return (await get(store, name)).index.state


async def test_a_write_is_due_at_once_and_claimed_with_its_entry(store: DocumentStore) -> None:
    await put(store, [draft("a", "red")])
    (work,) = await store.claim(10, now=NOW, lease=LEASE)
    assert (work.id, work.vector) == ("a", b"")
    assert work.entry == await get(store, "a")
    assert (work.mark.state, work.mark.token, work.mark.attempts) == (LEASED, work.token, 1)
    assert (work.mark.claim_at, work.mark.due_since) == (NOW + LEASE, NOW)
    assert work.token


async def test_what_is_put_off_is_not_claimed_before_its_time(store: DocumentStore) -> None:
    await put(store, [draft("a")])
    (work,) = (await claim(store)).values()
    await settle(store, work, Retry("busy", at=NOW + 5))
    assert await claim(store, now=NOW + 4) == {}
    assert list(await claim(store, now=NOW + 5)) == ["a"]


async def test_new_work_is_claimed_whatever_the_clocks_say(store: DocumentStore) -> None:
    """The writer's machine, or this one before its clock was set back, may be an hour ahead."""
    await put(store, [draft("a", "red")], now=NOW + 3_600_000)
    (work,) = (await claim(store, now=NOW)).values()
    await settle(store, work, done(work))
    await put(store, [draft("a", "blue")], now=NOW + 3_600_000)
    assert list(await claim(store, now=NOW)) == ["a"]


async def test_the_longest_due_are_claimed_first_and_no_more_than_asked_for(
    store: DocumentStore,
) -> None:
    for moment, name in enumerate("cab"):
        await put(store, [draft(name)], now=NOW + moment)
    first = await store.claim(2, now=NOW + 9, lease=LEASE)
    assert [work.id for work in first] == ["c", "a"]
    assert list(await claim(store, now=NOW + 9)) == ["b"]
    assert await claim(store, now=NOW + 9) == {}


async def test_nobody_else_gets_it_before_the_lease_has_run_out(store: DocumentStore) -> None:
    await put(store, [draft("a")])
    (first,) = (await claim(store, lease=100)).values()
    assert await claim(store, now=NOW + 99) == {}
    (second,) = (await claim(store, now=NOW + 100)).values()
    assert second.token != first.token
    assert second.mark.attempts == 2
    assert await settle(store, first, done(first)) is False
    assert await settle(store, second, done(second)) is True


async def test_claimers_at_one_time_share_the_work(store: DocumentStore) -> None:
    await put(store, [draft(f"{number}") for number in range(40)])
    shares = await asyncio.gather(*(store.claim(10, now=NOW, lease=LEASE) for _ in range(6)))
    taken = [work.id for share in shares for work in share]
    assert sorted(taken) == sorted(f"{number}" for number in range(40))
    assert max(map(len, shares)) <= 10
    assert {await settle(store, work, done(work)) for share in shares for work in share} == {True}


async def test_indexed_work_is_done_with(store: DocumentStore) -> None:
    await put(store, [draft("a", "red")])
    (work,) = (await claim(store)).values()
    assert await settle(store, work, done(work, chunks=3)) is True
    entry = await get(store, "a")
    assert (entry.index.state, entry.index.chunks, entry.index.error) == (INDEXED, 3, None)
    assert (entry.index.held, entry.index.token) == (entry.text_hash, None)
    assert (entry.revision, entry.updated_at) == (1, NOW)
    assert await claim(store, now=NOW + 10 * LEASE) == {}
    assert await store.index_status() == IndexStatus(0, 0, 0, None)


async def test_settling_twice_does_nothing_the_second_time(store: DocumentStore) -> None:
    await put(store, [draft("a")])
    (work,) = (await claim(store)).values()
    assert await settle(store, work, done(work)) is True
    assert await settle(store, work, Failed("late")) is False
    assert await _state(store) is INDEXED


async def test_each_is_settled_by_itself(store: DocumentStore) -> None:
    await put(store, [draft(name) for name in "abcd"])
    works = await claim(store)
    await store.put([draft("b", "changed")], now=NOW)
    await store.delete(["c"], now=NOW)
    outcomes: dict[str, Outcome] = {
        "a": Failed("too odd"),
        "b": done(works["b"]),
        "c": done(works["c"]),
        "d": done(works["d"]),
    }
    settlements = [Settlement(works[name], outcome) for name, outcome in outcomes.items()]
    assert await store.settle(settlements) == [True, False, False, True]
    assert [await _state(store, name) for name in "abd"] == [FAILED, DUE, INDEXED]
    assert await store.settle([]) == []


async def test_a_settlement_of_nothing_known_is_false(store: DocumentStore) -> None:
    await put(store, [draft("a"), draft("b", "...")])
    (work,) = (await claim(store)).values()
    await settle(store, work, done(work))
    await store.delete(["a"], now=NOW)
    (removal,) = (await claim(store)).values()
    await settle(store, removal, Removed())
    await store.purge(deleted_before=NOW + 1)
    assert await settle(store, removal, Removed()) is False
    assert await store.scan(after="a") == await store.scan()


async def test_a_retry_is_due_again_at_its_time(store: DocumentStore) -> None:
    await put(store, [draft("a")])
    (work,) = (await claim(store)).values()
    assert await settle(store, work, Retry("index is down", at=NOW + 500)) is True
    mark = (await get(store, "a")).index
    assert (mark.state, mark.error, mark.attempts) == (DUE, "index is down", 1)
    assert await store.index_status() == IndexStatus(1, 0, 0, NOW)
    assert await claim(store, now=NOW + 499) == {}
    (again,) = (await claim(store, now=NOW + 500)).values()
    assert (again.mark.attempts, again.mark.due_since) == (2, NOW)


async def test_failed_work_says_why_and_waits_for_somebody(store: DocumentStore) -> None:
    await put(store, [draft("a")])
    (work,) = (await claim(store)).values()
    await settle(store, work, Failed("needs \U0001f600 more"))
    mark = (await get(store, "a")).index
    assert (mark.state, mark.error, mark.attempts) == (FAILED, "needs \U0001f600 more", 1)
    assert await claim(store, now=NOW + 10 * LEASE) == {}
    assert await store.index_status() == IndexStatus(0, 0, 1, None)
    assert await store.mark_due(["a"], now=NOW + 7) == ["a"]
    assert await store.index_status() == IndexStatus(1, 0, 0, NOW + 7)
    assert list(await claim(store, now=NOW + 7)) == ["a"]


async def test_released_work_does_not_count_as_an_attempt(store: DocumentStore) -> None:
    await put(store, [draft("a")])
    (work,) = (await claim(store)).values()
    assert await settle(store, work, Released()) is True
    mark = (await get(store, "a")).index
    assert (mark.state, mark.attempts, mark.due_since) == (DUE, 0, NOW)
    (again,) = (await claim(store)).values()
    assert again.mark.attempts == 1


# What changes while somebody holds the lease


async def test_a_newer_text_takes_the_lease_away(store: DocumentStore) -> None:
    await put(store, [draft("a", "red")])
    (old,) = (await claim(store)).values()
    await put(store, [draft("a", "blue")], now=NOW + 1)
    assert await settle(store, old, done(old)) is False
    mark = (await get(store, "a")).index
    assert (mark.state, mark.attempts, mark.residue, mark.held) == (DUE, 0, True, "")
    (work,) = (await claim(store, now=NOW + 1)).values()
    assert work.entry is not None
    assert work.entry.text == "blue"
    assert work.mark.residue
    assert await settle(store, work, done(work)) is True
    assert (await get(store, "a")).index.residue is False


async def test_an_edit_of_metadata_keeps_the_lease(store: DocumentStore) -> None:
    await put(store, [draft("a", "red")])
    (work,) = (await claim(store)).values()
    await put(store, [draft("a", "red", colour="dark", body=5)], now=NOW + 1)
    assert await settle(store, work, done(work)) is True
    entry = await get(store, "a")
    assert (entry.index.state, entry.revision, entry.metadata) == (INDEXED, 2, {"colour": "dark"})


async def test_an_edit_of_metadata_needs_no_new_work_and_keeps_the_vector(
    store: DocumentStore,
) -> None:
    await put(store, [draft("a", "red")])
    await index(store, vector=b"\x07")
    await put(store, [draft("a", "red", colour="dark")], now=NOW + 1)
    assert await claim(store, now=NOW + 1) == {}
    assert await _state(store) is INDEXED
    assert (await store.candidates_by_id(["a"]))["a"].vector == b"\x07"


@pytest.mark.parametrize(
    "change",
    [
        draft("a", "red", session_id="t", author="Ann", role="user"),
        draft("a", "red", session_id="s", author="Ann", role="tool"),
        draft("a", "red", session_id="s", author="Ann"),
        draft("a", "red", at=NOW + 1, session_id="s", author="Ann", role="user"),
        draft("a", "red", session_id="s", author="Ann", role=["user", "tool"]),
    ],
    ids=["thread", "filter field", "filter field gone", "time", "filter field list"],
)
async def test_a_change_of_what_vectors_are_filed_under_is_new_work(
    store: DocumentStore, change: object
) -> None:
    await put(store, [draft("a", "red", session_id="s", author="Ann", role="user")])
    await index(store, vector=b"\x07", chunks=2)
    held = (await get(store, "a")).index.held
    assert await put(store, [change], now=NOW + 1) == ["updated"]  # type: ignore[list-item]
    (work,) = (await claim(store, now=NOW + 1)).values()
    assert work.entry is not None
    assert (work.mark.held, work.mark.chunks, work.entry.text_hash) == (held, 2, held)
    assert work.vector == b"\x07"


async def test_a_generic_authors_name_is_filed_though_the_text_stays(store: DocumentStore) -> None:
    await put(store, [draft("a", "red", author="user")])
    await index(store)
    await put(store, [draft("a", "red", author="assistant")], now=NOW + 1)
    (work,) = (await claim(store, now=NOW + 1)).values()
    assert work.entry is not None
    assert work.mark.held == work.entry.text_hash


async def test_another_origin_is_filed_anew(store: DocumentStore) -> None:
    await put(store, [draft("a", "red", origin="opencode")])
    await index(store)
    await put(store, [draft("a", "red", colour="dark")], now=NOW + 1)
    assert list(await claim(store, now=NOW + 1)) == ["a"]


async def test_work_on_a_changed_text_knows_what_the_index_holds(store: DocumentStore) -> None:
    await put(store, [draft("a", "red")])
    await index(store, chunks=4)
    held = (await get(store, "a")).index.held
    await put(store, [draft("a", "blue")], now=NOW + 1)
    assert (await store.candidates_by_id(["a"]))["a"].vector == b""
    (work,) = (await claim(store, now=NOW + 1)).values()
    assert work.entry is not None
    assert (work.mark.held, work.mark.chunks, work.mark.residue) == (held, 4, False)
    assert work.entry.text_hash != held


# What may not be in the index


@pytest.mark.parametrize(
    "excluded", [draft("a", "..."), draft("a", ""), draft("a", "a cat", type="image")]
)
async def test_what_has_no_words_and_what_is_an_image_is_excluded(
    store: DocumentStore, excluded: object
) -> None:
    await put(store, [excluded])  # type: ignore[list-item]
    assert await _state(store) is EXCLUDED
    assert await claim(store) == {}
    assert await store.index_status() == IndexStatus(0, 0, 0, None)
    assert (await store.candidates({"cat": 1.0})).found == ()


async def test_an_entry_that_loses_its_words_is_removed_from_the_index(
    store: DocumentStore,
) -> None:
    await put(store, [draft("a", "red")])
    await index(store)
    await put(store, [draft("a", "...")], now=NOW + 1)
    (work,) = (await claim(store, now=NOW + 1)).values()
    assert (work.entry, work.mark.chunks) == (None, 1)
    assert await settle(store, work, Removed()) is True
    mark = (await get(store, "a")).index
    assert (mark.state, mark.held, mark.chunks) == (EXCLUDED, "", 0)


async def test_an_entry_that_was_never_indexed_loses_its_words_without_work(
    store: DocumentStore,
) -> None:
    await put(store, [draft("a", "red")])
    await put(store, [draft("a", "...")])
    assert await claim(store) == {}
    await put(store, [draft("a", "red again")])
    assert list(await claim(store)) == ["a"]


@pytest.mark.parametrize("before", ["indexed", "leased", "failed", "retried"])
async def test_a_deleted_entry_that_may_have_vectors_is_removed_from_the_index(
    store: DocumentStore, before: str
) -> None:
    await put(store, [draft("a", "red")])
    (work,) = (await claim(store)).values()
    outcomes = {"indexed": done(work), "failed": Failed("no"), "retried": Retry("no", at=NOW + 999)}
    if before in outcomes:
        await settle(store, work, outcomes[before])
    await store.delete(["a"], now=NOW + 1)
    assert await store.index_status() == IndexStatus(
        1, 0, 0, NOW if before in ("leased", "retried") else NOW + 1
    )
    (removal,) = (await claim(store, now=NOW + 1)).values()
    assert removal.entry is None
    assert removal.mark.residue is (before != "indexed")
    assert await settle(store, removal, Removed()) is True
    (scanned,) = await store.scan()
    assert (scanned.deleted, scanned.mark.state, scanned.mark.residue) == (True, EXCLUDED, False)


async def test_a_deleted_entry_that_never_was_tried_needs_no_work(store: DocumentStore) -> None:
    await put(store, [draft("a", "red")])
    await store.delete(["a"], now=NOW)
    assert await claim(store) == {}


async def test_a_lifted_entry_still_knows_what_the_index_holds_of_its_past(
    store: DocumentStore,
) -> None:
    await put(store, [draft("a", "red")])
    await index(store, chunks=2)
    held = (await get(store, "a")).index.held
    await store.delete(["a"], now=NOW)
    await put(store, [draft("a", "blue")])
    (work,) = (await claim(store)).values()
    assert work.entry is not None
    assert (work.mark.held, work.mark.chunks) == (held, 2)


# Marking, counting, copies of vectors


async def test_marking_makes_anything_due(store: DocumentStore) -> None:
    await put(store, [draft("done", "red"), draft("none", "..."), draft("gone"), draft("other")])
    await index(store)
    await store.delete(["gone"], now=NOW)
    await index(store)
    marked = await store.mark_due(["done", "nobody", "none", "gone", "done"], now=NOW + 9)
    assert sorted(marked) == ["done", "gone", "none"]
    assert await store.index_status() == IndexStatus(3, 0, 0, NOW + 9)
    works = await claim(store, now=NOW + 9)
    assert works.keys() == set(marked)
    assert {name: work.entry is None for name, work in works.items()} == {
        "done": False,
        "none": True,
        "gone": True,
    }
    assert await store.mark_due([], now=NOW) == []


async def test_marking_remembers_what_an_attempt_may_have_left(store: DocumentStore) -> None:
    await put(store, [draft(name, name) for name in ("done", "failed", "leased", "retried")])
    works = await claim(store)
    await settle(store, works["done"], done(works["done"]))
    await settle(store, works["failed"], Failed("no"))
    await settle(store, works["retried"], Retry("busy", at=NOW + 5))
    await put(store, [draft("new")])
    names = [*works, "new"]
    for _ in range(2):
        assert sorted(await store.mark_due(names, now=NOW + 9)) == sorted(names)
        marks = {name: scanned.mark for name, scanned in (await store.marks(names)).items()}
        assert {mark.state for mark in marks.values()} == {DUE}
        assert {name for name in names if marks[name].residue} == {"failed", "leased", "retried"}
        assert {name for name in names if marks[name].held} == {"done"}


async def test_marking_takes_a_lease_away(store: DocumentStore) -> None:
    await put(store, [draft("a")])
    (work,) = (await claim(store)).values()
    await store.mark_due(["a"], now=NOW + 1)
    assert await settle(store, work, done(work)) is False
    assert await _state(store) is DUE


async def test_the_status_counts_every_state_and_the_longest_wait(store: DocumentStore) -> None:
    await put(store, [draft("leased")], now=NOW)
    await claim(store)
    await put(store, [draft("failed")], now=NOW + 1)
    (work,) = (await claim(store, now=NOW + 1)).values()
    await settle(store, work, Failed("no"))
    await put(store, [draft("due"), draft("none", "...")], now=NOW + 2)
    assert await store.index_status() == IndexStatus(due=1, leased=1, failed=1, oldest_due=NOW)


async def test_the_vectors_copy_comes_back_wherever_it_is_used(store: DocumentStore) -> None:
    vector = bytes(range(256)) * 4
    await put(store, [draft("a", "red", session_id="s"), draft("b", "...", session_id="s")])
    await index(store, vector=vector)
    assert (await store.candidates({"red": 1.0})).found[0].vector == vector
    assert (await store.candidates_by_id(["a"]))["a"].vector == vector
    assert (await store.neighbours(["b"], before=1, after=1))["b"].before[0].vector == vector
    await store.mark_due(["a"], now=NOW)
    (work,) = (await claim(store)).values()
    assert work.vector == vector


async def test_a_newer_vector_replaces_the_older_one(store: DocumentStore) -> None:
    await put(store, [draft("a", "red")])
    await index(store, vector=b"\x01")
    await store.mark_due(["a"], now=NOW)
    await index(store, vector=b"\x02\x03")
    assert (await store.candidates_by_id(["a"]))["a"].vector == b"\x02\x03"


async def test_settling_a_long_list_says_of_each_whether_it_counted(store: DocumentStore) -> None:
    await put(store, [draft(f"{number:03}", f"text {number}") for number in range(300)])
    works = await store.claim(300, now=NOW, lease=LEASE)
    await store.put([draft(f"{number:03}", "changed") for number in range(0, 300, 3)], now=NOW)
    results = await store.settle(
        [Settlement(work, Indexed(work.mark.held or "ab", 1, b"\x05")) for work in works]
    )
    lost = {work.id for work, counted in zip(works, results, strict=True) if not counted}
    assert lost == {f"{number:03}" for number in range(0, 300, 3)}
    assert (await store.index_status()).due == 100
