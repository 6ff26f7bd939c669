"""Entry: the one value that goes in and comes out. Draft: an entry checked, before it is stored."""

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple

from dualstore.errors import EntryError, EntryTooLargeError, shown
from dualstore.family import KEY_LIMIT, FamilySpec
from dualstore.outbox import IndexMark
from dualstore.paths import exists_at
from dualstore.terms import has_words
from dualstore.values import MAX_BYTES, check_text, from_json, size_of, to_json, to_ms

LOCAL: Final = "local"
ID_LIMIT: Final = 512
GENERIC_ROLES: Final = frozenset(
    "user assistant system tool human ai bot agent model function developer".split()
)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_HASH_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """Which state of a remote's thing a copy is of; compared only with its own kind."""

    kind: Literal["sequence", "time"]
    value: int

    def __post_init__(self) -> None:
        if self.kind not in ("sequence", "time") or type(self.value) is not int:
            raise EntryError(
                "source_version",
                f"is a sequence number or a time in whole numbers, not {shown(self.kind)} "
                f"{shown(self.value)}",
            )

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"

    @classmethod
    def parse(cls, text: str | None) -> "SourceVersion | None":
        """What was written as text; None stays None."""
        if text is None:
            return None
        kind, _, value = text.partition(":")
        return cls("sequence" if kind == "sequence" else "time", int(value))

    def is_newer_than(self, other: "SourceVersion | None") -> bool:
        """False also when the two can't be compared."""
        return other is not None and self.kind == other.kind and self.value > other.value


@dataclass(frozen=True, slots=True)
class Entry:
    """What is remembered, as it is stored. The mappings are the reader's own copies."""

    id: str
    text: str
    timestamp: int
    metadata: dict[str, Any]
    body: Any
    revision: int
    content_hash: str
    text_hash: str
    index: IndexMark
    created_at: int
    updated_at: int
    origin: str
    source_version: SourceVersion | None


class Draft(NamedTuple):
    """An entry that passed every check, in the form the document stores keep."""

    id: str
    text: str
    timestamp: int
    metadata: dict[str, Any]
    metadata_json: str
    body_json: str | None
    """None stands for null."""
    content_hash: str
    text_hash: str
    thread: str | None
    thread_is_odd: bool
    """There is something under the thread key, but not a single string."""
    author: str | None
    indexed_text: str
    """What terms and vectors are made from; empty when the entry is excluded from both."""
    origin: str
    source_version: SourceVersion | None


class Drafter:
    """Turns what callers give into drafts of one family."""

    def __init__(
        self, spec: FamilySpec, *, new_id: Callable[[], str] = lambda: uuid.uuid4().hex
    ) -> None:
        self.spec = spec
        self._new_id = new_id
        self._fields = frozenset({"id", spec.text_key, spec.time_key, "metadata", "body"})

    def draft_many(self, items: Iterable[Mapping[str, Any]], *, now: int) -> list[Draft]:
        """All of them, or an `EntryError` that says which item is wrong."""
        return [self.draft_at(position, item, now=now) for position, item in enumerate(items)]

    def draft_at(self, position: int, item: Mapping[str, Any], *, now: int) -> Draft:
        """The draft of one item of a batch; an `EntryError` says which one is wrong."""
        try:
            return self.draft(item, now=now)
        except EntryError as error:
            raise error.at(position) from None

    def draft(self, item: Mapping[str, Any], *, now: int) -> Draft:
        """One caller's mapping: the id is made and the time is `now` where they are missing."""
        spec = self.spec
        self._check_fields(item)
        given_time = to_ms(item[spec.time_key], spec.time_key) if spec.time_key in item else None
        return self.compose(
            id=check_id(item["id"]) if "id" in item else self._new_id(),
            text=item[spec.text_key],
            timestamp=now if given_time is None else given_time,
            metadata=item.get("metadata", {}),
            body=item.get("body"),
            time_was_given=given_time is not None,
        )

    def compose(
        self,
        *,
        id: str,  # noqa: A002 - the field's name in the public API
        text: str,
        timestamp: int,
        metadata: dict[str, Any],
        body: Any = None,
        origin: str = LOCAL,
        source_version: SourceVersion | None = None,
        time_was_given: bool = True,
    ) -> Draft:
        """A draft of parts. The id may be longer than a caller's: built keys are.

        A time that wasn't given stays out of the content hash, so that the same write twice is
        the same content.
        """
        spec = self.spec
        if type(metadata) is not dict:
            raise EntryError("metadata", f"must be a dict, not {type(metadata).__name__}")
        check_key(id, "id")
        check_key(origin, "origin")
        check_text(text, spec.text_key)
        timestamp = to_ms(timestamp, spec.time_key)
        metadata_json = to_json(metadata, "metadata")
        metadata = from_json(metadata_json)  # the caller's may change
        body_json = None if body is None else to_json(body, "body")
        _check_size(text, metadata_json, body_json)
        thread = spec.thread_of(metadata)
        author = spec.author_of(metadata)
        indexed_text = self._indexed_text(author, text, metadata)
        return Draft(
            id=id,
            text=text,
            timestamp=timestamp,
            metadata=metadata,
            metadata_json=metadata_json,
            body_json=body_json,
            content_hash=_content_hash(
                text, timestamp if time_was_given else None, metadata_json, body_json
            ),
            text_hash=_hash(indexed_text),
            thread=thread,
            thread_is_odd=thread is None and _holds_something(metadata, spec.thread_key),
            author=author,
            indexed_text=indexed_text,
            origin=origin,
            source_version=source_version,
        )

    def _check_fields(self, item: object) -> None:
        if not isinstance(item, Mapping):
            raise EntryError("entry", f"must be a mapping, not {type(item).__name__}")
        if not item.keys() <= self._fields:
            unknown = next(key for key in item if key not in self._fields)
            raise EntryError(
                shown(unknown),
                f"is no field of an entry ({', '.join(sorted(self._fields))}); "
                "what else belongs to it goes into metadata or body",
            )
        if self.spec.text_key not in item:
            raise EntryError(self.spec.text_key, "is missing")

    def is_indexable(self, text: str, metadata: dict[str, Any]) -> bool:
        """Whether there is anything in it that a search could find."""
        if metadata.get("type") == "image" and not self.spec.images:
            return False
        return has_words(text)

    def indexed_text(self, entry: Entry) -> str:
        """What terms and vectors of an entry are made from; empty when it is excluded."""
        author = self.spec.author_of(entry.metadata)
        return self._indexed_text(author, entry.text, entry.metadata)

    def _indexed_text(self, author: str | None, text: str, metadata: dict[str, Any]) -> str:
        if not self.is_indexable(text, metadata):
            return ""
        return f"{author}: {text}" if author and author.lower() not in GENERIC_ROLES else text


def check_id(value: object) -> str:
    """`value`, when a caller may use it as an id."""
    text = check_key(value, "id")
    if len(text) > ID_LIMIT:
        raise EntryError("id", f"must have 1 to {ID_LIMIT} characters, not {len(text)}")
    return text


def check_key(value: object, field: str) -> str:
    """`value`, when it can be an id or a name: not blank, without control characters."""
    text = check_text(value, field)
    if not text or text.isspace():
        raise EntryError(field, "is blank" if text else "is empty: at least 1 character is needed")
    if len(text) > KEY_LIMIT:
        raise EntryError(field, f"must have 1 to {KEY_LIMIT} characters, not {len(text)}")
    found = _CONTROL.search(text)
    if found:
        raise EntryError(field, f"holds a control character at {found.start()}: {shown(text)}")
    return text


def _holds_something(metadata: dict[str, Any], path: str | None) -> bool:
    if path is None or not metadata:
        return False
    if "." not in path:
        return metadata.get(path) is not None
    return exists_at(metadata, path)


def _check_size(text: str, metadata_json: str, body_json: str | None) -> None:
    size = size_of(text, metadata_json, body_json or "")
    if size > MAX_BYTES:
        raise EntryTooLargeError(
            "entry", f"text, metadata and body take {size:,} bytes; {MAX_BYTES:,} are the most"
        )


def _content_hash(
    text: str, timestamp: int | None, metadata_json: str, body_json: str | None
) -> str:
    """JSON holds no raw NUL, so only the text, which comes last, may."""
    return _hash(f"{timestamp}\0{metadata_json}\0{body_json}\0{text}")


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=_HASH_BYTES).hexdigest()
