"""What a client may rely on, on every kind of server. Others may use the same one."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing

import pytest

from dualstore.errors import InvalidInputError, RemoteError, RemoteRefusedError
from dualstore.remote.base import CONNECTED, Capabilities, Change, RemoteSource, Thing
from dualstore.remote.opencode import OpenCodeRemote
from tests.remote.conftest import Side
from tests.remote.following import connected
from tests.support.opencode_seed import seeded_id

ABSENT = "ses_thisisnowhere"
SECONDS = 20.0


def _ids(things: Iterable[Thing]) -> list[str]:
    return [thing["id"] for thing in things]


def _message_ids(things: Iterable[Thing]) -> list[str]:
    return [thing["info"]["id"] for thing in things]


def _sequences(changes: Iterable[Change]) -> list[int | None]:
    return [change.sequence for change in changes]


def _of(changes: Iterable[Change], session_id: str) -> list[Change]:
    return [change for change in changes if change.session_id == session_id]


def test_it_says_what_it_can(side: Side) -> None:
    expected = Capabilities(has_history=True, follows=True, most_named=900)
    assert side.remote().capabilities == expected
    assert side.remote(name="work").name == "work"


# Sessions


async def test_archived_sessions_children_and_other_projects_are_listed(
    side: Side, remote: RemoteSource
) -> None:
    write = side.writer
    archived = await write.create("Archived")
    await write.archive(archived)
    child = await write.create("Child", parent=archived)
    other = await write.create("Elsewhere", folder=side.elsewhere)
    listed = await remote.fetch_sessions()
    assert listed.complete
    assert {archived, child, other} <= set(_ids(listed.items))
    found = {each["id"]: each for each in listed.items}
    assert found[archived]["time"]["archived"]
    assert found[child]["parentID"] == archived
    assert found[other]["directory"] == side.elsewhere


async def test_the_newest_update_comes_first_and_a_limit_is_told_from_the_end(
    side: Side, remote: RemoteSource
) -> None:
    made = [await side.writer.create(f"Number {number}") for number in range(3)]
    await side.writer.say(made[0], "and so it is the newest")
    whole = await remote.fetch_sessions()
    assert whole.items[0]["id"] == made[0]
    times = [each["time"]["updated"] for each in whole.items]
    assert times == sorted(times, reverse=True)
    for limit, complete in ((1, False), (len(times) - 1, False), (len(times), True)):
        part = await remote.fetch_sessions(limit=limit)
        assert (len(part.items), part.complete) == (limit, complete)
    assert (await remote.fetch_sessions(limit=1)).items[0]["id"] == made[0]
    assert (await remote.fetch_sessions(limit=len(times) + 1)).complete


async def test_a_session_is_fetched_and_none_is_its_absence(
    side: Side, remote: RemoteSource
) -> None:
    made = await side.writer.create("Here")
    found = await remote.fetch_session(made)
    assert found is not None
    assert (found["id"], found["title"]) == (made, "Here")
    await side.writer.rename(made, "Otherwise")
    renamed = await remote.fetch_session(made)
    assert renamed is not None
    assert renamed["title"] == "Otherwise"
    await side.writer.delete(made)
    assert await remote.fetch_session(made) is None
    assert await remote.fetch_messages(made) is None


async def test_a_deleted_session_takes_its_children_along(side: Side, remote: RemoteSource) -> None:
    parent = await side.writer.create("Parent")
    child = await side.writer.create("Child", parent=parent)
    await side.writer.delete(parent)
    assert await remote.fetch_session(child) is None


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "ses",
        "abc",
        "msg_1",
        "ses_a/b",
        "../session",
        "ses_..",
        "ses_a?b",
        "ses_ä",
        "ses_a\n",
        "ses_\ud800",
    ],
)
async def test_ids_of_another_form_are_nobodys(remote: RemoteSource, odd: str) -> None:
    assert await remote.fetch_session(odd) is None
    assert await remote.fetch_messages(odd) is None
    assert await remote.fetch_message(odd, "msg_1") is None
    assert await remote.fetch_message(ABSENT, odd.replace("ses", "msg")) is None


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_limit_of_nothing_is_refused(remote: RemoteSource, limit: int) -> None:
    with pytest.raises(InvalidInputError, match="limit must be at least 1"):
        await remote.fetch_sessions(limit=limit)
    with pytest.raises(InvalidInputError, match="limit must be at least 1"):
        await remote.fetch_messages(ABSENT, limit=limit)


# Messages


async def test_messages_come_oldest_first_with_their_parts(
    side: Side, remote: RemoteSource
) -> None:
    session_id = await side.writer.create("Talk")
    said = [await side.writer.say(session_id, f"word\u2028 {number}") for number in range(3)]
    page = await remote.fetch_messages(session_id)
    assert page is not None
    assert (_message_ids(page.items), page.next_cursor) == (said, None)
    assert [each["parts"][0]["text"] for each in page.items] == [
        f"word\u2028 {number}" for number in range(3)
    ]
    assert all(each["info"]["sessionID"] == session_id for each in page.items)


async def test_a_session_without_messages_has_an_empty_page(
    side: Side, remote: RemoteSource
) -> None:
    page = await remote.fetch_messages(await side.writer.create("Silence"))
    assert page is not None
    assert (page.items, page.next_cursor) == ((), None)
    assert await remote.fetch_messages(ABSENT, limit=5) is None


@pytest.mark.parametrize("limit", [1, 4, 7, 10, 11])
async def test_pages_to_the_end_have_each_message_once(
    side: Side, remote: RemoteSource, limit: int
) -> None:
    """Some have the same time, also at the edge of a page."""
    session_id = await side.writer.seed(100 + limit, messages=10)
    whole = await remote.fetch_messages(session_id)
    assert whole is not None
    pages = [page async for page in _pages(remote, session_id, limit)]
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert [each for page in reversed(pages) for each in page] == list(whole.items)


async def _pages(
    remote: RemoteSource, session_id: str, limit: int
) -> AsyncIterator[tuple[Thing, ...]]:
    """Newest first."""
    cursor: str | None = None
    while True:
        page = await remote.fetch_messages(session_id, limit=limit, before=cursor)
        assert page is not None
        yield page.items
        if (cursor := page.next_cursor) is None:
            return


async def test_a_cursor_without_a_limit_leads_to_all_that_is_older(
    side: Side, remote: RemoteSource
) -> None:
    session_id = await side.writer.seed(120, messages=10)
    newest = await remote.fetch_messages(session_id, limit=3)
    assert newest is not None
    older = await remote.fetch_messages(session_id, before=newest.next_cursor)
    whole = await remote.fetch_messages(session_id)
    assert older is not None
    assert whole is not None
    assert (older.items + newest.items, older.next_cursor) == (whole.items, None)


@pytest.mark.parametrize("cursor", ["", "garbage", "ä", "\ud800", "e30", "x" * 9_000])
async def test_a_cursor_that_is_none_is_refused(
    side: Side, remote: RemoteSource, cursor: str
) -> None:
    session_id = await side.writer.create("Talk")
    for limit in (None, 2):
        with pytest.raises(RemoteError):
            await remote.fetch_messages(session_id, limit=limit, before=cursor)


async def test_a_message_is_fetched_and_none_is_its_absence(
    side: Side, remote: RemoteSource
) -> None:
    session_id, other = await side.writer.create("Talk"), await side.writer.create("Other")
    said = await side.writer.say(session_id, "something")
    found = await remote.fetch_message(session_id, said)
    assert found is not None
    assert (found["info"]["id"], found["parts"][0]["text"]) == (said, "something")
    assert await remote.fetch_message(other, said) is None
    assert await remote.fetch_message(ABSENT, said) is None
    await side.writer.remove(session_id, said)
    assert await remote.fetch_message(session_id, said) is None


async def test_a_thousand_messages_come_in_one_answer(side: Side, remote: RemoteSource) -> None:
    session_id = await side.writer.seed(200, messages=1_000)
    page = await remote.fetch_messages(session_id)
    assert page is not None
    assert [each["parts"][0]["text"] for each in page.items] == [
        f"message {number}" for number in range(1_000)
    ]
    told = _of(await remote.fetch_history({}), session_id)
    assert _sequences(told) == list(range(2_001))


# History


async def test_history_tells_a_session_from_its_beginning_in_order(
    side: Side, remote: RemoteSource
) -> None:
    session_id = await side.writer.create("Talk")
    said = await side.writer.say(session_id, "something")
    told = _of(await remote.fetch_history({}), session_id)
    assert _sequences(told) == list(range(len(told)))
    assert told[0].type == "session.created"
    assert told[0].data["info"]["title"] == "Talk"
    kinds = {change.type for change in told}
    assert {"message.updated", "message.part.updated", "session.updated"} <= kinds
    assert said in [
        change.data["info"]["id"] for change in told if change.type == "message.updated"
    ]
    assert len({change.id for change in told}) == len(told)


async def test_history_tells_what_is_new(side: Side, remote: RemoteSource) -> None:
    first, second = await side.writer.create("First"), await side.writer.create("Second")
    known = _last(await remote.fetch_history({}))
    assert await remote.fetch_history(known) == []
    await side.writer.rename(second, "Renamed")
    third = await side.writer.create("Third")
    told = await remote.fetch_history(known)
    assert {change.session_id for change in told} == {second, third}
    assert told == sorted(told, key=lambda change: (change.session_id, change.sequence))
    assert [c.data["info"]["title"] for c in _of(told, second)] == ["Renamed"]
    assert _sequences(_of(told, second)) == [known[second] + 1]
    assert first in known


async def test_history_tells_all_of_a_session_of_which_nothing_is_known(
    side: Side, remote: RemoteSource
) -> None:
    session_id = await side.writer.create("Talk")
    known = {**_last(await remote.fetch_history({})), session_id: -1}
    told = await remote.fetch_history(known)
    assert {change.session_id for change in told} == {session_id}
    assert _sequences(told) == [0]


async def test_history_says_nothing_of_what_is_deleted(side: Side, remote: RemoteSource) -> None:
    session_id = await side.writer.create("Short-lived")
    known = _last(await remote.fetch_history({}))
    await side.writer.delete(session_id)
    assert await remote.fetch_history(known) == []
    assert _of(await remote.fetch_history({}), session_id) == []


async def test_history_of_ids_of_another_form_is_no_matter(remote: RemoteSource) -> None:
    known = _last(await remote.fetch_history({}))
    assert await remote.fetch_history({**known, "": 1, "nobody's": 4, "\ud800": 5, ABSENT: 7}) == []


async def test_a_thousand_sessions_are_listed_and_known(side: Side, remote: RemoteSource) -> None:
    made = {await side.writer.seed(number) for number in range(1_000, 2_000)}
    listed = await remote.fetch_sessions()
    assert listed.complete
    assert made <= set(_ids(listed.items))
    known = _last(await remote.fetch_history({}))
    assert made <= set(known)
    assert await remote.fetch_history(known) == []
    new = seeded_id(1_500)
    await side.writer.rename(new, "Renamed")
    assert [(c.session_id, c.sequence) for c in await remote.fetch_history(known)] == [(new, 1)]


def _last(changes: Iterable[Change]) -> dict[str, int]:
    """By session, its last number."""
    return {each.session_id: each.sequence for each in changes if each.sequence is not None}


# Following


async def test_following_starts_with_being_connected_and_tells_all_in_order(side: Side) -> None:
    async with (
        asyncio.timeout(SECONDS),
        side.remote() as remote,
        aclosing(remote.follow()) as changes,
    ):
        await connected(changes, side.writer)
        session_id = await side.writer.create("Followed")
        said = await side.writer.say(session_id, "word\u2028\r\n word")
        await side.writer.rename(session_id, "Renamed")
        await side.writer.remove(session_id, said)
        expected = await remote.fetch_history({})
        await side.writer.delete(session_id)
        told = []
        async for change in changes:
            if change.session_id == session_id:
                told.append(change)
            if change.type == "session.deleted":
                break
    durable = [change for change in told if change.sequence is not None]
    assert _sequences(durable) == list(range(len(durable)))
    assert durable[:-1] == _of(expected, session_id)
    kinds = [change.type for change in durable]
    assert kinds[0] == "session.created"
    assert kinds[-2:] == ["message.removed", "session.deleted"]
    text = next(c for c in durable if c.type == "message.part.updated").data["part"]["text"]
    assert text == "word\u2028\r\n word"


async def test_several_follow_and_one_may_leave(side: Side) -> None:
    async with (
        asyncio.timeout(SECONDS),
        side.remote() as remote,
        aclosing(remote.follow()) as stays,
    ):
        async with aclosing(remote.follow()) as leaves:
            await connected(leaves, side.writer)
            await connected(stays, side.writer)
        session_id = await side.writer.create("Still told")
        async for change in stays:
            if change.session_id == session_id:
                break
        assert change.type == "session.created"


async def test_what_the_server_misses_at_first_is_there_when_it_is_connected(side: Side) -> None:
    async with (
        asyncio.timeout(SECONDS),
        side.remote() as remote,
        aclosing(remote.follow()) as changes,
    ):
        assert (await anext(changes)).type == CONNECTED
        missed = await side.writer.create("Perhaps too early")
        again = asyncio.ensure_future(anext(changes))
        while not again.done():
            await side.writer.rename(missed, "Listen!")
            await asyncio.wait({again}, timeout=0.1)
        assert again.result().type == CONNECTED
        known = _last(await remote.fetch_history({}))
        assert known[missed] >= 1
        await side.writer.rename(missed, "Told for sure")
        async for change in changes:
            if (change.session_id, change.sequence) == (missed, known[missed] + 1):
                break
        assert change.data["info"]["title"] == "Told for sure"


# Who asks


@pytest.mark.parametrize("wrong", [{"password": "not-it"}, {"user": "somebody"}])
async def test_a_wrong_login_is_refused_and_never_shown(
    side: Side, wrong: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with side.remote(**wrong) as remote:
        for ask in (
            remote.fetch_sessions(),
            remote.fetch_session(ABSENT),
            remote.fetch_messages(ABSENT),
            remote.fetch_message(ABSENT, "msg_1"),
            remote.fetch_history({}),
            anext(remote.follow()),
        ):
            with pytest.raises(RemoteRefusedError, match="DUALSTORE_REMOTE_PASSWORD") as caught:
                await ask
            _shows_none(str(caught.value) + repr(remote), side, wrong)
    _shows_none(caplog.text, side, wrong)


def _shows_none(text: str, side: Side, wrong: dict[str, str]) -> None:
    login = (wrong.get("user", side.user), wrong.get("password", side.password))
    assert text
    assert login[1] not in text
    assert base64.b64encode(":".join(login).encode()).decode() not in text


async def test_the_login_may_be_in_the_address(side: Side) -> None:
    address = side.url.replace("://", f"://{side.user}:{side.password}@")
    async with side.remote(user="", password="") as remote:
        with pytest.raises(RemoteRefusedError):
            await remote.fetch_sessions()
    async with OpenCodeRemote(address, transport=side.transport) as remote:
        await remote.fetch_sessions()
        assert side.password not in repr(remote)
