"""Documents as MongoDB keeps them, and the values they stand for.

One document is one entry or one tombstone. All that a driver could have its own idea of (numbers,
keys, depth) is kept as JSON text; what filters and searches need is derived from it:

    _id, text, ts, metadata, body, origin, version, rev, chash, thash, created, updated
    bytes        of text, metadata, body and stream
    live         false for a tombstone, which has nothing of the content
    thread, author
    folded       the text as `$contains` sees it, where that is another one
    attrs        everything a filter could ask about the metadata
    odd          filters can't be answered from the derived fields: ask the metadata
    stream, terms, vector
    state, attempts, error, chunks, held, residue, token, claim_at, due_since: the index mark
    stamp        another one after each write: whoever replaces a document names the one he read
"""

import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

from dualstore.attributes import attributes
from dualstore.documents.base import Candidate
from dualstore.documents.mongo_keys import to_key, to_name
from dualstore.documents.mongo_portions import SIZE, Fields, Row
from dualstore.documents.rules import Present, next_revision, next_update
from dualstore.entry import Draft, Entry, SourceVersion
from dualstore.errors import StorageCorruptError, shown
from dualstore.filters import fold
from dualstore.outbox import IndexMark, IndexState
from dualstore.values import from_json, size_of

T = TypeVar("T")

DERIVED_LIMIT: Final = 1024 * 1024
"""Bytes of the folded text, and of the attributes: with an entry of 12 MiB, its terms and its
vector they stay below the 16 MiB that a document may have."""
_ATTRIBUTE_COST: Final = 16
"""Bytes that one member of an array takes besides its text."""

MARK_FIELDS: Final[Fields] = dict.fromkeys(
    "state attempts error chunks held residue token claim_at due_since".split(), 1
)
FACT_FIELDS: Final[Fields] = dict.fromkeys("text ts origin metadata odd".split(), 1)
"""What `mongo_filters.Compiled.holds` reads."""
ENTRY_FIELDS: Final[Fields] = {
    **FACT_FIELDS,
    **MARK_FIELDS,
    **dict.fromkeys("body rev chash thash created updated version".split(), 1),
}
BURIED_FIELDS: Final[Fields] = {
    **MARK_FIELDS,
    **dict.fromkeys("live rev chash thash created updated version ts origin stamp".split(), 1),
}
"""What a deletion has to know."""
PRESENT_FIELDS: Final[Fields] = {**BURIED_FIELDS, "metadata": 1, "vector": 1}
CANDIDATE_FIELDS: Final[Fields] = dict.fromkeys("thread ts author stream vector thash".split(), 1)


def new_stamp() -> str:
    """One that no document has."""
    return uuid.uuid4().hex


def entry_row(
    draft: Draft,
    mark: IndexMark,
    present: Present | None,
    *,
    stream: list[str],
    vector: bytes | None,
    stamp: str,
    now: int,
) -> Row:
    """The document to write for a draft that is created or updated."""
    words = " ".join(stream)
    return {
        "_id": to_key(draft.id),
        "live": True,
        "text": draft.text,
        "ts": draft.timestamp,
        "metadata": draft.metadata_json,
        "origin": draft.origin,
        "rev": next_revision(present),
        "chash": draft.content_hash,
        "thash": draft.text_hash,
        "created": present.created_at if present else now,
        "updated": next_update(present, now),
        "stream": words,
        "terms": sorted(set(stream)),
        "stamp": stamp,
        SIZE: size_of(draft.text, draft.metadata_json, draft.body_json or "", words),
        **_some(body=draft.body_json, version=_version(draft.source_version), vector=vector),
        **_some(author=draft.author, **_filterable(draft)),
        **mark_row(mark),
    }


def tombstone_row(
    row: Row,
    mark: IndexMark,
    *,
    revision: int,
    updated: int,
    version: SourceVersion | None,
    stamp: str,
) -> Row:
    """The document that keeps nothing of the content of `row`."""
    kept = ("_id", "ts", "origin", "created")
    return {
        **{field: row[field] for field in kept},
        "live": False,
        SIZE: 0,
        "chash": "",
        "thash": "",
        "rev": revision,
        "updated": updated,
        "stamp": stamp,
        **_some(version=_version(version)),
        **mark_row(mark),
    }


def mark_row(mark: IndexMark) -> Row:
    """The fields of a mark that say something."""
    return {
        "state": int(mark.state),
        "attempts": mark.attempts,
        "chunks": mark.chunks,
        "held": mark.held,
        "residue": mark.residue,
        **_some(
            error=mark.error,
            token=mark.token,
            claim_at=mark.claim_at,
            due_since=mark.due_since,
        ),
    }


def mark_change(mark: IndexMark, stamp: str, **others: Any) -> Row:
    """The update that replaces a mark by this one."""
    said = mark_row(mark)
    gone = dict.fromkeys(MARK_FIELDS.keys() - said.keys(), 1)
    return {"$set": {**said, "stamp": stamp, **others}, **({"$unset": gone} if gone else {})}


def legible(what: str) -> Callable[[Callable[[Row], T]], Callable[[Row], T]]:
    """Reads a row, or raises `StorageCorruptError` that names the document."""

    def checked(read: Callable[[Row], T]) -> Callable[[Row], T]:
        @wraps(read)
        def read_checked(row: Row) -> T:
            try:
                return read(row)
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                reason = f"{type(error).__name__}: {error}"
                name = shown(to_name(row["_id"]))
                raise StorageCorruptError(f"{what} {name} can't be read back: {reason}") from error

        return read_checked

    return checked


@legible("entry")
def to_mark(row: Row) -> IndexMark:
    """The opposite of `mark_row`."""
    return IndexMark(
        state=IndexState(row["state"]),
        attempts=row["attempts"],
        error=row.get("error"),
        chunks=row["chunks"],
        held=row["held"],
        residue=row["residue"],
        token=row.get("token"),
        claim_at=row.get("claim_at"),
        due_since=row.get("due_since"),
    )


@legible("entry")
def to_entry(row: Row) -> Entry:
    """Of `ENTRY_FIELDS`; a row without text, metadata or body has empty ones."""
    return Entry(
        id=to_name(row["_id"]),
        text=row.get("text", ""),
        timestamp=row["ts"],
        metadata=to_metadata(row),
        body=from_json(row.get("body", "null")),
        revision=row["rev"],
        content_hash=row["chash"],
        text_hash=row["thash"],
        index=to_mark(row),
        created_at=row["created"],
        updated_at=row["updated"],
        origin=row["origin"],
        source_version=SourceVersion.parse(row.get("version")),
    )


def to_metadata(row: Row) -> dict[str, Any]:
    """Its metadata, which are an object; raises `ValueError` if they aren't."""
    metadata = from_json(row.get("metadata", "{}"))
    if type(metadata) is not dict:
        raise ValueError("metadata is no object")
    return metadata


@legible("entry")
def to_present(row: Row) -> Present:
    """Of `PRESENT_FIELDS`."""
    return Present(
        deleted=not row["live"],
        origin=row["origin"],
        revision=row["rev"],
        content_hash=row["chash"],
        text_hash=row["thash"],
        source_version=SourceVersion.parse(row.get("version")),
        created_at=row["created"],
        updated_at=row["updated"],
        mark=to_mark(row),
    )


@legible("entry")
def to_candidate(row: Row) -> Candidate:
    """Of `CANDIDATE_FIELDS`."""
    return Candidate(
        id=to_name(row["_id"]),
        thread=row.get("thread"),
        timestamp=row["ts"],
        author=row.get("author"),
        terms=row["stream"],
        vector=row.get("vector", b""),
        text_hash=row["thash"],
    )


def _version(version: SourceVersion | None) -> str | None:
    return None if version is None else str(version)


def _filterable(draft: Draft) -> dict[str, Any]:
    folded = _folded(draft.text)
    attrs = _listed(draft)
    odd = draft.thread_is_odd or folded is None or attrs is None
    return {
        "thread": draft.thread,
        "folded": None if folded == draft.text else folded,
        "attrs": attrs,
        "odd": odd or None,
    }


def _folded(text: str) -> str | None:
    """None if it is too large."""
    if len(text) > DERIVED_LIMIT:
        return None
    folded = fold(text)
    return folded if size_of(folded) <= DERIVED_LIMIT else None


def _listed(draft: Draft) -> list[str] | None:
    """None if it is too large."""
    found = attributes(draft.metadata)
    large = size_of(*found) + len(found) * _ATTRIBUTE_COST > DERIVED_LIMIT
    return None if large else sorted(found)


def _some(**fields: Any) -> Row:
    """Without the Nones: an absent field takes no room in an index that is sparse."""
    return {field: value for field, value in fields.items() if value is not None}
