"""Candidates by their terms, and neighbours, on every backend."""

from collections.abc import Mapping, Sequence

import pytest

from dualstore.documents.base import Candidate, DocumentStore, Neighbours
from dualstore.documents.weights import COMMON_FLOOR, weigh
from dualstore.entry import Draft
from dualstore.filters import parse
from tests.documents.writing import NOW, draft, ids, index, put, stream, terms


def ranked(drafts: Sequence[Draft], wanted: Mapping[str, float]) -> list[str]:
    """The ranking as the contract says it: highest sum first, then newest, then by id."""
    held = {one.id: set(stream(one.indexed_text).split()) for one in drafts}
    frequencies = {term: sum(term in each for each in held.values()) for term in wanted}
    weights = weigh(wanted, frequencies, len(drafts))
    scores = {name: sum(weights[term] for term in weights if term in held[name]) for name in held}
    hits = [one for one in drafts if set(weights) & held[one.id]]
    return ids(sorted(hits, key=lambda one: (-scores[one.id], -one.timestamp, one.id)))


COLOURS = [
    draft("a", "red green blue", at=1),
    draft("b", "red green", at=2),
    draft("c", "red", at=3),
    draft("d", "blue", at=3),
    draft("e", "red red red red", at=2),
    draft("f", "nothing of this", at=9),
    draft("g", "...", at=9),
    draft("ä", "red", at=3),
    draft("Z", "red", at=3),
]


@pytest.mark.parametrize("text", ["red", "blue red", "red green blue", "green nothing", "blue zzz"])
async def test_the_highest_sum_of_rarity_comes_first(store: DocumentStore, text: str) -> None:
    await put(store, COLOURS)
    found = await store.candidates(terms(text))
    assert ids(found.found) == ranked(COLOURS, terms(text))
    assert not found.cut


async def test_ties_go_by_time_then_by_id(store: DocumentStore) -> None:
    await put(store, COLOURS)
    assert ids((await store.candidates(terms("red"))).found) == ["Z", "c", "ä", "b", "e", "a"]


async def test_factors_weigh(store: DocumentStore) -> None:
    await put(store, COLOURS)
    for factors in (
        {"red": 9.0, "blue": 0.1},
        {"red": 0.1, "blue": 9.0},
        {"green": 0.5, "red": 1.0},
    ):
        assert ids((await store.candidates(factors)).found) == ranked(COLOURS, factors)


async def test_a_candidate_brings_what_the_ranking_needs(store: DocumentStore) -> None:
    given = draft("a", "parseConfig in src/app.ts:42", at=5, session_id="s", author="Ann")
    await put(store, [given, draft("b", "parseConfig")])
    first = next(one for one in (await store.candidates(terms("src"))).found)
    terms_of_it = stream("Ann: parseConfig in src/app.ts:42")
    assert first == Candidate("a", "s", 5, "Ann", terms_of_it, b"", given.text_hash)
    await index(store, vector=bytes(range(256)))
    assert (await store.candidates(terms("src"))).found == (
        first._replace(vector=bytes(range(256))),
    )


async def test_frequencies_and_count_are_of_the_whole_family(store: DocumentStore) -> None:
    await put(store, COLOURS)
    wanted = {"red": 1.0, "blue": 1.0, "absent": 1.0}
    found = await store.candidates(wanted, parse({"id": "d"}), limit=1)
    assert ids(found.found) == ["d"]
    assert dict(found.frequencies) == {"red": 6, "blue": 2, "absent": 0}
    assert found.count == len(COLOURS)


async def test_a_term_counts_once_in_an_entry_however_often_it_is_there(
    store: DocumentStore,
) -> None:
    await put(store, [draft("a", "red red red"), draft("b", "red")])
    assert dict((await store.candidates({"red": 1.0})).frequencies) == {"red": 2}


async def test_a_filter_leaves_out_before_the_cut(store: DocumentStore) -> None:
    await put(store, [draft(f"{at:02}", "red", at=at, n=at % 10) for at in range(40)])
    found = await store.candidates(terms("red"), parse({"metadata.n": 3}), limit=4)
    assert (ids(found.found), found.cut) == (["33", "23", "13", "03"], False)


@pytest.mark.parametrize(("limit", "cut"), [(5, True), (6, False), (7, False)])
async def test_a_cut_takes_the_best_and_says_so(
    store: DocumentStore, limit: int, cut: bool
) -> None:
    await put(store, COLOURS)
    found = await store.candidates(terms("red green"), limit=limit)
    assert ids(found.found) == ranked(COLOURS, terms("red green"))[:limit]
    assert found.cut is cut


async def test_nothing_asked_and_nothing_known_find_nothing(store: DocumentStore) -> None:
    await put(store, COLOURS)
    for wanted in ({}, {"absent": 1.0}):
        found = await store.candidates(wanted)
        assert (found.found, found.cut, found.count) == ((), False, len(COLOURS))
        assert dict(found.frequencies) == dict.fromkeys(wanted, 0)


async def test_common_terms_bring_in_nothing_beside_rarer_ones(store: DocumentStore) -> None:
    drafts = [draft(f"{at:04}", "common", at=at) for at in range(COMMON_FLOOR + 1)]
    await put(store, [*drafts, draft("rare", "rare", at=-1), draft("both", "rare common", at=-2)])
    both = await store.candidates(terms("rare common"))
    assert ids(both.found) == ["rare", "both"]
    assert dict(both.frequencies) == {"rare": 2, "common": COMMON_FLOOR + 2}
    alone = await store.candidates(terms("common"), limit=3)
    assert (ids(alone.found), alone.cut) == (["1000", "0999", "0998"], True)


CODE = [
    "src/app.ts:42 raises ENOENT",
    "parseConfig(parse_config)",
    "C:\\Users\\me\\file.txt",
    "--dry-run v1.2.3 user@example.com #42 $HOME 100%",
    "你好世界 こんにちは",
    "Straße İstanbul ﬁne naïve e\u0301",
    "a" * 500,
    "_private __init__ x+y ~/.bashrc ^main",
]


@pytest.mark.parametrize("text", CODE)
async def test_every_term_of_a_text_finds_it(store: DocumentStore, text: str) -> None:
    await put(store, [draft("a", text), draft("b", "something else altogether")])
    for term in stream(text).split():
        found = await store.candidates({term: 1.0})
        assert ids(found.found) == ["a"], term
        assert found.frequencies[term] == 1
        assert found.found[0].terms == stream(text)


@pytest.mark.parametrize(
    "term", ['"', 'a"b', "red AND blue", "re*", "NOT", "", " ", "\0", "(", "{x}:y"]
)
async def test_what_no_text_can_hold_finds_nothing(store: DocumentStore, term: str) -> None:
    await put(store, [draft("a", "red blue not near and or")])
    wanted = term if term != "NOT" else "NOT"
    assert (await store.candidates({wanted: 1.0})).found == ()


async def test_terms_follow_the_text(store: DocumentStore) -> None:
    await put(store, [draft("a", "red"), draft("b", "blue")])
    await put(store, [draft("a", "green")])
    assert (await store.candidates(terms("red"))).found == ()
    assert ids((await store.candidates(terms("green"))).found) == ["a"]
    await put(store, [draft("b", "blue", metadata={"author": "Ann"})])
    assert ids((await store.candidates(terms("ann"))).found) == ["b"]
    await put(store, [draft("a", "...")])
    found = await store.candidates(terms("green"))
    assert (found.found, dict(found.frequencies), found.count) == ((), {"green": 0}, 2)


async def test_deleted_entries_are_neither_found_nor_counted(store: DocumentStore) -> None:
    await put(store, [draft("a", "red"), draft("b", "red")])
    await store.delete(["a"], now=NOW)
    found = await store.candidates(terms("red"))
    assert (ids(found.found), dict(found.frequencies), found.count) == (["b"], {"red": 1}, 1)
    await put(store, [draft("a", "red")])
    assert (await store.candidates(terms("red"))).count == 2


async def test_of_a_long_text_only_the_head_is_searched(store: DocumentStore) -> None:
    text = "first " + "x " * 40_000 + "last"
    await put(store, [draft("a", text)])
    assert ids((await store.candidates(terms("first"))).found) == ["a"]
    assert (await store.candidates(terms("last"))).found == ()


async def test_candidates_by_id(store: DocumentStore) -> None:
    red, blank = draft("a", "red", at=4, session_id="s"), draft("b", "...")
    await put(store, [red, blank, draft("c")])
    await store.delete(["c"], now=NOW)
    found = await store.candidates_by_id(["b", "a", "c", "nobody", "a"])
    assert found == {
        "a": Candidate("a", "s", 4, None, "red", b"", red.text_hash),
        "b": Candidate("b", None, NOW, None, "", b"", blank.text_hash),
    }
    assert await store.candidates_by_id([]) == {}


# Neighbours


def _ids(neighbours: Neighbours) -> tuple[list[str], list[str]]:
    return ids(neighbours.before), ids(neighbours.after)


THREAD = [
    draft("m1", "one", at=1, session_id="s"),
    draft("m2", "two", at=2, session_id="s"),
    draft("m3", "three", at=2, session_id="s"),
    draft("m4", "four", at=2, session_id="s"),
    draft("m5", "five", at=9, session_id="s"),
    draft("x1", "other", at=2, session_id="t"),
    draft("x2", "other", at=2),
    draft("x3", "other", at=2, session_id=["s", "t"]),
    draft("x4", "other", at=2, session_id=7),
]


async def test_neighbours_stand_beside_by_time_then_id_nearest_first(store: DocumentStore) -> None:
    await put(store, THREAD)
    found = await store.neighbours(["m3", "m1", "m5"], before=2, after=3)
    assert _ids(found["m3"]) == (["m2", "m1"], ["m4", "m5"])
    assert _ids(found["m1"]) == ([], ["m2", "m3", "m4"])
    assert _ids(found["m5"]) == (["m4", "m3"], [])
    assert found["m1"].after[0] == Candidate("m2", "s", 2, None, "two", b"", THREAD[1].text_hash)


async def test_neighbours_on_one_side_only(store: DocumentStore) -> None:
    await put(store, THREAD)
    assert _ids((await store.neighbours(["m3"], before=0, after=1))["m3"]) == ([], ["m4"])
    assert _ids((await store.neighbours(["m3"], before=9, after=0))["m3"]) == (["m2", "m1"], [])
    assert _ids((await store.neighbours(["m3"], before=0, after=0))["m3"]) == ([], [])


async def test_who_has_no_thread_has_no_neighbours(store: DocumentStore) -> None:
    await put(store, THREAD)
    found = await store.neighbours(["x1", "x2", "x3", "x4", "nobody"], before=3, after=3)
    assert set(found) == {"x1", "x2", "x3", "x4"}
    assert set(map(str, found.values())) == {str(Neighbours((), ()))}


async def test_deleted_entries_are_nobodys_neighbours(store: DocumentStore) -> None:
    await put(store, THREAD)
    await store.delete(["m2", "m4"], now=NOW)
    found = await store.neighbours(["m3", "m2"], before=3, after=3)
    assert {name: _ids(each) for name, each in found.items()} == {"m3": (["m1"], ["m5"])}


async def test_an_entry_that_moves_to_another_thread_has_neighbours_there(
    store: DocumentStore,
) -> None:
    await put(store, THREAD)
    await put(store, [draft("m3", "three", at=3, session_id="t")])
    found = await store.neighbours(["m3", "m2"], before=3, after=1)
    assert _ids(found["m3"]) == (["x1"], [])
    assert _ids(found["m2"]) == (["m1"], ["m4"])


async def test_neighbours_of_many_at_once(store: DocumentStore) -> None:
    names = [f"{number:03}" for number in range(300)]
    await put(store, [draft(name, at=int(name) // 4, session_id="s") for name in names])
    found = await store.neighbours([*names, *names], before=1, after=3)
    for place, name in enumerate(names):
        before = names[place - 1 : place] if place else []
        assert _ids(found[name]) == (before, names[place + 1 : place + 4])


@pytest.mark.parametrize("wrong", [-1, True, 1.0, "1"])
async def test_a_wrong_number_of_neighbours_is_refused(store: DocumentStore, wrong: int) -> None:
    with pytest.raises(ValueError, match="must be a whole number"):
        await store.neighbours(["a"], before=wrong, after=1)
    with pytest.raises(ValueError, match="must be a whole number"):
        await store.neighbours(["a"], before=1, after=wrong)
