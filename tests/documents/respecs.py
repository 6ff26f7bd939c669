"""A family that is made anew to other specs: its entries, and all that can be seen of them."""

from dataclasses import replace
from typing import Any

import pytest

from dualstore.documents.base import Database, DocumentStore
from dualstore.entry import Draft, Drafter
from dualstore.family import FamilySpec
from dualstore.filters import parse
from tests.documents.writing import NOW, ids, index, terms, version

MADE = FamilySpec("tests_respec", filter_fields=("role",), analyzer="1")
LATER = NOW + 50
CHANGES: dict[str, FamilySpec] = {
    "author_key": replace(MADE, author_key="speaker"),
    "no author": replace(MADE, author_key=None),
    "thread_key": replace(MADE, thread_key="room"),
    "thread_key inside": replace(MADE, thread_key="info.room"),
    "no thread": replace(MADE, thread_key=None),
    "field added": replace(MADE, filter_fields=("role", "kind", "info.kind")),
    "fields removed": replace(MADE, filter_fields=()),
    "other field": replace(MADE, filter_fields=("kind",)),
    "analyzer": replace(MADE, analyzer="2"),
    "images": replace(MADE, images=True),
    "names": replace(MADE, text_key="content", time_key="when"),
    "everything": FamilySpec(
        MADE.name, "content", "when", "room", "speaker", ("kind",), "2", images=True
    ),
}
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a": ("red green", {"session_id": "s", "room": "r", "author": "Ann", "speaker": "Bob"}),
    "b": ("red blue", {"session_id": "s", "room": ["r", "q"], "author": "user", "kind": "k"}),
    "c": ("blue green", {"session_id": ["s", "t"], "room": "r", "speaker": "user"}),
    "d": ("a red cat", {"session_id": "s", "type": "image", "room": "r", "author": "Ann"}),
    "e": ("...", {"session_id": "s", "author": "Ann", "role": "user", "room": "r"}),
    "f": ("red plain src/app.ts", {}),
    "g": ("green", {"info": {"room": "r", "kind": "k"}, "role": "user"}),
    "h": ("red", {"role": ["user", "tool"], "kind": None, "session_id": "t", "info.room": "q"}),
    "i": ("blue", {"role": "tool", "kind": ["k", 3], "speaker": "Ann", "session_id": "t"}),
    "j": ("deleted red", {"session_id": "s", "room": "r", "role": "user", "kind": "k"}),
    "k": ("deleted blue", {"session_id": "s", "room": "r", "role": "user", "kind": "k"}),
}
PATHS = ("session_id", "room", "info.room", "author", "speaker", "role", "kind", "info.kind")
VALUES = ("s", "t", "r", "q", "Ann", "Bob", "user", "tool", "k", 3, None)


def drafts_of(spec: FamilySpec) -> list[Draft]:
    compose = Drafter(spec).compose
    return [
        compose(
            id=name,
            text=text,
            timestamp=NOW + len(text),
            metadata=metadata,
            body={"of": name},
            origin="opencode" if name == "c" else "local",
            source_version=version(time=5) if name == "c" else None,
            time_was_given=name != "a",
        )
        for name, (text, metadata) in TEXTS.items()
    ]


async def fill(store: DocumentStore) -> None:
    """With an entry in its second revision, and two tombstones: settled, and with vectors left."""
    drafts = drafts_of(store.spec)
    await store.put([drafts[0]._replace(text="old", content_hash="00" * 16)], now=NOW)
    await store.put(drafts, now=NOW + 1)
    for each in drafts:
        if each.id != "j":
            await _settle_all(store)
    await store.delete(["k"], now=NOW + 2)
    await _settle_all(store)
    await store.delete(["j"], now=NOW + 2)


async def _settle_all(store: DocumentStore) -> None:
    await index(store, now=NOW + 2, vector=b"\x01\x02\x03")


async def answers(store: DocumentStore) -> dict[str, Any]:
    """Whatever is derived, seen from outside; no marks and no vectors."""
    wheres = [parse({f"metadata.{path}": value}) for path in PATHS for value in VALUES]
    wheres += [parse({f"metadata.{path}": {"$exists": True}}) for path in PATHS]
    found = await store.candidates(terms("red green blue cat src/app.ts Ann Bob user deleted"))
    beside = await store.neighbours(list(TEXTS), before=9, after=9)
    return {
        "found": [each._replace(vector=b"") for each in found.found],
        "frequencies": found.frequencies,
        "count": found.count,
        "by id": {
            name: each._replace(vector=b"")
            for name, each in (await store.candidates_by_id(list(TEXTS))).items()
        },
        "pages": [ids((await store.page(where)).entries) for where in wheres],
        "counts": [await store.count(where) for where in wheres],
        "filtered": [
            ids((await store.candidates(terms("red green blue cat"), where)).found)
            for where in wheres
        ],
        "tally": await store.tally(),
        "beside": {name: (ids(one.before), ids(one.after)) for name, one in beside.items()},
        "hashes": {name: each.text_hash for name, each in (await store.get(list(TEXTS))).items()},
        "deleted": [each.id for each in await store.scan() if each.deleted],
    }


async def answers_when_fresh(database: Database, spec: FamilySpec) -> dict[str, Any]:
    fresh = await database.family(replace(spec, name="tests_fresh"))
    await fill(fresh)
    return await answers(fresh)


def touched_by(made: FamilySpec, spec: FamilySpec) -> set[str]:
    """The ids whose vectors are made from, or filed under, something else now."""
    paths = _paths(made) ^ _paths(spec)
    before, after = drafts_of(made), drafts_of(spec)
    return {
        old.id
        for old, new in zip(before, after, strict=True)
        if old.indexed_text or new.indexed_text
        if old.text_hash != new.text_hash or paths & _KNOWN[old.id]
    } - {"j", "k"}


def _paths(spec: FamilySpec) -> set[str | None]:
    return {spec.thread_key, spec.author_key, *spec.filter_fields}


_KNOWN: dict[str, set[str | None]] = {
    name: {*metadata, *(f"info.{key}" for key in metadata.get("info", ()))}
    for name, (_, metadata) in TEXTS.items()
}


def spy(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids that are derived again."""
    composed: list[str] = []
    compose = Drafter.compose

    def seen(self: Drafter, **parts: Any) -> Draft:
        composed.append(parts["id"])
        return compose(self, **parts)

    monkeypatch.setattr(Drafter, "compose", seen)
    return composed
