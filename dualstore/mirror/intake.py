"""How what a remote told becomes entries: each thing by itself, against what is here."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

from dualstore.assembly import Family
from dualstore.documents.base import Put, PutOutcome
from dualstore.entry import LOCAL, Draft, Entry, SourceVersion
from dualstore.errors import EntryError, shown
from dualstore.family import KEY_LIMIT
from dualstore.filters import parse
from dualstore.manager import DualStoreManager
from dualstore.mirror.kinds import Copy
from dualstore.mirror.refusals import Kind, Refusals
from dualstore.remote.base import Change

_AT_ONCE: Final = 500
_CHECKED_AT_ONCE: Final = 50
"""Things that are looked at before others get their turn on the loop."""
_SCANNED_AT_ONCE: Final = 1000
_ANSWERED_WITHIN: Final = 1.0
"""Seconds: a session is written before its messages are, and both take the same thread."""

_Told = TypeVar("_Told")

Revisions = Mapping[str, int]
"""By key, what was here before the remote was asked."""


@dataclass(slots=True)
class Taken:
    """What became of what a remote told."""

    outcomes: dict[str, PutOutcome] = field(default_factory=dict)
    """By key."""
    refused: dict[str, str] = field(default_factory=dict)
    """Reasons, by what they are about."""
    kept: set[str] = field(default_factory=set)
    """Keys of what was written here since, and stays."""

    @property
    def is_outdated(self) -> bool:
        """Something changed here while the remote was asked."""
        return PutOutcome.OUTDATED in self.outcomes.values()


class Intake:
    """Writes what comes from one remote."""

    def __init__(self, *, origin: str, refusals: Refusals, clock: Callable[[], int]) -> None:
        self._origin = origin
        self._refusals = refusals
        self._clock = clock

    async def take(
        self,
        manager: DualStoreManager,
        told: Sequence[_Told],
        to_copy: Callable[[_Told], Copy],
        seen: Revisions | None,
        *,
        what: Kind,
    ) -> Taken:
        """All of them that can be taken in; the others end visible.

        With `seen` nothing is replaced that changed since then, nor what was written here and is
        newer.
        """
        family = await manager.family()
        taken, readable = Taken(), list[_Told]()
        try:
            for start in range(0, len(told), _AT_ONCE):
                drafts: dict[str, Draft] = {}
                for at, each in enumerate(told[start : start + _AT_ONCE], 1):
                    try:
                        copy = to_copy(each)
                        drafts[copy.id] = self._draft(family, copy)
                        readable.append(each)
                    except EntryError as error:
                        taken.refused[_named(each, what)] = str(error)
                    if at % _CHECKED_AT_ONCE == 0:
                        await asyncio.sleep(0)
                kept = await _written_here(family, drafts, seen or {})
                taken.kept |= kept
                taken.outcomes |= dict.fromkeys(kept, PutOutcome.UNCHANGED)
                new = [draft for key, draft in drafts.items() if key not in taken.outcomes]
                taken.outcomes |= await _put(family, new, seen)
        finally:
            _wake_soon(family)
        names = (_named(each, what) for each in readable)
        await self._refusals.forget(what, (each for each in names if each not in taken.refused))
        await self._refusals.note(what, taken.refused, at=self._clock())
        return taken

    async def told_all(self, kind: Kind, taken: Taken) -> None:
        """Besides what was just taken or refused there is nothing of that kind."""
        await self._refusals.forget_others(kind, taken.refused)

    async def put(
        self, manager: DualStoreManager, copies: Iterable[Copy], seen: Revisions
    ) -> dict[str, PutOutcome]:
        """What was made here of what a remote told, as far as it can be kept."""
        family = await manager.family()
        drafts: list[Draft] = []
        for each in copies:
            with suppress(EntryError):  # what it was made of ends visible
                drafts.append(self._draft(family, each))
        try:
            return await _put(family, drafts, seen)
        finally:
            _wake_soon(family)

    def _draft(self, family: Family, copy: Copy) -> Draft:
        return draft_of(copy, family, origin=self._origin)


def draft_of(copy: Copy, family: Family, *, origin: str) -> Draft:
    """An `EntryError` for what can't be kept."""
    return family.drafter.compose(
        id=copy.id,
        text=copy.text,
        timestamp=copy.timestamp,
        metadata=copy.metadata,
        body=copy.body,
        origin=origin,
        source_version=copy.version,
    )


async def revisions_under(manager: DualStoreManager, prefix: str) -> Revisions:
    """Of all entries and tombstones whose keys begin with it."""
    store = (await manager.family()).store
    found: dict[str, int] = {}
    after, before = prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)
    while True:
        some = await store.scan(after=after, before=before, limit=_SCANNED_AT_ONCE)
        found |= {each.id: each.revision for each in some}
        if len(some) < _SCANNED_AT_ONCE:
            return found
        after = some[-1].id


async def revisions_of(manager: DualStoreManager, keys: Sequence[str]) -> Revisions:
    """Of these, entries and tombstones; absent ones are missing."""
    marks = await (await manager.family()).store.marks(keys)
    return {each: mark.revision for each, mark in marks.items()}


async def _put(
    family: Family, drafts: Sequence[Draft], seen: Revisions | None
) -> dict[str, PutOutcome]:
    if not drafts:
        return {}
    expect = None if seen is None else {each.id: seen.get(each.id, 0) for each in drafts}
    puts = await family.store.put(drafts, now=family.clock(), expect=expect)
    outcomes = {put.id: put.outcome for put in puts}
    # What was told after it was looked at is newer, even where the remote's clock went back.
    back = {each.id for each in puts if expect and _is_back(each, expect)}
    again = [each._replace(source_version=None) for each in drafts if each.id in back]
    return outcomes | await _put(family, again, seen)


def _is_back(put: Put, expect: Revisions) -> bool:
    """Whether it was refused though nothing has changed here."""
    return put.outcome is PutOutcome.OUTDATED and put.revision == expect[put.id]


async def _written_here(family: Family, drafts: Mapping[str, Draft], seen: Revisions) -> set[str]:
    """Those that were written here, unless the remote's is of a later time than that."""
    ids = [each for each in drafts if each in seen]
    if not ids:
        return set()
    where = parse({"origin": LOCAL, "id": {"$in": ids}})
    found = await family.store.page(where, limit=len(ids))
    return {each.id for each in found.entries if not _is_later(drafts[each.id], each)}


def _is_later(draft: Draft, entry: Entry) -> bool:
    version = draft.source_version
    return version is not None and version.is_newer_than(SourceVersion("time", entry.updated_at))


def _wake_soon(family: Family) -> None:
    """Whoever waits for the answer goes before the indexer."""
    asyncio.get_running_loop().call_later(_ANSWERED_WITHIN, family.worker.wake)


def _named(told: object, what: Kind) -> str:
    """By its id, where it has one, in a form that can be kept and shown whatever it is."""
    if isinstance(told, Change):
        given: object = told.id
    else:
        thing = told if isinstance(told, dict) else {}
        info = thing.get("info")
        given = (info if isinstance(info, dict) else thing).get("id")
    is_plain = isinstance(given, str) and given.isprintable() and len(given) <= KEY_LIMIT
    return f"{what} {given if is_plain else shown(given)}"
