"""Deletions, tombstones and their end, on every backend."""

import pytest

from dualstore.documents.base import DeleteOutcome, DocumentStore, Put, PutOutcome
from dualstore.outbox import Failed, IndexState
from tests.documents.writing import (
    NOW,
    claim,
    draft,
    get,
    ids,
    index,
    put,
    remote,
    settle,
    terms,
    version,
)

DELETED, ABSENT, OUTDATED = DeleteOutcome


async def test_what_is_deleted_is_absent_everywhere(store: DocumentStore) -> None:
    await put(store, [draft("a", "red", session_id="s"), draft("b", "blue")])
    assert await store.delete(["a"], now=NOW + 1) == {"a": DELETED}
    assert list(await store.get(["a", "b"])) == ["b"]
    assert ids((await store.page()).entries) == ["b"]
    assert await store.count() == 1
    assert (await store.candidates(terms("red"))).found == ()
    assert await store.candidates_by_id(["a"]) == {}
    assert await store.tally() == {}


async def test_every_id_has_its_outcome(store: DocumentStore) -> None:
    await put(store, [draft("a"), draft("b"), remote("c", time=9)])
    await store.delete(["b"], now=NOW)
    outcomes = await store.delete(
        ["c", "a", "nobody", "b", "a"], now=NOW, source_version=version(time=5)
    )
    assert outcomes == {"c": OUTDATED, "a": DELETED, "nobody": ABSENT, "b": ABSENT}
    assert await store.delete([], now=NOW) == {}


async def test_a_tombstone_keeps_nothing_of_the_content(store: DocumentStore) -> None:
    await put(store, [draft("a", "red", body="secret", session_id="s", author="Ann")])
    await index(store)
    await store.delete(["a"], now=NOW + 1)
    (work,) = (await claim(store, now=NOW + 1)).values()
    assert work.entry is None
    (scanned,) = await store.scan()
    assert (scanned.id, scanned.deleted, scanned.revision) == ("a", True, 2)


async def test_deleting_again_changes_nothing(store: DocumentStore) -> None:
    await put(store, [draft("a")])
    await store.delete(["a"], now=NOW)
    before = await store.scan()
    for origin in ("local", "opencode"):
        assert await store.delete(["a"], now=NOW + 5, origin=origin) == {"a": ABSENT}
        assert await store.scan() == before


async def test_a_local_deletion_of_nothing_leaves_nothing(store: DocumentStore) -> None:
    assert await store.delete(["a"], now=NOW) == {"a": ABSENT}
    assert await store.scan() == []
    assert await put(store, [remote("a", "late", time=1)]) == ["created"]


async def test_a_remotes_deletion_of_nothing_is_found_by_a_late_write(store: DocumentStore) -> None:
    gone = await store.delete(["a"], now=NOW, origin="opencode", source_version=version(time=5))
    assert gone == {"a": ABSENT}
    (scanned,) = await store.scan()
    assert (scanned.deleted, scanned.revision, scanned.mark.state) == (True, 1, IndexState.EXCLUDED)
    assert await store.count() == 0
    late = [remote("a", "late", time=4)]
    assert await store.put(late, now=NOW) == [Put("a", PutOutcome.DELETED, 1)]
    assert await store.get(["a"]) == {}


async def test_a_tombstone_beats_every_write_of_a_remote(store: DocumentStore) -> None:
    await put(store, [remote("a", "one", time=1)])
    await store.delete(["a"], now=NOW, origin="opencode", source_version=version(time=2))
    for late in (remote("a", "two", time=1), remote("a", "two", time=9), remote("a", "two")):
        assert await store.put([late], now=NOW + 1) == [Put("a", PutOutcome.DELETED, 2)]
    puts = await store.put([remote("a", "two", time=9)], now=NOW, expect={"a": 2})
    assert puts == [Put("a", PutOutcome.DELETED, 2)]
    assert await store.get(["a"]) == {}


async def test_only_a_local_write_lifts_it_and_revisions_go_on(store: DocumentStore) -> None:
    await put(store, [draft("a", "red", session_id="s")])
    await store.delete(["a"], now=NOW + 1)
    assert await store.put([draft("a", "blue")], now=NOW + 2) == [Put("a", PutOutcome.CREATED, 3)]
    entry = await get(store, "a")
    assert (entry.text, entry.revision, entry.metadata) == ("blue", 3, {})
    assert entry.updated_at == NOW + 2
    assert ids((await store.candidates(terms("blue"))).found) == ["a"]
    assert (await store.candidates(terms("red"))).found == ()
    assert await put(store, [draft("a", "red")], now=NOW + 3) == ["updated"]


async def test_the_same_content_lifts_it_too(store: DocumentStore) -> None:
    await put(store, [draft("a", "red")])
    await index(store)
    await store.delete(["a"], now=NOW)
    assert await store.put([draft("a", "red")], now=NOW) == [Put("a", PutOutcome.CREATED, 3)]
    assert (await get(store, "a")).index.state is IndexState.DUE
    assert ids((await store.candidates(terms("red"))).found) == ["a"]


async def test_a_write_that_expects_an_entry_does_not_lift_it(store: DocumentStore) -> None:
    await put(store, [draft("a", "one")])
    await store.delete(["a"], now=NOW)
    for expected in (1, 2):
        puts = await store.put([draft("a", "two")], now=NOW, expect={"a": expected})
        assert puts == [Put("a", PutOutcome.OUTDATED, 2)]
    puts = await store.put([draft("a", "two")], now=NOW, expect={"a": 0})
    assert puts == [Put("a", PutOutcome.CREATED, 3)]


@pytest.mark.parametrize("newer", [5, 6])
async def test_a_remote_deletes_what_is_of_the_same_or_an_older_version(
    store: DocumentStore, newer: int
) -> None:
    await put(store, [remote("a", time=5)])
    gone = await store.delete(["a"], now=NOW, origin="opencode", source_version=version(time=newer))
    assert gone == {"a": DELETED}


async def test_a_remotes_deletion_leaves_alone_what_was_written_here(store: DocumentStore) -> None:
    """Asked before, the remote said it is gone; meanwhile somebody wrote it here."""
    await put(store, [draft("a", "mine")])
    for expect in (None, {"a": 0}):
        gone = await store.delete(["a"], now=NOW, origin="opencode", expect=expect)
        assert gone == {"a": OUTDATED}
    assert (await get(store, "a")).text == "mine"
    gone = await store.delete(["a"], now=NOW, origin="opencode", expect={"a": 1})
    assert gone == {"a": DELETED}


async def test_a_deletion_that_expects_another_revision_is_refused(store: DocumentStore) -> None:
    await put(store, [draft("a", "one")])
    await put(store, [draft("a", "two")])
    assert await store.delete(["a"], now=NOW, expect={"a": 1}) == {"a": OUTDATED}
    assert await store.delete(["a"], now=NOW, expect={"a": 2}) == {"a": DELETED}


async def test_a_late_deletion_of_an_older_version_is_refused(store: DocumentStore) -> None:
    await put(store, [remote("a", "one", time=5)])
    before = await store.scan()
    gone = await store.delete(["a"], now=NOW, origin="opencode", source_version=version(time=4))
    assert gone == {"a": OUTDATED}
    assert await store.scan() == before


async def test_a_local_deletion_needs_no_version(store: DocumentStore) -> None:
    await put(store, [remote("a", time=5)])
    assert await store.delete(["a"], now=NOW) == {"a": DELETED}
    assert await put(store, [remote("a", "two", time=9)]) == ["deleted"]


async def test_deleting_many_at_once(store: DocumentStore) -> None:
    names = [f"{number:04}" for number in range(1200)]
    await put(store, [draft(name) for name in names])
    outcomes = await store.delete(names[:1100], now=NOW)
    assert set(outcomes.values()) == {DELETED}
    assert len(outcomes) == 1100
    assert await store.count() == 100


# The end of a tombstone


async def test_old_tombstones_are_forgotten_once_their_vectors_are(store: DocumentStore) -> None:
    await put(store, [draft("a"), draft("b"), draft("c"), draft("kept")])
    await index(store)
    await store.delete(["a"], now=NOW + 10)
    await store.delete(["b"], now=NOW + 20)
    await store.delete(["c"], now=NOW + 30)
    assert await store.purge(deleted_before=NOW + 99) == 0
    await index(store, now=NOW + 40)
    assert await store.purge(deleted_before=NOW + 20) == 1
    assert ids(await store.scan()) == ["b", "c", "kept"]
    assert await store.purge(deleted_before=NOW + 99, limit=1) == 1
    assert await store.purge(deleted_before=NOW + 99, limit=9) == 1
    assert await store.purge(deleted_before=NOW + 99) == 0
    assert ids(await store.scan()) == ["kept"]


async def test_a_tombstone_that_never_had_vectors_goes_at_once(store: DocumentStore) -> None:
    await put(store, [draft("a"), draft("b", "...")])
    await store.delete(["a", "b"], now=NOW)
    await store.delete(["c"], now=NOW, origin="opencode")
    assert await store.purge(deleted_before=NOW + 1) == 3
    assert await store.scan() == []


async def test_a_tombstone_whose_vectors_may_be_left_stays(store: DocumentStore) -> None:
    await put(store, [draft("leased"), draft("failed")])
    works = await claim(store)
    await settle(store, works["failed"], Failed("no"))
    await store.delete(["leased", "failed"], now=NOW)
    assert await store.purge(deleted_before=NOW + 1) == 0
    again = await claim(store)
    await settle(store, again["failed"], Failed("still no"))
    assert await store.purge(deleted_before=NOW + 1) == 0
    await settle(store, again["leased"], Failed("no"))
    assert await store.purge(deleted_before=NOW + 1) == 0


async def test_what_was_forgotten_is_new_again(store: DocumentStore) -> None:
    await put(store, [draft("a", "red")])
    await store.delete(["a"], now=NOW)
    await store.purge(deleted_before=NOW + 1)
    assert await store.put([remote("a", "blue", time=1)], now=NOW + 2) == [
        Put("a", PutOutcome.CREATED, 1)
    ]
    assert (await get(store, "a")).created_at == NOW + 2
