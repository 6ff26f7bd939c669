"""Page cursors: where a page ended, and of which query."""

import base64
import binascii
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from dualstore.documents.base import Order, Page
from dualstore.entry import Entry
from dualstore.errors import CursorError, shown
from dualstore.filters import Filter
from dualstore.values import from_json, to_json

_SIGN_BYTES = 8


class Position(NamedTuple):
    """The last entry of a page: its place in the order."""

    at: int
    id: str


def query_sign(family: str, where: Filter, order: Order, *, newest: bool) -> bytes:
    """What tells this query's cursors from all others."""
    query = repr((family, where, order, newest))
    return blake2b(query.encode(), digest_size=_SIGN_BYTES).digest()


def to_cursor(position: Position, sign: bytes) -> str:
    """An opaque text that only the same query takes back."""
    payload = to_json([position.at, position.id], "cursor").encode()
    return base64.urlsafe_b64encode(_seal(payload, sign) + payload).decode()


def from_cursor(cursor: str, sign: bytes) -> Position:
    """Raises `CursorError` for what isn't a cursor of this query."""
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error, AttributeError):
        raise CursorError(f"{shown(cursor)} is not a cursor") from None
    seal, payload = raw[:_SIGN_BYTES], raw[_SIGN_BYTES:]
    if seal != _seal(payload, sign):
        raise CursorError(f"{shown(cursor)} is damaged, or belongs to another query")
    return Position(*from_json(payload))


def cut_page(found: Sequence[Entry], limit: int, *, order: Order, sign: bytes) -> Page:
    """The page of what was found, one entry more than the limit if there are any more."""
    entries = tuple(found[:limit])
    if len(found) <= limit:
        return Page(entries, None)
    last = entries[-1]
    at = last.timestamp if order == "timestamp" else last.updated_at
    return Page(entries, to_cursor(Position(at, last.id), sign))


def _seal(payload: bytes, sign: bytes) -> bytes:
    return blake2b(payload, key=sign, digest_size=_SIGN_BYTES).digest()
