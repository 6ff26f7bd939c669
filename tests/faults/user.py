"""Somebody who uses a manager, and remembers what he was promised."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from dualstore.entry import Entry
from dualstore.errors import DualStoreError, PartialWriteError, VectorWriteError
from dualstore.filters import matches, parse
from dualstore.manager import DualStoreManager
from dualstore.search.results import Hit


class State(NamedTuple):
    """What an entry says."""

    text: str
    metadata: str

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "State":
        return cls(item["text"], json.dumps(item.get("metadata", {}), sort_keys=True))

    @classmethod
    def seen(cls, entry: Entry | None) -> "State | None":
        if entry is None:
            return None
        return cls(entry.text, json.dumps(entry.metadata, sort_keys=True))


class Promises:
    """What may be there: one state where a write was acknowledged, several where one failed."""

    def __init__(self) -> None:
        self.legal: dict[str, set[State | None]] = {}
        self.past: dict[str, set[State | None]] = {}
        """What was legal since something began that isn't done yet, and may be seen by it."""

    def tries(self, id_: str, state: State | None) -> None:
        self.legal[id_] = self.legal.get(id_, {None}) | {state}
        if self.past:
            self.past[id_] = self.past.get(id_, {None}) | {state}

    def has(self, id_: str, state: State | None) -> None:
        self.legal[id_] = {state}

    def check(self, id_: str, entry: Entry | None) -> None:
        state = State.seen(entry)
        legal = self.legal.get(id_, {None}) | self.past.get(id_, set())
        assert state in legal, f"{id_}: {state} of {legal}"

    def check_all(self, entries: Iterable[Entry]) -> None:
        """These are all there are."""
        there = {entry.id: entry for entry in entries}
        for each in {*self.legal, *there}:
            self.check(each, there.get(each))

    def check_count(self, count: int) -> None:
        both = [self.legal[each] | self.past.get(each, set()) for each in self.legal]
        least = sum(None not in states for states in both)
        most = sum(states != {None} for states in both)
        assert least <= count <= most

    def check_hits(self, hits: Iterable[Hit], where: Mapping[str, Any] | None) -> None:
        seen: set[str] = set()
        for hit in hits:
            self.check(hit.entry.id, hit.entry)
            assert hit.snippet.text.strip("…") in hit.entry.text
            assert where is None or matches(parse(where), hit.entry)
            assert hit.entry.id not in seen
            seen.add(hit.entry.id)

    def certain(self, id_: str) -> State | None:
        """What it surely says; None if that isn't certain, or it isn't there."""
        states = self.legal.get(id_, {None})
        return next(iter(states)) if len(states) == 1 else None


class User:
    """Catches what the library raises, tries nothing again, and believes what he is told."""

    def __init__(self, manager: DualStoreManager, promises: Promises | None = None) -> None:
        self.manager = manager
        self.promises = promises or Promises()
        self.damaged = False
        """Somebody was at the index behind the manager's back, and nothing was repaired since."""
        self.begins: Callable[[bool], None] = lambda _: None
        """Told of each thing he does, and whether he waits for the worker in it."""

    @contextmanager
    def turn(self, *, waits: bool = False) -> Iterator[None]:
        self.begins(waits)
        with suppress(DualStoreError):
            yield

    async def insert(self, *items: Mapping[str, Any]) -> None:
        for each in items:
            self.promises.tries(each["id"], State.of(each))
        self.begins(False)
        try:
            await self.manager.insert_many(items)
        except VectorWriteError:
            known = {each["id"] for each in items}
        except PartialWriteError as error:
            known = set(error.acknowledged)
        except DualStoreError:
            known = set()
        else:
            known = {each["id"] for each in items}
        for each in items:
            if each["id"] in known:
                self.promises.has(each["id"], State.of(each))

    async def delete(self, id_: str) -> None:
        self.promises.tries(id_, None)
        with self.turn():
            await self.manager.delete(id_)
            self.promises.has(id_, None)

    async def drain(self) -> None:
        with self.turn(waits=True):
            await self.manager.drain(timeout=1)

    async def repair(self) -> None:
        with self.turn():
            await self.manager.repair()
            self.damaged = False

    async def reindex(self) -> None:
        with self.turn(waits=True):
            await self.manager.reindex(timeout=1)

    async def get(self, id_: str) -> None:
        with self.turn():
            self.promises.check(id_, await self.manager.get(id_))

    async def look(self) -> None:
        """Everything that can be read without asking the index."""
        with self.turn():
            self.promises.check_all((await self.manager.page(limit=500)).entries)
        with self.turn():
            self.promises.check_count(await self.manager.count())
        with self.turn():
            for each in await self.manager.get_most_recent(3):
                self.promises.check(each.id, each)

    async def search(self, query: str, where: Mapping[str, Any] | None = None) -> None:
        """By words and meaning."""
        with self.turn():
            result = await self.manager.search(query, where=where, limit=500)
            self.promises.check_hits(result.hits, where)

    async def find(self, id_: str, where: Mapping[str, Any] | None = None) -> None:
        """By meaning, with the words of an entry that is surely there."""
        state = self.promises.certain(id_)
        if state is None:
            return
        with self.turn():
            result = await self.manager.search(state.text, "semantic", where=where, limit=500)
            self.promises.check_hits(result.hits, where)
            if not (result.degraded or self.damaged or self.promises.past):
                found = [hit.entry.id for hit in result.hits]
                assert id_ in found, f"said to be complete without {id_!r}: {found}"

    async def report(self) -> None:
        with self.turn():
            await self.manager.consistency_report()
