"""What is said is found, in its scope, and goes when its conversation goes."""

import asyncio
from typing import Any

import pytest

from dualstore.conversations.conversations import Conversations
from dualstore.conversations.finding import ConversationResult
from dualstore.conversations.scope import LogName, Scope
from dualstore.conversations.shelf import Shelf, shelf_spec
from dualstore.documents.journal import JournalItem
from dualstore.errors import StorageCorruptError, UnavailableError
from dualstore.manager import DualStoreManager
from dualstore.store import Store
from dualstore.testing import Fault, Faults
from tests.conversations.damage import Damaged, log_name
from tests.conversations.houses import House
from tests.conversations.telling import (
    amendment,
    answer,
    messages,
    reset,
    result,
    seqs,
    summary,
    texts,
    tool,
    user,
)


@pytest.fixture
def quiet(house: House, monkeypatch: pytest.MonkeyPatch) -> Conversations:
    """Of a store that takes nothing over by itself."""
    monkeypatch.setattr("dualstore.conversations.following.Follower.wake", lambda _: None)
    return house.store().conversations


def said(found: ConversationResult) -> list[tuple[str, int]]:
    """Where the hits are."""
    return sorted((hit.conversation_id, hit.entry.seq) for hit in found.hits)


async def family(store: Store) -> DualStoreManager:
    """The family behind the search."""
    return store._manager(shelf_spec("default"))


async def test_what_is_said_is_found_with_its_conversation_and_neighbours(
    store: Store, log: Conversations
) -> None:
    await log.create("c", "The build")
    await log.append(
        "c",
        [
            user("Why is it red?"),
            tool("$ make test"),
            answer("parseConfig raises ENOENT."),
            user("And now?"),
            user("Hello?"),
        ],
    )
    for _ in range(2):
        found = await log.search("parse_config", neighbours=1)
        (hit,) = [each for each in found.hits if each.entry.seq == 3]
        assert hit == found.hits[0]
        assert (hit.conversation_id, hit.title) == ("c", "The build")
        assert hit.message is not None
        assert hit.message["content"] == "parseConfig raises ENOENT."
        assert (seqs(hit.before), seqs(hit.after)) == ([2], [4])
        assert (hit.conversation, seqs(hit.neighbours)) == ("c", [2, 4])
        assert "**parseConfig**" in str(hit.snippet)
        await store.drain(60)
    assert (await log.search("parse_config")).degraded == ()
    assert seqs((await log.search("parse_config", neighbours=9)).hits[0].before) == [1, 2]
    assert (await log.search("parse_config", neighbours=0)).hits[0].after == ()


async def test_all_that_has_a_text_is_found_and_nothing_that_says_it_again(
    log: Conversations,
) -> None:
    await log.create("c", messages=messages("walnut", "other"))
    parts = [{"type": "text", "text": "the"}, {"type": "text", "text": "walnut"}, {"type": "image"}]
    told = [
        user("walnut"),
        user("walnut", hidden=True),
        answer(parts, id="a"),
        tool("walnut"),
        amendment("a", "walnut"),
        result("walnut"),
        summary("walnut", 2),
        reset("walnut"),
        {"type": "walnut", "text": "walnut"},
        answer(None),
    ]
    await log.append("c", told)
    found = await log.search("walnut", "text", limit=50)
    by_words = [hit for hit in found.hits if hit.modes == ("text",)]
    assert sorted(hit.entry.seq for hit in by_words) == list(range(1, 8))
    assert len(found.hits) == 8  # with the neighbour that says something else
    (imported,) = [hit for hit in by_words if hit.entry.seq == 1]
    assert imported.message is not None
    assert imported.message["content"] == "walnut"


async def test_no_search_leaves_its_scope(store: Store, log: Conversations) -> None:
    scopes: list[dict[str, Any]] = [
        {},
        {"tenant": "acme"},
        {"agent": "acme"},
        {"tenant": "acme", "agent": "bot"},
    ]
    for at, scope in enumerate(scopes):
        for name in ("c", "d"):
            await log.create(name, f"{at}", **scope)
            await log.append(name, [user(f"walnut {at}"), answer("cheese")], **scope)
    await store.drain(60)
    for mode in ("text", "hybrid", "semantic"):
        for at, scope in enumerate(scopes):
            few = await log.search("walnut", mode, limit=2, **scope)
            assert {hit.conversation_id for hit in few.hits} == {"c", "d"}
            found = await log.search("walnut", mode, limit=50, **scope)
            assert {hit.title for hit in found.hits} == {f"{at}"}
            assert {hit.conversation_id for hit in found.hits} == {"c", "d"}
            for hit in found.hits:
                beside = [*hit.before, hit.entry, *hit.after]
                assert {(each.tenant, each.agent) for each in beside} == {
                    (scope.get("tenant"), scope.get("agent"))
                }
            only = await log.search("walnut", mode, "c", limit=50, **scope)
            assert {hit.conversation_id for hit in only.hits} == {"c"}
    assert (await log.search("walnut", tenant="nobody")).hits == ()


def test_the_handle_has_no_question_and_no_write_without_a_scope() -> None:
    public = {name for name in vars(Shelf) if not name.startswith("_")}
    assert public == {"put", "take_away", "search"}
    for name in public:
        method = vars(Shelf)[name]
        first = next(iter(method.__annotations__))
        assert method.__annotations__[first] in (LogName, Scope)
        assert method.__defaults__ is None


async def test_neighbours_that_lend_their_words_are_of_the_same_conversation(
    store: Store, log: Conversations
) -> None:
    spec = shelf_spec("default")
    assert spec.thread_key == "log"
    await log.create("c")
    await log.append("c", [user("walnut")])
    await log.delete("c")
    await log.create("c")
    await log.append("c", [user("walnut")])
    await log.create("c", tenant="acme")
    await log.append("c", [user("walnut")], tenant="acme")
    await log.catch_up()
    page = await (await family(store)).page(limit=10)
    assert len({entry.metadata["log"] for entry in page.entries}) == len(page.entries) == 2


async def test_an_append_never_waits_for_the_search(house: House, log: Conversations) -> None:
    await log.create("c")
    faults = Faults()
    faults.outage("documents.*")
    faults.outage("vectors.*")
    faults.outage("embedder.*")
    failing = house.store(faults)
    for n in range(3):
        await failing.conversations.append("c", [user(f"walnut {n}")])
    found = await log.get("c")
    assert (len(found.display), found.degraded) == (3, ())
    with pytest.raises(UnavailableError):
        await failing.conversations.catch_up()
    faults.heal()
    assert said(await failing.conversations.search("walnut", "text")) == [
        ("c", n) for n in (1, 2, 3)
    ]


async def test_vector_index_down_during_append_the_index_catches_up_no_gap_no_duplicate(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    faults = Faults()
    faults.outage("vectors.*")
    failing = house.store(faults)
    for n in range(5):
        await failing.conversations.append("c", [user(f"walnut {n}")])
    found = await failing.conversations.search("walnut")
    assert len(found.hits) == 5
    assert found.degraded
    faults.heal()
    house.clock.advance(3_600_000)  # what failed is put off
    await failing.drain(60)
    found = await failing.conversations.search("walnut", "semantic")
    assert (said(found), found.degraded) == ([("c", n) for n in range(1, 6)], ())
    manager = await family(failing)
    report = await manager.consistency_report()
    assert (report.clean, report.entries, report.vectors) == (True, 5, 5)


async def test_a_crash_in_between_is_caught_up(
    house: House, quiet: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualstore.conversations.following._ENTRIES", 4)
    await quiet.create("c")
    for call in (
        "journal.behind",
        "journal.read",
        "records.get",
        "documents.put",
        "journal.follow",
    ):
        for _ in range(2):
            await quiet.append("c", [user("walnut"), tool("walnut"), answer("walnut")])
        faults = Faults()
        faults.outage(call, since=1, fault=Fault.AFTER)
        with pytest.raises(UnavailableError):
            await house.store(faults).conversations.catch_up()
    later = house.store()
    await later.conversations.catch_up()
    entries = (await (await family(later)).page(limit=100)).entries
    assert sorted(entry.metadata["seq"] for entry in entries) == list(range(1, 31))
    assert {entry.revision for entry in entries} == {1}


async def test_stores_that_take_over_at_the_same_time_write_everything_once(
    house: House, log: Conversations
) -> None:
    for name in "abc":
        await log.create(name)
        await log.append(name, [user(f"walnut {n}") for n in range(30)])
    stores = [house.store() for _ in range(4)]
    await asyncio.gather(*(each.conversations.catch_up() for each in stores))
    manager = await family(stores[0])
    assert await manager.count() == 90
    assert {entry.revision for entry in (await manager.page(limit=100)).entries} == {1}


async def test_deleting_a_conversation_deletes_what_was_said(
    store: Store, log: Conversations
) -> None:
    await log.create("c", messages=messages("walnut", "walnut"))
    await log.append("c", [user("walnut")])
    await log.create("d")
    await log.append("d", [user("walnut")])
    await store.drain(60)
    manager = await family(store)
    assert await manager.count() == 4
    assert await log.delete("c")
    assert await manager.count() == 1
    assert said(await log.search("walnut")) == [("d", 1)]
    await store.drain(60)
    report = await manager.consistency_report()
    assert (report.clean, report.vectors) == (True, 1)


async def test_who_is_late_with_what_was_deleted_writes_nothing(
    house: House, store: Store, quiet: Conversations
) -> None:
    """Of a store that has read the log, and was held up before it wrote."""
    await quiet.create("c")
    name = await log_name(house.backends.documents)
    reached, go_on = asyncio.Event(), asyncio.Event()
    late = house.store()
    put = Shelf.put

    async def held_up(self: Shelf, *args: object) -> None:
        reached.set()
        await go_on.wait()
        await put(self, *args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shelf, "put", held_up)
        await quiet.append("c", [user("walnut")])
        following = asyncio.create_task(late.conversations.catch_up())
        await reached.wait()
    assert await quiet.delete("c")
    go_on.set()
    await following
    assert await (await family(store)).count() == 0
    assert await house.backends.documents.journal.tip(name) is None


async def test_what_was_deleted_is_not_shown_even_while_its_texts_are_there(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    await log.append("c", [user("walnut")])
    await log.catch_up()
    faults = Faults()
    faults.outage("documents.delete")
    with pytest.raises(UnavailableError):
        await house.store(faults).conversations.delete("c")
    assert (await log.search("walnut")).hits == ()
    await log.create("c")  # which removes the rest first
    assert (await log.search("walnut")).hits == ()
    assert await (await family(house.store())).count() == 0


async def test_an_append_that_crossed_a_deletion_and_died_is_removed_by_the_follower(
    house: House, log: Conversations
) -> None:
    journal = house.backends.documents.journal
    await log.create("c")
    await log.append("c", [user("walnut")])
    await log.catch_up()
    name = await log_name(house.backends.documents)
    items, tip = await journal.read(name), await journal.tip(name)
    assert tip is not None
    await log.delete("c")
    assert await journal.extend(name, items, note=tip.note)
    await log.catch_up()
    assert await journal.tip(name) is None
    assert await (await family(house.store())).count() == 0


async def test_a_deletion_that_broke_off_is_finished_by_whoever_appends_next(
    house: House, log: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.create("c")
    await log.append("c", [user("walnut")])
    await log.catch_up()
    name = await log_name(house.backends.documents)
    faults = Faults()
    faults.outage("journal.remove")
    with pytest.raises(UnavailableError):
        await house.store(faults).conversations.delete("c")
    journal, removed = house.backends.documents.journal, asyncio.Event()
    remove = journal.remove

    async def watched(log: str) -> None:
        await remove(log)
        removed.set()

    monkeypatch.setattr(journal, "remove", watched)
    other = house.store().conversations
    await other.create("d")
    await other.append("d", [user("walnut")])
    async with asyncio.timeout(60):
        await removed.wait()
    assert await journal.tip(name) is None


async def test_a_damaged_log_keeps_no_other_from_being_found(
    house: House, quiet: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = house.backends.documents
    for name in ("bad", "good", "half"):
        await quiet.create(name)
        await quiet.append(name, [user("walnut"), answer("walnut")])
    bad, half = await log_name(documents, "bad"), await log_name(documents, "half")
    damaged, read = Damaged(documents), documents.journal.read

    async def failing(log: str, **asked: Any) -> list[JournalItem]:
        if log == bad:
            raise StorageCorruptError("broken")
        damaged.change = lambda items: (
            [items[0]._replace(text="{"), *items[1:]] if log == half and items else items
        )
        return await read(log, **asked)

    monkeypatch.setattr(documents.journal, "read", failing)
    await quiet.catch_up()
    found = await quiet.search("walnut", "text")
    assert said(found) == [("good", 1), ("good", 2), ("half", 2)]


async def test_a_hit_whose_log_is_damaged_is_left_out_and_said(
    house: House, log: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad", "good"):
        await log.create(name)
        await log.append(name, [user("walnut")])
    await log.catch_up()
    journal = house.backends.documents.journal
    bad, read = await log_name(house.backends.documents, "bad"), journal.read

    async def failing(log: str, **asked: Any) -> list[JournalItem]:
        if log == bad:
            raise StorageCorruptError("broken")
        return await read(log, **asked)

    monkeypatch.setattr(journal, "read", failing)
    found = await log.search("walnut", "text")
    assert (said(found), found.degraded) == ([("good", 1)], ("without a hit: broken",))


async def test_paging_shows_everything_once(log: Conversations) -> None:
    await log.create("c")
    await log.append("c", [user(f"walnut {n}") for n in range(7)])
    hits: list[tuple[str, int]] = []
    cursor: str | None = None
    while True:
        found = await log.search("walnut", "text", limit=3, cursor=cursor)
        hits += said(found)
        cursor = found.next_cursor
        if cursor is None:
            break
    assert sorted(hits) == [("c", n) for n in range(1, 8)]


async def test_stores_of_other_agents_settings_share_nothing(house: House) -> None:
    one, two = (house.store(agent_name=name).conversations for name in ("one", "two"))
    for at, log in enumerate((one, two)):
        await log.create("c", f"{at}")
        await log.append("c", [user(f"walnut {at}")])
    for at, log in enumerate((one, two)):
        assert [each.title for each in await log.list()] == [f"{at}"]
        assert texts((await log.get("c")).display) == [f"walnut {at}"]
        assert [hit.title for hit in (await log.search("walnut")).hits] == [f"{at}"]
    await one.delete("c")
    assert (await two.get("c")).title == "1"
