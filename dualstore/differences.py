"""How documents and their index can differ, and telling it from what both say. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from dualstore.documents.base import Scanned
from dualstore.embedders.base import Vectors
from dualstore.entry import Entry
from dualstore.family import FamilySpec
from dualstore.indexing.filing import fields_of, is_held
from dualstore.outbox import IndexState
from dualstore.vectors.base import StoredVector, VectorId

ALIKE: Final = 0.995
"""The cosine that a vector has with its int8 copy at least."""


class Problem(StrEnum):
    """How the two sides can differ."""

    MISSING = "missing"  # an entry that is indexed, and whose vectors aren't all there
    CHANGED = "changed"  # an entry whose vectors aren't what was written, or filed otherwise
    LYING = "lying"  # an entry whose mark can't be true, whatever the index holds
    ORPHANED = "orphaned"  # a vector whose entry is gone
    STALE = "stale"  # a vector of what its entry says no longer
    FOREIGN = "foreign"  # a vector that nobody here ever wrote


OF_ENTRIES: Final = (Problem.MISSING, Problem.CHANGED, Problem.LYING)
"""These name entries, the others vectors."""


@dataclass(frozen=True, slots=True)
class Found:
    """One difference, and the id of the entry or the vector that it is about."""

    problem: Problem
    id: str


@dataclass(frozen=True, slots=True)
class ConsistencyReport:
    """Everything that is wrong, by the ids of entries (the first three) or of vectors."""

    entries: int
    """How many were compared."""
    vectors: int
    pending: int
    """Entries that an indexer has still to see to; nothing is said about them."""
    failed: int
    """Entries that couldn't be indexed, each with its reason in its mark."""
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    lying: tuple[str, ...] = ()
    orphaned: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Both sides agree on everything that isn't pending."""
        return not any(getattr(self, problem) for problem in Problem)


@dataclass(frozen=True, slots=True)
class EntryConsistency:
    """What both sides say of one entry."""

    id: str
    state: IndexState
    error: str | None
    """Why it couldn't be indexed."""
    expected: int
    """Vectors that the document says there are."""
    found: int
    """Vectors that the index holds of its present text."""
    problems: tuple[Problem, ...]

    @property
    def in_step(self) -> bool:
        """The index holds what it should, and nothing is left to do."""
        done = self.state in (IndexState.INDEXED, IndexState.EXCLUDED)
        return done and not self.problems


def settled(page: Iterable[Scanned], walked: str | None) -> list[Scanned]:
    """Those that are said to be done, in the index that is being written.

    A tombstone says nothing of vectors, and so nothing of the index.
    """
    return [
        each
        for each in page
        if each.mark.claim_at is None and (walked is None or each.id <= walked or each.deleted)
    ]


def expected_ids(scanned: Scanned) -> list[str]:
    """The ids of the vectors that the mark speaks of."""
    mark = scanned.mark
    return [str(VectorId(scanned.id, mark.held, chunk)) for chunk in range(mark.chunks)]


def judged_entry(
    scanned: Scanned,
    entry: Entry,
    copy: Vectors | None,
    held: Mapping[str, StoredVector],
    spec: FamilySpec,
) -> Problem | None:
    """What is wrong with an entry that is said to be indexed: by its copy, and by the index."""
    mark = scanned.mark
    if copy is None or len(copy) != mark.chunks or mark.held != scanned.text_hash:
        return Problem.LYING
    expected = [
        (held.get(each), row)
        for each, row in zip(expected_ids(scanned), copy, strict=True)
        if row.any()
    ]
    return _compared(expected, entry, spec)


def _compared(
    expected: Iterable[tuple[StoredVector | None, Vectors]], entry: Entry, spec: FamilySpec
) -> Problem | None:
    fields = fields_of(entry, spec)
    changed = False
    for stored, row in expected:
        if stored is None:
            return Problem.MISSING
        length = max(float(np.linalg.norm(stored.vector)), 1e-30)
        alike = float(stored.vector @ row) / length >= ALIKE
        changed = changed or not alike or stored.fields != fields
    return Problem.CHANGED if changed else None


def judged_vector(vector: VectorId | None, marks: Mapping[str, Scanned]) -> Problem | None:
    """What is wrong with a vector that the index holds."""
    if vector is None:
        return Problem.FOREIGN
    scanned = marks.get(vector.entry)
    if scanned is None:
        return Problem.ORPHANED
    mark = scanned.mark
    if mark.claim_at is not None:
        return None
    if scanned.deleted:
        return Problem.ORPHANED
    return None if is_held(vector, mark) else Problem.STALE
