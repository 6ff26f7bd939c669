"""The entries of a conversation's log: what happened, in the words of who wrote it down."""

import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from dualstore.errors import EntryError

Message = dict[str, Any]
"""A mapping with `role` and `content`; it may have an `id`, and whatever else belongs to it."""

VERSION: Final = 1
"""Of the payloads' form."""
STATUSES: Final = ("completed", "error", "stopped")


def checked_message(value: object) -> Message:
    """A copy of it. Raises `ValueError` for what is no message."""
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping with role and content, not {type(value).__name__}")
    message = dict(value)
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role.strip():
        raise ValueError("needs a role")
    if "id" in message and not (isinstance(message["id"], str) and message["id"]):
        raise ValueError("has an id that is no text")
    if isinstance(content, list):
        if not all(isinstance(part, Mapping) for part in content):
            raise ValueError("has content with a part that is no mapping")
    elif content is not None and not isinstance(content, str):
        raise ValueError("must have a text or a list of parts as its content")
    return message


def _checked_result(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping, not {type(value).__name__}")
    result = dict(value)
    for name in ("subagent_id", "task"):
        if not isinstance(result.get(name), str):
            raise ValueError(f"needs {name}, a text")
    if result.get("status") not in STATUSES:
        raise ValueError(f"needs a status: {', '.join(STATUSES)}")
    return result


Said = Annotated[Message, BeforeValidator(checked_message)]
Result = Annotated[dict[str, Any], BeforeValidator(_checked_result)]
"""`subagent_id`, `task`, `status`, and `result`, `error`, `timestamp` as there are."""


def new_id() -> str:
    """One that no entry has."""
    return uuid.uuid4().hex


class LogEntry(BaseModel):
    """What all entries have. The store gives `seq`, `created_at`, tenant and agent."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    type: str
    id: str = Field(default_factory=new_id, min_length=1, max_length=512)
    turn_id: str | None = Field(default=None, min_length=1, max_length=512)
    seq: int = 0
    """Its place in the conversation, from 1; 0 before it is stored."""
    created_at: int = 0
    """Epoch milliseconds; it may go back where a clock does, `seq` never does."""
    tenant: str | None = None
    agent: str | None = None
    version: int = VERSION
    """Of the payload's form."""

    def payload(self) -> dict[str, Any]:
        """The fields of this type alone, without those that are as they always are."""
        own = {name: each for name, each in type(self).model_fields.items() if name not in COMMON}
        given = {name: getattr(self, name) for name in own}
        return {name: value for name, value in given.items() if value != own[name].default}


COMMON: Final = frozenset(LogEntry.model_fields)


class UserMessage(LogEntry):
    """What the user said. Hidden means that it isn't shown, and nothing else."""

    type: Literal["user_message"] = "user_message"
    message: Said
    hidden: bool = False


class AssistantMessage(LogEntry):
    """What the model answered."""

    type: Literal["assistant_message"] = "assistant_message"
    message: Said
    run_id: str | None = None


class AssistantAmendment(LogEntry):
    """More of an answer that was given before: one bubble in the end."""

    type: Literal["assistant_amendment"] = "assistant_amendment"
    target_entry_id: str = Field(min_length=1)
    append_text: str | None = None
    metadata: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "AssistantAmendment":
        if self.append_text is None and self.metadata is None:
            raise ValueError("needs append_text or metadata")
        return self


class HarnessMessage(LogEntry):
    """Tool calls, tool results, injected text: only the model sees it."""

    type: Literal["harness_message"] = "harness_message"
    message: Said


class Compaction(LogEntry):
    """From now on the summary stands for what it covers."""

    type: Literal["compaction"] = "compaction"
    summary_message: Said
    covers_through_seq: int | None = Field(default=None, ge=0)
    kept_ids: list[str] | None = None
    """What stays beside the summary, by entry id, in place of `covers_through_seq`."""
    tokens_before: int | None = None
    tokens_after: int | None = None

    @model_validator(mode="after")
    def _covers_in_one_way(self) -> "Compaction":
        if (self.covers_through_seq is None) == (self.kept_ids is None):
            raise ValueError("needs either covers_through_seq or kept_ids")
        return self


class ContextReset(LogEntry):
    """The context starts again from these messages."""

    type: Literal["context_reset"] = "context_reset"
    messages: list[Said]


class SubagentResult(LogEntry):
    """What a sub-agent came back with; it is pending until a callback consumes it."""

    type: Literal["subagent_result"] = "subagent_result"
    result: Result


class CallbackStarted(LogEntry):
    """Somebody takes care of these results, by their entry ids."""

    type: Literal["callback_started"] = "callback_started"
    consumed_ids: list[str]


class Imported(LogEntry):
    """What there was before the log: number 1, and nothing came before it."""

    type: Literal["imported"] = "imported"
    display: list[Said]
    context: list[Said]
    pending: list[Result]


class TurnStarted(LogEntry):
    """A turn that has no `turn_finished` is open, or was interrupted."""

    type: Literal["turn_started"] = "turn_started"


class TurnFinished(LogEntry):
    """How a turn ended."""

    type: Literal["turn_finished"] = "turn_finished"
    status: Literal["ok", "error", "aborted"]


class UnknownEntry(LogEntry):
    """Of a type that this release doesn't know: it is kept, and folded into nothing. Its fields
    are attributes, too, unless all entries have one of that name.
    """

    fields: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        """Only asked for what isn't found otherwise."""
        fields = vars(self).get("fields")
        if not name.startswith("__") and isinstance(fields, dict) and name in fields:
            return fields[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def payload(self) -> dict[str, Any]:
        """Whatever it has."""
        return self.fields


class UnreadableEntry(LogEntry):
    """There is something in its place that can't be read back."""

    type: Literal["unreadable"] = "unreadable"
    problem: str


TYPES: Final[dict[str, type[LogEntry]]] = {
    kind.model_fields["type"].default: kind
    for kind in (
        UserMessage,
        AssistantMessage,
        AssistantAmendment,
        HarnessMessage,
        Compaction,
        ContextReset,
        SubagentResult,
        CallbackStarted,
        Imported,
        TurnStarted,
        TurnFinished,
    )
}
"""All that this release knows, by their names."""

SHOWN: Final = frozenset({"user_message", "assistant_message", "assistant_amendment", "imported"})
"""The types that the display is made of."""


def refused(kind: str, error: ValidationError) -> EntryError:
    """What is wrong with it, in the words of this library."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or kind
    return EntryError(place, first["msg"].removeprefix("Value error, "))


def entry_of(kind: str, common: Mapping[str, Any], payload: Mapping[str, Any]) -> LogEntry:
    """The model of such an entry. Raises pydantic's `ValidationError` where it isn't one.

    A known type in a form that this release doesn't know is as good as unknown.
    """
    model = TYPES.get(kind) if common.get("version", VERSION) == VERSION else None
    if model is None:
        return UnknownEntry(type=kind, fields=dict(payload), **common)
    return model.model_validate({"type": kind, **common, **payload})
