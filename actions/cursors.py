"""Cursors of lists by time: they hold the place where the next page begins."""

import orjson

from dualstore.entry import check_key
from dualstore.errors import CursorError
from dualstore.mirror.coverage import Position
from dualstore.values import from_base64, to_base64, to_ms

_LONGEST = 8192


def to_cursor(position: Position, scope: str) -> str:
    """As a text that can be handed around; `scope` is what it belongs to."""
    return to_base64(orjson.dumps([scope, position.created, position.id]))


def from_cursor(cursor: object, scope: str) -> Position:
    """The opposite. Raises `CursorError` for what isn't one, or belongs to something else."""
    if not isinstance(cursor, str) or len(cursor) > _LONGEST:
        raise CursorError("the cursor is not one that an action has given")
    try:
        mine, created, key = orjson.loads(from_base64(cursor))
        place = Position(to_ms(created), check_key(key, "id"))
    except (ValueError, TypeError) as error:  # an `EntryError` is one, too
        raise CursorError("the cursor is damaged, or none of this list") from error
    if type(created) is not int or not isinstance(mine, str):
        raise CursorError("the cursor is damaged, or none of this list")
    if mine != scope:
        raise CursorError("the cursor belongs to another list")
    return place
