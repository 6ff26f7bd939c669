"""What agent tools do with the memory: get, list and search, locally first.

async with open_actions() as context:
answer = await sessions.list(context)
"""

from actions import events, messages, sessions, tasks
from actions.answer import Answer
from actions.context import Context, open_actions

__all__ = ["Answer", "Context", "events", "messages", "open_actions", "sessions", "tasks"]
