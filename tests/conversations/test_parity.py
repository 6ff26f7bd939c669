"""Parity: what is damaged is found and named, and reads say that they are degraded."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualstore.conversations.conversations import Conversations
from dualstore.conversations.standing import Standing
from dualstore.documents.journal import JournalItem, Tip
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.static import StaticEmbedder
from dualstore.errors import StorageError
from dualstore.values import from_json
from tests.conversations.damage import (
    Change,
    Damaged,
    log_name,
    with_fields,
    with_text,
    without,
)
from tests.conversations.houses import House
from tests.conversations.telling import (
    answer,
    messages,
    result,
    seqs,
    summary,
    tasks,
    texts,
    tool,
    user,
)


@pytest.fixture
async def damaged(house: House, log: Conversations) -> Damaged:
    """A conversation of ten entries, and the means to damage it."""
    await log.create("c")
    await log.append("c", [user("q1"), tool("t1"), answer("a1")])
    await log.append("c", [summary("s", 1), result("look", id="r")])
    await log.append("c", [user("q2"), tool("t2"), answer("a2"), user("q3"), answer("a3")])
    return Damaged(house.backends.documents)


async def test_an_entry_of_broken_text_is_named_and_keeps_nobody_waiting(
    tmp_path: Path, embedder: StaticEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualstore.conversations.following.Follower.wake", lambda _: None)
    file = tmp_path / "documents.db"
    async with SqliteDatabase(file) as documents, House(documents, embedder) as house:
        log = house.store().conversations
        for name in "bcd":
            await log.create(name)
        await log.append("c", [user("q1"), answer("a1"), user("q2")])
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(
                "UPDATE journal_items SET text = CAST(x'7B22FF22' AS TEXT) WHERE seq = 2"
            )
        await log.append("b", [user("zebra")])
        await log.append("d", [user("zebra")])
        late = house.store().conversations
        await late.catch_up()
        result = await late.search("zebra", "text")
        assert {each.conversation_id for each in result.hits} == {"b", "d"}
        found = await late.get("c")
        assert (found.origin, texts(found.display)) == ("degraded", ["q1", "q2"])
        assert any("entry 2 can't be read back" in each for each in found.degraded)
        entries = await late.read("c")
        assert seqs(entries) == [1, 2, 3]
        assert any("entry 2 can't be read back" in each for each in entries.degraded)
        assert ("unreadable", 2) in await named(late)
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE journals SET note = CAST(x'FF' AS TEXT)")
        assert texts((await late.get("b")).display) == ["zebra"]
        assert seqs(await late.append("b", [answer("stripes")])) == [2]


@pytest.mark.parametrize("found_before", [False, True])
async def test_a_log_that_cannot_be_read_keeps_no_other_from_being_found(
    house: House, monkeypatch: pytest.MonkeyPatch, found_before: bool
) -> None:
    monkeypatch.setattr("dualstore.conversations.following.Follower.wake", lambda _: None)
    log = house.store().conversations
    journal = house.backends.documents.journal
    read = journal.read
    for name in "bcd":
        await log.create(name)
        await log.append(name, [user("zebra")])
    broken = await log_name(house.backends.documents)

    async def failing(name: str, **asked: Any) -> list[JournalItem]:
        if name == broken:
            raise StorageError("can't be read; check the disk")
        return await read(name, **asked)

    if found_before:
        await log.catch_up()
        await log.append("c", [user("more")])
    monkeypatch.setattr(journal, "read", failing)
    with pytest.raises(StorageError, match="check the disk"):
        await log.catch_up()
    result = await log.search("zebra", "text")
    assert {each.conversation_id for each in result.hits} == {"b", "d"}
    assert any("check the disk" in each for each in result.degraded)
    monkeypatch.setattr(journal, "read", read)
    await log.catch_up()


Named = list[tuple[str, int | None]]


async def named(log: Conversations) -> Named:
    """What `verify` finds."""
    report = await log.verify("c")
    assert report.clean == (not report.problems)
    assert all(str(each) for each in report.problems)
    return [(each.kind, each.seq) for each in report.problems]


def changed_payload(text: str) -> str:
    data = from_json(text)["data"]
    data["message"]["content"] = "never said"
    return with_fields(data=data)(text)


@pytest.mark.parametrize(
    ("change", "expected", "degraded"),
    [
        (without(7), ("missing", 7), "entries 7 to 7 are missing"),
        (without(6, 7, 8), ("missing", 6), "entries 6 to 8 are missing"),
        (without(10), ("missing", 10), "entries 10 to 10 are missing"),
        (with_text(6, lambda _: "{"), ("unreadable", 6), "entry 6 can't be read back"),
        (with_text(6, with_fields(data={})), ("unreadable", 6), "entry 6 isn't what it says"),
        (with_text(6, with_fields(at="then")), ("unreadable", 6), "entry 6 can't be read back"),
        (with_text(8, changed_payload), ("edited", 8), ""),
        (with_text(8, with_fields(at=1)), ("edited", 8), ""),
        (with_text(2, changed_payload), ("edited", 2), ""),
    ],
)
async def test_a_damaged_entry_is_found_named_and_reads_say_degraded(
    house: House,
    log: Conversations,
    damaged: Damaged,
    change: Change,
    expected: tuple[str, int],
    degraded: str,
) -> None:
    damaged.change = change
    if degraded:
        found = await log.get("c")
        assert found.origin == "degraded"
        assert any(degraded in each for each in found.degraded)
        assert any(degraded in each for each in (await log.read("c")).degraded) or "10" in degraded
    assert expected in await named(log)
    assert house.counted("ParityChecked", "mismatches") >= 1
    after = await log.get("c")  # what was found is remembered
    assert after.origin == "degraded"
    assert "verify found" in after.degraded[0]
    damaged.heal()
    assert (await log.get("c")).origin == "degraded"
    assert await named(log) == []
    assert (await log.get("c")).origin == "log"


async def test_a_foreign_entry_is_found_and_named(
    house: House, log: Conversations, damaged: Damaged
) -> None:
    await log.create("other", tenant="acme")
    await log.append("other", [user(f"{n}") for n in range(12)], tenant="acme")
    journal = house.backends.documents.journal
    theirs = await journal.read(await log_name(house.backends.documents, "other", tenant="acme"))

    def mixed(items: list[JournalItem]) -> list[JournalItem]:
        return [theirs[6] if item.seq == 7 else item for item in items]

    damaged.change = mixed
    assert ("foreign", 7) in await named(log)
    damaged.change = lambda items: [*items, *theirs[10:]]
    assert await named(log) == [("foreign", 11)]


@pytest.mark.parametrize(
    "lie",
    [
        {"shown": 99},
        {"context_from": 9},
        {"pending": ()},
        {"floor": 8},
        {"hash": "0" * 32},
        {"complete": "imported"},
        {"last_activity": 1},
    ],
    ids=str,
)
async def test_a_corrupted_summary_is_found_and_reads_fall_back(
    house: House, log: Conversations, damaged: Damaged, lie: dict[str, Any]
) -> None:
    truth = await log.get("c")

    def lying(tip: Tip) -> Tip:
        return tip._replace(note=replace(Standing.from_note(tip.note), **lie).to_note())

    damaged.tip = lying
    report = await log.verify("c")
    assert [(each.kind, each.reason) for each in report.problems] == [
        ("summary", f"{next(iter(lie))} isn't what the entries say")
    ]
    for store in (log, house.store().conversations):
        found = await store.get("c")
        assert (found.origin, found.through_seq) == ("degraded", 10)
        assert (found.display, found.context, found.pending) == (
            truth.display,
            truth.context,
            truth.pending,
        )


async def test_a_summary_that_cannot_be_read_is_found_and_not_needed(
    house: House, log: Conversations, damaged: Damaged
) -> None:
    truth = await log.get("c")
    for note in ("", "{}", '{"form":2}', "[]"):
        damaged.tip = lambda tip, note=note: tip._replace(note=note)  # type: ignore[misc]
        found = await log.get("c")
        assert (found.origin, found.context) == ("degraded", truth.context)
        assert ("summary", None) in await named(log)
    (stored,) = await house.store().conversations.append("c", [user("q4")])
    assert stored.seq == 11
    damaged.heal()
    assert await named(log) == []


async def test_who_appends_to_what_is_distrusted_sums_up_anew(
    house: House, log: Conversations, damaged: Damaged
) -> None:
    def lying(tip: Tip) -> Tip:
        return tip._replace(note=replace(Standing.from_note(tip.note), shown=99).to_note())

    damaged.tip = lying
    assert await named(log) == [("summary", None)]
    await house.store().conversations.append("c", [user("q4")])
    damaged.heal()
    assert await named(log) == []
    assert (await log.get("c")).display.total == 7


async def test_what_is_damaged_in_the_middle_can_still_be_appended_to(
    house: House, log: Conversations, damaged: Damaged
) -> None:
    damaged.change = without(7)
    assert await named(log) == [("missing", 7)]
    for store in (log, house.store().conversations):
        await store.append("c", [user("more")])
        await store.append("c", [user("and more")])
    found = await log.get("c")
    assert (found.origin, texts(found.display)[-1]) == ("degraded", "and more")
    damaged.heal()
    assert await named(log) == []
    assert (await log.get("c")).display.total == 10


async def test_a_corrupted_card_is_found(house: House, log: Conversations) -> None:
    await log.create("c")
    await log.append("c", [user("q")])
    records = house.backends.documents.records
    (record,) = await records.range("conversations")
    await records.replace(record, {**record.value, "shown": 7})
    assert await named(log) == [("summary", None)]
    (record,) = await records.range("conversations")
    await records.replace(record, {**record.value, "shown": 1, "through_seq": 5})
    assert (await log.get("c")).degraded == ("entries 2 to 5 are missing",)
    assert ("missing", 2) in await named(log)


async def test_an_entry_at_the_end_that_is_gone_stops_whoever_appends(
    house: House, log: Conversations
) -> None:
    """Going on would hide that it is gone."""
    await log.create("c")
    await log.append("c", [user("q")])
    await house.backends.documents.journal.remove(await log_name(house.backends.documents))
    found = await log.get("c")
    assert (found.origin, found.degraded) == ("degraded", ("entries 1 to 1 are missing",))
    with pytest.raises(Exception, match="ends before entry 1"):
        await house.store().conversations.append("c", [user("more")])
    assert await named(log) == [("missing", 1)]


async def test_a_log_without_a_mark_is_not_believed_to_have_everything(
    house: House, log: Conversations
) -> None:
    """Whatever is in it: completeness is what a mark says."""
    await log.create("new")
    await log.append("new", [user("q"), answer("a")])
    await log.create("c", messages=messages("q1", "a1"))
    documents = house.backends.documents
    name = await log_name(documents)
    items = await documents.journal.read(await log_name(documents, "new"))
    tip = await documents.journal.tip(await log_name(documents, "new"))
    assert tip is not None
    bare = replace(Standing.from_note(tip.note), complete="").to_note()
    assert await documents.journal.extend(name, items, note=bare)
    for store in (log, house.store(read_log=False).conversations):
        found = await store.get("c")
        assert (found.origin, texts(found.display)) == ("degraded", ["q1", "a1"])
        assert found.degraded == ("the log isn't known to have everything",)
    assert ("snapshot", None) in await named(log)


async def test_what_was_imported_is_compared_with_its_snapshot(
    house: House, log: Conversations
) -> None:
    await log.create("c", messages=messages("q1", "a1"))
    await log.append("c", [user("q2")])
    assert await named(log) == []
    records = house.backends.documents.records
    (part,) = await records.range("conversations.parts")
    await records.replace(part, part.value.replace("q1", "q0"))
    assert await named(log) == [("snapshot", 1)]
    (part,) = await records.range("conversations.parts")
    await records.delete(part)
    assert await named(log) == [("snapshot", None)]


async def test_the_switch_is_lossless_both_ways(house: House, log: Conversations) -> None:
    await log.create("c", messages=messages("q1", "a1"))
    off = house.store(read_log=False).conversations
    await log.append("c", [user("q2"), answer("a2")])
    await off.append("c", [user("q3"), summary("s", 2), result("look")])
    await off.rename("c", "named")
    await log.append("c", [answer("a3")])
    assert await log.get("c") == await off.get("c")
    found = await house.store().conversations.get("c")
    assert texts(found.display) == ["q1", "a1", "q2", "a2", "q3", "a3"]
    assert (texts(found.context), tasks(found.pending)) == (["s", "a2", "q3", "a3"], ["look"])
    assert await named(log) == []


async def test_the_switch_believes_no_summary(house: House, damaged: Damaged) -> None:
    off = house.store(read_log=False).conversations
    truth = await off.get("c")
    damaged.tip = lambda tip: tip._replace(note="nonsense")
    assert await off.get("c") == truth
    assert truth.origin == "log"


async def test_reading_writes_nothing(house: House, log: Conversations) -> None:
    await log.create("c", messages=messages("q1"))
    await log.append("c", [user("q2"), result("look")])
    await log.catch_up()
    records, journal = house.backends.documents.records, house.backends.documents.journal

    async def everything() -> list[Any]:
        spaces = ("conversations", "conversations.payloads", "conversations.parts")
        kept = [await records.range(space) for space in spaces]
        name = await log_name(house.backends.documents)
        return [*kept, await journal.read(name), await journal.tip(name)]

    before = await everything()
    found = await log.get("c")
    found.display.append({"role": "user", "content": "made up"})
    found.context.clear()
    found.pending[0]["task"] = "another"
    await log.read("c")
    await log.list()
    await log.verify("c")
    assert await everything() == before
    again = await log.get("c")
    assert (texts(again.display), tasks(again.pending)) == (["q1", "q2"], ["look"])


LOST: list[tuple[tuple[int, ...], dict[str, Any], str]] = [
    ((10,), {}, "entries 10 to 10"),
    ((9, 10), {"newest": True}, "entries 9 to 10"),
    ((9, 10), {"newest": True, "limit": 3}, "entries 9 to 10"),
    ((10,), {"limit": 10}, "entries 10 to 10"),
    ((10,), {"after_seq": 9}, "entries 10 to 10"),
    ((5,), {"before_seq": 6}, "entries 5 to 5"),
    ((1,), {"newest": True, "limit": 10}, "entries 1 to 1"),
    ((10,), {"limit": 9}, ""),
    ((10,), {"before_seq": 10}, ""),
    ((1,), {"newest": True, "limit": 9}, ""),
]


@pytest.mark.parametrize(("lost", "asked", "told"), LOST)
async def test_read_says_what_is_missing_at_either_end(
    log: Conversations, damaged: Damaged, lost: tuple[int, ...], asked: dict[str, Any], told: str
) -> None:
    damaged.change = without(*lost)
    assert (await log.read("c", **asked)).degraded == ((f"{told} are missing",) if told else ())


async def test_read_says_that_a_log_lost_its_end(log: Conversations, damaged: Damaged) -> None:
    damaged.change = without(9, 10)
    damaged.tip = lambda tip: tip._replace(seq=8)
    assert (await log.read("c")).degraded == ("entries 9 to 10 are missing",)


async def test_read_gives_what_is_asked_for(log: Conversations) -> None:
    await log.create("c")
    await log.append("c", [user("1"), tool("2"), answer("3"), user("4"), tool("5")])
    assert seqs(await log.read("c")) == [1, 2, 3, 4, 5]
    assert seqs(await log.read("c", newest=True, limit=2)) == [5, 4]
    assert seqs(await log.read("c", after_seq=1, before_seq=4)) == [2, 3]
    assert seqs(await log.read("c", types=["user_message"], limit=1)) == [1]
    assert seqs(await log.read("c", ["harness_message"], newest=True)) == [5, 2]
    assert (await log.read("c", after_seq=2, newest=True)).degraded == ()
