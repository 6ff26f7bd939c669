"""Pages, counts and tallies, on every backend."""

import base64
from itertools import product
from typing import Any

import pytest

from dualstore.documents.base import DocumentStore, Order, Tally
from dualstore.errors import CursorError, InvalidInputError
from dualstore.filters import EVERYTHING, parse
from tests.documents.writing import NOW, draft, ids, put

ORDERS: list[Order] = ["timestamp", "updated"]


async def _walk(store: DocumentStore, **query: Any) -> list[str]:
    """All pages of a query, one after the other."""
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.page(**query, cursor=cursor)
        assert len(page.entries) <= query.get("limit", 50)
        seen += ids(page.entries)
        cursor = page.next_cursor
        if cursor is None:
            return seen


async def _fill(store: DocumentStore) -> dict[Order, list[str]]:
    """Entries whose two orders differ, with many equal times; the ids in either order."""
    times = [0, 0, 0, 5, 5, -3, 253_402_300_799_999, -62_135_596_800_000, 7, 7]
    names = ["b", "a", "ä", "Z", "\ue000", "\U0001f600", "c", "d", "\uffff", "e"]
    places = list(zip(names, times, product(range(5), range(2)), strict=True))
    for name, at, (moment, _) in reversed(places):
        await store.put([draft(name, f"text {name}", at=at)], now=NOW - moment)
    updated = {
        name: max(NOW - moment for n, _, (moment, _) in places if n == name) for name in names
    }
    return {
        "timestamp": [name for _, name in sorted((at, name) for name, at, _ in places)],
        "updated": [name for _, name in sorted((updated[name], name) for name in names)],
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 9, 10, 11])
async def test_pages_lead_through_everything_in_either_order_and_direction(
    store: DocumentStore, limit: int
) -> None:
    expected = await _fill(store)
    for order in ORDERS:
        forwards = await _walk(store, order=order, newest=False, limit=limit)
        backwards = await _walk(store, order=order, newest=True, limit=limit)
        assert forwards == expected[order]
        assert backwards == expected[order][::-1]


async def test_the_newest_come_first_unless_said_otherwise(store: DocumentStore) -> None:
    await put(store, [draft("a", at=1), draft("b", at=3), draft("c", at=2)])
    assert ids((await store.page()).entries) == ["b", "c", "a"]
    assert ids((await store.page(newest=False)).entries) == ["a", "c", "b"]


async def test_the_last_page_says_so(store: DocumentStore) -> None:
    await put(store, [draft("a"), draft("b"), draft("c")])
    assert (await store.page(limit=3)).next_cursor is None
    first = await store.page(limit=2)
    assert first.next_cursor is not None
    second = await store.page(limit=2, cursor=first.next_cursor)
    assert (len(second.entries), second.next_cursor) == (1, None)


async def test_there_is_no_hidden_cap(store: DocumentStore) -> None:
    await put(store, [draft(f"{number:04}", at=number // 7) for number in range(1500)])
    assert ids((await store.page(newest=False, limit=10**12)).entries) == [
        f"{number:04}" for number in range(1500)
    ]
    assert len(await _walk(store, limit=100)) == 1500


async def test_skip_counts_from_the_front_and_from_a_cursor(store: DocumentStore) -> None:
    await put(store, [draft(f"{number:02}", at=number // 3) for number in range(20)])
    page = await store.page(newest=False, limit=3, skip=4)
    assert ids(page.entries) == ["04", "05", "06"]
    page = await store.page(newest=False, limit=3, skip=2, cursor=page.next_cursor)
    assert ids(page.entries) == ["09", "10", "11"]
    assert ids((await store.page(newest=False, skip=18)).entries) == ["18", "19"]
    assert (await store.page(skip=20)).entries == ()
    assert (await store.page(skip=10**12)).entries == ()


@pytest.mark.parametrize("skip", [-1, True, 0.5, "1", None])
async def test_a_wrong_skip_is_refused(store: DocumentStore, skip: Any) -> None:
    with pytest.raises(InvalidInputError, match="skip must be a whole number from 0 on"):
        await store.page(skip=skip)


async def test_a_filter_goes_along_with_its_pages(store: DocumentStore) -> None:
    for number in range(12):
        role = "user" if number % 3 else "tool"
        await put(store, [draft(f"{number:02}", at=number // 5, role=role, n=number)])
    tool = ["00", "03", "06", "09"]
    assert await _walk(store, where=parse({"metadata.role": "tool"}), newest=False, limit=1) == tool
    where = parse({"metadata.n": {"$gte": 3}, "metadata.role": "tool"})
    assert await _walk(store, where=where, newest=True, limit=2) == ["09", "06", "03"]


async def test_what_is_written_between_pages_shows_up_in_its_place(store: DocumentStore) -> None:
    await put(store, [draft(f"m{number}", at=10 * number) for number in range(6)])
    page = await store.page(newest=False, limit=3)
    assert ids(page.entries) == ["m0", "m1", "m2"]
    await put(store, [draft("behind", at=5), draft("ahead", at=35)], now=NOW + 1)
    await store.delete(["m1", "m4"], now=NOW + 1)
    rest = await store.page(newest=False, limit=10, cursor=page.next_cursor)
    assert ids(rest.entries) == ["m3", "ahead", "m5"]


async def test_a_page_goes_on_when_the_entry_it_ended_with_is_gone(store: DocumentStore) -> None:
    await put(store, [draft(name, at=7) for name in "abcd"])
    page = await store.page(limit=2)
    assert ids(page.entries) == ["d", "c"]
    await store.delete(["c"], now=NOW)
    assert ids((await store.page(limit=2, cursor=page.next_cursor)).entries) == ["b", "a"]


async def test_an_entry_that_was_updated_meanwhile_moves_to_the_end_of_its_order(
    store: DocumentStore,
) -> None:
    for moment, name in enumerate("abc"):
        await put(store, [draft(name)], now=NOW + moment)
    page = await store.page(order="updated", newest=False, limit=1)
    await put(store, [draft("b", "changed")], now=NOW + 9)
    rest = await _walk_on(store, page.next_cursor)
    assert (ids(page.entries), rest) == (["a"], ["c", "b"])


async def _walk_on(store: DocumentStore, cursor: str | None) -> list[str]:
    page = await store.page(order="updated", newest=False, limit=10, cursor=cursor)
    return ids(page.entries)


async def test_deleted_entries_are_in_no_page_and_no_count(store: DocumentStore) -> None:
    await put(store, [draft("a", session_id="s"), draft("b", session_id="s")])
    await store.delete(["a"], now=NOW)
    await store.delete(["nobody"], now=NOW, origin="opencode")
    for order in ORDERS:
        assert ids((await store.page(order=order)).entries) == ["b"]
    assert await store.count() == 1
    assert await store.count(parse({"metadata.session_id": "s"})) == 1
    assert await store.count(parse({"$not": {"id": "x"}})) == 1
    assert (await store.tally())["s"].count == 1


@pytest.mark.parametrize("garbage", ["", "x", "=", "AAAA", "\ud800", "é", "a" * 10_000])
async def test_a_garbage_cursor_is_refused(store: DocumentStore, garbage: str) -> None:
    with pytest.raises(CursorError):
        await store.page(cursor=garbage)


async def test_a_cursor_of_another_query_is_refused(store: DocumentStore) -> None:
    await put(store, [draft(name) for name in "abc"])
    cursor = (await store.page(limit=1)).next_cursor
    assert cursor is not None
    others: list[dict[str, Any]] = [
        {"newest": False},
        {"order": "updated"},
        {"where": parse({"id": "a"})},
    ]
    for query in others:
        with pytest.raises(CursorError, match="another query"):
            await store.page(**query, cursor=cursor)
    raw = bytearray(base64.urlsafe_b64decode(cursor))
    raw[-2] ^= 1
    with pytest.raises(CursorError, match="damaged"):
        await store.page(cursor=base64.urlsafe_b64encode(raw).decode())
    assert len((await store.page(limit=5, cursor=cursor)).entries) == 2


async def test_counts_are_exact(store: DocumentStore) -> None:
    await put(store, [draft(f"{number}", n=number, role="user") for number in range(120)])
    assert await store.count() == await store.count(EVERYTHING) == 120
    assert await store.count(parse({"metadata.n": {"$lt": 50}})) == 50
    assert await store.count(parse({"metadata.role": "user"})) == 120
    assert await store.count(parse({"metadata.role": "nobody"})) == 0
    await put(store, [draft("0", n=0, role="tool")])
    await store.delete(["1"], now=NOW)
    await put(store, [draft("1", "lifted", role="user")])
    assert await store.count() == 120
    assert await store.count(parse({"metadata.role": "user"})) == 119


async def test_a_tally_counts_per_thread_and_says_the_newest(store: DocumentStore) -> None:
    drafts = [
        draft("a", at=5, session_id="s", role="user"),
        draft("b", at=9, session_id="s", role="tool"),
        draft("c", at=-4, session_id="t", role="user"),
        draft("d", at=99, session_id=["s", "t"]),
        draft("e", at=99, session_id=5),
        draft("f", at=99),
        draft("g", at=3, session_id=""),
    ]
    await put(store, drafts)
    everything = {"s": Tally(2, 9), "t": Tally(1, -4), "": Tally(1, 3)}
    assert await store.tally() == everything
    assert await store.tally(["s", "nobody", "s"]) == {"s": Tally(2, 9)}
    assert await store.tally([]) == {}
    users = parse({"metadata.role": "user"})
    assert await store.tally(where=users) == {"s": Tally(1, 5), "t": Tally(1, -4)}
    assert await store.tally(["t", ""], where=users) == {"t": Tally(1, -4)}
    await store.delete(["b"], now=NOW)
    assert (await store.tally(["s"])) == {"s": Tally(1, 5)}


async def test_threads_of_any_name_are_told_apart(store: DocumentStore) -> None:
    names = ["a", "A", "a.b", "$x", "\0", "a\0b", "ß", "SS", " ", "\U0001f600", "x" * 2000]
    await put(store, [draft(f"{at}", at=at, session_id=name) for at, name in enumerate(names)])
    expected = {name: Tally(1, at) for at, name in enumerate(names)}
    assert await store.tally() == expected
    assert await store.tally(names) == expected
    for name in names:
        assert await store.count(parse({"metadata.session_id": name})) == 1


async def test_a_filter_as_wide_as_callers_make_them_is_answered(store: DocumentStore) -> None:
    await put(store, [draft(f"{number}", n=number, role=f"r{number}") for number in range(5)])
    many = [f"{number}" for number in range(3, 3000)]
    assert await store.count(parse({"id": {"$in": many}})) == 2
    assert await store.count(parse({"metadata.role": {"$in": [f"r{name}" for name in many]}})) == 2
    assert await store.count(parse({"metadata.n": {"$nin": [int(name) for name in many]}})) == 3
    one_by_one: list[dict[str, Any]] = [{"id": name} for name in many]
    assert await store.count(parse({"$or": one_by_one})) == 2
    lists = [{"id": {"$in": [f"x{number}", *many]}} for number in range(30)]
    assert await store.count(parse({"$and": lists})) == 2


async def test_asking_for_many_ids_at_once_works(store: DocumentStore) -> None:
    await put(store, [draft("5"), draft("nobody")])
    names = [f"{number}" for number in range(40_000)]
    assert list(await store.get(names)) == ["5"]
    assert list(await store.candidates_by_id(names)) == ["5"]
