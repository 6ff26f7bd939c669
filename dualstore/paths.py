"""Dotted paths into metadata: which values they name, and every value under its path.

A path names every value whose keys, joined with dots, spell it: `{"a": {"b": 1}}` and
`{"a.b": 1}` both have `a.b`. A list stands for its members; lists inside lists don't count.
"""

from collections.abc import Iterator
from typing import Any, Final

_ABSENT: Final = object()


def values_at(node: Any, path: str) -> Iterator[Any]:
    """The scalars that `path` names, in no particular order."""
    for found in _found(node, path):
        if isinstance(found, list):
            yield from (member for member in found if not isinstance(member, list | dict))
        elif not isinstance(found, dict):
            yield found


def exists_at(node: Any, path: str) -> bool:
    """Whether `path` names anything: a scalar, null, a list or a mapping, empty or not."""
    return next(_found(node, path), _ABSENT) is not _ABSENT


def _found(node: Any, path: str) -> Iterator[Any]:
    if isinstance(node, list):
        for member in node:
            if isinstance(member, dict):
                yield from _found(member, path)
    elif isinstance(node, dict):
        if path in node:
            yield node[path]
        for head, tail in _splits(path):
            if head in node:
                yield from _found(node[head], tail)


def _splits(path: str) -> Iterator[tuple[str, str]]:
    at = path.find(".")
    while at >= 0:
        yield path[:at], path[at + 1 :]
        at = path.find(".", at + 1)
