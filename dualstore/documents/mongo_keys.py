"""Ids as MongoDB's keys: whatever way a server compares texts, keys sort by code points.

Some servers compare by UTF-16 units, where the characters above U+FFFF come before the last ones
below. As keys they stand behind a U+FFFF, and a U+FFFF itself is told apart by what follows it.
Nearly all ids are their own keys.
"""

import re
from typing import Final

_HIGH: Final = re.compile("[\uffff-\U0010ffff]")
_ESCAPED: Final = re.compile("\uffff(.)", re.DOTALL)
_SELF: Final = "\x01"


def to_key(name: str) -> str:
    """The key of an id."""
    return name if name.isascii() else _HIGH.sub(_escape, name)


def to_name(key: str) -> str:
    """The id of a key."""
    return _ESCAPED.sub(_unescape, key) if "\uffff" in key else key


def _escape(found: re.Match[str]) -> str:
    return "\uffff" + (_SELF if found[0] == "\uffff" else found[0])


def _unescape(found: re.Match[str]) -> str:
    return "\uffff" if found[1] == _SELF else found[1]
