"""Making a family anew to another spec, on every backend."""

from dataclasses import replace

import pytest

from dualstore.documents.base import Database
from dualstore.documents.families import FAMILIES
from dualstore.entry import Drafter
from dualstore.errors import FamilyMismatchError
from dualstore.family import FamilySpec
from dualstore.filters import parse
from dualstore.outbox import IndexState
from tests.documents.respecs import (
    CHANGES,
    LATER,
    MADE,
    TEXTS,
    answers,
    answers_when_fresh,
    drafts_of,
    fill,
    spy,
    touched_by,
)
from tests.documents.writing import NOW, claim, terms

BOTH_WAYS = [
    *((f"to {name}", MADE, spec) for name, spec in CHANGES.items()),
    *((f"from {name}", spec, MADE) for name, spec in CHANGES.items()),
]


@pytest.mark.parametrize(
    ("made", "spec"), [way[1:] for way in BOTH_WAYS], ids=[way[0] for way in BOTH_WAYS]
)
async def test_a_family_made_anew_is_as_if_it_had_always_been_of_this_spec(
    database: Database, made: FamilySpec, spec: FamilySpec
) -> None:
    store = await database.family(made)
    await fill(store)
    entries, before = await store.get(list(TEXTS)), await store.marks(list(TEXTS))
    await database.respec(spec, now=LATER)
    store = await database.family(spec)
    assert await answers(store) == await answers_when_fresh(database, spec)
    for name, entry in (await store.get(list(TEXTS))).items():
        kept = replace(entry, index=entries[name].index, text_hash=entries[name].text_hash)
        assert kept == entries[name]
    touched = touched_by(made, spec)
    after = await store.marks(list(TEXTS))
    assert {name for name, mark in after.items() if mark != before[name]} == touched
    assert all(after[name].mark.due_since == LATER for name in touched)
    assert set(await claim(store, now=LATER)) == touched | {"j"}


@pytest.mark.parametrize("name", CHANGES)
async def test_copies_of_vectors_stay_where_the_text_stays(database: Database, name: str) -> None:
    spec = CHANGES[name]
    store = await database.family(MADE)
    await fill(store)
    before = await store.get(list(TEXTS))
    await database.respec(spec, now=LATER)
    store = await database.family(spec)
    after = await store.get(list(TEXTS))
    candidates = await store.candidates_by_id(list(after))
    for each, entry in after.items():
        same = entry.text_hash == before[each].text_hash
        copied = same and before[each].index.state is IndexState.INDEXED
        assert candidates[each].vector == (b"\x01\x02\x03" if copied else b"")
        assert entry.index.held == before[each].index.held


async def test_what_is_no_longer_indexed_is_taken_out_of_the_index(database: Database) -> None:
    with_images = replace(MADE, images=True)
    store = await database.family(with_images)
    await fill(store)
    await database.respec(MADE, now=LATER)
    works = await claim(await database.family(MADE), now=LATER)
    assert works.keys() == {"d", "j"}
    assert (works["d"].entry, works["d"].mark.chunks) == (None, 1)


async def test_a_lease_is_lost_where_the_work_is_another_now(database: Database) -> None:
    store = await database.family(MADE)
    await store.put(drafts_of(MADE), now=NOW)
    works = await claim(store)
    await database.respec(CHANGES["author_key"], now=LATER)
    store = await database.family(CHANGES["author_key"])
    marks = await store.marks(list(works))
    kept = {name for name, each in marks.items() if each.mark.state is IndexState.LEASED}
    assert kept == works.keys() - touched_by(MADE, store.spec) - {"j", "k"} | {"j", "k"}
    assert marks["a"].mark.residue


async def test_a_field_that_is_declared_again_knows_nothing_of_its_past(
    database: Database,
) -> None:
    """What was derived of it was forgotten, or it would say what once was."""
    without = CHANGES["fields removed"]
    store = await database.family(MADE)
    compose = Drafter(MADE).compose
    for name in ("changed", "gone"):
        draft = compose(id=name, text="red", timestamp=NOW, metadata={"role": "user"})
        await store.put([draft], now=NOW)
    await database.respec(without, now=NOW)
    store = await database.family(without)
    draft = compose(id="changed", text="red", timestamp=NOW, metadata={"role": "tool"})
    await store.put([draft], now=NOW)
    await store.delete(["gone"], now=NOW)
    await database.respec(MADE, now=NOW)
    store = await database.family(MADE)
    assert await store.count(parse({"metadata.role": "user"})) == 0
    assert await store.count(parse({"metadata.role": "tool"})) == 1


# What is no change, and what only renames


async def test_a_spec_that_it_is_of_already_and_an_unknown_family_change_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(await database.family(MADE))
    composed = spy(monkeypatch)
    record = await database.records.get(FAMILIES, MADE.name)
    await database.respec(MADE, now=LATER)
    await database.respec(replace(MADE, name="tests_unknown"), now=LATER)
    assert await database.records.get(FAMILIES, MADE.name) == record
    assert await database.records.get(FAMILIES, "tests_unknown") is None
    assert composed == []


async def test_callers_names_alone_are_changed_without_touching_an_entry(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(await database.family(MADE))
    composed = spy(monkeypatch)
    await database.respec(CHANGES["names"], now=LATER)
    assert composed == []
    assert await (await database.family(CHANGES["names"])).count() == len(TEXTS) - 2
    with pytest.raises(FamilyMismatchError):
        await database.family(MADE)


async def test_an_empty_family_is_made_anew(database: Database) -> None:
    await database.family(MADE)
    await database.respec(CHANGES["everything"], now=LATER)
    assert await (await database.family(CHANGES["everything"])).count() == 0


async def test_a_record_of_an_older_release_is_written_anew(database: Database) -> None:
    await database.records.create(FAMILIES, MADE.name, {**MADE.to_record(), "embedder": "x"})
    await fill(await database.family(MADE))
    await database.respec(CHANGES["thread_key"], now=LATER)
    record = await database.records.get(FAMILIES, MADE.name)
    assert record is not None
    assert record.value == CHANGES["thread_key"].to_record()


# Many


async def test_thousands_of_entries_are_made_anew(database: Database) -> None:
    names = [f"{number:04}" for number in range(2300)]
    compose = Drafter(MADE).compose
    drafts = [
        compose(id=name, text=f"word{name[-2:]} red", timestamp=NOW, metadata={"room": name[:1]})
        for name in names
    ]
    store = await database.family(MADE)
    await store.put(drafts, now=NOW)
    await store.delete(names[5:2000:10], now=NOW)
    await database.respec(CHANGES["thread_key"], now=LATER)
    store = await database.family(CHANGES["thread_key"])
    tally = await store.tally()
    assert {thread: each.count for thread, each in tally.items()} == {"0": 900, "1": 900, "2": 300}
    found = await store.candidates(terms("word17"))
    assert (found.count, len(found.found)) == (2100, 23)
    assert {each.revision for each in await store.scan(limit=3000) if not each.deleted} == {1}
