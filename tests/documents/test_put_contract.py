"""Writing and reading entries, on every backend."""

import pytest

from dualstore.documents.base import DocumentStore, Put, PutOutcome
from dualstore.entry import Draft
from dualstore.outbox import IndexState
from tests.documents.strategies import nested, spelled
from tests.documents.writing import NOW, draft, get, index, put, remote, version

CREATED, UPDATED, UNCHANGED, OUTDATED, DELETED = PutOutcome


async def test_a_new_entry_comes_back_whole(store: DocumentStore) -> None:
    metadata = {"session_id": "s", "a.b": 1, "$where": [{"": None}], "n": -0.0}
    given = draft("a", "red\0\U0001f600", at=NOW - 7, metadata=metadata, body={"deep": [1.0, 1]})
    assert await store.put([given], now=NOW) == [Put("a", CREATED, 1)]
    entry = await get(store, "a")
    assert (entry.id, entry.text, entry.timestamp) == ("a", "red\0\U0001f600", NOW - 7)
    assert spelled(entry.metadata) == spelled(metadata)
    assert spelled(entry.body) == spelled({"deep": [1.0, 1]})
    assert (entry.revision, entry.created_at, entry.updated_at) == (1, NOW, NOW)
    assert (entry.content_hash, entry.text_hash) == (given.content_hash, given.text_hash)
    assert (entry.origin, entry.source_version) == ("local", None)
    assert (entry.index.state, entry.index.due_since) == (IndexState.DUE, NOW)


async def test_an_entry_at_the_limits_comes_back_whole(store: DocumentStore) -> None:
    name = "\U0001f600" * 512
    metadata = nested(2**63 - 1, 64)
    await put(store, [draft(name, "", metadata=metadata, body=nested(5e-324, 64))])
    entry = await get(store, name)
    assert spelled(entry.metadata) == spelled(metadata)
    assert spelled(entry.body) == spelled(nested(5e-324, 64))


@pytest.mark.parametrize("part", ["text", "body", "metadata"])
async def test_an_entry_of_twelve_mebibytes_is_kept(store: DocumentStore, part: str) -> None:
    big = "word " * ((12 * 1024 * 1024 - 100) // 5)
    parts = {"text": big} if part == "text" else {part: {"big": big}}
    await store.put([draft("a", **parts)], now=NOW)
    entry = await get(store, "a")
    assert (entry.text if part == "text" else getattr(entry, part)["big"]) == big


async def test_results_come_in_the_order_given_and_absent_ids_are_missing(
    store: DocumentStore,
) -> None:
    names = ["c", "a", "b"]
    puts = await store.put([draft(name) for name in names], now=NOW)
    assert [each.id for each in puts] == names
    found = await store.get(["b", "nobody", "a", "b", ""])
    assert {name: entry.id for name, entry in found.items()} == {"a": "a", "b": "b"}
    assert await store.get([]) == {}
    assert await store.put([], now=NOW) == []


async def test_ids_that_nobody_can_have_are_absent(store: DocumentStore) -> None:
    await put(store, [draft("a")])
    assert await store.get(["a\0", "\0", "a\n"]) == {}
    assert list(await store.get(["a\0b", "a"])) == ["a"]


async def test_each_reader_has_his_own_copy(store: DocumentStore) -> None:
    await put(store, [draft("a", metadata={"list": [1]})])
    (await get(store, "a")).metadata["list"].append(2)
    assert (await get(store, "a")).metadata == {"list": [1]}


async def test_the_same_again_changes_nothing(store: DocumentStore) -> None:
    await put(store, [draft("a", "red", body=1)])
    await index(store)
    before = await get(store, "a")
    assert await store.put([draft("a", "red", body=1)], now=NOW + 5) == [Put("a", UNCHANGED, 1)]
    assert await get(store, "a") == before


async def test_another_content_is_a_new_revision(store: DocumentStore) -> None:
    await put(store, [draft("a", "red")])
    assert await store.put([draft("a", "blue")], now=NOW + 5) == [Put("a", UPDATED, 2)]
    entry = await get(store, "a")
    assert (entry.text, entry.revision) == ("blue", 2)
    assert (entry.created_at, entry.updated_at) == (NOW, NOW + 5)


@pytest.mark.parametrize(
    "change",
    [
        draft("a", "x", at=NOW + 1),
        draft("a", "x", colour="red"),
        draft("a", "x", body=0),
        draft("a", "x", body=False),
        draft("a", "y"),
    ],
    ids=["time", "metadata", "body 0", "body false", "text"],
)
async def test_every_part_counts_as_content(store: DocumentStore, change: Draft) -> None:
    await put(store, [draft("a", "x")])
    assert await put(store, [change]) == ["updated"]
    entry = await get(store, "a")
    assert entry.content_hash == change.content_hash


async def test_update_times_never_go_back(store: DocumentStore) -> None:
    await put(store, [draft("a", "red")], now=NOW)
    await put(store, [draft("a", "blue")], now=NOW - 1000)
    entry = await get(store, "a")
    assert (entry.text, entry.revision, entry.updated_at) == ("blue", 2, NOW)


async def test_repeats_in_one_call_are_written_in_their_order(store: DocumentStore) -> None:
    drafts = [
        draft("a", "one"),
        draft("b", "one"),
        draft("a", "two"),
        draft("a", "two"),
        draft("a", "one"),
    ]
    assert await store.put(drafts, now=NOW) == [
        Put("a", CREATED, 1),
        Put("b", CREATED, 1),
        Put("a", UPDATED, 2),
        Put("a", UNCHANGED, 2),
        Put("a", UPDATED, 3),
    ]
    assert (await get(store, "a")).text == "one"
    assert await store.count() == 2


async def test_a_large_batch_is_written_whole(store: DocumentStore) -> None:
    drafts = [draft(f"n{number}", f"word{number}") for number in range(1200)]
    assert {each.outcome for each in await store.put(drafts, now=NOW)} == {CREATED}
    assert {each.outcome for each in await store.put(drafts, now=NOW)} == {UNCHANGED}
    assert await store.count() == 1200
    found = await store.get([given.id for given in drafts])
    assert {name: entry.text for name, entry in found.items()} == {
        given.id: given.text for given in drafts
    }


# What a remote's copy may replace


async def test_a_local_write_wins_over_a_remotes(store: DocumentStore) -> None:
    await put(store, [remote("a", "theirs", time=5)])
    assert await put(store, [draft("a", "mine")]) == ["updated"]
    entry = await get(store, "a")
    assert (entry.text, entry.origin, entry.source_version) == ("mine", "local", None)


async def test_a_remotes_copy_wins_only_over_an_older_version(store: DocumentStore) -> None:
    assert await put(store, [remote("a", "v5", sequence=5)]) == ["created"]
    assert await put(store, [remote("a", "v4", sequence=4)]) == ["outdated"]
    assert await put(store, [remote("a", "other v5", sequence=5)]) == ["outdated"]
    assert await put(store, [remote("a", "no version")]) == ["outdated"]
    assert await put(store, [remote("a", "another kind", time=NOW)]) == ["outdated"]
    assert (await get(store, "a")).text == "v5"
    assert await store.put([remote("a", "v6", sequence=6)], now=NOW) == [Put("a", UPDATED, 2)]
    entry = await get(store, "a")
    assert (entry.text, entry.source_version) == ("v6", version(sequence=6))


async def test_a_remotes_copy_does_not_replace_what_was_written_here(store: DocumentStore) -> None:
    await put(store, [draft("a", "mine")])
    assert await store.put([remote("a", "theirs", time=9)], now=NOW) == [Put("a", OUTDATED, 1)]
    assert (await get(store, "a")).text == "mine"


async def test_unless_nothing_has_changed_since_the_remote_was_asked(store: DocumentStore) -> None:
    await put(store, [draft("a", "mine")])
    theirs = [remote("a", "theirs", time=9)]
    assert await store.put(theirs, now=NOW, expect={"a": 1}) == [Put("a", UPDATED, 2)]
    entry = await get(store, "a")
    assert (entry.text, entry.origin, entry.source_version) == (
        "theirs",
        "opencode",
        version(time=9),
    )


@pytest.mark.parametrize("expected", [0, 1, 3])
async def test_a_write_that_expects_another_revision_is_outdated(
    store: DocumentStore, expected: int
) -> None:
    await put(store, [remote("a", "one", time=1)])
    await put(store, [remote("a", "two", time=2)])
    for late in (remote("a", "late"), remote("a", "late", time=2), draft("a", "late")):
        puts = await store.put([late], now=NOW, expect={"a": expected})
        assert puts == [Put("a", OUTDATED, 2)]
    assert (await get(store, "a")).text == "two"


async def test_a_strictly_newer_version_needs_no_expectation_to_hold(store: DocumentStore) -> None:
    await put(store, [remote("a", "two", time=2)])
    puts = await store.put([remote("a", "three", time=3)], now=NOW, expect={"a": 7})
    assert puts == [Put("a", UPDATED, 2)]


async def test_an_older_version_is_outdated_whatever_it_expects(store: DocumentStore) -> None:
    await put(store, [remote("a", "two", time=2)])
    for late in (remote("a", "one", time=1), remote("a", "two", time=1)):
        assert await store.put([late], now=NOW, expect={"a": 1}) == [Put("a", OUTDATED, 1)]


async def test_expecting_nothing_writes_only_where_nothing_is(store: DocumentStore) -> None:
    puts = await store.put([remote("a", "one"), remote("b", "one")], now=NOW, expect={"a": 0})
    assert [each.outcome for each in puts] == [CREATED, CREATED]
    puts = await store.put([remote("a", "two")], now=NOW, expect={"a": 0})
    assert puts == [Put("a", OUTDATED, 1)]


async def test_expecting_something_writes_nothing_where_nothing_is(store: DocumentStore) -> None:
    assert await store.put([draft("a")], now=NOW, expect={"a": 1}) == [Put("a", OUTDATED, 0)]
    assert await store.get(["a"]) == {}
    assert await store.scan() == []
    assert await store.count() == 0


async def test_an_expectation_speaks_only_of_its_own_id(store: DocumentStore) -> None:
    await put(store, [draft("a", "one"), draft("b", "one")])
    puts = await store.put([draft("a", "two"), draft("b", "two")], now=NOW, expect={"a": 9})
    assert puts == [Put("a", OUTDATED, 1), Put("b", UPDATED, 2)]


async def test_a_newer_version_of_the_same_content_is_remembered(store: DocumentStore) -> None:
    await put(store, [remote("a", "same", time=1)])
    await index(store)
    puts = await store.put([remote("a", "same", time=5)], now=NOW + 9)
    assert puts == [Put("a", UNCHANGED, 1)]
    entry = await get(store, "a")
    assert (entry.source_version, entry.revision) == (version(time=5), 1)
    assert (entry.updated_at, entry.index.state) == (NOW, IndexState.INDEXED)
    assert await put(store, [remote("a", "late", time=4)]) == ["outdated"]


async def test_a_version_that_cannot_be_compared_is_not_taken_over_by_the_same_content(
    store: DocumentStore,
) -> None:
    await put(store, [remote("a", "same", time=1)])
    assert await put(store, [remote("a", "same", sequence=9)]) == ["unchanged"]
    assert (await get(store, "a")).source_version == version(time=1)


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "5", None])
async def test_a_wrong_limit_is_refused(store: DocumentStore, limit: object) -> None:
    with pytest.raises(ValueError, match="limit must be a whole number from 1 on"):
        await store.page(limit=limit)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit must be"):
        await store.scan(limit=limit)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit must be"):
        await store.claim(limit, now=NOW, lease=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit must be"):
        await store.candidates({}, limit=limit)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit must be"):
        await store.purge(deleted_before=NOW, limit=limit)  # type: ignore[arg-type]


async def test_every_change_of_an_entry_and_nothing_else_changes_the_version(
    store: DocumentStore,
) -> None:
    seen = [await store.version()]

    async def changed() -> bool:
        """Nobody has to count; whoever does misses nothing."""
        seen.append(await store.version())
        return seen[-1] is None or seen[-1] != seen[-2]

    async def same() -> bool:
        return not await changed() or seen[-1] is None

    await put(store, [draft("a", "one"), draft("b", "two")])
    assert await changed()
    await put(store, [draft("a", "one")])
    assert await same()
    await put(store, [draft("a", "one more")])
    assert await changed()
    await store.settle([])
    await store.claim(10, now=NOW, lease=1000)
    await store.get(["a"])
    assert await same()
    await store.delete(["a"], now=NOW)
    assert await changed()
    await store.delete(["a", "nobody"], now=NOW)
    assert await same()
    await put(store, [draft("a", "one")])
    assert await changed()
    counted = [each for each in seen if each is not None]
    assert counted == sorted(counted)
