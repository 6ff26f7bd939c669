"""Which index of a family is asked, and which one is written.

An index is made by one embedder and belongs to one generation. While a new generation is being
built, all index work goes into it and the old one keeps answering; then one write switches. An
index that was lost is a generation that ended: the next one takes its place.
"""

import uuid
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

from dualstore.documents.base import Record, Records
from dualstore.embedders.base import Embedder
from dualstore.errors import FamilyMismatchError

SPACE: Final = "dualstore.generations"
"""The space of Records that says where the vectors of each family are."""
BEGINNING: Final = ""
_TOKEN_CHARS: Final = 8


@dataclass(frozen=True, slots=True)
class Generation:
    """One index of a family."""

    number: int
    token: str
    """Two databases of documents may share a place of vectors, and never meet in it."""
    embedder: str
    dimension: int
    made: bool = False
    """Its index was there once: if it isn't there, it is lost."""

    def index_name(self, family: str) -> str:
        """What the index is called at the vectors' place."""
        return f"{family}.g{self.number}-{self.token}"

    def is_made_by(self, embedder: Embedder) -> bool:
        """Vectors of different embedders can't be compared."""
        return self.embedder == embedder.identity

    def may_be_made_by(self, embedder: Embedder) -> bool:
        """As `is_made_by`, for an embedder that may not have been loaded yet."""
        if embedder.dimension:
            return self.is_made_by(embedder)
        name, _, _ = self.embedder.rsplit("/", 2)
        return name == embedder.name


@dataclass(frozen=True, slots=True)
class Generations:
    """What is recorded of a family."""

    live: Generation
    building: Generation | None = None
    walked: str | None = None
    """While entries are being marked due for the target: the last one that was."""
    retired: tuple[str, ...] = ()
    """Names of indexes that nobody asks any more, to be dropped."""

    @property
    def target(self) -> Generation:
        """Where index work goes."""
        return self.building or self.live

    @property
    def at_rest(self) -> bool:
        """There is nothing to do but what the documents say."""
        return self.building is None and self.walked is None and not self.retired

    def made(self) -> "Generations":
        """The target's index is there now."""
        return self._with_target(replace(self.target, made=True))

    def lost(self, family: str) -> "Generations":
        """The target's index is gone: another one is to be filled from the beginning."""
        gone = self.target
        new = _new(gone.number + 1, gone.embedder, gone.dimension)
        return replace(self._with_target(new), walked=BEGINNING).with_retired(gone, family)

    def begun(self, embedder: Embedder, family: str) -> "Generations":
        """A new generation is to be built; one that this embedder builds already goes on."""
        if self.building and self.building.is_made_by(embedder):
            return self
        new = _new(self.target.number + 1, embedder.identity, embedder.dimension)
        begun = replace(self, building=new, walked=BEGINNING)
        return begun.with_retired(self.building, family) if self.building else begun

    def switched(self, family: str) -> "Generations":
        """What was built is asked from now on."""
        return replace(self, live=self.target, building=None).with_retired(self.live, family)

    def with_retired(self, generation: Generation, family: str) -> "Generations":
        """Its index is to be dropped."""
        return replace(self, retired=(*self.retired, generation.index_name(family)))

    def _with_target(self, target: Generation) -> "Generations":
        return replace(self, building=target) if self.building else replace(self, live=target)

    def to_record(self) -> dict[str, Any]:
        """As a JSON value."""
        return {**asdict(self), "retired": list(self.retired)}

    @classmethod
    def from_record(cls, value: dict[str, Any]) -> Self:
        """The opposite of `to_record`."""
        building = value["building"]
        return cls(
            live=Generation(**value["live"]),
            building=None if building is None else Generation(**building),
            walked=value["walked"],
            retired=tuple(value["retired"]),
        )


class GenerationBook:
    """One family's page in the records."""

    def __init__(self, records: Records, family: str) -> None:
        self.family = family
        self._records = records

    async def open(self, embedder: Embedder) -> Generations:
        """What is recorded; a new family begins with this embedder's first generation.

        The embedder must be loaded.
        """
        present = await self.read()
        if present is None:
            first = Generations(_new(1, embedder.identity, embedder.dimension))
            await self._records.create(SPACE, self.family, first.to_record())
            present = Generations.from_record((await self._record()).value)
        return present

    async def read(self) -> Generations | None:
        """What is recorded; None while nothing of the family was ever indexed."""
        record = await self._records.get(SPACE, self.family)
        return None if record is None else Generations.from_record(record.value)

    async def check(self, embedder: Embedder) -> None:
        """Raise `FamilyMismatchError` when the family is another embedder's."""
        present = await self.read()
        both = (present.live, present.building) if present else ()
        if present and not any(each and each.may_be_made_by(embedder) for each in both):
            raise self.mismatch(present.live, embedder)

    async def replace(self, before: Generations, after: Generations) -> bool:
        """Whether it was still `before`, and is `after` now."""
        record = await self._record()
        if Generations.from_record(record.value) != before:
            return False
        return await self._records.replace(record, after.to_record()) is not None

    def mismatch(self, generation: Generation, embedder: Embedder) -> FamilyMismatchError:
        """What to raise where this embedder can't serve the generation."""
        mine = embedder.identity if embedder.dimension else embedder.name
        return FamilyMismatchError(
            f"the vectors of {self.family!r} are made by {generation.embedder}, not by {mine}: "
            "open it with that embedder, or with on_mismatch='reindex', or reindex all families to "
            "the new one (Store.reindex)"
        )

    async def _record(self) -> Record:
        record = await self._records.get(SPACE, self.family)
        if record is None:
            raise FamilyMismatchError(f"{self.family!r} was removed while it was open")
        return record


def _new(number: int, embedder: str, dimension: int) -> Generation:
    return Generation(number, uuid.uuid4().hex[:_TOKEN_CHARS], embedder, dimension)
