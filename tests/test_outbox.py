from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.outbox import (
    AT_ONCE,
    SETTLED,
    Failed,
    Indexed,
    IndexMark,
    IndexState,
    Outcome,
    Released,
    Removed,
    Retry,
    doubted,
    fresh,
    leased,
    renewed,
    settled,
)

NEW = fresh(indexable=True, now=100)
TAKEN = leased(NEW, token="t1", until=200)
DONE = settled(TAKEN, Indexed("hash-1", 2, b"v"))

_OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Indexed, st.sampled_from(["h1", "h2"]), st.integers(1, 3)),
    st.just(Removed()),
    st.just(Failed("broken")),
    st.builds(Retry, st.just("later"), st.integers(0, 999)),
    st.just(Released()),
)


@st.composite
def marks(draw: st.DrawFn) -> IndexMark:
    """A mark that some history of claims, settlements and changes leads to."""
    mark = fresh(indexable=draw(st.booleans()), now=1)
    for now in range(2, 2 + draw(st.integers(0, 6))):
        match draw(st.sampled_from(["claim", "settle", "renew", "doubt"])):
            case "claim" if mark.claim_at is not None:
                mark = leased(mark, token=f"t{now}", until=now + 10)
            case "settle" if mark.token:
                mark = settled(mark, draw(_OUTCOMES))
            case "renew":
                mark = renewed(mark, indexable=draw(st.booleans()), now=now)
            case "doubt":
                mark = doubted(mark, now=now)
    return mark


def test_the_stored_numbers_of_the_states_stay() -> None:
    assert [(state.name, state.value) for state in IndexState] == [
        ("DUE", 0),
        ("LEASED", 1),
        ("INDEXED", 2),
        ("FAILED", 3),
        ("EXCLUDED", 4),
    ]


def test_what_has_words_is_due_at_once_and_the_rest_is_excluded() -> None:
    assert IndexMark(IndexState.DUE, claim_at=AT_ONCE, due_since=100) == NEW
    assert fresh(indexable=False, now=100) == IndexMark(IndexState.EXCLUDED)


def test_a_claim_counts_as_an_attempt_and_ends_with_its_lease() -> None:
    assert (TAKEN.state, TAKEN.attempts) == (IndexState.LEASED, 1)
    assert (TAKEN.token, TAKEN.claim_at, TAKEN.due_since) == ("t1", 200, 100)
    assert leased(TAKEN, token="t2", until=300).attempts == 2


def test_indexed_knows_what_it_holds_and_owes_nothing() -> None:
    expected = IndexMark(IndexState.INDEXED, attempts=1, chunks=2, held="hash-1")
    assert expected == DONE


def test_removed_is_excluded_and_holds_nothing() -> None:
    again = leased(renewed(DONE, indexable=False, now=300), token="t", until=400)
    assert settled(again, Removed()) == IndexMark(IndexState.EXCLUDED)


def test_failed_says_why_and_is_not_claimed_again() -> None:
    mark = settled(TAKEN, Failed("too long"))
    assert (mark.state, mark.error, mark.attempts) == (IndexState.FAILED, "too long", 1)
    assert (mark.claim_at, mark.due_since, mark.token) == (None, None, None)


def test_a_retry_waits_until_its_time_and_is_due_since_before() -> None:
    mark = settled(TAKEN, Retry("busy", at=500))
    assert (mark.state, mark.error, mark.attempts) == (IndexState.DUE, "busy", 1)
    assert (mark.claim_at, mark.due_since, mark.token) == (500, 100, None)


def test_a_release_gives_the_attempt_back() -> None:
    mark = settled(TAKEN, Released())
    assert (mark.state, mark.attempts, mark.error) == (IndexState.DUE, 0, None)
    assert (mark.claim_at, mark.due_since) == (AT_ONCE, 100)


def test_a_release_keeps_the_error_of_the_try_before() -> None:
    again = leased(settled(TAKEN, Retry("busy", at=150)), token="t2", until=300)
    mark = settled(again, Released())
    assert (mark.attempts, mark.error) == (1, "busy")


@pytest.mark.parametrize(
    ("before", "residue"),
    [
        (NEW, False),
        (DONE, False),
        (settled(TAKEN, Released()), False),
        (TAKEN, True),
        (settled(TAKEN, Retry("busy", at=1)), True),
        (settled(TAKEN, Failed("no")), True),
    ],
    ids=["never tried", "indexed", "released", "leased", "retried", "failed"],
)
def test_a_newer_text_is_due_and_knows_whether_a_try_may_have_left_something(
    before: IndexMark, residue: bool
) -> None:
    mark = renewed(before, indexable=True, now=700)
    assert (mark.state, mark.claim_at, mark.token) == (IndexState.DUE, AT_ONCE, None)
    assert (mark.attempts, mark.error, mark.residue) == (0, None, residue)
    assert (mark.held, mark.chunks) == (before.held, before.chunks)


def test_waiting_counts_from_the_first_change_that_was_not_indexed() -> None:
    assert renewed(NEW, indexable=True, now=700).due_since == 100
    assert renewed(DONE, indexable=True, now=700).due_since == 700


def test_what_left_nothing_needs_no_removal() -> None:
    assert renewed(NEW, indexable=False, now=9) == IndexMark(IndexState.EXCLUDED)
    for mark in (TAKEN, DONE, settled(TAKEN, Failed("no"))):
        assert renewed(mark, indexable=False, now=9).state is IndexState.DUE


def test_doubt_makes_anything_due_and_remembers_what_may_be_left() -> None:
    for mark in (NEW, TAKEN, DONE, fresh(indexable=False, now=1)):
        found = doubted(mark, now=900)
        assert (found.state, found.due_since) == (IndexState.DUE, 900)
        assert (found.held, found.residue) == (mark.held, mark is TAKEN)
        assert found.claim_at == AT_ONCE


@given(marks())
def test_a_mark_is_always_of_one_piece(mark: IndexMark) -> None:
    assert (mark.token is not None) == (mark.state is IndexState.LEASED)
    assert (mark.claim_at is None) == (mark.state in SETTLED)
    assert (mark.due_since is None) == (mark.state in SETTLED)
    assert (mark.chunks > 0) == bool(mark.held)
    assert mark.attempts >= 0
    if mark.state in (IndexState.INDEXED, IndexState.EXCLUDED):
        assert not mark.residue
        assert mark.error is None
    if mark.state is IndexState.EXCLUDED:
        assert mark == IndexMark(IndexState.EXCLUDED)


@given(marks())
def test_what_may_be_left_in_the_index_is_never_forgotten_by_a_change(mark: IndexMark) -> None:
    """Whatever a lease may have written is found again: by `held`, or because of `residue`."""
    after = renewed(mark, indexable=False, now=50)
    tried = mark.attempts > 0 and mark.state is not IndexState.INDEXED
    owes = bool(mark.held) or mark.residue or tried
    assert (after.state is IndexState.DUE) == owes
    assert after.held == mark.held
    assert after.residue == (mark.residue or tried)


@given(marks(), _OUTCOMES)
def test_only_a_whole_success_clears_the_residue(mark: IndexMark, outcome: Outcome) -> None:
    before = leased(replace(mark, residue=True), token="t", until=9)
    assert settled(before, outcome).residue == (not isinstance(outcome, Indexed | Removed))
