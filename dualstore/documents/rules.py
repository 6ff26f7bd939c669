"""What a write does to what is already there: pure decisions that every backend carries out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from dualstore.documents.base import DeleteOutcome, Put, PutOutcome
from dualstore.entry import LOCAL, Draft, Drafter, Entry, SourceVersion
from dualstore.family import FamilySpec
from dualstore.outbox import IndexMark, renewed
from dualstore.paths import exists_at, values_at

_REFUSED: Final = (PutOutcome.OUTDATED, PutOutcome.DELETED)


@dataclass(frozen=True, slots=True)
class Present:
    """The document that is there, an entry or a tombstone, as far as decisions need it."""

    deleted: bool
    origin: str
    revision: int
    content_hash: str
    text_hash: str
    source_version: SourceVersion | None
    created_at: int
    updated_at: int
    mark: IndexMark


class Filed(Protocol):
    """What vectors are filed under; an `Entry` has it, and so has a `Draft`."""

    @property
    def timestamp(self) -> int: ...
    @property
    def origin(self) -> str: ...
    @property
    def metadata(self) -> dict[str, Any]: ...


def rounds(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    """Split, in order, so that no id is twice in one round."""
    some: dict[str, Draft] = {}
    for draft in drafts:
        if draft.id in some:
            yield list(some.values())
            some = {}
        some[draft.id] = draft
    if some:
        yield list(some.values())


def decide(draft: Draft, present: Present | None, expected: int | None) -> PutOutcome:
    """What is to become of a draft; `expected` is the revision its writer had seen, if any."""
    if present is None:
        return PutOutcome.CREATED if not expected else PutOutcome.OUTDATED
    if present.deleted:
        return _decide_on_tombstone(draft, expected)
    if _is_older(draft.source_version, present.source_version):
        return PutOutcome.OUTDATED
    if draft.content_hash == present.content_hash:
        return PutOutcome.UNCHANGED
    if _may_replace(present, draft.origin, draft.source_version, expected):
        return PutOutcome.UPDATED
    return PutOutcome.OUTDATED


def _decide_on_tombstone(draft: Draft, expected: int | None) -> PutOutcome:
    if draft.origin != LOCAL:
        return PutOutcome.DELETED
    if expected:
        return PutOutcome.OUTDATED
    return PutOutcome.CREATED


def _may_replace(
    present: Present, origin: str, version: SourceVersion | None, expected: int | None
) -> bool:
    if version and version.is_newer_than(present.source_version):
        return True
    if expected is not None:
        return expected == present.revision
    return origin == LOCAL


def _is_older(mine: SourceVersion | None, other: SourceVersion | None) -> bool:
    return mine is not None and other is not None and other.is_newer_than(mine)


def decide_delete(
    present: Present | None,
    *,
    origin: str,
    source_version: SourceVersion | None,
    expected: int | None,
) -> DeleteOutcome:
    """What is to become of a deletion."""
    if present is None or present.deleted:
        return DeleteOutcome.ABSENT
    if _is_older(source_version, present.source_version):
        return DeleteOutcome.OUTDATED
    # A remote may take back what it gave, but not what was written here since.
    mine = LOCAL if origin == present.origin else origin
    if _may_replace(present, mine, source_version, expected):
        return DeleteOutcome.DELETED
    return DeleteOutcome.OUTDATED


def takes_version(draft: Draft, present: Present) -> bool:
    """Whether an unchanged entry is confirmed by a newer source version, worth recording."""
    mine = draft.source_version
    return mine is not None and mine.is_newer_than(present.source_version)


def mark_after_put(draft: Draft, present: Present, *, refile: bool, now: int) -> IndexMark:
    """The mark to write with a draft that takes the place of what is there.

    `refile`: a field that its vectors are filed under has changed.
    """
    if refile or present.deleted or draft.text_hash != present.text_hash:
        return renewed(present.mark, indexable=bool(draft.indexed_text), now=now)
    return present.mark


def acknowledged_ids(puts: Sequence[Put], left: Sequence[Draft]) -> list[str]:
    """The ids all of whose writes are known to be durable; `left` may have been written or not."""
    refused = {put.id for put in puts if put.outcome in _REFUSED}
    doubtful = refused.union(draft.id for draft in left)
    return list(dict.fromkeys(put.id for put in puts if put.id not in doubtful))


def draft_anew(drafter: Drafter, entry: Entry) -> Draft:
    """The same content, and all that is derived from it by the drafter's spec."""
    draft = drafter.compose(
        id=entry.id,
        text=entry.text,
        timestamp=entry.timestamp,
        metadata=entry.metadata,
        body=entry.body,
        origin=entry.origin,
        source_version=entry.source_version,
    )
    # whether the time was given isn't known any more
    return draft._replace(content_hash=entry.content_hash)


def mark_anew(
    draft: Draft, present: Present, *, made: FamilySpec, spec: FamilySpec, now: int
) -> IndexMark:
    """The mark to write with a draft of `spec` where one of the spec `made` was."""
    refile = is_filed_otherwise(draft.metadata, made, spec)
    return mark_after_put(draft, present, refile=refile, now=now)


def is_filed_otherwise(metadata: dict[str, Any], one: FamilySpec, other: FamilySpec) -> bool:
    """Whether the two specs file the vectors of such an entry under different fields."""
    return any(exists_at(metadata, path) for path in _filed_paths(one) ^ _filed_paths(other))


def must_refile(spec: FamilySpec, new: Filed, old: Filed) -> bool:
    """Whether vectors of the new are filed under other fields than those of the old."""
    return (new.timestamp, new.origin) != (old.timestamp, old.origin) or any(
        _typed(new.metadata, path) != _typed(old.metadata, path) for path in _filed_paths(spec)
    )


def _filed_paths(spec: FamilySpec) -> set[str]:
    paths = (spec.thread_key, spec.author_key, *spec.filter_fields)
    return {path for path in paths if path is not None}


def _typed(metadata: dict[str, Any], path: str) -> list[tuple[type, Any]]:
    """True, 1 and 1.0 are equal in Python, but not the same to an index."""
    return [(type(value), value) for value in values_at(metadata, path)]


def next_revision(present: Present | None) -> int:
    """Revisions go on through a deletion."""
    return 1 if present is None else present.revision + 1


def next_update(present: Present | None, now: int) -> int:
    """Update times never go back, whatever the clock does."""
    return now if present is None else max(now, present.updated_at)
