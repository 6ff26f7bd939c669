"""Whose conversations are meant, and the names that all they keep is kept under.

    {house}:{tenant}:{agent}                                a scope
    {house}:{tenant}:{agent}:{conversation}                 a conversation
    {house}:{tenant}:{agent}:{conversation}:{incarnation}   its log, until it is deleted

A tenant or an agent that is None is written `-`, any other one begins with `=`; `:` and `%` in a
part are percent-escaped. So no two meet, and each name can be read back.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from dualstore.entry import check_id
from dualstore.errors import EntryError, InvalidNameError, shown
from dualstore.family import KEY_LIMIT

_NOBODY: Final = "-"
_SPECIAL: Final = re.compile("[%:]")
_ESCAPED: Final = re.compile("%(25|3A)")
_ROOM: Final = 64
"""Characters that what is built on a conversation's name takes besides."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One tenant's and agent's conversations. None is one of its own, never all of them."""

    house: str
    """The agent name of the settings: stores of different ones share nothing."""
    tenant: str | None = None
    agent: str | None = None

    def __post_init__(self) -> None:
        for field, part in (("tenant", self.tenant), ("agent", self.agent)):
            if part is not None:
                _check_part(part, field)

    @property
    def name(self) -> str:
        """What tells it from all others."""
        return f"{self.house}:{_owner(self.tenant)}:{_owner(self.agent)}"

    def conversation(self, conversation_id: str) -> str:
        """The conversation's name; raises `InvalidNameError` for an id that can't be one."""
        _check_part(conversation_id, "conversation_id")
        name = f"{self.name}:{_escape(conversation_id)}"
        if len(name) > KEY_LIMIT - _ROOM:
            raise InvalidNameError("tenant, agent and conversation_id are too long together")
        return name


class LogName(NamedTuple):
    """What a log's name says."""

    scope: Scope
    conversation_id: str
    incarnation: str

    def __str__(self) -> str:
        return f"{self.scope.conversation(self.conversation_id)}:{self.incarnation}"

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, name: str) -> "LogName":
        """The opposite. Raises `ValueError` for what isn't one."""
        house, tenant, agent, conversation, incarnation = name.split(":")
        scope = Scope(house, _owned(tenant), _owned(agent))
        return cls(scope, _unescape(conversation), incarnation)


def _check_part(value: object, field: str) -> None:
    try:
        check_id(value)
    except EntryError as error:
        raise InvalidNameError(f"{shown(value)} can't be a {field}: {error.reason}") from None


def _owner(part: str | None) -> str:
    return _NOBODY if part is None else f"={_escape(part)}"


def _owned(part: str) -> str | None:
    return None if part == _NOBODY else _unescape(part.removeprefix("="))


def _escape(part: str) -> str:
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", part)


def _unescape(part: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), part)
