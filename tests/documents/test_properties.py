"""Properties of every backend: what goes in comes out, filters mean one thing, a dict agrees."""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dualstore.documents.base import Database, DocumentStore, Tally
from dualstore.entry import Draft
from dualstore.filters import matches, parse
from tests.documents.commands import Both, commands
from tests.documents.conftest import Place
from tests.documents.strategies import (
    IDS,
    INT64,
    JSON_VALUES,
    METADATA,
    POOL_IDS,
    TEXTS,
    filters,
    items,
    spelled,
)
from tests.documents.test_search_contract import ranked
from tests.documents.writing import NOW, SPEC, draft, ids

T = TypeVar("T")


EFFORT = int(os.environ.get("DUALSTORE_TEST_EFFORT", "1"))
"""How many times the usual number of examples to try: for a long look now and then."""


def bounded(examples: int) -> settings:
    """So many examples on each backend, however long one of them takes."""
    return settings(
        max_examples=examples * EFFORT,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@dataclass
class House:
    """One open database, in an event loop of its own, for all examples of a test."""

    runner: asyncio.Runner
    database: Database
    numbers: Iterator[int]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def fresh(self) -> DocumentStore:
        """A family that holds nothing yet."""
        return await self.database.family(replace(SPEC, name=f"tests_n{next(self.numbers)}"))


@pytest.fixture
def house(place: Place) -> Iterator[House]:
    with asyncio.Runner() as runner:
        database = place()
        runner.run(database.__aenter__())
        try:
            yield House(runner, database, count())
        finally:
            runner.run(database.__aexit__(None, None, None))


@bounded(60)
@given(batch=st.lists(st.tuples(IDS, TEXTS, METADATA, JSON_VALUES, INT64), min_size=1, max_size=5))
def test_entries_come_back_bit_for_bit(
    house: House, batch: list[tuple[str, str, dict[str, Any], Any, int]]
) -> None:
    wanted = {
        name: draft(name, text, at=at % 10**14, metadata=metadata, body=body)
        for name, text, metadata, body, at in batch
    }

    async def there_and_back() -> None:
        store = await house.database.family(SPEC)
        await store.put(list(wanted.values()), now=NOW)
        found = await store.get(list(wanted))
        bodies = {name: body for name, _, _, body, _ in batch}
        assert found.keys() == wanted.keys()
        for name, entry in found.items():
            given = wanted[name]
            assert (entry.id, entry.text, entry.timestamp) == (name, given.text, given.timestamp)
            assert spelled(entry.metadata) == spelled(given.metadata)
            assert spelled(entry.body) == spelled(bodies[name])
            assert entry.content_hash == given.content_hash

    house.run(there_and_back())


@bounded(40)
@given(
    contents=st.lists(items(), min_size=1, max_size=6),
    names=st.permutations(POOL_IDS),
    wheres=st.lists(filters(), min_size=1, max_size=8),
)
def test_every_filter_finds_what_the_oracle_says(
    house: House, contents: list[dict[str, Any]], names: list[str], wheres: list[dict[str, Any]]
) -> None:
    drafts = [
        draft(
            name,
            content["text"],
            at=content["timestamp"],
            origin=content["origin"],
            metadata=content["metadata"],
        )
        for name, content in zip(names, contents, strict=False)
    ]

    async def ask() -> None:
        store = await house.fresh()
        await store.put(drafts, now=NOW)
        for where in wheres:
            await _check_filter(store, drafts, where)

    house.run(ask())


async def _check_filter(store: DocumentStore, drafts: list[Draft], where: dict[str, Any]) -> None:
    tree = parse(where)
    wanted = [one for one in drafts if matches(tree, one)]
    page = await store.page(tree)
    assert set(ids(page.entries)) == set(ids(wanted)), where
    assert await store.count(tree) == len(wanted), where
    newest: dict[str, list[int]] = {}
    for one in wanted:
        if one.thread is not None:
            newest.setdefault(one.thread, []).append(one.timestamp)
    tally = {thread: Tally(len(times), max(times)) for thread, times in newest.items()}
    assert await store.tally(where=tree) == tally, where


_DEEP_CASES: list[tuple[Any, ...]] = [
    ("claim", 5, 5),
    ("settle", 0, "done"),
    ("tick", 5),
    ("claim", 5, 5),
    ("settle", 0, "done"),
]


@bounded(60)
@given(script=commands())
@example(script=[("put", [(draft("a", "red"), None)]), *_DEEP_CASES, ("mark", ["a"]), *_DEEP_CASES])
@example(
    script=[
        ("put", [(draft("a", "red"), None)]),
        *_DEEP_CASES,
        ("delete", ["a"], "opencode", None, None),
        ("put", [(draft("a", "red", origin="opencode"), None)]),
        *_DEEP_CASES,
        ("settle", 2, "done"),
        ("purge", -1),
        ("put", [(draft("a", "blue"), None)]),
        *_DEEP_CASES,
    ]
)
def test_any_commands_do_what_they_do_to_a_dict(
    house: House, script: list[tuple[Any, ...]]
) -> None:
    async def play() -> None:
        both = Both(await house.fresh())
        for command in script:
            await both.run(command)

    house.run(play())


_WORDS = ["red", "green", "blue", "parseConfig", "src/app.ts", "ENOENT", "..."]


@bounded(25)
@given(
    texts=st.lists(
        st.tuples(st.lists(st.sampled_from(_WORDS), max_size=5), st.integers(0, 2)), max_size=9
    ),
    wanted=st.dictionaries(
        st.sampled_from(["red", "green", "blue", "pars", "config", "=parseconfig", "none"]),
        st.sampled_from([0.3, 0.4, 1.0, 2.0]),
        max_size=5,
    ),
    limit=st.integers(1, 9),
)
def test_candidates_are_ranked_as_the_contract_says(
    house: House, texts: list[tuple[list[str], int]], wanted: dict[str, float], limit: int
) -> None:
    drafts = [
        draft(f"n{number}", " ".join(words), at=at) for number, (words, at) in enumerate(texts)
    ]

    async def ask() -> None:
        store = await house.fresh()
        await store.put(drafts, now=NOW)
        found = await store.candidates(wanted, limit=limit)
        expected = ranked(drafts, wanted)
        assert (ids(found.found), found.cut) == (expected[:limit], len(expected) > limit)
        assert found.count == len(drafts)

    house.run(ask())


@bounded(40)
@given(
    keys=st.lists(IDS, min_size=1, max_size=8, unique=True),
    space=IDS,
    values=st.lists(JSON_VALUES, min_size=1, max_size=3),
    bounds=st.tuples(st.none() | IDS, st.none() | IDS),
    limit=st.integers(1, 9),
)
def test_records_come_back_bit_for_bit_and_in_order(
    house: House,
    keys: list[str],
    space: str,
    values: list[Any],
    bounds: tuple[str | None, str | None],
    limit: int,
) -> None:
    after, before = bounds
    wanted = sorted(
        key for key in keys if (after is None or key > after) and (before is None or key < before)
    )

    async def there_and_back() -> None:
        here = f"{next(house.numbers)} {space}"
        records = house.database.records
        for number, key in enumerate(keys):
            value = values[number % len(values)]
            made = await records.create(here, key, value, tokens=[f"token {key}"])
            assert made is not None
            assert await records.create(here, key, value) is None
            assert await records.create(here, f"{key}+", value, tokens=[f"token {key}"]) is None
        for backwards in (False, True):
            found = await records.range(
                here, after=after, before=before, limit=limit, backwards=backwards
            )
            ordered = wanted[::-1] if backwards else wanted
            assert [record.key for record in found] == ordered[:limit]
        found_by_token = await records.find(here, [f"token {key}" for key in keys])
        assert {token: record.key for token, record in found_by_token.items()} == {
            f"token {key}": key for key in keys
        }
        for number, key in enumerate(keys):
            record = await records.get(here, key)
            assert record is not None
            assert spelled(record.value) == spelled(values[number % len(values)])

    house.run(there_and_back())
