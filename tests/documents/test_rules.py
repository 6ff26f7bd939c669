from dataclasses import replace
from typing import Any

import pytest

from dualstore.documents.base import DeleteOutcome, PutOutcome
from dualstore.documents.rules import (
    Present,
    decide,
    decide_delete,
    draft_anew,
    is_filed_otherwise,
    mark_after_put,
    mark_anew,
    must_refile,
    next_revision,
    next_update,
    takes_version,
)
from dualstore.entry import LOCAL, Draft, Drafter, Entry, SourceVersion
from dualstore.family import FamilySpec
from dualstore.outbox import AT_ONCE, Indexed, IndexMark, IndexState, fresh, leased, settled

SPEC = FamilySpec("a_b", filter_fields=("role", "info.kind"))
CREATED, UPDATED, UNCHANGED, OUTDATED, DELETED = PutOutcome


def _version(value: int | None, kind: Any = "time") -> SourceVersion | None:
    return None if value is None else SourceVersion(kind, value)


def _draft(
    text: str = "new", *, origin: str = LOCAL, version: SourceVersion | None = None, **metadata: Any
) -> Draft:
    return Drafter(SPEC).compose(
        id="a", text=text, timestamp=5, metadata=metadata, origin=origin, source_version=version
    )


INDEXED = settled(leased(fresh(indexable=True, now=1), token="t", until=9), Indexed("h", 1))


def _present(
    text: str = "old",
    *,
    deleted: bool = False,
    version: SourceVersion | None = None,
    mark: IndexMark = INDEXED,
    origin: str = LOCAL,
) -> Present:
    draft = _draft(text)
    return Present(deleted, origin, 3, draft.content_hash, draft.text_hash, version, 10, 20, mark)


@pytest.mark.parametrize(("expected", "outcome"), [(None, CREATED), (0, CREATED), (2, OUTDATED)])
@pytest.mark.parametrize("origin", [LOCAL, "opencode"])
def test_where_nothing_was(origin: str, expected: int | None, outcome: PutOutcome) -> None:
    assert decide(_draft(origin=origin), None, expected) is outcome


@pytest.mark.parametrize(
    ("origin", "expected", "outcome"),
    [
        (LOCAL, None, CREATED),
        (LOCAL, 0, CREATED),
        (LOCAL, 3, OUTDATED),
        ("opencode", None, DELETED),
        ("opencode", 0, DELETED),
        ("opencode", 3, DELETED),
    ],
)
def test_where_a_tombstone_is(origin: str, expected: int | None, outcome: PutOutcome) -> None:
    newest = SourceVersion("time", 99)
    assert (
        decide(_draft(origin=origin, version=newest), _present(deleted=True), expected) is outcome
    )


# local or remote, its version, the version that is here, the revision expected (3 is here)
REPLACING: list[tuple[str, int | None, int | None, int | None, PutOutcome]] = [
    (LOCAL, None, None, None, UPDATED),
    (LOCAL, None, 7, None, UPDATED),
    (LOCAL, None, None, 3, UPDATED),
    (LOCAL, None, None, 2, OUTDATED),
    (LOCAL, None, None, 0, OUTDATED),
    ("opencode", None, None, None, OUTDATED),
    ("opencode", None, None, 3, UPDATED),
    ("opencode", None, None, 2, OUTDATED),
    ("opencode", None, 7, 3, UPDATED),
    ("opencode", 7, None, None, OUTDATED),
    ("opencode", 7, None, 3, UPDATED),
    ("opencode", 7, 7, None, OUTDATED),
    ("opencode", 7, 7, 3, UPDATED),
    ("opencode", 8, 7, None, UPDATED),
    ("opencode", 8, 7, 0, UPDATED),
    ("opencode", 6, 7, None, OUTDATED),
    ("opencode", 6, 7, 3, OUTDATED),
]


@pytest.mark.parametrize(("origin", "mine", "here", "expected", "outcome"), REPLACING)
def test_where_another_content_is(
    origin: str, mine: int | None, here: int | None, expected: int | None, outcome: PutOutcome
) -> None:
    draft = _draft(origin=origin, version=_version(mine))
    assert decide(draft, _present(version=_version(here)), expected) is outcome


def test_versions_of_different_kinds_say_nothing_about_each_other() -> None:
    draft = _draft(origin="opencode", version=SourceVersion("sequence", 99))
    present = _present(version=SourceVersion("time", 1))
    assert decide(draft, present, None) is OUTDATED
    assert decide(draft, present, 3) is UPDATED


@pytest.mark.parametrize("origin", [LOCAL, "opencode"])
@pytest.mark.parametrize("expected", [None, 0, 2, 3])
def test_the_same_content_changes_nothing(origin: str, expected: int | None) -> None:
    assert decide(_draft("old", origin=origin), _present(), expected) is UNCHANGED


def test_the_same_content_of_an_older_version_is_outdated() -> None:
    draft = _draft("old", origin="opencode", version=SourceVersion("time", 6))
    assert decide(draft, _present(version=SourceVersion("time", 7)), None) is OUTDATED


def test_a_newer_version_of_the_same_content_is_worth_recording() -> None:
    newer = _draft("old", origin="opencode", version=SourceVersion("time", 8))
    assert takes_version(newer, _present(version=SourceVersion("time", 7)))
    assert not takes_version(newer, _present(version=SourceVersion("time", 8)))
    assert not takes_version(newer, _present(version=SourceVersion("sequence", 7)))
    assert not takes_version(_draft("old"), _present(version=SourceVersion("time", 7)))


# the deletion's origin, its version, the version that is here, the revision expected (3 is here)
DELETIONS: list[tuple[str, int | None, int | None, int | None, DeleteOutcome]] = [
    (LOCAL, None, None, None, DeleteOutcome.DELETED),
    (LOCAL, None, 7, None, DeleteOutcome.DELETED),
    (LOCAL, None, 7, 3, DeleteOutcome.DELETED),
    (LOCAL, None, 7, 2, DeleteOutcome.OUTDATED),
    ("opencode", None, 7, None, DeleteOutcome.DELETED),
    ("opencode", 7, 7, None, DeleteOutcome.DELETED),
    ("opencode", 8, 7, None, DeleteOutcome.DELETED),
    ("opencode", 8, 7, 2, DeleteOutcome.DELETED),
    ("opencode", 6, 7, None, DeleteOutcome.OUTDATED),
    ("opencode", 6, 7, 3, DeleteOutcome.OUTDATED),
    ("opencode", 7, 7, 2, DeleteOutcome.OUTDATED),
    ("another", None, 7, None, DeleteOutcome.OUTDATED),
    ("another", None, 7, 3, DeleteOutcome.DELETED),
]


@pytest.mark.parametrize(("origin", "mine", "here", "expected", "outcome"), DELETIONS)
def test_deletions(
    origin: str, mine: int | None, here: int | None, expected: int | None, outcome: DeleteOutcome
) -> None:
    present = _present(version=_version(here), origin="opencode")
    deleted = decide_delete(
        present, origin=origin, source_version=_version(mine), expected=expected
    )
    assert deleted is outcome


def test_a_remotes_deletion_never_takes_what_was_written_here() -> None:
    for version, expected, outcome in (
        (None, None, DeleteOutcome.OUTDATED),
        (SourceVersion("time", 99), None, DeleteOutcome.OUTDATED),
        (None, 2, DeleteOutcome.OUTDATED),
        (None, 3, DeleteOutcome.DELETED),
    ):
        deleted = decide_delete(
            _present(), origin="opencode", source_version=version, expected=expected
        )
        assert deleted is outcome


def test_what_is_not_there_can_not_be_deleted() -> None:
    for present in (None, _present(deleted=True)):
        for origin in (LOCAL, "opencode"):
            absent = decide_delete(
                present, origin=origin, source_version=SourceVersion("time", 9), expected=3
            )
            assert absent is DeleteOutcome.ABSENT


# The mark that is written with a draft


def _mark(draft: Draft, present: Present, *, refile: bool = False) -> IndexMark:
    return mark_after_put(draft, present, refile=refile, now=50)


def test_a_change_that_the_vectors_do_not_show_leaves_the_mark_alone() -> None:
    held = leased(fresh(indexable=True, now=1), token="t", until=9)
    for mark in (INDEXED, held):
        assert _mark(_draft("old", colour="red"), _present(mark=mark)) is mark


@pytest.mark.parametrize(
    ("draft", "present", "refile"),
    [
        (_draft("new"), _present(), False),
        (_draft("old", author="Ann"), _present(), False),
        (_draft("old"), _present(), True),
        (_draft("old"), _present(deleted=True), False),
    ],
    ids=["text", "author", "refiled", "lifted"],
)
def test_a_change_that_the_vectors_show_makes_it_due(
    draft: Draft, present: Present, refile: bool
) -> None:
    mark = _mark(draft, present, refile=refile)
    assert (mark.state, mark.claim_at, mark.held) == (IndexState.DUE, AT_ONCE, "h")


def test_text_that_lost_its_words_has_its_vectors_removed() -> None:
    assert _mark(_draft("..."), _present()).state is IndexState.DUE
    never = _present(mark=fresh(indexable=True, now=1))
    assert _mark(_draft("..."), never).state is IndexState.EXCLUDED


def _entry(draft: Draft) -> Entry:
    return Entry(
        draft.id, draft.text, draft.timestamp, draft.metadata, None, 1, draft.content_hash,
        draft.text_hash, INDEXED, 1, 1, draft.origin, None,
    )  # fmt: skip


BASE: dict[str, Any] = {
    "session_id": "s",
    "author": "Ann",
    "role": "user",
    "info": {"kind": "x"},
    "other": 1,
}


@pytest.mark.parametrize(
    ("change", "refile"),
    [
        ({}, False),
        ({"other": 2}, False),
        ({"session_id": "t"}, True),
        ({"session_id": None}, True),
        ({"author": "Bob"}, True),
        ({"role": "assistant"}, True),
        ({"role": ["user"]}, False),
        ({"info": {"kind": "y"}}, True),
        ({"info": {"kind": "x", "more": 1}}, False),
        ({"info": {}}, True),
    ],
)
def test_vectors_are_filed_under_thread_author_and_filter_fields(
    change: dict[str, Any], refile: bool
) -> None:
    assert (
        must_refile(SPEC, _draft("t", **{**BASE, **change}), _entry(_draft("t", **BASE))) is refile
    )


def test_vectors_are_filed_under_time_and_origin() -> None:
    draft = _draft("t", **BASE)
    assert must_refile(SPEC, draft._replace(timestamp=6), _entry(draft))
    assert must_refile(SPEC, draft._replace(origin="other"), _entry(draft))


def test_equal_numbers_of_another_kind_are_filed_anew() -> None:
    """True, 1 and 1.0 are equal in Python but aren't the same value to the index."""
    entry = _entry(_draft("t", **{**BASE, "role": 1}))
    assert must_refile(SPEC, _draft("t", **{**BASE, "role": True}), entry)


def test_a_family_without_threads_files_nothing_under_them() -> None:
    spec = replace(SPEC, thread_key=None, author_key=None)
    changed = _draft("t", **{**BASE, "session_id": "t", "author": "Bob"})
    assert not must_refile(spec, changed, _entry(_draft("t", **BASE)))


# Numbers that never go back


def test_revisions_go_on_through_a_deletion() -> None:
    assert next_revision(None) == 1
    assert next_revision(_present()) == next_revision(_present(deleted=True)) == 4


def test_update_times_never_go_back() -> None:
    assert next_update(None, 5) == 5
    assert next_update(_present(), 5) == 20
    assert next_update(_present(), 30) == 30


# Made anew to another spec


FILED: dict[str, Any] = {
    "session_id": "s",
    "room": "s",
    "author": "Ann",
    "role": None,
    "info": {"kind": []},
}


@pytest.mark.parametrize(
    ("spec", "otherwise"),
    [
        (SPEC, False),
        (replace(SPEC, thread_key="room"), True),
        (replace(SPEC, thread_key="nothing"), True),
        (replace(SPEC, thread_key=None), True),
        (replace(SPEC, thread_key=None, filter_fields=("role", "info.kind", "session_id")), False),
        (replace(SPEC, thread_key="author", author_key="session_id"), False),
        (replace(SPEC, thread_key="author"), True),
        (replace(SPEC, author_key="room"), True),
        (replace(SPEC, author_key=None), True),
        (replace(SPEC, filter_fields=("info.kind", "role")), False),
        (replace(SPEC, filter_fields=("role", "info.kind", "nothing")), False),
        (replace(SPEC, filter_fields=("role",)), True),
        (replace(SPEC, filter_fields=("info.kind",)), True),
        (replace(SPEC, filter_fields=("role", "info.kind", "room")), True),
    ],
)
def test_vectors_are_filed_otherwise_where_the_fields_of_this_entry_differ(
    spec: FamilySpec, otherwise: bool
) -> None:
    assert is_filed_otherwise(FILED, SPEC, spec) is otherwise
    assert is_filed_otherwise(FILED, spec, SPEC) is otherwise


def test_a_draft_made_anew_keeps_the_hash_of_its_content() -> None:
    draft = _draft("red", author="Ann", version=_version(3), origin="opencode")
    entry = Entry(
        "a", "red", 5, {"author": "Ann"}, None, 3, "c0", draft.text_hash, INDEXED, 1, 2,
        "opencode", _version(3),
    )  # fmt: skip
    anew = draft_anew(Drafter(replace(SPEC, author_key=None)), entry)
    assert anew.content_hash == "c0"
    assert (anew.indexed_text, draft.indexed_text) == ("red", "Ann: red")
    assert anew.text_hash != draft.text_hash
    assert anew[:6] == draft[:6]
    assert anew[-2:] == draft[-2:]


@pytest.mark.parametrize(
    ("spec", "text", "state"),
    [
        (SPEC, "old", IndexState.INDEXED),
        (replace(SPEC, analyzer="2"), "old", IndexState.INDEXED),
        (replace(SPEC, filter_fields=()), "old", IndexState.DUE),
        (SPEC, "new", IndexState.DUE),
        (SPEC, "...", IndexState.DUE),
    ],
)
def test_what_is_made_of_or_filed_under_something_else_is_due(
    spec: FamilySpec, text: str, state: IndexState
) -> None:
    draft = _draft(text, role="user")
    mark = mark_anew(draft, _present("old"), made=SPEC, spec=spec, now=7)
    assert (mark.state, mark.held) == (state, INDEXED.held)
