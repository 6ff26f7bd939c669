"""The folds, with exact outcomes."""

import copy
import random
from typing import Any

import pytest

from dualstore.conversations import (
    UserMessage,
    build_display_snapshot,
    build_llm_context,
    pending_subagent_results,
    unfinished_turns,
)
from dualstore.conversations.folds import unknown_types
from dualstore.errors import EntryError
from tests.conversations.telling import (
    Given,
    amendment,
    answer,
    callback,
    numbered,
    reset,
    result,
    summary,
    tasks,
    texts,
    tool,
    user,
)


def context(*entries: Given) -> list[Any]:
    return texts(build_llm_context(numbered(entries)))


def display(*entries: Given) -> list[Any]:
    return texts(build_display_snapshot(numbered(entries)))


def pending(*entries: Given) -> list[str]:
    return tasks(pending_subagent_results(numbered(entries)))


SAID = (user("q1"), answer("a1"), user("q2"), answer("a2"))


def test_nothing_folds_into_nothing() -> None:
    assert (build_llm_context([]), build_display_snapshot([]), pending_subagent_results([])) == (
        [],
        [],
        [],
    )


def test_messages_are_copies_with_stable_ids() -> None:
    entries = numbered(
        [user("q"), {**answer("a"), "message": {"id": "own", **answer("a")["message"]}}]
    )
    before = copy.deepcopy(entries)
    shown = build_display_snapshot(entries)
    assert shown == [
        {"id": "e1", "role": "user", "content": "q"},
        {"id": "own", "role": "assistant", "content": "a"},
    ]
    shown[0]["content"] = "changed"
    assert entries == before
    assert build_llm_context(entries)[0]["content"] == "q"


def test_the_order_is_that_of_the_numbers_not_of_the_list() -> None:
    entries = numbered([*SAID, summary("s", 2), user("q3")])
    random.Random(7).shuffle(entries)
    assert texts(build_llm_context(entries)) == ["s", "q2", "a2", "q3"]
    assert texts(build_display_snapshot(entries)) == ["q1", "a1", "q2", "a2", "q3"]


def test_views_share_nothing_with_each_other_nor_with_the_entries() -> None:
    parts = [{"type": "text", "text": "said"}]
    entries = numbered([answer(parts, {"deep": [1]}, id="a"), result("t", id="r")])
    entries[1]["result"]["result"] = {"deep": [1]}
    before = copy.deepcopy(entries)
    shown, seen = build_display_snapshot(entries), build_llm_context(entries)
    waiting = pending_subagent_results(entries)
    shown[0]["content"][0]["text"] = "changed"
    shown[0]["metadata"]["deep"].append(2)
    waiting[0]["result"]["deep"].append(2)
    assert entries == before
    assert seen[0]["content"] == [{"type": "text", "text": "said"}]
    assert seen[0]["metadata"] == {"deep": [1]}


# Hidden messages, and what only a model sees


def test_hidden_is_not_rendered_and_nothing_else() -> None:
    entries = (user("q"), user("psst", hidden=True), answer("a"))
    assert display(*entries) == ["q", "a"]
    assert context(*entries) == ["q", "psst", "a"]


def test_what_the_harness_says_is_only_seen_by_the_model() -> None:
    entries = (user("q"), tool("call"), tool("result"), answer("a"))
    assert display(*entries) == ["q", "a"]
    assert context(*entries) == ["q", "call", "result", "a"]


# Compactions


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((*SAID, summary("s", 4)), ["s"]),
        ((*SAID, summary("s", 0)), ["s", "q1", "a1", "q2", "a2"]),
        ((*SAID, summary("s", 2)), ["s", "q2", "a2"]),
        ((*SAID, summary("s", 4), user("q3")), ["s", "q3"]),
        # overlapping: the newest one alone says what is covered
        ((*SAID, summary("s1", 2), summary("s2", 3)), ["s2", "a2"]),
        # out of order: one that was begun earlier and covers less; nothing gets lost
        ((*SAID, summary("s1", 4), summary("s2", 2)), ["s2", "q2", "a2"]),
        ((*SAID, summary("s1", 4), user("q3"), summary("s2", 2)), ["s2", "q2", "a2", "q3"]),
        # repeated
        ((*SAID, summary("s", 2), summary("s", 2)), ["s", "q2", "a2"]),
        # a summary of summaries
        ((*SAID, summary("s1", 2), user("q3"), summary("s2", 6)), ["s2"]),
        # one that claims to cover itself and the future
        ((*SAID, summary("s", 99), user("q3")), ["s", "q3"]),
        # by ids
        ((*SAID, summary("s", kept_ids=["e2", "e4"])), ["s", "a1", "a2"]),
        ((*SAID, summary("s", kept_ids=[]), user("q3")), ["s", "q3"]),
        ((*SAID, summary("s", kept_ids=["nobody"])), ["s"]),
        ((*SAID, summary("s1", 4), summary("s2", kept_ids=["e1"])), ["s2", "q1"]),
        # an older summary among them
        ((*SAID, summary("s1", 4), summary("s2", kept_ids=["e5"])), ["s2", "s1"]),
        (
            (*SAID, summary("s1", 2), user("q3"), summary("s2", kept_ids=["e6", "e5"])),
            ["s2", "s1", "q3"],
        ),
    ],
)
def test_the_newest_compaction_replaces_what_it_covers(
    entries: tuple[Given, ...], expected: list[str]
) -> None:
    assert context(*entries) == expected
    assert display(*entries)[:4] == ["q1", "a1", "q2", "a2"]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((*SAID, reset("r1", "r2")), ["r1", "r2"]),
        ((*SAID, reset(), user("q3")), ["q3"]),
        ((*SAID, reset("r1"), reset("r2"), user("q3")), ["r2", "q3"]),
        # a compaction before a reset doesn't count any more
        ((*SAID, summary("s", 2), reset("r"), user("q3")), ["r", "q3"]),
        # one after it covers what the reset has, or keeps it
        ((*SAID, reset("r"), user("q3"), summary("s", 5)), ["s", "q3"]),
        ((*SAID, reset("r"), user("q3"), summary("s", 2)), ["s", "r", "q3"]),
        ((*SAID, reset("r"), user("q3"), summary("s", kept_ids=["e1", "e6"])), ["s", "q3"]),
        ((*SAID, summary("s1", 2), reset("r"), summary("s", kept_ids=["e5", "e6"])), ["s", "r"]),
    ],
)
def test_after_a_reset_nothing_from_before_it_comes_back(
    entries: tuple[Given, ...], expected: list[str]
) -> None:
    assert context(*entries) == expected
    assert display(*entries)[:4] == ["q1", "a1", "q2", "a2"]


# Amendments


def test_amendments_of_amendments_belong_to_the_first_answer() -> None:
    entries = (
        answer("one", id="a"),
        amendment("a", " two", id="b"),
        answer("other", id="x"),
        amendment("b", " three", id="c"),
        amendment("c", metadata={"k": 1}),
    )
    expected = [
        {"id": "a", "role": "assistant", "content": "one two three", "metadata": {"k": 1}},
        {"id": "x", "role": "assistant", "content": "other"},
    ]
    assert build_display_snapshot(numbered(entries)) == expected
    assert build_llm_context(numbered(entries)) == expected


def test_metadata_is_merged_lists_joined_and_of_the_rest_the_new_one_counts() -> None:
    first = {"tools": [1], "deep": {"a": 1, "b": [1]}, "kind": "x"}
    second = {"tools": [2], "deep": {"b": [2], "c": 3}, "kind": "y"}
    entries = numbered([answer("a", first, id="a"), amendment("a", metadata=second)])
    assert build_display_snapshot(entries)[0]["metadata"] == {
        "tools": [1, 2],
        "deep": {"a": 1, "b": [1, 2], "c": 3},
        "kind": "y",
    }


def test_part_list_contents_keep_their_parts() -> None:
    parts = [{"type": "text", "text": "see"}, {"type": "image", "url": "x"}]
    entries = numbered([answer(parts, id="a"), amendment("a", "more"), amendment("a", "!")])
    assert texts(build_display_snapshot(entries)) == [
        [*parts, {"type": "text", "text": "more"}, {"type": "text", "text": "!"}]
    ]
    assert len(parts) == 2


def test_an_amendment_of_an_answer_without_content_is_its_content() -> None:
    assert display(answer(None, id="a"), amendment("a", "now")) == ["now"]


def test_an_amendment_of_what_is_covered_comes_back_in_no_other_place() -> None:
    entries = (answer("old", id="a"), summary("s", 1), amendment("a", " more"))
    assert context(*entries) == ["s"]
    assert display(*entries) == ["old more"]


# Results


def test_a_result_waits_until_it_is_consumed() -> None:
    assert pending(result("one", id="r1"), result("two", id="r2")) == ["one", "two"]
    assert pending(result("one", id="r1"), result("two", id="r2"), callback("r1")) == ["two"]
    assert pending(result("one", id="r1"), callback("r1"), callback("r1")) == []


def test_consumption_of_unknown_or_future_ids_consumes_nothing() -> None:
    assert pending(callback("r1", "nobody"), result("one", id="r1")) == ["one"]
    assert pending(result("one", id="r1"), callback("r1"), result("again", id="r2")) == ["again"]


def test_a_pending_result_has_the_id_to_consume_it_by() -> None:
    (waiting,) = pending_subagent_results(numbered([result("one", "error", id="r1")]))
    assert waiting == {
        "id": "r1",
        "subagent_id": "sub",
        "task": "one",
        "status": "error",
        "result": "done: one",
        "timestamp": 1,
    }


def test_what_was_imported_comes_first_and_its_results_can_be_consumed() -> None:
    imported = {
        "type": "imported",
        "id": "i",
        "display": [{"role": "user", "content": "shown"}],
        "context": [{"role": "user", "content": "seen"}],
        "pending": [{**result("old")["result"], "id": "mine"}, result("other")["result"]],
    }
    assert display(imported, user("q")) == ["shown", "q"]
    assert context(imported, user("q")) == ["seen", "q"]
    assert pending(imported, callback("mine")) == ["other"]
    assert pending(imported, callback("i:1")) == ["old"]


# The rest


def test_unknown_types_are_skipped_and_flagged() -> None:
    odd = {"type": "mood", "colour": "blue"}
    entries = (user("q"), odd, answer("a"), odd)
    assert (display(*entries), context(*entries), pending(*entries)) == (["q", "a"], ["q", "a"], [])
    assert unknown_types(numbered(entries)) == ["mood"]


def test_a_known_type_of_another_version_is_unknown() -> None:
    entries = numbered([user("q"), {"type": "user_message", "version": 2, "said": "q2"}])
    assert texts(build_display_snapshot(entries)) == ["q"]
    assert unknown_types(entries) == ["user_message"]


@pytest.mark.parametrize(("tail", "expected"), [(0, []), (1, ["a2"]), (3, ["a1", "q2", "a2"])])
def test_a_tail_is_the_end_with_the_total(tail: int, expected: list[str]) -> None:
    found = build_display_snapshot(numbered(SAID), tail)
    assert (texts(found), found.total) == (expected, 4)
    assert build_display_snapshot(numbered(SAID), 4).cursor is None


def test_turns_are_open_until_they_are_finished() -> None:
    def started(turn: str) -> Given:
        return {"type": "turn_started", "turn_id": turn}

    def finished(turn: str | None) -> Given:
        return {"type": "turn_finished", "turn_id": turn, "status": "ok"}

    def open_turns(*entries: Given) -> list[str]:
        return [each.turn_id for each in unfinished_turns(numbered(entries))]

    assert open_turns(started("t1"), started("t2")) == ["t1", "t2"]
    assert open_turns(started("t1"), started("t2"), finished("t1")) == ["t2"]
    assert open_turns(started("t1"), finished("other")) == ["t1"]
    assert open_turns(started("t1"), started("t2"), finished(None)) == ["t1"]
    assert open_turns({"type": "turn_started"}) == ["e1"]


def test_a_bounded_fold_says_the_same_as_one_of_everything() -> None:
    """What `Standing` names is enough: any entries, cut anywhere."""
    from dualstore.conversations.folds import in_order
    from dualstore.conversations.standing import advanced, beginning

    rng = random.Random(11)
    for _ in range(300):
        entries: list[Given] = []
        for seq in range(1, rng.randrange(2, 16)):
            names = [f"e{n}" for n in range(1, seq)]
            kinds = [
                user(f"q{seq}"),
                answer(f"a{seq}"),
                tool(f"t{seq}"),
                reset(f"r{seq}"),
                summary(f"s{seq}", rng.randrange(seq)),
                summary(f"k{seq}", kept_ids=rng.sample(names, min(2, len(names)))),
                result(f"w{seq}"),
                callback("nobody", *rng.sample(names, min(2, len(names)))),
            ]
            entries.append(rng.choices(kinds, weights=(4, 4, 2, 1, 2, 1, 4, 2))[0])
        models = in_order(numbered(entries))
        standing = beginning("log", "created")
        for entry in models:
            places = {each.id: each.seq for each in models}
            standing = advanced(standing, entry, "", places=places)
        part = [each for each in models if each.seq >= standing.context_from]
        assert build_llm_context(part) == build_llm_context(models)
        assert standing.shown == build_display_snapshot(models).total
        waiting = pending_subagent_results(models)
        assert [name for name, _ in standing.pending] == [each["id"] for each in waiting]


PLAIN = (user("q1"), answer("a1"), summary("s", 1), user("q2"), reset("r"), user("q3"))


@pytest.mark.parametrize("length", range(1, len(PLAIN) + 1))
def test_entries_without_numbers_count_in_the_order_they_are_given(length: int) -> None:
    plain = PLAIN[:length]
    assert texts(build_llm_context(plain)) == context(*plain)
    assert texts(build_display_snapshot(plain)) == display(*plain)
    assert texts(build_llm_context([*numbered(plain), user("next")])) == [*context(*plain), "next"]


def test_entries_without_ids_are_named_by_their_place() -> None:
    for _ in range(2):
        assert [each["id"] for each in build_display_snapshot(SAID)] == [
            f"entry-{seq}" for seq in range(1, 5)
        ]
    assert [each["id"] for each in pending_subagent_results([user("q"), result("t")])] == [
        "entry-2"
    ]
    models = [UserMessage(message={"role": "user", "content": text}) for text in "abc"]
    assert texts(build_display_snapshot(models)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([user("q"), {"type": "user_message"}], "item 1: message: Field required"),
        ([user("q"), {"message": {}}], "item 1: type"),
        ([user("q", seq="1")], "item 0: seq"),
        ([None], "item 0: entry: must be a mapping"),
    ],
)
def test_what_is_no_entry_is_named_by_the_folds(entries: list[Any], why: str) -> None:
    for fold in (build_llm_context, build_display_snapshot, pending_subagent_results):
        with pytest.raises(EntryError, match=why):
            fold(entries)
