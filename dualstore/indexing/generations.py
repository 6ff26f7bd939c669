"""Which index of a family is asked, and which one is written.

An index is made by one embedder and belongs to one generation. While a new generation is being
built, all index work goes into it and the old one keeps answering; then one write switches.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from dualstore.documents.base import Record, Records
from dualstore.embedders.base import Embedder
from dualstore.errors import FamilyMismatchError

SPACE: Final = "dualstore.generations"
"""The space of Records that says where the vectors of each family are."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One index of a family."""

    number: int
    embedder: str
    dimension: int

    def index_name(self, family: str) -> str:
        """What the index is called at the vectors' place."""
        return f"{family}.g{self.number}"

    def is_made_by(self, embedder: Embedder) -> bool:
        """Vectors of different embedders can't be compared."""
        return self.embedder == embedder.identity


@dataclass(frozen=True, slots=True)
class Generations:
    """What is recorded of a family."""

    live: Generation
    building: Generation | None = None
    walked: str | None = None
    """While building: the last entry, in order of ids, that was marked due for it."""

    @property
    def target(self) -> Generation:
        """Where index work goes."""
        return self.building or self.live

    def to_record(self) -> dict[str, Any]:
        """As a JSON value."""
        return asdict(self)

    @classmethod
    def from_record(cls, value: dict[str, Any]) -> Self:
        """The opposite of `to_record`."""
        building = value["building"]
        return cls(
            live=Generation(**value["live"]),
            building=None if building is None else Generation(**building),
            walked=value["walked"],
        )


class GenerationBook:
    """One family's page in the records."""

    def __init__(self, records: Records, family: str) -> None:
        self._records = records
        self._family = family

    async def open(self, embedder: Embedder) -> Generations:
        """What is recorded; a new family begins with this embedder's first generation.

        Raises `FamilyMismatchError` when neither generation is made by this embedder.
        """
        first = Generations(Generation(1, embedder.identity, embedder.dimension))
        created = await self._records.create(SPACE, self._family, first.to_record())
        present = first if created else await self.read()
        if not any(g and g.is_made_by(embedder) for g in (present.live, present.building)):
            raise FamilyMismatchError(
                f"the vectors of {self._family!r} are made by {present.live.embedder}, not by "
                f"{embedder.identity}: open it with that embedder, or reindex it to the new one"
            )
        return present

    async def read(self) -> Generations:
        """What is recorded now."""
        return Generations.from_record((await self._record()).value)

    async def replace(self, before: Generations, after: Generations) -> bool:
        """Whether it was still `before`, and is `after` now."""
        record = await self._record()
        if Generations.from_record(record.value) != before:
            return False
        return await self._records.replace(record, after.to_record()) is not None

    async def _record(self) -> Record:
        record = await self._records.get(SPACE, self._family)
        if record is None:
            raise FamilyMismatchError(f"{self._family!r} was removed while it was open")
        return record
