"""An OpenCode server inside the test: a transport for httpx that answers like the real one.

    double = OpenCodeDouble()
    session_id = double.create_session("First")
    async with OpenCodeRemote(double.url, transport=double) as remote: ...

The contract suite of the remote runs on it and on the real server.
"""

import asyncio
import base64
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import httpx
import orjson

from tests.support.opencode_faults import Fault, Pieces
from tests.support.opencode_model import (
    FOLDER,
    OpenCodeModel,
    Thing,
    cursor_of,
    place,
    place_of,
    project_id,
)

_MOST_NAMED: Final = 996
_CONNECTED: Final = {"payload": {"id": "evt_0", "type": "server.connected", "properties": {}}}
_BEAT: Final = {"payload": {"id": "evt_1", "type": "server.heartbeat", "properties": {}}}
_BUSY_TREE: Final = "Expression tree is too large (maximum depth 1000)"


class OpenCodeDouble(OpenCodeModel, httpx.AsyncBaseTransport):
    """`faults` happen to the next requests in order; `fault_of` decides on each one else."""

    url = "http://opencode.test"
    user = "opencode"

    def __init__(self, *, password: str = "") -> None:
        super().__init__()
        self.password = password
        self.faults: deque[Fault] = deque()
        self.fault_of: Callable[[httpx.Request], Fault | None] = lambda _: None
        self.asked: Counter[str] = Counter()
        """How often, by `GET /path`."""
        self.listens_late = False
        """What happens to those who connect from now on is lost before the first `beat`."""
        self._streams: set[asyncio.Queue[bytes | None]] = set()
        self._late: set[asyncio.Queue[bytes | None]] = set()
        self.listeners.append(lambda event: self.tell(b"data: %b\n\n" % orjson.dumps(event)))

    @property
    def followers(self) -> int:
        return len(self._streams) + len(self._late)

    def beat(self) -> None:
        """As the real one does every 10 s."""
        self._streams |= self._late
        self._late.clear()
        self.tell(b"data: %b\n\n" % orjson.dumps(_BEAT))

    def tell(self, raw: bytes) -> None:
        """To all who follow, whatever it is."""
        for stream in self._streams:
            stream.put_nowait(raw)

    def hang_up(self) -> None:
        """On all who follow."""
        for stream in self._streams:
            stream.put_nowait(None)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked[f"{request.method} {request.url.path}"] += 1
        await request.aread()
        fault = self.faults.popleft() if self.faults else self.fault_of(request)
        if fault is not None:
            return await fault(request)
        if not self._is_known(request):
            return httpx.Response(401, headers={"www-authenticate": 'Basic realm="Secure Area"'})
        await asyncio.sleep(0)  # nobody on a network answers in the same step
        return self._answer(request)

    def _is_known(self, request: httpx.Request) -> bool:
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return not self.password or request.headers.get("authorization") == f"Basic {login}"

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content) if request.content else {}
        path = request.url.path.strip("/").split("/")
        match request.method, *path:
            case "GET", "global", "event":
                return self._follow()
            case "GET", "project", "current":
                return _json({"id": project_id(FOLDER), "worktree": FOLDER})
            case "GET", "experimental", "session":
                return self._sessions(request.url.params)
            case "POST", "sync", action:
                return self._sync(action, body)
            case "POST", "session":
                folder = request.url.params.get("directory", FOLDER)
                parent = body.get("parentID", "")
                made = self.create_session(body.get("title", ""), parent=parent, folder=folder)
                return _json(self.sessions[made])
            case method, "session", session_id, *rest if session_id in self.sessions:
                return self._session(method, session_id, rest, body, request.url.params)
            case _, "session", session_id, "message", message_id:
                return _missing(f"Message not found: {message_id}")
            case _, "session", session_id, *_:
                return _missing(f"Session not found: {session_id}")
        return httpx.Response(200, html="<!doctype html><title>OpenCode</title>")

    def _session(
        self, method: str, session_id: str, rest: list[str], body: Thing, asked: httpx.QueryParams
    ) -> httpx.Response:
        match method, *rest:
            case ("GET",):
                return _json(self.sessions[session_id])
            case ("PATCH",):
                if "title" in body:
                    self.rename(session_id, body["title"])
                if "archived" in body.get("time", {}):
                    self.archive(session_id)
                return _json(self.sessions[session_id])
            case ("DELETE",):
                self.delete_session(session_id)
                return _json(True)
            case "GET", "message":
                return self._page(session_id, asked)
            case "POST", "message":
                made = self.add_message(session_id, body["parts"][0]["text"])
                return _json(self.message(session_id, made))
            case "POST", "fork":
                made = self.fork(session_id, before=body.get("messageID", ""))
                return _json(self.sessions[made])
            case "POST", "revert":
                self.revert(session_id, body["messageID"])
                return _json(self.sessions[session_id])
            case "PATCH", "message", message_id, "part", part_id:
                self.write_part(session_id, message_id, body["text"], part_id=part_id)
                return _json(self.parts[session_id][message_id][part_id])
            case "DELETE", "message", message_id, "part", part_id:
                self.remove_part(session_id, message_id, part_id)
                return _json(True)
            case "DELETE", "message", message_id:
                self.delete_message(session_id, message_id)
                return _json(True)
            case "GET", "message", message_id if message_id in self.infos[session_id]:
                return _json(self.message(session_id, message_id))
        return _missing(f"Message not found: {rest[-1]}")

    def _sessions(self, asked: httpx.QueryParams) -> httpx.Response:
        limit = int(asked.get("limit", 100))
        found = self.listed(archived=asked.get("archived") == "true")
        more = {"x-next-cursor": "0"} if len(found) > limit else {}
        return _json([{**each, "project": None} for each in found[:limit]], headers=more)

    def _page(self, session_id: str, asked: httpx.QueryParams) -> httpx.Response:
        found, limit = self.messages(session_id), int(asked.get("limit", 0))
        if before := asked.get("before"):
            try:
                end = place_of(before)
                found = [message for message in found if place(message) < end]
            except (ValueError, KeyError, TypeError):
                return _json({"_tag": "BadRequest"}, status=400)
            if not limit:
                return _json({"_tag": "BadRequest"}, status=400)
        page = found[-limit:]
        more = {"X-Next-Cursor": cursor_of(page[0])} if len(page) < len(found) else {}
        return _json(page, headers=more)

    def _sync(self, action: str, body: Any) -> httpx.Response:
        if action == "replay":
            for event in body["events"]:
                self.replay(event)
            return _json({})
        if any(known < 0 for known in body.values()):
            error = {"name": "BadRequest", "data": {"message": "below 0", "kind": "Payload"}}
            return _json(error, status=400)
        if any(number < 0 for number in body.values()):
            wrong = "Expected a value greater than or equal to 0"
            error = {"name": "BadRequest", "data": {"message": wrong, "kind": "Payload"}}
            return _json(error, status=400)
        if len(body) > _MOST_NAMED:
            error = {"name": "UnknownError", "data": {"message": _BUSY_TREE, "ref": "err_0"}}
            return _json(error, status=500)
        return _json(sorted(self.history(body), key=lambda event: int(event["seq"])))

    def _follow(self) -> httpx.Response:
        told: asyncio.Queue[bytes | None] = asyncio.Queue()
        told.put_nowait(b"data: %b\n\n" % orjson.dumps(_CONNECTED))
        (self._late if self.listens_late else self._streams).add(told)

        async def pieces() -> AsyncIterator[bytes]:
            while (piece := await told.get()) is not None:
                yield piece

        stream = Pieces(pieces(), closed=lambda: self._leave(told))
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)

    def _leave(self, told: asyncio.Queue[bytes | None]) -> None:
        self._streams.discard(told)
        self._late.discard(told)


def _json(
    content: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> httpx.Response:
    named = {"content-type": "application/json", **(headers or {})}
    return httpx.Response(status, headers=named, content=orjson.dumps(content))


def _missing(what: str) -> httpx.Response:
    return _json({"name": "NotFoundError", "data": {"message": what}}, status=404)
