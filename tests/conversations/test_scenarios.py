"""The scenarios of the conversation log, on every place for documents."""

import asyncio
import copy
import pickle
from functools import partial
from typing import Any

import pytest

from dualstore.conversations import UnknownEntry
from dualstore.conversations.conversations import Conversations
from dualstore.conversations.views import Conversation
from dualstore.errors import ConflictError, NotFoundError, UnavailableError
from dualstore.testing import Fault, Faults
from tests.conversations.houses import House
from tests.conversations.telling import (
    amendment,
    answer,
    callback,
    messages,
    reset,
    result,
    seqs,
    summary,
    tasks,
    texts,
    tool,
    user,
)


async def both_views(house: House, conversation_id: str = "c") -> Conversation:
    """As it is read through the summaries, when folding everything gives the very same."""
    given = await house.store().conversations.get(conversation_id)
    folded = await house.store(read_log=False).conversations.get(conversation_id)
    assert given == folded
    assert given.degraded == ()
    report = await house.store().conversations.verify(conversation_id)
    assert report.clean, report.problems
    return given


# Turns


async def test_a_list_has_all_unless_less_is_asked_for(log: Conversations) -> None:
    await log.create("parent")
    for n in range(101):
        await log.create(f"thread-{n}", parent="parent")
        await log.create(f"c-{n}")
    assert (len(await log.list()), len(await log.list_threads("parent"))) == (102, 101)
    assert (len(await log.list(3)), len(await log.list_threads("parent", 3))) == (3, 3)


async def test_an_unknown_entry_gives_its_fields_as_any_other_does(log: Conversations) -> None:
    await log.create("c")
    await log.append("c", [{"type": "mood", "colour": "blue", "depth": 5}])
    (entry,) = await log.read("c")
    assert isinstance(entry, UnknownEntry)
    assert (entry.colour, entry.depth, entry.fields) == ("blue", 5, {"colour": "blue", "depth": 5})
    with pytest.raises(AttributeError, match="taste"):
        _ = entry.taste
    copies = (copy.deepcopy(entry), entry.model_copy(), pickle.loads(pickle.dumps(entry)))
    assert copies == (entry,) * 3


async def test_a_context_that_says_what_is_shown_is_the_same_snapshot(log: Conversations) -> None:
    old = messages("q", "a")
    first = await log.create("c", messages=old)
    for context in (copy.deepcopy(old), [dict(reversed(each.items())) for each in old]):
        assert (await log.import_snapshot("c", old, context)).context == first.context
    with pytest.raises(ConflictError):
        await log.import_snapshot("c", old, old[:1])


async def test_a_result_takes_the_place_of_an_imported_one_of_its_name(
    house: House, log: Conversations
) -> None:
    waiting = [
        {**result(task)["result"], "id": name} for name, task in (("r1", "old"), ("r2", "b"))
    ]
    await log.import_snapshot("c", [], [], [*waiting, waiting[0]])
    await log.append("c", [result("c", id="r3"), result("new", id="r1")])
    assert tasks((await both_views(house)).pending) == ["b", "c", "new"]
    await log.append("c", [callback("r2", "r1")])
    assert tasks((await both_views(house)).pending) == ["c"]


async def test_what_is_left_of_a_deleted_conversation_says_nothing_of_it(
    house: House, log: Conversations
) -> None:
    await log.create("c", "a secret", messages("q"))
    await log.append("c", [user("q")])
    records = house.backends.documents.records
    (card,) = await records.range("conversations")
    await records.replace(card, {**card.value, "distrust": "entry 1: a secret"})
    await log.delete("c")
    (card,) = await records.range("conversations")
    assert set(card.value) == {
        "log", "title", "parent", "created_at", "through_seq", "shown", "last_activity",
        "complete", "deleted_at", "purged",
    }  # fmt: skip
    assert (card.value["title"], card.value["parent"]) == ("", None)
    await log.create("c", "another")
    assert (await log.get("c")).display == []


async def test_a_summary_that_a_later_one_keeps_stays_in_the_context(log: Conversations) -> None:
    await log.create("c")
    await log.append("c", [user("q1"), answer("a1"), summary("s1", 2, id="s1"), user("q2")])
    await log.append("c", [summary("s2", kept_ids=["s1"]), user("q3")])
    assert texts((await log.get("c")).context) == ["s2", "s1", "q3"]
    assert (await log.verify("c")).clean


async def test_user_appended_process_killed_before_any_answer(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    started = log.turn("c")
    turn = await started.__aenter__()
    await turn.append([user("are you there?")])
    running = await log.get("c")
    assert (len(running.unfinished), running.interrupted) == (1, ())

    later = await both_views(house)  # in stores that know nothing of that turn
    assert texts(later.display) == texts(later.context) == ["are you there?"]
    assert [each.turn_id for each in later.interrupted] == [turn.id]
    await started.__aexit__(None, None, None)
    assert (await both_views(house)).interrupted == ()


async def test_rename_during_a_streaming_turn_both_survive(
    house: House, log: Conversations
) -> None:
    await log.create("c", "before")
    other = house.store().conversations
    async with log.turn("c") as turn:
        await turn.append([user("question")])
        await asyncio.gather(
            other.rename("c", "after"),
            *(turn.append([answer(f"part {n}")]) for n in range(5)),
        )
    found = await both_views(house)
    assert found.title == "after"
    assert len(found.display) == 6
    assert found.unfinished == ()


async def test_four_turns_compaction_keeping_the_last_one_a_new_answer(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    for turn in range(4):
        await log.append("c", [user(f"q{turn}"), answer(f"a{turn}")])
    await log.append("c", [summary("so far", 6)])
    await log.append("c", [user("q4"), answer("a4")])
    found = await both_views(house)
    assert texts(found.context) == ["so far", "q3", "a3", "q4", "a4"]
    assert texts(found.display) == [f"{who}{turn}" for turn in range(5) for who in "qa"]


async def test_mid_run_compaction_final_array_shorter(house: House, log: Conversations) -> None:
    await log.create("c")
    await log.append("c", [user("q"), tool("call"), tool("result"), answer("a")])
    await log.append("c", [reset("all of it in short", "and the last")])
    found = await both_views(house)
    assert texts(found.context) == ["all of it in short", "and the last"]
    assert texts(found.display) == ["q", "a"]


async def test_manual_compaction_between_turns_then_a_second_and_a_third(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    for turn in range(3):
        await log.append("c", [user(f"q{turn}"), answer(f"a{turn}")])
        end = (await log.get("c")).through_seq
        await log.append("c", [summary(f"summary {turn}", end - 1)])
        assert texts((await both_views(house)).context) == [f"summary {turn}", f"a{turn}"]


async def test_summariser_fails_or_returns_nothing_nothing_appended_context_unchanged(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    await log.append("c", [user("q"), answer("a")])

    async def compact(text: str | None) -> None:
        if text is None:
            raise TimeoutError("the summariser is away")
        told = [summary(text, 1)] if text else []
        await log.append("c", told)

    for nothing in (None, ""):
        with pytest.raises((TimeoutError, ValueError)):
            await compact(nothing)
    assert texts((await both_views(house)).context) == ["q", "a"]
    assert seqs(await log.read("c")) == [1, 2]


async def test_amendment_after_approval(house: House, log: Conversations) -> None:
    await log.create("c")
    first = answer("earlier", {"tools": [{"name": "list"}]}, id="first")
    second = answer("I want to delete it.", {"tools": [{"name": "ask"}]}, id="second")
    await log.append("c", [user("clean up"), first, user("go on"), second])
    more = {"tools": [{"name": "delete"}], "approved": True}
    await log.append("c", [amendment("second", " It is gone.", metadata=more)])
    found = await both_views(house)
    assert texts(found.display) == [
        "clean up",
        "earlier",
        "go on",
        "I want to delete it. It is gone.",
    ]
    assert texts(found.context) == texts(found.display)
    assert found.display[1]["metadata"] == {"tools": [{"name": "list"}]}
    assert found.display[3]["metadata"] == {
        "tools": [{"name": "ask"}, {"name": "delete"}],
        "approved": True,
    }


# Sub-agents


async def test_subagent_called_result_arrives_callback_turn_answers_user_asks_again(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    await log.append("c", [user("look into it"), tool("call: sub"), answer("I asked one.")])
    await log.append("c", [result("look")])
    (waiting,) = (await both_views(house)).pending
    async with log.turn("c") as turn:
        await turn.append([callback(waiting["id"]), tool("injected: done: look")])
        await turn.append([answer("It is done.")])
    await log.append("c", [user("thanks, and now?")])
    found = await both_views(house)
    assert texts(found.context) == [
        "look into it",
        "call: sub",
        "I asked one.",
        "injected: done: look",
        "It is done.",
        "thanks, and now?",
    ]
    assert texts(found.display) == [
        "look into it",
        "I asked one.",
        "It is done.",
        "thanks, and now?",
    ]
    assert found.pending == []


async def test_restart_between_result_and_callback_delivered_once_after_the_restart(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    await log.append("c", [result("look")])
    restarted = house.store().conversations
    delivered: list[str] = []
    for _ in range(3):
        waiting = (await restarted.get("c")).pending
        delivered += tasks(waiting)
        if waiting:
            await restarted.append("c", [callback(*(each["id"] for each in waiting))])
    assert delivered == ["look"]


async def test_the_mark_callback_started_fails_once(house: House, log: Conversations) -> None:
    await log.create("c")
    await log.append("c", [result("look")])
    faults, runs = Faults(), 0
    failing = house.store(faults).conversations
    await failing.get("c")
    faults.outage("journal.extend", error=UnavailableError)
    for attempt in range(3):
        waiting = (await failing.get("c")).pending
        if not waiting:
            break
        runs += 1
        mark = [callback(waiting[0]["id"], id=f"mark {attempt}")]
        if attempt == 0:
            with pytest.raises(UnavailableError):
                await failing.append("c", mark)
            faults.heal()
        else:
            await failing.append("c", mark)
    assert runs == 2
    assert (await both_views(house)).pending == []


@pytest.mark.parametrize("before", ["unknown", "deleted"])
async def test_result_for_an_unknown_or_deleted_conversation(
    log: Conversations, before: str
) -> None:
    if before == "deleted":
        await log.create("c")
        await log.append("c", [user("q")])
        await log.delete("c")
    with pytest.raises(NotFoundError, match="'c'"):
        await log.append("c", [result("late")])


async def test_more_results_than_a_standing_names_are_all_found(
    house: House, log: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualstore.conversations.standing.NAMED", 3)
    await log.create("c")
    for n in range(6):
        await log.append("c", [user(f"q{n}"), result(f"t{n}", id=f"r{n}")])
    await log.append("c", [summary("s", 12), callback("r0", "r4")])
    assert tasks((await both_views(house)).pending) == ["t1", "t2", "t3", "t5"]


# Conversations that are older than their log


async def test_old_conversation_with_4_messages_no_entries_read_then_one_new_turn(
    house: House, log: Conversations
) -> None:
    await log.create("c", messages=messages("q1", "a1", "q2", "a2"))
    for _ in range(2):
        found = await both_views(house)
        assert found.origin == "snapshot"
        assert texts(found.display) == texts(found.context) == ["q1", "a1", "q2", "a2"]
        assert await log.read("c") == []
    async with log.turn("c") as turn:
        await turn.append([user("q3"), answer("a3")])
    found = await both_views(house)
    assert found.origin == "log"
    assert texts(found.display) == texts(found.context) == ["q1", "a1", "q2", "a2", "q3", "a3"]
    assert [each.type for each in await log.read("c", limit=2)] == ["imported", "turn_started"]


async def test_old_conversation_and_one_subagent_result_only(
    house: House, log: Conversations
) -> None:
    await log.create("c", messages=messages("q1", "a1", "q2", "a2"))
    await log.append("c", [result("look")])
    found = await both_views(house)
    assert (len(found.display), tasks(found.pending)) == (4, ["look"])


async def test_import_twice_is_idempotent(house: House, log: Conversations) -> None:
    old = messages("q1", "a1")
    for _ in range(2):
        found = await log.import_snapshot("c", display=old, context=old, pending=[])
        assert (found.origin, found.through_seq, texts(found.display)) == ("log", 1, ["q1", "a1"])
    assert len(await log.read("c")) == 1
    await both_views(house)


async def test_import_racing_a_turn_nothing_lost(house: House, log: Conversations) -> None:
    await log.create("c", messages=messages("q1", "a1"))
    others = [house.store().conversations for _ in range(4)]
    await asyncio.gather(
        others[0].import_snapshot("c"),
        others[1].append("c", [user("q2"), answer("a2")]),
        others[2].import_snapshot("c"),
        others[3].append("c", [user("q3"), answer("a3")]),
    )
    found = await both_views(house)
    assert texts(found.display)[:2] == ["q1", "a1"]
    assert sorted(texts(found.display)) == ["a1", "a2", "a3", "q1", "q2", "q3"]
    assert [each.type for each in await log.read("c")].count("imported") == 1


# Reading


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.HANG])
@pytest.mark.parametrize("call", ["journal.tip", "journal.read"])
async def test_log_read_throws_or_times_out(
    house: House, log: Conversations, fault: Fault, call: str
) -> None:
    await log.create("c")
    await log.append("c", [user("q"), answer("a")])
    faults = Faults(hang=0.01)
    faults.outage(call, fault=fault)
    found = await house.store(faults).conversations.get("c")
    assert (found.origin, list(found.display)) == ("degraded", [])
    assert "injected" in found.degraded[0]
    assert not [name for name in faults.calls if name.endswith((".create", ".replace", ".extend"))]
    assert house.counted("ConversationRead", "degraded") == 1
    assert texts((await both_views(house)).display) == ["q", "a"]


async def test_100_messages_ask_for_the_last_5(house: House, log: Conversations) -> None:
    """As with 100,001, which the benchmark asks for: the reads are the same."""
    await log.create("c")
    await log.append("c", [user(f"m{n}") for n in range(100)])
    await log.append("c", [summary("so far", 99)])
    faults = Faults()
    found = await house.store(faults).conversations.get("c", tail=5)
    assert texts(found.display) == [f"m{n}" for n in range(95, 100)]
    assert found.display.total == 100
    assert len(faults.calls) <= 5
    earlier = await log.get("c", tail=3, before=found.display.cursor)
    assert texts(earlier.display) == ["m92", "m93", "m94"]


async def test_1000_turns_with_20_kb_tool_results_get_reads_bounded_bytes(
    house: House, log: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty turns of 2 KB, and a tail of ten messages: the reads are the same."""
    await log.create("c")
    for turn in range(60):
        await log.append("c", [user(f"q{turn}"), tool("x" * 2_000), answer(f"a{turn}")])
    await log.append("c", [summary("so far", 150), result("look", id="r")])
    await log.catch_up()  # else the search reads, too
    journal, sizes = house.backends.documents.journal, list[int]()

    async def counted(ask: Any, *given: Any, **more: Any) -> Any:
        answered = await ask(*given, **more)
        items = answered if isinstance(answered, list) else answered.values()
        sizes.append(sum(len(item.text) for item in items))
        return answered

    for name in ("read", "find"):
        monkeypatch.setattr(journal, name, partial(counted, getattr(journal, name)))
    found = await house.store().conversations.get("c", tail=30)
    assert (len(found.display), len(found.context), tasks(found.pending)) == (30, 31, ["look"])
    assert sum(sizes) < 10 * 2_000 + 40 * 400


async def test_every_page_of_the_display_is_there_once(house: House, log: Conversations) -> None:
    await log.create("c", messages=messages(*(f"old {n}" for n in range(7))))
    await log.append("c", [answer(f"m{n}", id=f"m{n}") for n in range(10)])
    await log.append("c", [amendment("m1", "!"), user("hidden", hidden=True), summary("s", 12)])
    everything = texts((await log.get("c", tail=None)).display)
    for switch in (True, False):
        reader = house.store(read_log=switch).conversations
        pages: list[str] = []
        cursor: str | None = None
        while True:
            display = (await reader.get("c", tail=4, before=cursor)).display
            pages = [*texts(display), *pages]
            assert display.total == 17
            cursor = display.cursor
            if cursor is None:
                break
        assert pages == everything
    assert everything[8] == "m1!"


async def test_the_same_conversation_id_under_two_tenants_or_agents_shares_nothing(
    log: Conversations,
) -> None:
    scopes: list[dict[str, Any]] = [
        {},
        {"tenant": "acme"},
        {"agent": "acme"},
        {"tenant": "acme", "agent": "bot"},
        {"tenant": "acme:bot"},
        {"tenant": "-"},
    ]
    for at, scope in enumerate(scopes):
        await log.create("c", f"title {at}", **scope)
        await log.append("c", [user(f"said {at}", id="same")], **scope)
    for at, scope in enumerate(scopes):
        found = await log.get("c", **scope)
        assert (found.title, texts(found.display)) == (f"title {at}", [f"said {at}"])
        assert [each.title for each in await log.list(**scope)] == [f"title {at}"]
        (entry,) = await log.read("c", **scope)
        assert (entry.tenant, entry.agent) == (scope.get("tenant"), scope.get("agent"))
        assert (await log.verify("c", **scope)).clean
    await log.delete("c", tenant="acme")
    for scope in scopes:
        if scope != {"tenant": "acme"}:
            assert len((await log.get("c", **scope)).display) == 1
