"""The values of all answers. Attributes here are snake_case, names in JSON are camelCase."""

from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    SkipValidation,
    model_serializer,
)
from pydantic.alias_generators import to_camel

Thing = Annotated[dict[str, Any], SkipValidation]
"""JSON exactly as it was given."""


class Shape(BaseModel):
    """A value. What isn't known and is named in `absent` is left out of its JSON."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    absent: ClassVar[frozenset[str]] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """With the names that callers read."""
        return self.model_dump(by_alias=True)

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = dump(self)
        left_out = {each for each in self.absent if getattr(self, each) is None}
        names = {*left_out, *map(to_camel, left_out)}
        return {name: value for name, value in found.items() if name not in names}


class SessionInfo(Shape):
    """A session, and how it is going. Times are ISO 8601 in UTC."""

    absent = frozenset(
        "agent_task_status error parent_id project_id directory created_at updated_at archived_at "
        "gone_upstream session_age last_activity_time".split()
    )

    id: str
    title: str
    """Its id, if it has none."""
    message_count: int
    last_activity_time: str | None = None
    session_age: int | None = None
    """Seconds since it was created."""
    activity_status: str
    is_agent_task: bool
    agent_task_status: str | None = None
    error: str | None = None
    parent_id: str | None = None
    project_id: str | None = None
    directory: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    archived_at: str | None = None
    gone_upstream: bool | None = None
    """The remote doesn't have it any more."""


class SessionHit(SessionInfo):
    """A session that was found, and the message that was found in it."""

    absent = SessionInfo.absent | {"matched_message_id"}

    score: float
    snippet: str
    matched_message_id: str | None = None


class SessionWithMessages(Shape):
    """`sessions.get`."""

    absent = frozenset({"gone_upstream"})

    session: SessionInfo
    messages: list[Thing]
    gone_upstream: list[str] | None = None
    """Ids of those messages that the remote doesn't have any more."""


class Pagination(Shape):
    """Where a page stands."""

    limit: int
    offset: int
    has_more: bool
    current_page: int
    total_pages: int


class Summary(BaseModel):
    """How many sessions are in which state, of all there are."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    active: int
    waiting_for_input: int
    idle: int
    agent_tasks: int = Field(serialization_alias="agentTasks")


class SessionList(Shape):
    """`sessions.list`."""

    sessions: list[SessionInfo]
    total_count: int
    pagination: Pagination
    summary: Summary


class SessionHits(Shape):
    """`sessions.search`."""

    query: str
    results: list[SessionHit]
    total_count: int


class MessageList(Shape):
    """`messages.list`, oldest first."""

    absent = frozenset({"gone_upstream"})

    session_id: str
    messages: list[Thing]
    has_more: bool
    next_cursor: str | None
    """Leads to older ones."""
    gone_upstream: list[str] | None = None
    """Ids of those that the remote doesn't have any more."""


class OneMessage(Shape):
    """`messages.get`."""

    absent = frozenset({"gone_upstream"})

    message: Thing
    gone_upstream: bool | None = None
    """The remote doesn't have it any more."""


class MessageHit(Shape):
    """A message that was found."""

    message: Thing
    session_id: str
    session_title: str
    score: float
    snippet: str
    modes: list[str]


class MessageHits(Shape):
    """`messages.search`."""

    query: str
    results: list[MessageHit]
    total_count: int


class EventFilters(Shape):
    """What was asked of `events.list`."""

    query: str | None = None
    k: int | None = None
    event_type: str | None = None
    session_id: str | None = None
    has_tool: bool | None = None
    is_agent_task: bool | None = None


class EventList(Shape):
    """`events.list`, newest first."""

    events: list[Thing]
    total_count: int
    filters: EventFilters
    next_cursor: str | None = None
    """Leads to older ones."""


class OneEvent(Shape):
    """`events.get`."""

    event: Thing


class EventHit(Shape):
    """An event that was found."""

    event: Thing
    score: float
    snippet: str


class EventHits(Shape):
    """`events.search`."""

    query: str
    results: list[EventHit]
    total_count: int


class Task(Shape):
    """What an agent was told to do. Times are ISO 8601 in UTC."""

    absent = frozenset({"completion_message"})

    session_id: str
    task: str
    start_time: str
    status: str
    last_activity: str
    completion_message: str | None = None


class OneTask(Shape):
    """`tasks.get`, `create` and `update`."""

    task: Task


class TaskList(Shape):
    """`tasks.list`, newest activity first."""

    tasks: list[Task]
    total_count: int
