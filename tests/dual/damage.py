"""Damage done to a pair behind the manager's back, by each way it may come about."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from dualstore.differences import ConsistencyReport, Problem
from dualstore.documents.base import DocumentStore, Settlement, Work
from dualstore.entry import Drafter
from dualstore.outbox import Indexed, Outcome
from dualstore.vectors.base import FieldValue, Vector, VectorId, VectorIndex
from dualstore.wiring import Backends
from tests.dual.indexing_process import SPEC

OLD_TEXT = "0" * 32
"""The hash of a text that no entry ever had."""


@dataclass
class Planted:
    """What was planted, by what a report should call it."""

    ids: dict[Problem, set[str]] = field(default_factory=dict)

    def note(self, problem: Problem, *ids: str) -> None:
        self.ids.setdefault(problem, set()).update(ids)

    def check(self, report: ConsistencyReport) -> None:
        """It names exactly these."""
        named = {problem: set(getattr(report, problem)) for problem in Problem}
        for problem, ids in named.items():
            planted = self.ids.get(problem, set())
            assert ids == planted, f"{problem}: {ids - planted} too many, {planted - ids} missed"
        assert sum(len(getattr(report, problem)) for problem in Problem) == self.count

    @property
    def count(self) -> int:
        return sum(map(len, self.ids.values()))


Contents = dict[str, tuple[Vector, dict[str, FieldValue]]]
"""All that an index holds, by the ids of the vectors."""


async def contents_of(index: VectorIndex) -> Contents:
    """Its vectors and what they are filed under."""
    found: Contents = {}
    while page := await index.scan(offset=len(found), limit=500):
        for id_, stored in (await index.get(page)).items():
            found[id_] = (stored.vector, dict(stored.fields))
    return found


async def vector_id(store: DocumentStore, entry: str, chunk: int = 0) -> str:
    """The id of a vector that an entry should have."""
    (scanned,) = (await store.marks([entry])).values()
    return str(VectorId(entry, scanned.text_hash, chunk))


async def settle(
    backends: Backends,
    store: DocumentStore,
    items: Iterable[Mapping[str, object]],
    outcome: Callable[[Work], Outcome],
) -> None:
    """Write entries, and mark them as an indexer would that does nothing else."""
    await store.put(Drafter(SPEC).draft_many(items, now=1), now=backends.clock())
    await _settle(backends, store, outcome)


async def _settle(
    backends: Backends, store: DocumentStore, outcome: Callable[[Work], Outcome]
) -> None:
    works = await store.claim(1000, now=backends.clock(), lease=60_000)
    assert works
    assert all(await store.settle([Settlement(work, outcome(work)) for work in works]))


def indexed(work: Work, *, chunks: int = 1, copy: bytes = b"", text_hash: str = "") -> Indexed:
    """As if the vectors were in the index."""
    assert work.entry
    return Indexed(text_hash or work.entry.text_hash, chunks, copy)


async def settle_again(
    backends: Backends, store: DocumentStore, id_: str, outcome: Callable[[Work], Outcome]
) -> None:
    """Mark an entry otherwise, whose vectors stay as they are."""
    await store.mark_due([id_], now=backends.clock())
    await _settle(backends, store, outcome)


async def spoil_copy(
    backends: Backends, store: DocumentStore, id_: str, spoil: Callable[[bytes], bytes]
) -> None:
    """Change the int8 copy of an entry that is indexed; its mark stays as it was."""

    def same(work: Work) -> Outcome:
        return indexed(work, chunks=work.mark.chunks, copy=spoil(work.vector))

    await settle_again(backends, store, id_, same)
