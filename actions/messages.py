"""Messages: the newest of a session, one, and those in which something was said."""

from actions.answer import Answer
from actions.checking import check_id, check_limit, check_optional_id
from actions.context import Context
from actions.cursors import from_cursor
from actions.questions.messages import NewestMessages, OneMessageOf
from actions.questions.searching import Asked, search_messages
from actions.readthrough import read
from actions.shapes import MessageHits, MessageList, OneMessage
from dualstore.search.results import Mode
from dualstore.values import to_ms


async def list(  # noqa: A001 - the action's name in the public API
    context: Context, session_id: str, limit: int = 50, before: str | None = None
) -> Answer[MessageList]:
    """The newest messages of a session, or those before a cursor, oldest first."""
    check_id(session_id, "session_id")
    place = None if before is None else from_cursor(before, session_id)
    return await read(context, NewestMessages(context, session_id, check_limit(limit), place))


async def get(context: Context, session_id: str, message_id: str) -> Answer[OneMessage]:
    """One message with its parts."""
    check_id(session_id, "session_id")
    check_id(message_id, "message_id")
    return await read(context, OneMessageOf(context, session_id, message_id))


async def search(
    context: Context,
    query: str,
    k: int = 10,
    *,
    session_id: str | None = None,
    role: str | None = None,
    since: object = None,
    until: object = None,
    mode: Mode = "hybrid",
) -> Answer[MessageHits]:
    """Messages by words and meaning. `since` and `until` are times in any form that entries take;
    `until` itself is not in.
    """
    asked = Asked(
        query,
        check_limit(k),
        mode,
        check_optional_id(session_id, "session_id"),
        role=check_optional_id(role, "role"),
        since=None if since is None else to_ms(since, "since"),
        until=None if until is None else to_ms(until, "until"),
    )
    return await search_messages(context, asked)
