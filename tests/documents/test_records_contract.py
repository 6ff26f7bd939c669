"""Records, on every backend."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from dualstore.documents.base import Record, Records
from dualstore.errors import EntryError, EntryTooLargeError, InvalidInputError
from tests.documents.strategies import nested, spelled


async def _made(records: Records, key: str, value: Any = None, *tokens: str) -> Record:
    record = await records.create("space", key, value, tokens=tokens)
    assert record is not None
    return record


async def _keys(records: Records, **query: Any) -> list[str]:
    return [record.key for record in await records.range("space", **query)]


async def test_what_was_created_comes_back(records: Records) -> None:
    record = await records.create("space", "key", {"a": [1, None]}, tokens=["t1", "t2"])
    assert record == Record("space", "key", {"a": [1, None]}, 1, ("t1", "t2"))
    assert await records.get("space", "key") == record
    assert await records.find("space", ["t2"]) == {"t2": record}


async def test_what_is_not_there_is_absent(records: Records) -> None:
    await _made(records, "key", 1, "t")
    assert await records.get("space", "other") is None
    assert await records.get("other", "key") is None
    assert await records.find("space", ["x", "key"]) == {}
    assert await records.find("other", ["t"]) == {}
    assert await records.find("space", []) == {}
    assert await records.range("other") == []


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        -0.0,
        5e-324,
        2**63 - 1,
        -(2**63),
        "",
        "a\0\U0001f600",
        [],
        {},
        True,
        1,
        1.0,
        {"a.b": 1, "$set": {"": [{}]}, "_id": 2},
        nested("leaf", 64),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_values_come_back_bit_for_bit(records: Records, value: Any) -> None:
    await _made(records, "key", value)
    record = await records.get("space", "key")
    assert record is not None
    assert spelled(record.value) == spelled(value)
    changed = await records.replace(record, value)
    assert changed is not None
    assert spelled((await records.range("space"))[0].value) == spelled(value)


async def test_a_reader_has_his_own_copy(records: Records) -> None:
    value = {"list": [1]}
    record = await _made(records, "key", value, "t")
    value["list"].append(2)
    record.value["list"].append(3)
    found = await records.get("space", "key")
    assert found is not None
    assert found.value == {"list": [1]}


async def test_a_key_is_created_once(records: Records) -> None:
    await _made(records, "key", "first")
    assert await records.create("space", "key", "second") is None
    assert (await records.range("space"))[0].value == "first"
    assert await records.create("other", "key", "second") is not None


async def test_a_token_is_taken_once_in_its_space(records: Records) -> None:
    first = await _made(records, "one", 1, "t1", "t2")
    assert await records.create("space", "two", 2, tokens=["t3", "t2"]) is None
    assert await records.get("space", "two") is None
    assert await records.find("space", ["t1", "t2", "t3"]) == {"t1": first, "t2": first}
    assert await records.create("other", "two", 2, tokens=["t2"]) is not None
    assert await records.create("space", "two", 2, tokens=["t3"]) is not None


async def test_a_token_named_twice_is_one(records: Records) -> None:
    record = await _made(records, "key", 1, "t", "u", "t")
    assert record.tokens == ("t", "u")
    assert await records.get("space", "key") == record


async def test_a_replacement_needs_the_present_version(records: Records) -> None:
    first = await _made(records, "key", 1, "t")
    second = await records.replace(first, 2)
    assert second == Record("space", "key", 2, 2, ("t",))
    assert await records.replace(first, 3) is None
    assert await records.get("space", "key") == second
    third = await records.replace(second, 3, tokens=["u", "t"])
    assert third == Record("space", "key", 3, 3, ("u", "t"))
    assert await records.find("space", ["t", "u"]) == {"t": third, "u": third}


async def test_a_replacement_gives_tokens_free_and_takes_others(records: Records) -> None:
    first = await _made(records, "one", 1, "t", "u")
    second = await records.replace(first, 1, tokens=["u", "v"])
    assert second is not None
    assert set(await records.find("space", ["t", "u", "v"])) == {"u", "v"}
    await _made(records, "two", 2, "t")
    assert await records.replace(second, 1, tokens=[]) is not None
    assert set(await records.find("space", ["t", "u", "v"])) == {"t"}


async def test_a_replacement_that_wants_a_taken_token_changes_nothing(records: Records) -> None:
    await _made(records, "one", 1, "t")
    two = await _made(records, "two", 2, "u")
    assert await records.replace(two, 3, tokens=["u", "t"]) is None
    assert await records.get("space", "two") == two
    assert (await records.find("space", ["t"]))["t"].key == "one"


async def test_a_replacement_of_nothing_is_none(records: Records) -> None:
    record = await _made(records, "key", 1, "t")
    assert await records.delete(record) is True
    assert await records.replace(record, 2) is None
    assert await records.get("space", "key") is None
    assert await records.find("space", ["t"]) == {}


async def test_a_deletion_needs_the_present_version(records: Records) -> None:
    first = await _made(records, "key", 1, "t")
    second = await records.replace(first, 2)
    assert second is not None
    assert await records.delete(first) is False
    assert await records.get("space", "key") == second
    assert await records.delete(second) is True
    assert await records.delete(second) is False
    again = await _made(records, "key", 3, "t")
    assert again.value == 3


async def test_an_old_record_cannot_pass_for_the_one_made_in_its_place(records: Records) -> None:
    old = await _made(records, "key", "old")
    assert await records.delete(old) is True
    new = await _made(records, "key", "new")
    assert await records.get("space", "key") == new


ORDERED = [
    " ",
    "A",
    "Z",
    "a",
    "a ",
    "a.b",
    "aa",
    "z",
    "ß",
    "ä" * 3,
    "\ue000",
    "\uffff",
    "\U0001f600",
]


async def test_keys_are_in_order_of_their_code_points(records: Records) -> None:
    expected = sorted(ORDERED)
    for key in reversed(ORDERED):
        await _made(records, key)
    assert await _keys(records) == expected
    assert await _keys(records, backwards=True) == expected[::-1]
    for key in ORDERED:
        place = expected.index(key)
        assert await _keys(records, after=key) == expected[place + 1 :]
        assert await _keys(records, before=key) == expected[:place]


async def test_a_range_leaves_out_its_ends_and_ends_at_its_limit(records: Records) -> None:
    for key in "abcdef":
        await _made(records, key)
    assert await _keys(records, after="b", before="e") == ["c", "d"]
    assert await _keys(records, after="b", before="b") == []
    assert await _keys(records, after="e", before="b") == []
    assert await _keys(records, after="bb", before="dd") == ["c", "d"]
    assert await _keys(records, limit=2) == ["a", "b"]
    assert await _keys(records, limit=2, backwards=True) == ["f", "e"]
    assert await _keys(records, after="a", limit=1, backwards=True) == ["f"]
    assert await _keys(records, after="", before="\U0010ffff") == list("abcdef")


async def test_a_range_stays_in_its_space(records: Records) -> None:
    await _made(records, "b")
    for space in ("space ", "spac", "spacf", "space.b", "spaceb", "\U0001f600"):
        assert await records.create(space, "c", space) is not None
    assert await _keys(records) == ["b"]
    assert [record.value for record in await records.range("spaceb")] == ["spaceb"]


async def test_names_of_any_spelling_are_told_apart(records: Records) -> None:
    names = [
        "a",
        "A",
        "a.b",
        "$a",
        "é",
        "e\u0301",
        "ß",
        "ss",
        " a",
        "x" * 4096,
        "\U0001f600" * 1000,
    ]
    for number, name in enumerate(names):
        assert await records.create(name, name, number, tokens=[name]) is not None
    for number, name in enumerate(names):
        record = await records.get(name, name)
        assert record == Record(name, name, number, 1, (name,))
        assert await records.find(name, names) == {name: record}


@pytest.mark.parametrize("wrong", ["", "a\nb", "\0", "\x7f", "x" * 4097, "\ud800", 5, None, b"a"])
async def test_a_name_that_cannot_be_kept_is_refused(records: Records, wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match="key"):
        await records.create("space", wrong, 1)
    with pytest.raises(InvalidInputError, match="space"):
        await records.create(wrong, "key", 1)
    with pytest.raises(InvalidInputError, match="token"):
        await records.create("space", "key", 1, tokens=["fine", wrong])
    assert await records.range("space") == []
    record = await _made(records, "key", 1, "t")
    with pytest.raises(InvalidInputError, match="token"):
        await records.replace(record, 2, tokens=[wrong])
    assert await records.get("space", "key") == record


@pytest.mark.parametrize("odd", ["", "\0", "a\nb", "\ud800"])
async def test_asking_by_a_name_that_nobody_can_have_finds_nothing(
    records: Records, odd: str
) -> None:
    """Or is refused, where it can't even be asked: never a driver's error."""
    await _made(records, "key", 1, "t")
    questions: list[Callable[[], Awaitable[Any]]] = [
        lambda: records.get("space", odd),
        lambda: records.get(odd, "key"),
        lambda: records.find("space", [odd]),
        lambda: records.find(odd, ["t"]),
        lambda: records.range(odd),
    ]
    for ask in questions:
        with suppress(InvalidInputError):
            assert not await ask()


async def test_values_that_are_not_json_are_refused(records: Records) -> None:
    for value in (float("nan"), {1: 2}, (1,), "\ud800", nested(1, 65), 2**63):
        with pytest.raises(EntryError, match=r"^value: "):
            await records.create("space", "key", value)
    record = await _made(records, "key", 1)
    with pytest.raises(EntryError, match=r"^value: "):
        await records.replace(record, float("inf"))
    assert await records.get("space", "key") == record


async def test_a_value_may_be_as_large_as_an_entry_and_no_larger(records: Records) -> None:
    fitting = "x" * (12 * 1024 * 1024 - 2)
    record = await _made(records, "key", fitting)
    assert record.value == fitting
    with pytest.raises(EntryTooLargeError, match=r"value: record 'key' takes 12,582,913 bytes"):
        await records.replace(record, fitting + "x")
    with pytest.raises(EntryTooLargeError, match="record 'other' takes"):
        await records.create("space", "other", fitting + "x")
    assert await _keys(records) == ["key"]


@pytest.mark.parametrize("limit", [0, -1, True, 2.0, None])
async def test_a_wrong_limit_is_refused(records: Records, limit: Any) -> None:
    with pytest.raises(InvalidInputError, match="limit must be a whole number"):
        await records.range("space", limit=limit)


async def test_of_many_creators_one_wins(records: Records) -> None:
    async def create(number: int, key: str, token: str) -> Record | None:
        return await records.create("space", key, number, tokens=[token])

    same_key = await asyncio.gather(*(create(n, "key", f"t{n}") for n in range(12)))
    assert len([won for won in same_key if won]) == 1
    same_token = await asyncio.gather(*(create(n, f"k{n}", "token") for n in range(12)))
    (winner,) = [won for won in same_token if won]
    assert await records.find("space", ["token"]) == {"token": winner}
    assert len(await records.range("space")) == 2


async def test_of_many_replacers_of_one_version_one_wins(records: Records) -> None:
    record = await _made(records, "key", 0)
    results = await asyncio.gather(*(records.replace(record, number) for number in range(12)))
    (winner,) = [won for won in results if won]
    assert await records.get("space", "key") == winner
    deletions = await asyncio.gather(*(records.delete(winner) for _ in range(5)))
    assert sorted(deletions) == [False] * 4 + [True]


async def test_counting_by_compare_and_set_loses_nothing(records: Records) -> None:
    await _made(records, "counter", 0)

    async def count() -> None:
        for _ in range(8):
            while True:
                seen = await records.get("space", "counter")
                assert seen is not None
                if await records.replace(seen, seen.value + 1):
                    break

    await asyncio.gather(*(count() for _ in range(4)))
    counter = await records.get("space", "counter")
    assert counter is not None
    assert (counter.value, counter.version) == (32, 33)


async def test_a_thousand_tokens_are_kept_with_one_record(records: Records) -> None:
    tokens = [f"entry-{number}" for number in range(1000)]
    record = await _made(records, "000001", list(range(1000)), *tokens)
    found = await records.find("space", [*tokens[::100], "absent"])
    assert set(found) == set(tokens[::100])
    assert all(one == record for one in found.values())
