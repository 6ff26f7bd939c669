"""How a family is recorded, and how it is made anew to another spec, whatever the backend."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from dualstore.documents.base import Record, Records
from dualstore.errors import FamilyMismatchError, UnavailableError
from dualstore.family import FamilySpec

FAMILIES: Final = "dualstore.families"
"""The space of Records that says how each family was made, and what it is becoming."""
STEP: Final = 1000
"""Entries that are derived again before the record says how far that has come."""

_BECOMING: Final = "becoming"
_REACHED: Final = "reached"
_NAMES: Final = frozenset({"text_key", "time_key"})
"""What only callers' mappings know of: nothing is derived with it."""

Rederive = Callable[[FamilySpec, str | None, int], Awaitable[str | None]]
"""Derives again, of a family made to the first spec, some entries behind an id, at most so many.

Gives the last one's id, or None when there was none.
"""


async def record_family(records: Records, spec: FamilySpec) -> None:
    """Record how the family is made, or check that it is made like that."""
    mine = spec.to_record()
    created = await records.create(FAMILIES, spec.name, mine)
    recorded = created or await records.get(FAMILIES, spec.name)
    if recorded is None:
        raise FamilyMismatchError(f"family {spec.name!r} was removed while it was being opened")
    if _BECOMING in recorded.value:
        raise FamilyMismatchError(
            f"family {spec.name!r} is being made anew to another spec, which was not finished: "
            "finish the reindexing, or open it with on_mismatch='reindex' and yet another spec"
        )
    spec.check_recorded(recorded.value)


async def recorded_specs(records: Records) -> list[FamilySpec]:
    """Of all families, as `Database.specs` says."""
    found: list[FamilySpec] = []
    after: str | None = None
    while page := await records.range(FAMILIES, after=after):
        found += [FamilySpec.from_record(each.value.get(_BECOMING, each.value)) for each in page]
        after = page[-1].key
    return found


async def respec_family(records: Records, spec: FamilySpec, rederive: Rederive) -> None:
    """Derive everything again, in order of ids, and then record the family as one of this spec."""
    record = await records.get(FAMILIES, spec.name)
    if record is None:
        return
    unfinished = _BECOMING in record.value
    differing = spec.differing(record.value)
    if unfinished or not differing <= _NAMES:
        record = await _rederived(records, record, spec, rederive)
    elif not differing:
        return
    await _note(records, record, spec.to_record())


async def _rederived(
    records: Records, record: Record, spec: FamilySpec, rederive: Rederive
) -> Record:
    """The record once all entries are derived again; from the first on if it's a third spec."""
    made = {key: record.value[key] for key in record.value.keys() - {_BECOMING, _REACHED}}
    becoming = {**made, _BECOMING: spec.to_record()}
    if record.value.get(_BECOMING) != spec.to_record():
        record = await _note(records, record, becoming)
    after = record.value.get(_REACHED)
    while (after := await rederive(FamilySpec.from_record(made), after, STEP)) is not None:
        record = await _note(records, record, {**becoming, _REACHED: after})
    return record


async def _note(records: Records, record: Record, value: dict[str, Any]) -> Record:
    noted = await records.replace(record, value)
    if noted is None:
        raise UnavailableError(
            f"somebody else is making family {record.key!r} anew, too; let one of you finish it"
        )
    return noted
