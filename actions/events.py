"""Events: what happened, by time, by id, and by what is told of it."""

from actions.answer import Answer
from actions.checking import check_count, check_flag, check_id, check_limit, check_optional_id
from actions.context import Context
from actions.cursors import from_cursor
from actions.questions.events import SCOPE, AllEvents, OneEventOf, Wanted
from actions.questions.searching import Asked, search_events
from actions.readthrough import read
from actions.shapes import EventHits, EventList, OneEvent
from dualstore.search.results import Mode
from dualstore.values import check_text


async def list(  # noqa: A001 - the action's name in the public API
    context: Context,
    query: str | None = None,
    k: int | None = None,
    *,
    event_type: str | None = None,
    session_id: str | None = None,
    has_tool: bool | None = None,
    is_agent_task: bool | None = None,
    before: str | None = None,
) -> Answer[EventList]:
    """Events, newest first; all of them without `k`. `before` is the cursor of another answer."""
    wanted = Wanted(
        query=None if query is None else check_text(query, "query"),
        k=check_count(k),
        event_type=check_optional_id(event_type, "event_type"),
        session_id=check_optional_id(session_id, "session_id"),
        has_tool=check_flag(has_tool, "has_tool"),
        is_agent_task=check_flag(is_agent_task, "is_agent_task"),
    )
    place = None if before is None else from_cursor(before, SCOPE)
    return await read(context, AllEvents(context, wanted, place))


async def get(context: Context, event_id: str) -> Answer[OneEvent]:
    """One event."""
    return await read(context, OneEventOf(context, check_id(event_id, "event_id")))


async def search(
    context: Context,
    query: str,
    k: int = 10,
    *,
    session_id: str | None = None,
    event_type: str | None = None,
    mode: Mode = "hybrid",
) -> Answer[EventHits]:
    """Events by words and meaning."""
    asked = Asked(
        query,
        check_limit(k),
        mode,
        check_optional_id(session_id, "session_id"),
        event_type=check_optional_id(event_type, "event_type"),
    )
    return await search_events(context, asked)
