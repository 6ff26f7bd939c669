import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dualstore.documents.base import Records
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.mirror.ledger import PARTS, Ledger
from dualstore.testing import Faults
from dualstore.testing.faulty_documents import FaultyRecords

MANY = 1_000


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    async with SqliteDatabase(tmp_path / "a.db") as database:
        yield database.records


async def test_numbers_only_grow(records: Records) -> None:
    ledger = Ledger(records, space="a")
    assert await ledger.all() == {}
    await ledger.raise_to({})
    await ledger.raise_to({"x": 3, "y": 0, "ä:%": -1})
    await ledger.raise_to({"x": 2, "y": 1})
    assert await Ledger(records, space="a").all() == {"x": 3, "y": 1, "ä:%": -1}
    assert await Ledger(records, space="b").all() == {}


async def test_what_is_forgotten_begins_anew(records: Records) -> None:
    ledger = Ledger(records, space="a")
    await ledger.raise_to({str(number): 9 for number in range(40)})
    await ledger.forget(["3", "5", "nobody"])
    assert await ledger.all() == {str(n): 9 for n in range(40) if n not in (3, 5)}
    await ledger.raise_to({"3": 1})
    assert (await ledger.all())["3"] == 1


async def test_any_number_of_names_costs_a_few_calls(records: Records) -> None:
    faults = Faults()
    ledger = Ledger(FaultyRecords(records, faults), space="a")
    numbers = {f"name {number}": number for number in range(MANY)}
    await ledger.raise_to(numbers)
    assert len(faults.calls) <= 1 + 2 * PARTS
    for step, calls in ((ledger.all, 1), (lambda: ledger.raise_to(numbers), 1)):
        faults.calls.clear()
        await step()
        assert len(faults.calls) == calls
    faults.calls.clear()
    await ledger.raise_to({"name 7": MANY})
    assert len(faults.calls) == 3
    assert await ledger.all() == numbers | {"name 7": MANY}


async def test_of_those_who_change_it_at_once_each_counts(records: Records) -> None:
    places = [Ledger(records, space="a") for _ in range(4)]
    await asyncio.gather(
        *(places[n % 4].raise_to({"all": n, f"name {n}": n}) for n in range(100)),
    )
    assert await places[0].all() == {"all": 99, **{f"name {n}": n for n in range(100)}}
