"""Appending: atomic, idempotent, contiguous, and nobody in anybody's way."""

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest

from dualstore.conversations import UserMessage
from dualstore.conversations.conversations import Conversations
from dualstore.embedders.static import StaticEmbedder
from dualstore.errors import ConflictError, NotFoundError, UnavailableError
from dualstore.testing import FakeClock, Fault, Faults
from tests.conversations.damage import log_name
from tests.conversations.houses import House
from tests.conversations.telling import (
    amendment,
    answer,
    messages,
    seqs,
    summary,
    texts,
    tool,
    user,
)
from tests.documents.places import DRIVERS

PATIENCE = 60.0


@pytest.mark.parametrize("writers", [2, 8, 50])
async def test_writers_append_1_entry_each_all_succeed_seqs_exactly_1_to_n(
    house: House, log: Conversations, writers: int
) -> None:
    await log.create("c")
    stores = [house.store().conversations for _ in range(4)]
    async with asyncio.timeout(PATIENCE):
        stored = await asyncio.gather(
            *(stores[n % 4].append("c", [user(f"m{n}")]) for n in range(writers))
        )
    assert sorted(each.seq for (each,) in stored) == list(range(1, writers + 1))
    assert seqs(await log.read("c")) == list(range(1, writers + 1))
    found = await log.get("c")
    assert sorted(texts(found.display)) == sorted(f"m{n}" for n in range(writers))
    assert (await log.verify("c")).clean


async def test_5_writers_of_4_entries_batches_contiguous(house: House, log: Conversations) -> None:
    await log.create("c")
    stores = [house.store().conversations for _ in range(3)]

    async def write(writer: int) -> None:
        for batch in range(3):
            entries = [user(f"{writer}.{batch}.{n}") for n in range(4)]
            stored = await stores[writer % 3].append("c", entries)
            first = stored[0].seq
            assert seqs(stored) == list(range(first, first + 4))

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*map(write, range(5)))
    said = texts((await log.get("c", tail=None)).display)
    batches = [said[at : at + 4] for at in range(0, 60, 4)]
    assert {"".join(sorted(text[-1] for text in batch)) for batch in batches} == {"0123"}
    assert len({tuple(text[:-2] for text in batch) for batch in batches}) == 15
    assert (await log.verify("c")).clean


async def test_appending_again_after_a_lost_acknowledgement_same_seq_one_row(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    await log.append("c", [user("before")])
    for seq, call in enumerate(("journal.extend", "records.replace"), 2):
        entry = user("once", id=call)
        faults = Faults()
        store = house.store(faults).conversations
        faults.outage(call, fault=Fault.AFTER)
        with pytest.raises(UnavailableError):
            await store.append("c", [entry])
        faults.heal()
        (again,) = await store.append("c", [entry])
        assert again.seq == seq
        assert await log.append("c", [entry]) == [again]
    assert seqs(await log.read("c")) == [1, 2, 3]
    assert (await log.verify("c")).clean


async def test_ids_that_are_there_return_their_seq_and_the_rest_is_appended(
    log: Conversations,
) -> None:
    await log.create("c")
    first = await log.append("c", [user("a", id="a"), user("b", id="b")])
    mixed = await log.append(
        "c", [user("c", id="c"), user("a", id="a"), user("d"), user("b", id="b")]
    )
    assert seqs(mixed) == [3, 1, 4, 2]
    assert [mixed[1], mixed[3]] == first
    assert texts((await log.get("c")).display) == ["a", "b", "c", "d"]


async def test_the_same_id_twice_in_a_batch_is_one_entry(log: Conversations) -> None:
    await log.create("c")
    assert seqs(await log.append("c", [user("a", id="a"), user("b"), user("a", id="a")])) == [
        1,
        2,
        1,
    ]
    with pytest.raises(ConflictError):
        await log.append("c", [user("x", id="x"), user("y", id="x")])
    assert seqs(await log.read("c")) == [1, 2]


async def test_the_same_id_with_another_payload_refuses_the_whole_batch(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    await log.append("c", [user("a", id="a")])
    for store in (log, house.store().conversations):
        for other in (user("b", id="a"), answer("a", id="a"), user("a", id="a", hidden=True)):
            with pytest.raises(ConflictError, match=r"'a'.*number 1") as caught:
                await store.append("c", [user("new"), other, user("newer")])
            assert caught.value.ids == ("a",)
    assert texts((await log.get("c")).display) == ["a"]


async def test_again_in_another_turn_is_the_same_entry(house: House, log: Conversations) -> None:
    await log.create("c")
    async with log.turn("c") as turn:
        (first,) = await turn.append([user("once", id="a")])
    for store in (log, house.store().conversations):
        async with store.turn("c") as another:
            assert await another.append([user("once", id="a")]) == [first]
        assert await store.append("c", [user("once", id="a")]) == [first]
        with pytest.raises(ConflictError):
            await store.append("c", [user("twice", id="a", turn_id="t")])
    assert first.turn_id == turn.id
    assert (await log.verify("c")).clean


async def test_a_failing_append_while_another_write_is_under_way_the_other_survives(
    log: Conversations,
) -> None:
    """They go in one step, and only those that are wrong are refused."""
    await log.create("c")
    await log.append("c", [user("a", id="a")])
    outcomes = await asyncio.gather(
        log.append("c", [user("b"), user("other", id="a")]),
        log.append("c", [user("c")]),
        log.append("c", [amendment("nobody", "x")]),
        log.append("c", [user("d")]),
        return_exceptions=True,
    )
    assert [isinstance(each, Exception) for each in outcomes] == [True, False, True, False]
    assert sorted(texts((await log.get("c")).display)) == ["a", "c", "d"]
    assert seqs(await log.read("c")) == [1, 2, 3]
    assert (await log.verify("c")).clean


async def test_what_is_cancelled_is_appended_whole_or_not_at_all_and_harms_nobody(
    log: Conversations,
) -> None:
    await log.create("c")
    impatient = asyncio.create_task(log.append("c", [user("a"), user("b")]))
    others = [asyncio.create_task(log.append("c", [user(f"m{n}")])) for n in range(5)]
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(*others)
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await log.append("c", [user("after")])
    said = texts((await log.get("c")).display)
    assert len(said) in {6, 8}
    assert [each for each in said if each in {"a", "b"}] in ([], ["a", "b"])
    assert (await log.verify("c")).clean


@pytest.mark.parametrize("driver", list(DRIVERS))
async def test_50_appends_to_50_conversations_over_a_pool_of_10_connections_finish(
    wire_server: Any, embedder: StaticEmbedder, driver: str
) -> None:
    from dualstore.documents.mongo import MongoDatabase
    from tests.documents.conftest import own_database

    with own_database(wire_server) as name:
        client = DRIVERS[driver](f"{wire_server.url}/?maxPoolSize=10")
        documents = MongoDatabase(client[name], close_client=True)
        async with documents, House(documents, embedder) as house:
            log = house.store().conversations
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(log.create(f"c{n}") for n in range(50)))
                await asyncio.gather(*(log.append(f"c{n}", [user("q")]) for n in range(50)))
                found = await asyncio.gather(*(log.get(f"c{n}") for n in range(50)))
            assert all(texts(each.display) == ["q"] for each in found)


async def test_entries_are_immutable_deep_copies_in_and_out(log: Conversations) -> None:
    await log.create("c")
    given = answer([{"type": "text", "text": "said"}], {"deep": [1]})
    model = UserMessage(message={"role": "user", "content": "q", "more": {"k": [1]}})
    stored = await log.append("c", [given, model])
    given["message"]["content"][0]["text"] = "changed"
    model.message["more"]["k"].append(2)
    assert stored[0].payload()["message"]["content"] == [{"type": "text", "text": "said"}]
    assert stored[1].payload()["message"]["more"] == {"k": [1]}
    stored[0].message["metadata"]["deep"].append(2)  # type: ignore[attr-defined]
    (await log.read("c"))[0].message.clear()  # type: ignore[attr-defined]
    found = await log.get("c")
    found.display[0]["content"].clear()
    assert found.context[0]["content"] == [{"type": "text", "text": "said"}]
    found.context[1]["more"].clear()
    assert found.display[1]["more"] == {"k": [1]}
    again = await log.get("c")
    assert again.display[0]["content"] == [{"type": "text", "text": "said"}]
    assert again.display[0]["metadata"] == {"deep": [1]}
    assert again.context[1]["more"] == {"k": [1]}
    with pytest.raises(ValueError, match="frozen"):
        stored[0].seq = 7
    assert (await log.verify("c")).clean


async def test_a_stored_entry_or_a_model_may_be_given_again(log: Conversations) -> None:
    await log.create("c")
    model = UserMessage(message={"role": "user", "content": "q"})
    (first,) = await log.append("c", [model])
    assert await log.append("c", [model]) == [first]
    assert await log.append("c", [first]) == [first]
    assert await log.append("c", [first.model_dump()]) == [first]
    assert seqs(await log.read("c")) == [1]


async def test_unknown_types_are_kept_and_flagged(log: Conversations) -> None:
    await log.create("c")
    odd = {"type": "mood", "colour": "blue", "deep": [{"a": None}]}
    await log.append("c", [user("q"), odd])
    (kept,) = await log.read("c", types=["mood"])
    assert kept.payload() == {"colour": "blue", "deep": [{"a": None}]}
    found = await log.get("c")
    assert (found.unknown_types, found.degraded, texts(found.display)) == (("mood",), (), ["q"])
    assert (await log.verify("c")).clean


async def test_a_clock_that_goes_back_moves_nothing(log: Conversations, clock: FakeClock) -> None:
    await log.create("c")
    await log.append("c", [user("a")])
    latest = clock.now
    clock.advance(-3_600_000)
    (stored,) = await log.append("c", [user("b")])
    found = await log.get("c")
    assert texts(found.display) == ["a", "b"]
    assert (stored.seq, stored.created_at, found.last_activity) == (2, clock.now, latest)
    assert (await log.verify("c")).clean


async def test_a_delete_during_a_turn(house: House, log: Conversations) -> None:
    await log.create("c")
    name = await log_name(house.backends.documents)

    async def talk() -> None:
        async with log.turn("c") as turn:
            await turn.append([user("q")])
            assert await house.store().conversations.delete("c")
            await turn.append([answer("too late")])

    with pytest.raises(NotFoundError, match="'c' was deleted"):
        await talk()
    assert await house.backends.documents.journal.tip(name) is None
    with pytest.raises(NotFoundError):
        await log.get("c")
    await log.create("c")
    assert (await log.get("c")).through_seq == 0
    assert await log.read("c") == []


async def test_who_still_knows_a_deleted_conversation_writes_to_the_new_one(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    await log.append("c", [user("old")])
    other = house.store().conversations
    await other.delete("c")
    await other.create("c")
    (stored,) = await log.append("c", [user("new")])
    assert stored.seq == 1
    found = await other.get("c")
    assert (texts(found.display), found.degraded) == (["new"], ())
    assert (await other.verify("c")).clean


@pytest.mark.parametrize(
    ("how", "raised"),
    [("ok", None), ("error", ValueError("broke")), ("aborted", asyncio.CancelledError("gone"))],
)
async def test_a_turn_says_how_it_ended(
    log: Conversations, how: str, raised: BaseException | None
) -> None:
    await log.create("c")

    async def talk() -> None:
        async with log.turn("c") as turn:
            await turn.append([user("q"), UserMessage(message={"role": "user", "content": "r"})])
            if raised is not None:
                raise raised

    with nullcontext() if raised is None else pytest.raises(type(raised), match=str(raised)):
        await talk()
    entries = await log.read("c")
    assert [each.type for each in entries] == [
        "turn_started",
        "user_message",
        "user_message",
        "turn_finished",
    ]
    assert len({each.turn_id for each in entries}) == 1
    assert entries[0].turn_id
    assert entries[-1].payload() == {"status": how}
    assert (await log.get("c")).unfinished == ()


async def test_many_logs_can_be_written_by_one_store(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualstore.conversations.writer.REMEMBERED", 2)
    log = house.store().conversations
    for name in "abcd":
        await log.create(name)
    for _ in range(2):
        for name in "abcd":
            await log.append(name, [user("x")])
    assert [each.through_seq for each in await log.list()] == [2] * 4


async def test_a_batch_of_everything_is_in_the_order_given(log: Conversations) -> None:
    await log.create("c")
    batch = [
        user("q", id="q"),
        tool("t"),
        answer("a", id="a"),
        amendment("a", "b"),
        summary("s", kept_ids=["a"]),
    ]
    assert seqs(await log.append("c", batch)) == [1, 2, 3, 4, 5]
    found = await log.get("c")
    assert (texts(found.context), texts(found.display)) == (["s", "ab"], ["q", "ab"])


async def test_nobody_is_refused_for_what_others_have_written_meanwhile(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    await log.append("c", [user("q")])
    await house.store().conversations.append("c", [answer("a"), user("q2")])
    await log.append("c", [summary("s", 3)])
    assert texts((await log.get("c")).context) == ["s"]


async def test_whatever_call_fails_and_however_the_same_append_again_is_done_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualstore.conversations.fitting.LARGE", 200)
    monkeypatch.setattr("dualstore.conversations.following.Follower.wake", lambda _: None)
    batch = [user("a", id="a"), tool("x" * 300, id="b"), summary("s", 1, id="c")]
    plain, faults = house.store().conversations, Faults(hang=0.001)
    await plain.create("all", messages=messages("before"))
    await house.store(faults).conversations.append("all", batch)
    for number in range(1, len(faults.calls) + 1):
        for fault in Fault:
            name, again = f"{number} {fault}", Faults(hang=0.001)
            await plain.create(name, messages=messages("before"))
            again.plan(number, fault=fault)
            failing = house.store(again).conversations
            await asyncio.gather(failing.append(name, batch), return_exceptions=True)
            assert again.struck
            again.heal()
            for store in (failing, plain):
                assert seqs(await store.append(name, batch)) == [2, 3, 4]
            assert texts((await plain.get(name)).context) == ["s", "a", "x" * 300]
            assert (await plain.verify(name)).clean
