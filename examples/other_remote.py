"""Any other source as a remote: here a folder with one JSON file for each conversation.

Run:      python -m examples.other_remote
You see:  a list and a conversation that come from the folder, the same again without asking it, a
          question in other words that finds what was said, and what is answered when the folder
          is gone.
Nothing is left behind: the folder is a temporary one.

A remote answers five questions. What it hands out has the shape that is kept here: sessions with
`id` and `time.updated`, messages with `info.id`, `info.sessionID`, `info.time.created` and
`parts`; whatever else is in them stays in them. It says None only when it knows that there is no
such thing, and raises `UnavailableError` when it can't tell.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, Self

from actions import Answer, messages, open_actions, sessions
from dualstore import InvalidInputError, RemoteError, Settings, UnavailableError
from dualstore.remote.base import (
    Capabilities,
    Change,
    RemoteMessages,
    RemoteSessions,
    RemoteSource,
    Thing,
)


class FolderRemote(RemoteSource):
    """Conversations in files: `{id}.json` with a title, and messages with time, role and text."""

    name = "folder"
    capabilities = Capabilities()  # no history, nothing to follow

    def __init__(self, folder: Path) -> None:
        self.place = f"folder:{folder}"
        self._folder = folder

    async def fetch_sessions(self, *, limit: int | None = None) -> RemoteSessions:
        _check_limit(limit)
        all_ids = await asyncio.to_thread(self._ids)
        found = [await self.fetch_session(each) for each in all_ids]
        things = sorted(filter(None, found), key=lambda each: -each["time"]["updated"])
        return RemoteSessions(tuple(things[:limit]), complete=limit is None or limit >= len(things))

    async def fetch_session(self, session_id: str) -> Thing | None:
        told = await asyncio.to_thread(self._read, session_id)
        if told is None:
            return None
        times = [each["at"] for each in told["messages"]] or [0]
        time = {"created": min(times), "updated": max(times)}
        return {"id": session_id, "title": told["title"], "time": time}

    async def fetch_messages(
        self, session_id: str, *, limit: int | None = None, before: str | None = None
    ) -> RemoteMessages | None:
        _check_limit(limit)
        told = await asyncio.to_thread(self._read, session_id)
        if told is None:
            return None
        if before is not None and not before.isdecimal():
            raise RemoteError(f"{before!r} is no cursor of this folder")
        end = len(told["messages"]) if before is None else int(before)
        start = 0 if limit is None else max(0, end - limit)
        some = [_message(session_id, told["messages"][at], at) for at in range(start, end)]
        return RemoteMessages(tuple(some), next_cursor=str(start) if start else None)

    async def fetch_message(self, session_id: str, message_id: str) -> Thing | None:
        told = await self.fetch_messages(session_id)
        items = told.items if told else ()
        return next((each for each in items if each["info"]["id"] == message_id), None)

    async def fetch_history(self, known: Mapping[str, int]) -> list[Change]:  # noqa: ARG002
        raise RemoteError("a folder has no history")

    def follow(self) -> AsyncGenerator[Change, None]:
        raise RemoteError("a folder can't be followed")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        pass

    def _ids(self) -> list[str]:
        if not self._folder.is_dir():
            raise UnavailableError("the folder is not there")
        return [each.stem for each in self._folder.glob("*.json")]

    def _read(self, session_id: str) -> Any:
        if session_id not in self._ids():  # an id from outside never becomes a path
            return None
        try:
            return json.loads((self._folder / f"{session_id}.json").read_text())
        except OSError as error:
            raise UnavailableError(f"{session_id} can't be read: {error}") from error
        except ValueError as error:
            raise RemoteError(f"{session_id} is no JSON: {error}") from error


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise InvalidInputError(f"a limit is at least 1, not {limit}")


def _message(session_id: str, told: Any, at: int) -> Thing:
    info = {
        "id": f"{at:06}",
        "sessionID": session_id,
        "role": told["role"],
        "time": {"created": told["at"]},
    }
    return {"info": info, "parts": [{"type": "text", "text": told["text"]}]}


JUNE = 1_750_000_000_000
CONVERSATIONS: dict[str, Any] = {
    "boiler": {
        "title": "The boiler",
        "messages": [
            {"at": JUNE, "role": "user", "text": "The radiator in the attic stays cold."},
            {"at": JUNE + 60_000, "role": "assistant", "text": "I asked a plumber for Monday."},
        ],
    },
    "garden": {
        "title": "The garden",
        "messages": [{"at": JUNE - 60_000, "role": "user", "text": "When do I prune the roses?"}],
    },
}


def show(what: str, answer: Answer[Any], told: object) -> None:
    """Print what an answer says, and how far it can be trusted."""
    print(f"{what}: {told}  [{answer.source}, complete: {answer.complete}]")
    for reason in answer.degraded:
        print(f"  ({reason})")


async def main() -> None:
    """Read from the folder, then without it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "conversations"
        folder.mkdir()
        for session_id, told in CONVERSATIONS.items():
            (folder / f"{session_id}.json").write_text(json.dumps(told))
        settings = Settings(
            documents=f"sqlite:///{place}/memory.sqlite",
            vectors=f"chroma:///{place}/vectors",
            fresh_lists=0,  # so that each list asks the folder
            stale=0,
        )
        async with (
            FolderRemote(folder) as remote,
            open_actions(settings, remote=remote) as context,
        ):
            listed = await sessions.list(context)
            show("list", listed, [each.title for each in listed.value.sessions])
            for what in ("get", "again"):
                got = await sessions.get(context, "boiler")
                show(what, got, f"{len(got.value.messages)} messages")
            await context.store.drain()
            found = await messages.search(context, "heating is broken", k=1)
            show("search", found, found.value.results[0].snippet)

            folder.rename(folder.with_name("elsewhere"))
            listed = await sessions.list(context)
            show("list", listed, [each.title for each in listed.value.sessions])
            got = await sessions.get(context, "boiler")
            show("get", got, f"{len(got.value.messages)} messages")
            try:
                await sessions.get(context, "kitchen")
            except UnavailableError as error:  # not "not found": nobody knows
                print("get:", str(error).partition(":")[0])


if __name__ == "__main__":
    asyncio.run(main())
