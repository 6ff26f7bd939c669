"""Random command lists, run against a store and against the model of it at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from dualstore.documents.base import DocumentStore, Order, Settlement, Work
from dualstore.entry import Draft, Entry, SourceVersion
from dualstore.outbox import Failed, Indexed, IndexMark, Outcome, Released, Removed, Retry
from tests.documents.model import Doc, Lease, Model
from tests.documents.writing import NOW, draft, ids

NAMES = ["a", "b", "ä", "c:1"]
TEXTS = ["red", "blue", "...", "red blue"]
VERSIONS = [None, *(SourceVersion("time", n) for n in (1, 2)), SourceVersion("sequence", 1)]
FIELDS: list[dict[str, Any]] = [
    {},
    {"session_id": "s"},
    {"session_id": "s", "role": "user"},
    {"role": ["user"]},
    {"colour": 1},
]
_STATES = {"none": 4, "due": 0, "leased": 1, "indexed": 2, "failed": 3}


@st.composite
def _drafts(draw: st.DrawFn) -> tuple[Draft, int | None]:
    origin = draw(st.sampled_from(["local", "opencode"]))
    made = draft(
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from(TEXTS)),
        at=NOW + draw(st.integers(0, 1)),
        metadata=draw(st.sampled_from(FIELDS)),
        origin=origin,
        version=None if origin == "local" else draw(st.sampled_from(VERSIONS)),
    )
    return made, draw(st.sampled_from([None, None, None, 0, 1, 2, 3]))


_SOME_NAMES = st.lists(st.sampled_from([*NAMES, "nobody"]), min_size=1, max_size=3)
_PUT = st.tuples(st.just("put"), st.lists(_drafts(), min_size=1, max_size=4))
_COMMANDS = st.one_of(
    _PUT,
    _PUT,
    st.tuples(
        st.just("delete"),
        _SOME_NAMES,
        st.sampled_from(["local", "opencode"]),
        st.sampled_from(VERSIONS),
        st.sampled_from([None, None, 0, 1, 2, 3]),
    ),
    st.tuples(st.just("claim"), st.integers(1, 5), st.sampled_from([5, 50])),
    st.tuples(
        st.just("settle"),
        st.integers(0, 50),
        st.sampled_from(["done", "done", "fail", "retry", "release"]),
    ),
    st.tuples(st.just("tick"), st.sampled_from([1, 5, 50])),
    st.tuples(st.just("mark"), _SOME_NAMES),
    st.tuples(st.just("purge"), st.integers(0, 10)),
    st.tuples(
        st.just("walk"),
        st.sampled_from(["timestamp", "updated"]),
        st.booleans(),
        st.integers(1, 3),
        _drafts(),
    ),
)


@st.composite
def commands(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """What is done to a store, in order."""
    return draw(st.lists(_COMMANDS, min_size=1, max_size=14))


@dataclass
class Both:
    """A store and its model, which must never differ."""

    store: DocumentStore
    model: Model = field(default_factory=Model)
    now: int = NOW
    held: list[tuple[Work, Lease]] = field(default_factory=list)

    async def run(self, command: tuple[Any, ...]) -> None:
        """Do it to both and compare what they say."""
        await getattr(self, f"_{command[0]}")(*command[1:])
        await self.check()

    async def _put(self, pairs: Sequence[tuple[Draft, int | None]]) -> None:
        expect = {one.id: revision for one, revision in pairs if revision is not None}
        puts = await self.store.put([one for one, _ in pairs], now=self.now, expect=expect)
        for put, (one, _) in zip(puts, pairs, strict=True):
            expected = self.model.put(one, now=self.now, expected=expect.get(one.id))
            assert (put.outcome.value, put.revision) == expected

    async def _delete(
        self, names: list[str], origin: str, version: Any, expected: int | None
    ) -> None:
        expect = {} if expected is None else {names[0]: expected}
        outcomes = await self.store.delete(
            names, now=self.now, origin=origin, source_version=version, expect=expect
        )
        assert outcomes == {
            name: self.model.delete(
                name, now=self.now, origin=origin, version=version, expected=expect.get(name)
            )
            for name in dict.fromkeys(names)
        }

    async def _claim(self, limit: int, lease: int) -> None:
        claimable = self.model.claimable(self.now)
        works = await self.store.claim(limit, now=self.now, lease=lease)
        taken = ids(works)
        assert len(taken) == len(set(taken)) == min(limit, len(claimable))
        for work in works:
            assert work.id in claimable
            given = self.model.claim(work.id, until=self.now + lease)
            hash_of_text = None if work.entry is None else work.entry.text_hash
            assert (hash_of_text, work.mark.residue) == (given.text_hash, given.litter)
            assert (work.mark.held, work.mark.chunks) == (given.vectors or ("", 0))
            assert work.mark.attempts == given.tries
            self.held.append((work, given))

    async def _settle(self, which: int, what: str) -> None:
        if not self.held:
            return
        work, lease = self.held[which % len(self.held)]
        copy = bytes([which, 0, 255])
        (counted,) = await self.store.settle([Settlement(work, self._outcome(work, what, copy))])
        assert counted is self.model.settle(lease, what, at=self.now + 5, copy=copy)

    def _outcome(self, work: Work, what: str, copy: bytes) -> Outcome:
        match what:
            case "fail":
                return Failed("broken")
            case "retry":
                return Retry("later", self.now + 5)
            case "release":
                return Released()
            case _:
                return Removed() if work.entry is None else Indexed(work.entry.text_hash, 2, copy)

    async def _tick(self, ms: int) -> None:
        self.now += ms

    async def _mark(self, names: list[str]) -> None:
        marked = await self.store.mark_due(names, now=self.now)
        expected = [name for name in dict.fromkeys(names) if self.model.doubt(name, now=self.now)]
        assert sorted(marked) == sorted(expected)

    async def _purge(self, ago: int) -> None:
        gone = await self.store.purge(deleted_before=self.now - ago)
        assert gone == self.model.purge(self.now - ago)

    async def _walk(
        self, order: Order, newest: bool, limit: int, write: tuple[Draft, int | None]
    ) -> None:
        """Page through all, and write something after the first page."""
        before, seen, cursor = self.model.copied(), list[str](), None
        while True:
            page = await self.store.page(order=order, newest=newest, limit=limit, cursor=cursor)
            seen += ids(page.entries)
            if cursor is None:
                await self._put([write])
            cursor = page.next_cursor
            if cursor is None:
                break
        still = [name for name in before.in_order(order) if name != write[0].id]
        assert [name for name in seen if name != write[0].id] == (still[::-1] if newest else still)
        assert seen.count(write[0].id) <= 2

    # What both say now

    async def check(self) -> None:
        """Compare everything that can be read."""
        living = self.model.living()
        found = await self.store.get(NAMES)
        assert found.keys() == living.keys()
        for name, entry in found.items():
            self._check_entry(entry, living[name])
        scanned = await self.store.scan()
        assert ids(scanned) == sorted(self.model.docs)
        for one in scanned:
            doc = self.model.docs[one.id]
            assert (one.deleted, one.revision) == (doc.deleted, doc.revision)
            assert _shown(one.mark) == _expected(doc)
        status = await self.store.index_status()
        assert (status.due, status.leased, status.failed, status.oldest_due) == self.model.status()
        assert await self.store.count() == len(living)
        candidates = await self.store.candidates_by_id(NAMES)
        assert {name: each.vector for name, each in candidates.items()} == {
            name: doc.copy for name, doc in living.items()
        }

    def _check_entry(self, entry: Entry, doc: Doc) -> None:
        assert doc.draft is not None
        assert (entry.text, entry.metadata, entry.timestamp) == (
            doc.draft.text,
            doc.draft.metadata,
            doc.draft.timestamp,
        )
        assert (entry.revision, entry.created_at, entry.updated_at) == (
            doc.revision,
            doc.created,
            doc.updated,
        )
        assert (entry.origin, entry.source_version) == (doc.draft.origin, doc.version)
        assert entry.content_hash == doc.draft.content_hash


def _shown(mark: IndexMark) -> tuple[Any, ...]:
    where = (mark.state.value, mark.attempts, mark.error, mark.claim_at, mark.due_since)
    return *where, mark.held, mark.chunks, mark.residue


def _expected(doc: Doc) -> tuple[Any, ...]:
    waits = doc.work in ("due", "leased")
    where = (_STATES[doc.work], doc.tries, doc.error)
    when = (doc.at, doc.since) if waits else (None, None)
    return *where, *when, *(doc.vectors or ("", 0)), doc.litter
