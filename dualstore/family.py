"""A family: one kind of entries, kept together, and what its fields mean."""

import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from dualstore.errors import FamilyMismatchError, InvalidNameError, shown
from dualstore.paths import values_at

_AGENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_FAMILY: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_UNUSABLE: Final = re.compile("[\x00\ud800-\udfff]")
_NAME_LIMIT: Final = 100

KEY_LIMIT: Final = 4096
"""Characters of the longest thread's or author's name: they are copied into indexes."""


def family_name(agent: str, name: str) -> str:
    """`{agent}_{name}`; an agent has no underscore, so no two families can meet."""
    _check_name(agent, _AGENT, "an agent's name", "letters, digits and hyphens")
    _check_name(name, _FAMILY, "a family's name", "letters, digits and . _ - inside")
    return f"{agent}_{name}"


def _check_name(name: object, pattern: re.Pattern[str], what: str, allowed: str) -> None:
    if not isinstance(name, str) or len(name) > _NAME_LIMIT or not pattern.fullmatch(name):
        raise InvalidNameError(
            f"{shown(name)} can't be {what}: 1 to {_NAME_LIMIT} {allowed}, nothing else"
        )


@dataclass(frozen=True, slots=True)
class FamilySpec:
    """Which fields of a caller's mapping mean what, and what its index is made with.

    Recorded with the family: what is stored was derived with it.
    """

    name: str
    text_key: str = "text"
    time_key: str = "timestamp"
    thread_key: str | None = "session_id"
    author_key: str | None = "author"
    filter_fields: tuple[str, ...] = ()
    analyzer: str = ""
    images: bool = False
    """The embedder takes images, so they aren't excluded from the index."""

    def __post_init__(self) -> None:
        agent, _, family = str(self.name).partition("_")
        family_name(agent, family)
        keys = (self.text_key, self.time_key)
        if not isinstance(self.filter_fields, tuple):
            raise InvalidNameError(
                f"filter_fields must be a tuple of paths, not {shown(self.filter_fields)}"
            )
        optional = [key for key in (self.thread_key, self.author_key) if key is not None]
        for key in (*keys, *optional, *self.filter_fields):
            _check_path(key)
        if len({"id", "metadata", "body", *keys}) != len(keys) + 3:
            raise InvalidNameError(
                f"text_key {shown(self.text_key)} and time_key {shown(self.time_key)} must be two "
                "different fields, none of them id, metadata or body"
            )

    def thread_of(self, metadata: dict[str, Any]) -> str | None:
        """The thread an entry belongs to: a single string at `thread_key`, not too long."""
        return _single_text(metadata, self.thread_key)

    def author_of(self, metadata: dict[str, Any]) -> str | None:
        """Who speaks: a single string at `author_key`, not too long."""
        return _single_text(metadata, self.author_key)

    def to_record(self) -> dict[str, Any]:
        """The JSON value that is recorded with the family."""
        return {**asdict(self), "filter_fields": list(self.filter_fields)}

    @classmethod
    def from_record(cls, recorded: dict[str, Any]) -> "FamilySpec":
        """The opposite of `to_record`; leaves out what other releases recorded besides."""
        known = {each.name: recorded[each.name] for each in fields(cls) if each.name in recorded}
        return cls(**{**known, "filter_fields": tuple(recorded.get("filter_fields", ()))})

    def check_recorded(self, recorded: dict[str, Any]) -> None:
        """Raise `FamilyMismatchError`, naming the differences and the way out."""
        differing = self.differing(recorded)
        differences = [
            f"{key} is {recorded.get(key)!r} there and {value!r} here"
            for key, value in self.to_record().items()
            if key in differing
        ]
        if differences:
            raise FamilyMismatchError(
                f"family {self.name!r} was made otherwise: {'; '.join(differences)}. "
                "Open it as it was made, or with on_mismatch='reindex' to reindex it to the new way"
            )

    def differing(self, recorded: dict[str, Any]) -> set[str]:
        """The fields that are otherwise in the record; what only it has doesn't count."""
        mine = self.to_record()
        return {key for key, value in mine.items() if recorded.get(key) != value}


def _check_path(key: object) -> None:
    if not isinstance(key, str) or not key or _UNUSABLE.search(key):
        raise InvalidNameError(f"{shown(key)} can't be a field's name")


def _single_text(metadata: dict[str, Any], path: str | None) -> str | None:
    if path is None:
        return None
    value = metadata.get(path)
    if type(value) is not str or "." in path:
        found = list(values_at(metadata, path))
        value = found[0] if len(found) == 1 else None
    return value if type(value) is str and len(value) <= KEY_LIMIT else None
