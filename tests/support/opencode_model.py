"""What an OpenCode server knows, as far as its clients can tell: sessions made of their events."""

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.support.opencode_seed import BEGINNING, session_info, text_part, user_message

Thing = dict[str, Any]
Event = dict[str, Any]

FOLDER: Final = "/workspace"


class OpenCodeModel:
    """Each change is an event with the session's next number, and told to whoever listens."""

    def __init__(self) -> None:
        self.sessions: dict[str, Thing] = {}
        self.infos: dict[str, dict[str, Thing]] = {}
        self.parts: dict[str, dict[str, dict[str, Thing]]] = {}
        self.events: dict[str, list[Event]] = {}
        self.listeners: list[Callable[[Thing], None]] = []
        self.now = BEGINNING * 2
        self._numbers = itertools.count(1)

    # Changes

    def create_session(self, title: str = "", *, parent: str = "", folder: str = FOLDER) -> str:
        session_id = self._new_id("ses")
        info = session_info(session_id, project_id(folder), folder, self._tick())
        info |= {"title": title or info["title"]} | ({"parentID": parent} if parent else {})
        self._change(session_id, "session.created", info=info)
        return session_id

    def change_session(self, session_id: str, **fields: Any) -> None:
        """Any of its fields, without a new time of update, as the server has it."""
        self._change(session_id, "session.updated", info={**self.sessions[session_id], **fields})

    def rename(self, session_id: str, title: str) -> None:
        self.change_session(session_id, title=title)

    def archive(self, session_id: str) -> None:
        time = {**self.sessions[session_id]["time"], "archived": self._tick()}
        self.change_session(session_id, time=time)

    def delete_session(self, session_id: str) -> None:
        """Its children first."""
        children = [i for i, each in self.sessions.items() if each.get("parentID") == session_id]
        for child in children:
            self.delete_session(child)
        self._change(session_id, "session.deleted", info=self.sessions[session_id])

    def begin_anew(self, session_id: str, title: str) -> None:
        """Another session under the same id, in another database."""
        for kept in (self.sessions, self.infos, self.parts, self.events):
            kept.pop(session_id)
        info = session_info(session_id, project_id(FOLDER), FOLDER, self._tick()) | {"title": title}
        self._change(session_id, "session.created", info=info)

    def forget_events(self, session_id: str) -> None:
        """As one that was imported: what happens from now on counts from the first."""
        self.events[session_id] = []

    def add_message(self, session_id: str, text: str, **fields: Any) -> str:
        """A user's, unless fields of its info are given."""
        self._clean_up(session_id)
        message_id, created = self._new_id("msg"), self._tick()
        info = user_message(session_id, message_id, created) | fields
        self._change(session_id, "message.updated", info=info)
        self.write_part(session_id, message_id, text)
        time = {**self.sessions[session_id]["time"], "updated": created}
        self.change_session(session_id, time=time)
        return message_id

    def write_part(self, session_id: str, message_id: str, text: str, *, part_id: str = "") -> str:
        """A new one, or another text for the one that is named."""
        part_id = part_id or self._new_id("prt")
        part = text_part(session_id, message_id, part_id, text)
        self._change(session_id, "message.part.updated", part=part, time=self._tick())
        return part_id

    def delete_message(self, session_id: str, message_id: str) -> None:
        """Of one that isn't there nothing is told."""
        if message_id in self.infos[session_id]:
            self._change(session_id, "message.removed", messageID=message_id)

    def remove_part(self, session_id: str, message_id: str, part_id: str) -> None:
        """Of one that isn't there nothing is told."""
        if part_id in self.parts[session_id].get(message_id, {}):
            self._change(session_id, "message.part.removed", messageID=message_id, partID=part_id)

    def fork(self, session_id: str, *, before: str = "") -> str:
        """A new session with copies of its messages, all or those before one."""
        made = self.create_session(f"{self.sessions[session_id]['title']} (fork #1)")
        for each in self.messages(session_id):
            if each["info"]["id"] == before:
                break
            message_id = self._new_id("msg")
            info = {**each["info"], "id": message_id, "sessionID": made}
            self._change(made, "message.updated", info=info)
            for part in each["parts"]:
                copy = {"id": self._new_id("prt"), "messageID": message_id, "sessionID": made}
                self._change(made, "message.part.updated", part={**part, **copy}, time=self.now)
        return made

    def revert(self, session_id: str, message_id: str) -> None:
        """It and what follows is still there, until somebody says something else."""
        time = {**self.sessions[session_id]["time"], "updated": self._tick()}
        self.change_session(session_id, time=time, revert={"messageID": message_id})

    def _clean_up(self, session_id: str) -> None:
        """What was reverted goes."""
        session = self.sessions[session_id]
        if revert := session.get("revert"):
            messages = [each["info"]["id"] for each in self.messages(session_id)]
            if revert["messageID"] in messages:
                for each in messages[messages.index(revert["messageID"]) :]:
                    self.delete_message(session_id, each)
            info = {key: value for key, value in session.items() if key != "revert"}
            self._change(session_id, "session.updated", info=info)

    def tell_once(self, kind: str, **data: Any) -> None:
        """What has no number, and is lost on whoever doesn't listen: `session.status` and such."""
        self._tell({"id": self._new_id("evt"), "type": kind, "properties": data})

    def replay(self, event: Event) -> None:
        """A past that nobody is told of."""
        session_id, kind = event["aggregateID"], event["type"]
        if event["seq"] == len(self.events.get(session_id, [])):
            self._keep(session_id, event["id"], kind, event["data"])
            self._apply(session_id, kind.removesuffix(".1"), event["data"])

    # Answers

    def listed(self, *, archived: bool) -> list[Thing]:
        """Newest update first."""
        found = [s for s in self.sessions.values() if archived or "archived" not in s["time"]]
        return sorted(found, key=lambda session: -int(session["time"]["updated"]))

    def messages(self, session_id: str) -> list[Thing]:
        """Oldest first."""
        found = [self.message(session_id, each) for each in self.infos[session_id]]
        return sorted(found, key=place)

    def message(self, session_id: str, message_id: str) -> Thing:
        parts = self.parts[session_id].get(message_id, {})
        info = self.infos[session_id][message_id]
        return {"info": info, "parts": sorted(parts.values(), key=lambda part: str(part["id"]))}

    def history(self, known: dict[str, int]) -> Iterator[Event]:
        for session_id, events in self.events.items():
            yield from events[known.get(session_id, -1) + 1 :]

    # How it comes about

    def _change(self, session_id: str, kind: str, **data: Any) -> None:
        data = json.loads(json.dumps({"sessionID": session_id, **data}))
        event = self._keep(session_id, self._new_id("evt"), f"{kind}.1", data)
        self._apply(session_id, kind, data)
        self._tell({"id": event["id"], "type": kind, "properties": data})
        sync = {
            "id": event["id"],
            "type": event["type"],
            "seq": event["seq"],
            "aggregateID": session_id,
            "data": data,
        }
        self._tell({"type": "sync", "syncEvent": sync, "id": event["id"]})

    def _keep(self, session_id: str, event_id: str, kind: str, data: Thing) -> Event:
        events = self.events.setdefault(session_id, [])
        event = {"id": event_id, "aggregate_id": session_id, "seq": len(events), "type": kind}
        events.append(event | {"data": data})
        return events[-1]

    def _apply(self, session_id: str, kind: str, data: Thing) -> None:
        infos, parts = self.infos.setdefault(session_id, {}), self.parts.setdefault(session_id, {})
        match kind:
            case "session.created" | "session.updated":
                self.sessions[session_id] = data["info"]
            case "session.deleted":
                for kept in (self.sessions, self.infos, self.parts, self.events):
                    del kept[session_id]
            case "message.updated":
                infos[data["info"]["id"]] = data["info"]
            case "message.removed":
                del infos[data["messageID"]]
                parts.pop(data["messageID"], None)
            case "message.part.updated":
                part = data["part"]
                parts.setdefault(part["messageID"], {})[part["id"]] = part
            case "message.part.removed":
                del parts[data["messageID"]][data["partID"]]
            case _:
                raise AssertionError(kind)

    def _tell(self, payload: Thing) -> None:
        for listener in self.listeners:
            listener({"directory": FOLDER, "project": project_id(FOLDER), "payload": payload})

    def _new_id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers):012}double"

    def _tick(self) -> int:
        self.now += 1
        return self.now


def place(message: Thing) -> tuple[int, str]:
    """Where it is in its session."""
    return message["info"]["time"]["created"], message["info"]["id"]


def cursor_of(message: Thing) -> str:
    time, message_id = place(message)
    content = json.dumps({"id": message_id, "time": time}).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def place_of(cursor: str) -> tuple[int, str]:
    """Raises `ValueError` or `KeyError` for what is no cursor."""
    content = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return content["time"], content["id"]


def project_id(folder: str) -> str:
    return folder.encode().hex().ljust(40, "0")[:40]
