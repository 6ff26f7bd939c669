"""Every operation of the contracts as a scene: what was there before, and what is done to it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from dualstore.documents.base import Database, DocumentStore, Record, Settlement, Work
from dualstore.documents.families import FAMILIES
from dualstore.documents.journal import JournalItem
from dualstore.filters import parse
from dualstore.outbox import Failed, Retry
from tests.documents.writing import LEASE, NOW, SPEC, done, draft, remote, version

LATER = NOW + 1000


@dataclass
class Stage:
    """Where an operation happens: a family and a space of its own, and what was prepared there."""

    database: Database
    store: DocumentStore
    space: str
    works: list[Work]
    record: Record | None

    def through(self, database: Database, store: DocumentStore) -> "Stage":
        """The same place, seen through another connection."""
        return replace(self, database=database, store=store)


Act = Callable[[Stage], Awaitable[Any]]


async def prepare(database: Database, name: str) -> Stage:
    """Entries in every state, tombstones and records, always the same."""
    store = await database.family(replace(SPEC, name=name))
    drafts = [
        draft("done", "red green", at=1, session_id="s", role="user", author="Ann"),
        draft("failed", "red", at=2, session_id="s"),
        draft("plain", "...", at=3, session_id="s"),
        draft("gone", "blue"),
        draft("settled", "blue"),
    ]
    await store.put(drafts, now=NOW)
    works = {work.id: work for work in await store.claim(9, now=NOW, lease=LEASE)}
    outcomes = {name: done(works[name]) for name in ("done", "gone", "settled")}
    settlements = [Settlement(works[name], outcome) for name, outcome in outcomes.items()]
    await store.settle([*settlements, Settlement(works["failed"], Failed("no"))])
    await store.delete(["settled"], now=NOW)
    for work in await store.claim(9, now=NOW, lease=LEASE):
        await store.settle([Settlement(work, done(work))])
    await store.delete(["gone"], now=NOW + 1)
    await store.put([remote("theirs", "green", time=5, session_id="t")], now=NOW + 2)
    leased = [draft(name, f"{name} red", at=5, session_id="t") for name in ("l1", "l2", "l3")]
    await store.put(leased, now=NOW - 5)
    works_held = await store.claim(3, now=NOW - 5, lease=10**9)
    await store.put([draft("due1", "red blue"), draft("due2", "blue")], now=NOW + 3)
    records = database.records
    record = await records.create(name, "kept", {"v": 1}, tokens=["t1", "t2"])
    await records.create(name, "other", [2], tokens=["t3"])
    said = [JournalItem(seq, f"i{seq}", "said", f"text {seq}") for seq in (1, 2)]
    await database.journal.extend(name, said, note="two")
    return Stage(database, store, name, works_held, record)


async def state_of(stage: Stage) -> Any:
    """All that can be told apart from outside, tokens of leases left out."""
    scanned = await stage.store.scan(limit=10**6)
    entries = await stage.store.get([one.id for one in scanned])
    candidates = await stage.store.candidates({"red": 1.0, "blue": 1.0, "green": 1.0})
    return (
        [replace(one, mark=replace(one.mark, token=None)) for one in scanned],
        {
            name: replace(entry, index=replace(entry.index, token=None))
            for name, entry in entries.items()
        },
        candidates,
        await stage.store.count(),
        await stage.store.tally(),
        await stage.database.records.range(stage.space, limit=10**6),
        await stage.database.records.find(stage.space, ["t1", "t2", "t3", "t4", "t5"]),
        await stage.database.journal.tip(stage.space),
        await stage.database.journal.read(stage.space),
        await stage.database.journal.behind(stage.space),
    )


async def _put(stage: Stage) -> Any:
    drafts = [
        draft("new1", "red", session_id="s"),
        draft("new2", "green"),
        draft("done", "blue now", at=1, session_id="s", role="user", author="Ann"),
        draft("failed", "red", at=2, session_id="s"),
        draft("gone", "lifted blue"),
        draft("l1", "l1 red", at=5, session_id="u"),
        remote("theirs", "newer", time=6, session_id="t"),
        remote("settled", "late", time=9),
    ]
    return await stage.store.put(drafts, now=LATER)


async def _put_new(stage: Stage) -> Any:
    return await stage.store.put([draft("new", "red")], now=LATER)


async def _put_expecting(stage: Stage) -> Any:
    drafts = [remote("done", "blue", time=1), remote("new", "green", time=1)]
    return await stage.store.put(drafts, now=LATER, expect={"done": 1, "new": 0})


async def _delete(stage: Stage) -> Any:
    return await stage.store.delete(["done", "l1", "plain", "gone", "nobody"], now=LATER)


async def _delete_remotely(stage: Stage) -> Any:
    return await stage.store.delete(
        ["theirs", "unknown", "done"], now=LATER, origin="opencode", source_version=version(time=6)
    )


async def _settle(stage: Stage) -> Any:
    first, second, third = stage.works
    outcomes = [done(first), Failed("broken"), Retry("later", LATER)]
    return await stage.store.settle(
        [
            Settlement(work, outcome)
            for work, outcome in zip((first, second, third), outcomes, strict=True)
        ]
    )


async def _mark_due(stage: Stage) -> Any:
    return await stage.store.mark_due(["done", "failed", "gone", "nobody", "l2"], now=LATER)


async def _purge(stage: Stage) -> Any:
    return await stage.store.purge(deleted_before=LATER)


async def _create(stage: Stage) -> Any:
    return await stage.database.records.create(stage.space, "new", {"v": 3}, tokens=["t4", "t5"])


async def _create_taken(stage: Stage) -> Any:
    return await stage.database.records.create(stage.space, "new", {"v": 3}, tokens=["t4", "t2"])


async def _replace(stage: Stage) -> Any:
    assert stage.record is not None
    return await stage.database.records.replace(stage.record, {"v": 4}, tokens=["t2", "t4"])


async def _replace_value(stage: Stage) -> Any:
    assert stage.record is not None
    return await stage.database.records.replace(stage.record, {"v": 5})


async def _remove(stage: Stage) -> Any:
    assert stage.record is not None
    return await stage.database.records.delete(stage.record)


async def _extend(stage: Stage) -> Any:
    items = [JournalItem(seq, f"i{seq}", "tool", f"text {seq}") for seq in (3, 4)]
    return await stage.database.journal.extend(stage.space, items, note="four")


async def _follow(stage: Stage) -> Any:
    return await stage.database.journal.follow(stage.space, through=2)


async def _remove_log(stage: Stage) -> Any:
    return await stage.database.journal.remove(stage.space)


async def _respec(stage: Stage) -> Any:
    spec = replace(SPEC, name=stage.space, author_key="role", filter_fields=("author",))
    await stage.database.respec(spec, now=LATER)
    record = await stage.database.records.get(FAMILIES, stage.space)
    assert record is not None
    assert record.value == spec.to_record()


WRITES: dict[str, Act] = {
    "put": _put,
    "put new": _put_new,
    "put expecting": _put_expecting,
    "delete": _delete,
    "delete remotely": _delete_remotely,
    "settle": _settle,
    "mark due": _mark_due,
    "purge": _purge,
    "create": _create,
    "create taken": _create_taken,
    "replace": _replace,
    "replace value": _replace_value,
    "remove": _remove,
    "extend": _extend,
    "follow": _follow,
    "remove log": _remove_log,
    "respec": _respec,
}
"""Done twice, each of these leaves what it leaves when it is done once."""

_RED_USERS = parse({"metadata.role": "user", "text": {"$contains": "RED"}})

READS: dict[str, Act] = {
    "get": lambda stage: stage.store.get(["done", "gone", "l1"]),
    "page": lambda stage: stage.store.page(limit=3),
    "page filtered": lambda stage: stage.store.page(_RED_USERS, order="updated", newest=False),
    "count": lambda stage: stage.store.count(),
    "count filtered": lambda stage: stage.store.count(_RED_USERS),
    "tally": lambda stage: stage.store.tally(),
    "candidates": lambda stage: stage.store.candidates({"red": 1.0, "blue": 0.5}, _RED_USERS),
    "candidates by id": lambda stage: stage.store.candidates_by_id(["done", "l1"]),
    "neighbours": lambda stage: stage.store.neighbours(["done", "l2"], before=2, after=2),
    "index status": lambda stage: stage.store.index_status(),
    "marks": lambda stage: stage.store.marks(["done", "gone", "l1", "nobody"]),
    "scan": lambda stage: stage.store.scan(after="done", limit=3),
    "record": lambda stage: stage.database.records.get(stage.space, "kept"),
    "range": lambda stage: stage.database.records.range(stage.space, backwards=True),
    "find": lambda stage: stage.database.records.find(stage.space, ["t1", "t3"]),
    "tip": lambda stage: stage.database.journal.tip(stage.space),
    "read": lambda stage: stage.database.journal.read(stage.space, after=1, kinds=["said"]),
    "find items": lambda stage: stage.database.journal.find(stage.space, ["i1", "nobody"]),
    "behind": lambda stage: stage.database.journal.behind(stage.space),
    "health": lambda stage: stage.database.health(),
    "family": lambda stage: _count_in(stage.database.family(stage.store.spec)),
}
"""These change nothing and always say the same."""


async def _count_in(opening: Awaitable[DocumentStore]) -> int:
    return await (await opening).count()
