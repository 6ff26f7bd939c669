"""Changing an OpenCode server, real or not, over HTTP: as its users do, or by replaying a past."""

from collections.abc import Iterator
from typing import Any, Final

import httpx

Event = dict[str, Any]

BEGINNING: Final = 1_760_000_000_000
TIED: Final = 3
"""That many messages in a row have the same time."""


class OpenCodeWriter:
    """Every method is done when it returns. The client knows the address and the login."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._project: dict[str, str] = {}

    async def create(self, title: str, *, parent: str = "", folder: str = "") -> str:
        body = {"title": title} | ({"parentID": parent} if parent else {})
        where = {"directory": folder} if folder else None
        return str((await self._ask("POST", "/session", body, where))["id"])

    async def rename(self, session_id: str, title: str) -> None:
        await self._ask("PATCH", f"/session/{session_id}", {"title": title})

    async def archive(self, session_id: str) -> None:
        await self._ask("PATCH", f"/session/{session_id}", {"time": {"archived": BEGINNING}})

    async def delete(self, session_id: str) -> None:
        """With its children."""
        await self._ask("DELETE", f"/session/{session_id}")

    async def say(self, session_id: str, text: str) -> str:
        """A user's message that nobody answers."""
        body = {"noReply": True, "parts": [{"type": "text", "text": text}]}
        answer = await self._ask("POST", f"/session/{session_id}/message", body)
        return str(answer["info"]["id"])

    async def prompt(self, session_id: str, text: str) -> dict[str, Any]:
        """A user's message, and the last one of those that answer it; for servers with a model."""
        body = {"parts": [{"type": "text", "text": text}]}
        return dict(await self._ask("POST", f"/session/{session_id}/message", body))

    async def abort(self, session_id: str) -> None:
        """The turn that is under way."""
        await self._ask("POST", f"/session/{session_id}/abort")

    async def remove(self, session_id: str, message_id: str) -> None:
        await self._ask("DELETE", f"/session/{session_id}/message/{message_id}")

    async def fork(self, session_id: str, *, before: str) -> str:
        """With the messages that come before one."""
        made = await self._ask("POST", f"/session/{session_id}/fork", {"messageID": before})
        return str(made["id"])

    async def revert(self, session_id: str, message_id: str) -> None:
        """What was said from there on goes when something else is said."""
        await self._ask("POST", f"/session/{session_id}/revert", {"messageID": message_id})

    async def edit(self, part: dict[str, Any], text: str) -> None:
        """Without a new time of update for the session."""
        await self._ask("PATCH", _path_of(part), {**part, "text": text})

    async def remove_part(self, part: dict[str, Any]) -> None:
        """As `edit`."""
        await self._ask("DELETE", _path_of(part))

    async def seed(self, number: int, *, messages: int = 0) -> str:
        """A session with a past, which is told to nobody who follows."""
        self._project = self._project or await self._ask("GET", "/project/current")
        where, project = self._project["worktree"], self._project["id"]
        events = list(seeded(number, project=project, folder=where, messages=messages))
        await self._ask("POST", "/sync/replay", {"directory": where, "events": events})
        return seeded_id(number)

    async def export(self, number: int, *, messages: int) -> dict[str, Any]:
        """As `seed` makes it, without making it."""
        self._project = self._project or await self._ask("GET", "/project/current")
        where, project = self._project["worktree"], self._project["id"]
        return exported(number, project=project, folder=where, messages=messages)

    async def _ask(
        self, method: str, path: str, body: object = None, parameters: dict[str, str] | None = None
    ) -> Any:
        answer = await self._client.request(method, path, json=body, params=parameters)
        assert answer.status_code == httpx.codes.OK, (method, path, answer.status_code, answer.text)
        return answer.json()


def _path_of(part: dict[str, Any]) -> str:
    return f"/session/{part['sessionID']}/message/{part['messageID']}/part/{part['id']}"


def seeded_id(number: int) -> str:
    return f"ses_seeded{number:08}"


def seeded(number: int, *, project: str, folder: str, messages: int = 0) -> Iterator[Event]:
    """All that happened to a session: always the same for a number."""
    session_id, begun = seeded_id(number), BEGINNING + number * 1_000
    done = [("session.created.1", {"info": session_info(session_id, project, folder, begun)})]
    for index in range(messages):
        info, part = _message(session_id, number, index, begun + 1 + index // TIED)
        done.append(("message.updated.1", {"info": info}))
        done.append(("message.part.updated.1", {"part": part, "time": info["time"]["created"]}))
    for sequence, (kind, data) in enumerate(done):
        yield {
            "id": f"evt_seeded{number:08}{sequence:08}",
            "aggregateID": session_id,
            "seq": sequence,
            "type": kind,
            "data": {"sessionID": session_id, **data},
        }


def exported(number: int, *, project: str, folder: str, messages: int) -> dict[str, Any]:
    """The same session, as OpenCode's command line exports it and imports it: without events."""
    (_, created), *told = (
        (each["type"], each["data"])
        for each in seeded(number, project=project, folder=folder, messages=messages)
    )
    infos = [data["info"] for _, data in told if "info" in data]
    parts = [data["part"] for _, data in told if "part" in data]
    both = zip(infos, parts, strict=True)
    return {
        "info": created["info"],
        "messages": [{"info": info, "parts": [part]} for info, part in both],
    }


def session_info(session_id: str, project: str, folder: str, begun: int) -> dict[str, Any]:
    return {
        "id": session_id,
        "slug": session_id[-8:],
        "projectID": project,
        "directory": folder,
        "path": "",
        "title": f"Session {session_id[4:]}",
        "version": "1.18.33",
        "cost": 0,
        "tokens": {"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}},
        "time": {"created": begun, "updated": begun},
    }


def user_message(session_id: str, message_id: str, created: int) -> dict[str, Any]:
    return {
        "id": message_id,
        "sessionID": session_id,
        "role": "user",
        "time": {"created": created},
        "agent": "build",
        "model": {"providerID": "none", "modelID": "none"},
    }


def text_part(session_id: str, message_id: str, part_id: str, text: str) -> dict[str, Any]:
    return {
        "id": part_id,
        "sessionID": session_id,
        "messageID": message_id,
        "type": "text",
        "text": text,
    }


def _message(
    session_id: str, number: int, index: int, created: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    message_id = f"msg_seeded{number:08}{index:08}"
    part_id = f"prt_seeded{number:08}{index:08}"
    info = user_message(session_id, message_id, created)
    return info, text_part(session_id, message_id, part_id, f"message {index}")
