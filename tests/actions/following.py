"""Following a remote in a test: until all that is here is as it is there."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from actions import Context
from dualstore.entry import Entry
from dualstore.manager import DualStoreManager
from dualstore.mirror.keeping_up import Following
from dualstore.remote.base import RemoteSource

PATIENCE = 30.0


@asynccontextmanager
async def followed(context: Context) -> AsyncIterator[Following]:
    """While it lasts what happens is taken in. Begins when it is caught up for the first time."""
    latest = Following()
    caught_up = asyncio.Event()

    def tell(now: Following) -> None:
        nonlocal latest
        for name in now.__slots__:
            setattr(latest, name, getattr(now, name))
        if now.state == "following":
            caught_up.set()

    task = asyncio.ensure_future(context.sync.follow(progress=tell))
    try:
        waiting = asyncio.ensure_future(caught_up.wait())
        await asyncio.wait({task, waiting}, return_when="FIRST_COMPLETED", timeout=PATIENCE)
        waiting.cancel()
        yield latest
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def there(remote: RemoteSource) -> dict[str, Any]:
    """All that the remote has: sessions as they are told, and their messages."""
    found: dict[str, Any] = {}
    for session in (await remote.fetch_sessions()).items:
        told = await remote.fetch_messages(session["id"])
        items = {each["info"]["id"]: each for each in told.items} if told else {}
        found[session["id"]] = ({k: v for k, v in session.items() if k != "project"}, items)
    return found


async def here(context: Context, *, is_gone: bool = False) -> dict[str, Any]:
    """All that is here and was told by the remote; what is gone there only if that is wanted."""
    families, upstream = context.families, context.upstream
    assert upstream is not None
    sessions = {each.metadata["session_id"]: each for each in await _all(families.sessions)}
    lists, marks = await upstream.coverage.lists(), await upstream.coverage.sessions(sessions)
    found: dict[str, Any] = {}
    for session_id, entry in sessions.items():
        mark = marks.get(session_id)
        gone = (mark is not None and mark.gone_at is not None) or entry.id in lists.unlisted
        if is_gone or not gone:
            found[session_id] = (entry.body, {})
    for each in await _all(families.messages):
        session_id, message_id = each.metadata["session_id"], each.metadata["message_id"]
        message = await upstream.coverage.message(each.id)
        gone = message is not None and message.gone_at is not None
        if session_id in found and (is_gone or not gone):
            found[session_id][1][message_id] = each.body
    return found


async def _all(manager: DualStoreManager) -> list[Entry]:
    found: list[Entry] = []
    cursor: str | None = None
    while True:
        page = await manager.page(limit=500, cursor=cursor)
        found += page.entries
        cursor = page.next_cursor
        if cursor is None:
            return found


async def converged(context: Context, remote: RemoteSource, *, but: str = "") -> None:
    """Wait until all is as it is there, and known to be; but of one session."""
    ends = asyncio.get_running_loop().time() + PATIENCE
    while True:
        wanted, found = await there(remote), await here(context)
        for each in (wanted, found):
            each.pop(but, None)
        if found == wanted and not await _unread(context, remote, wanted):
            return
        if asyncio.get_running_loop().time() > ends:
            different = _differences(found, wanted) or await _unread(context, remote, wanted)
            raise AssertionError(different)
        await asyncio.sleep(0.02)


async def _unread(context: Context, remote: RemoteSource, session_ids: Iterable[str]) -> list[str]:
    """Sessions of which something happened that isn't known to be taken in."""
    assert context.upstream is not None
    marks = await context.upstream.coverage.sessions(session_ids)
    known = {each: mark.reached.sequence for each, mark in marks.items() if mark.reached}
    told = await remote.fetch_history(known)
    wanted = set(session_ids)
    late = (each.session_id for each in told if each.session_id in wanted)
    return [*(wanted - known.keys()), *late]


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[Any]:
    """What is found and wanted of each session that isn't the same; of messages only which."""
    different: list[Any] = []
    for each in found.keys() | wanted.keys():
        (info, messages), (other, others) = found.get(each, ({}, {})), wanted.get(each, ({}, {}))
        ids = [i for i in messages.keys() | others.keys() if messages.get(i) != others.get(i)]
        if info != other or ids:
            which = {i: (i in messages, i in others) for i in ids}
            different.append((each, [info, other] if info != other else "same", which))
    return different
