"""Cursors of lists by time: they hold the place where the next page begins."""

import base64

import orjson

from dualstore.entry import check_key
from dualstore.errors import CursorError
from dualstore.mirror.coverage import Position
from dualstore.values import to_ms

_LONGEST = 8192


def to_cursor(position: Position, scope: str) -> str:
    """As a text that can be handed around; `scope` is what it belongs to."""
    packed = orjson.dumps([scope, position.created, position.id])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def from_cursor(cursor: object, scope: str) -> Position:
    """The opposite. Raises `CursorError` for what isn't one, or belongs to something else."""
    if not isinstance(cursor, str) or len(cursor) > _LONGEST:
        raise CursorError("the cursor is not one that an action has given")
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mine, created, key = orjson.loads(packed)
        place = Position(to_ms(created), check_key(key, "id"))
    except (ValueError, TypeError) as error:  # an `EntryError` is one, too
        raise CursorError("the cursor is damaged, or none of this list") from error
    if type(created) is not int or not isinstance(mine, str):
        raise CursorError("the cursor is damaged, or none of this list")
    if mine != scope:
        raise CursorError("the cursor belongs to another list")
    return place
