"""Journals, on every backend."""

import asyncio
from functools import partial

import pytest

from dualstore.documents.base import Database
from dualstore.documents.journal import Behind, Journal, JournalItem, Tip
from dualstore.errors import EntryTooLargeError, InvalidInputError
from tests.documents.conftest import Place

LOG = "tests:one"


@pytest.fixture
def journal(database: Database) -> Journal:
    return database.journal


def row(first: int, *kinds: str, text: str = "text") -> list[JournalItem]:
    """Items from `first` on, one of each kind, named by their numbers."""
    return [
        JournalItem(seq, f"id-{seq}", kind, f"{text} {seq}")
        for seq, kind in enumerate(kinds, first)
    ]


def numbers(items: list[JournalItem]) -> list[int]:
    return [item.seq for item in items]


async def fill(journal: Journal, *sizes: int, log: str = LOG) -> list[JournalItem]:
    """Batches of these sizes; every third item is a `tool`'s."""
    everything: list[JournalItem] = []
    for size in sizes:
        first = len(everything) + 1
        kinds = ["tool" if seq % 3 == 0 else "said" for seq in range(first, first + size)]
        batch = row(first, *kinds)
        assert await journal.extend(log, batch, note=f"through {first + size - 1}")
        everything += batch
    return everything


async def test_a_log_that_nobody_wrote_is_empty(journal: Journal) -> None:
    assert await journal.tip(LOG) is None
    assert await journal.read(LOG) == []
    assert await journal.find(LOG, ["id-1"]) == {}
    assert await journal.behind("") == []
    await journal.follow(LOG, through=9)
    await journal.remove(LOG)


async def test_what_was_appended_comes_back_in_order(journal: Journal) -> None:
    everything = await fill(journal, 1, 4, 2)
    assert await journal.read(LOG) == everything
    assert await journal.read(LOG, backwards=True) == everything[::-1]
    assert await journal.tip(LOG) == Tip(7, "through 7")
    assert await journal.find(LOG, ["id-6", "id-2", "nobody"]) == {
        "id-2": everything[1],
        "id-6": everything[5],
    }


@pytest.mark.parametrize("text", ["", "a\0b\U0001f600", "\uffff", '{"$set": 1}', "ä" * 100_000])
async def test_texts_come_back_as_they_were(journal: Journal, text: str) -> None:
    assert await journal.extend(LOG, [JournalItem(1, "ä\U0001f600", "$kind", text)], note=text)
    assert await journal.read(LOG) == [JournalItem(1, "ä\U0001f600", "$kind", text)]
    assert await journal.tip(LOG) == Tip(1, text)


async def test_of_those_who_saw_the_same_end_one_gets_through(journal: Journal) -> None:
    await fill(journal, 2)
    rivals = [[JournalItem(3, f"rival-{n}", "said", "x")] for n in range(8)]
    done = await asyncio.gather(*(journal.extend(LOG, each, note="") for each in rivals))
    assert sorted(done) == [False] * 7 + [True]
    winner = rivals[done.index(True)]
    assert (await journal.read(LOG))[2:] == winner


@pytest.mark.parametrize("first", [1, 4])
async def test_who_saw_an_earlier_end_writes_nothing(journal: Journal, first: int) -> None:
    everything = await fill(journal, 3, 2)
    batch = [JournalItem(first + n, f"new-{n}", "said", "x") for n in range(3)]
    assert not await journal.extend(LOG, batch, note="wrong")
    assert await journal.read(LOG) == everything
    assert await journal.tip(LOG) == Tip(5, "through 5")


async def test_an_id_is_written_once_in_its_log_and_takes_its_batch_with_it(
    journal: Journal,
) -> None:
    await fill(journal, 2)
    batch = [JournalItem(3, "new", "said", "x"), JournalItem(4, "id-1", "said", "x")]
    assert not await journal.extend(LOG, batch, note="")
    assert numbers(await journal.read(LOG)) == [1, 2]
    assert await journal.extend("tests:other", row(1, "said"), note="")


async def test_any_part_can_be_read(journal: Journal) -> None:
    everything = await fill(journal, 1, 4, 2, 3)
    bounds = [
        (0, 99),
        (0, 1),
        (0, 3),
        (1, 6),
        (2, 10),
        (4, 6),
        (5, 99),
        (9, 11),
        (10, 99),
        (50, 99),
    ]
    for after, before in bounds:
        for kinds in (None, {"said"}, {"tool"}, {"nothing"}):
            wanted = [
                item
                for item in everything
                if after < item.seq < before and (kinds is None or item.kind in kinds)
            ]
            asked = partial(journal.read, LOG, after=after, before=before, kinds=kinds)
            assert await asked() == wanted
            assert await asked(limit=2) == wanted[:2]
            assert await asked(backwards=True) == wanted[::-1]
            assert await asked(backwards=True, limit=2) == wanted[::-1][:2]


async def test_a_log_of_many_batches_and_large_texts_is_read_whole(journal: Journal) -> None:
    for seq in range(1, 230):
        text = "x" * (900_000 if seq % 40 == 0 else 10)
        assert await journal.extend(LOG, [JournalItem(seq, f"i{seq}", "k", text)], note="")
    found = await journal.read(LOG)
    assert numbers(found) == list(range(1, 230))
    assert {len(item.text) for item in found if item.seq % 40 == 0} == {900_000}
    assert numbers(await journal.read(LOG, limit=210, backwards=True)) == list(range(229, 19, -1))


async def test_logs_with_names_alike_stay_apart(journal: Journal) -> None:
    for log in ("a", "a:", "a:1", "a:10", "b\U0001f600", "b\uffff"):
        assert await journal.extend(log, [JournalItem(1, "same", "k", log)], note=log)
    for log in ("a", "a:", "a:1", "a:10", "b\U0001f600", "b\uffff"):
        assert await journal.read(log) == [JournalItem(1, "same", "k", log)]
        assert await journal.tip(log) == Tip(1, log)
    await journal.remove("a:1")
    assert await journal.tip("a:1") is None
    assert await journal.tip("a:10") == Tip(1, "a:10")


async def test_what_nobody_followed_is_behind_until_it_is_noted(journal: Journal) -> None:
    await fill(journal, 2, 3)
    await fill(journal, 1, log="tests:two")
    await fill(journal, 1, log="elsewhere")
    assert sorted(await journal.behind("tests:")) == [Behind(LOG, 0), Behind("tests:two", 0)]
    await journal.follow(LOG, through=2)
    await journal.follow("tests:two", through=1)
    assert await journal.behind("tests:") == [Behind(LOG, 2)]
    await journal.follow(LOG, through=1)  # it doesn't go back
    assert await journal.behind("tests:") == [Behind(LOG, 2)]
    await journal.follow(LOG, through=5)
    assert await journal.behind("tests:") == []
    assert await journal.behind("", limit=1) == [Behind("elsewhere", 0)]
    assert await journal.extend(LOG, row(6, "said"), note="")
    assert await journal.behind("tests:") == [Behind(LOG, 5)]


async def test_what_was_removed_is_gone_and_may_begin_again(journal: Journal) -> None:
    await fill(journal, 2, 2)
    await journal.remove(LOG)
    assert (await journal.tip(LOG), await journal.read(LOG)) == (None, [])
    assert await journal.behind("") == []
    assert await journal.extend(LOG, row(1, "said"), note="again")
    assert await journal.tip(LOG) == Tip(1, "again")


async def test_what_was_appended_is_there_when_it_is_opened_again(place: Place) -> None:
    async with place() as database:
        everything = await fill(database.journal, 2, 1)
    async with place() as database:
        assert await database.journal.read(LOG) == everything
        assert await database.journal.tip(LOG) == Tip(3, "through 3")


@pytest.mark.parametrize(
    "items",
    [
        [],
        row(0, "said"),
        [*row(1, "said"), *row(3, "said")],
        [JournalItem(1, "same", "k", ""), JournalItem(2, "same", "k", "")],
    ],
    ids=["nothing", "number 0", "a gap", "an id twice"],
)
async def test_what_is_no_row_is_refused(journal: Journal, items: list[JournalItem]) -> None:
    with pytest.raises(InvalidInputError):
        await journal.extend(LOG, items, note="")
    assert await journal.tip(LOG) is None


async def test_more_than_a_document_can_hold_is_refused_whole(journal: Journal) -> None:
    large = [JournalItem(n, f"{n}", "k", "x" * 7_000_000) for n in (1, 2)]
    with pytest.raises(EntryTooLargeError, match="14,000,000 bytes"):
        await journal.extend(LOG, large, note="")
    assert await journal.tip(LOG) is None


@pytest.mark.parametrize("log", ["", "a\x1fb", "a\nb", 7])
async def test_a_name_that_cannot_be_joined_is_refused(journal: Journal, log: str) -> None:
    with pytest.raises(InvalidInputError):
        await journal.tip(log)


@pytest.mark.parametrize("limit", [0, -1, "1"])
async def test_a_limit_is_a_number_from_one_on(journal: Journal, limit: int) -> None:
    with pytest.raises(InvalidInputError, match="limit"):
        await journal.read(LOG, limit=limit)
