"""Sessions: one with its messages, all of them, and those in which something was said."""

from actions.answer import Answer
from actions.checking import (
    check_count,
    check_id,
    check_limit,
    check_optional_id,
    check_skip,
)
from actions.context import Context
from actions.questions.searching import Asked, search_sessions
from actions.questions.sessions import AllSessions, OneSession
from actions.readthrough import read
from actions.shapes import SessionHits, SessionList, SessionWithMessages
from dualstore.search.results import Mode


async def get(
    context: Context, session_id: str, limit: int | None = None, offset: int = 0
) -> Answer[SessionWithMessages]:
    """A session with its messages `[offset, offset + limit)`, oldest first."""
    check_id(session_id, "session_id")
    question = OneSession(context, session_id, check_count(limit), check_skip(offset))
    return await read(context, question)


async def list(  # noqa: A001 - the action's name in the public API
    context: Context, limit: int = 20, offset: int = 0
) -> Answer[SessionList]:
    """Sessions, newest update first."""
    return await read(context, AllSessions(context, check_limit(limit), check_skip(offset)))


async def search(
    context: Context,
    query: str,
    k: int = 10,
    *,
    session_id: str | None = None,
    mode: Mode = "hybrid",
) -> Answer[SessionHits]:
    """Sessions by title, id, agent and description, and by what was said in them."""
    asked = Asked(query, check_limit(k), mode, check_optional_id(session_id, "session_id"))
    return await search_sessions(context, asked)
