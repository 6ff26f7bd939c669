"""The remote of the examples keeps the contract, so that it can be copied."""

import json
from pathlib import Path

import pytest

from dualstore.errors import InvalidInputError, RemoteError, UnavailableError
from dualstore.mirror.kinds import message_copy, session_copy
from examples.other_remote import CONVERSATIONS, FolderRemote


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for session_id, told in CONVERSATIONS.items():
        (tmp_path / f"{session_id}.json").write_text(json.dumps(told))
    return tmp_path


@pytest.fixture
def remote(folder: Path) -> FolderRemote:
    return FolderRemote(folder)


async def test_what_it_tells_can_be_taken_in(remote: FolderRemote) -> None:
    listed = await remote.fetch_sessions()
    assert [session_copy(each).id for each in listed.items] == ["session:boiler", "session:garden"]
    assert listed.complete
    told = await remote.fetch_messages("boiler")
    assert told is not None
    copies = [message_copy(each, session_id="boiler") for each in told.items]
    assert [each.text.split()[0] for each in copies] == ["The", "I"]
    assert [each.timestamp for each in copies] == sorted(each.timestamp for each in copies)
    assert await remote.fetch_message("boiler", "000001") == told.items[1]


async def test_pages_lead_on_to_the_end(remote: FolderRemote) -> None:
    some = await remote.fetch_sessions(limit=1)
    assert ([each["id"] for each in some.items], some.complete) == (["boiler"], False)
    assert (await remote.fetch_sessions(limit=2)).complete
    newest = await remote.fetch_messages("boiler", limit=1)
    assert newest is not None
    older = await remote.fetch_messages("boiler", limit=1, before=newest.next_cursor)
    assert older is not None
    ids = [each["info"]["id"] for each in (*older.items, *newest.items)]
    assert (ids, older.next_cursor) == (["000000", "000001"], None)


@pytest.mark.parametrize(
    "session_id", ["attic", "../boiler", "", "boiler.json", "\0", "/etc/passwd"]
)
async def test_none_is_its_own_word(remote: FolderRemote, session_id: str) -> None:
    assert await remote.fetch_session(session_id) is None
    assert await remote.fetch_messages(session_id) is None
    assert await remote.fetch_message(session_id, "000000") is None
    assert await remote.fetch_message("boiler", "000009") is None


@pytest.fixture
def gone(folder: Path) -> FolderRemote:
    folder.rename(folder.with_name("elsewhere"))
    return FolderRemote(folder)


async def test_a_folder_that_is_gone_is_unavailable(gone: FolderRemote) -> None:
    for asking in (
        gone.fetch_sessions(),
        gone.fetch_session("boiler"),
        gone.fetch_messages("boiler"),
        gone.fetch_message("boiler", "000000"),
    ):
        with pytest.raises(UnavailableError):
            await asking


async def test_what_it_can_not_answer_is_said(remote: FolderRemote, folder: Path) -> None:
    (folder / "torn.json").write_text('{"title": ')
    for asking in (
        remote.fetch_session("torn"),
        remote.fetch_messages("boiler", before="nonsense"),
        remote.fetch_history({}),
    ):
        with pytest.raises(RemoteError):
            await asking
    with pytest.raises(RemoteError):
        remote.follow()
    for limit in (0, -1):
        with pytest.raises(InvalidInputError):
            await remote.fetch_sessions(limit=limit)
        with pytest.raises(InvalidInputError):
            await remote.fetch_messages("boiler", limit=limit)
