"""What a family of documents does, in a plain dict: the judge of all backends.

Written from the design alone, on purpose without any of the rooms it judges: it knows drafts and
entries, and nothing of how a backend decides.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from dualstore.entry import Draft


@dataclass
class Doc:
    """One id: an entry, or the tombstone that is left of it."""

    revision: int = 0
    deleted: bool = True
    draft: Draft | None = None
    version: Any = None
    created: int = 0
    updated: int = 0
    work: str = "none"  # none, due, leased, indexed, failed
    at: int = 0  # due: may be claimed from then on; leased: the lease ends then
    since: int = 0
    claimed: int = 0  # which claim holds the lease
    tries: int = 0
    error: str | None = None
    vectors: tuple[str, int] | None = None  # of which text the index surely has vectors, how many
    litter: bool = False  # and perhaps others
    copy: bytes = b""
    copied: str = ""  # the text that the copy is of


@dataclass(frozen=True)
class Lease:
    """What somebody was given to do: the document as it was then."""

    number: int
    id: str
    text_hash: str | None
    """None: take everything out of the index."""
    vectors: tuple[str, int] | None
    litter: bool
    tries: int


@dataclass
class Model:
    """All documents of one family."""

    docs: dict[str, Doc] = field(default_factory=dict)
    claims: int = 0

    # Writing

    def put(self, draft: Draft, *, now: int, expected: int | None) -> tuple[str, int]:
        """The outcome and the revision that is here now."""
        doc = self.docs.get(draft.id)
        outcome = self._outcome(draft, doc, expected)
        if outcome in ("created", "updated"):
            doc = self.docs.setdefault(draft.id, Doc(created=now))
            self._write(doc, draft, now)
        elif outcome == "unchanged" and doc and _newer(draft.source_version, doc.version):
            doc.version = draft.source_version
        return outcome, doc.revision if doc else 0

    def _outcome(self, draft: Draft, doc: Doc | None, expected: int | None) -> str:
        mine = draft.origin == "local"
        here = 0 if doc is None or doc.deleted else doc.revision
        as_expected = expected is None or expected == here
        if doc is None:
            return "created" if as_expected else "outdated"
        if doc.deleted:
            if not mine:
                return "deleted"
            return "created" if as_expected else "outdated"
        if _newer(doc.version, draft.source_version):
            return "outdated"
        if doc.draft and doc.draft.content_hash == draft.content_hash:
            return "unchanged"
        if _newer(draft.source_version, doc.version):
            return "updated"
        if expected is None:
            return "updated" if mine else "outdated"
        return "updated" if as_expected else "outdated"

    def _write(self, doc: Doc, draft: Draft, now: int) -> None:
        old = None if doc.deleted else doc.draft
        doc.revision += 1
        doc.updated = max(doc.updated, now)
        doc.deleted = False
        doc.draft = draft
        doc.version = draft.source_version
        if old is None or _filed(old) != _filed(draft):
            self._owe(doc, now, wanted=bool(draft.indexed_text))
        if doc.copied != draft.text_hash:
            doc.copy, doc.copied = b"", ""

    def _owe(self, doc: Doc, now: int, *, wanted: bool) -> None:
        """What the index has of it may be wrong from now on."""
        waiting = doc.work in ("due", "leased")
        doc.litter = doc.litter or (doc.tries > 0 and doc.work != "indexed")
        owes = wanted or doc.vectors is not None or doc.litter
        doc.since = doc.since if waiting else now
        doc.work = "due" if owes else "none"
        doc.at, doc.tries, doc.error = 0, 0, None

    def delete(
        self, name: str, *, now: int, origin: str, version: Any, expected: int | None
    ) -> str:
        """The outcome."""
        doc = self.docs.get(name)
        if doc is None:
            if origin != "local":
                self.docs[name] = Doc(1, created=now, updated=now, version=version)
            return "absent"
        if doc.deleted:
            return "absent"
        if _newer(doc.version, version):
            return "outdated"
        trusted = origin == "local" or (doc.draft is not None and origin == doc.draft.origin)
        if expected is not None:
            trusted = expected == doc.revision
        if not (trusted or _newer(version, doc.version)):
            return "outdated"
        doc.revision += 1
        doc.updated = max(doc.updated, now)
        doc.deleted, doc.draft = True, None
        doc.version = version or doc.version
        doc.copy, doc.copied = b"", ""
        self._owe(doc, now, wanted=False)
        return "deleted"

    # Index work

    def claimable(self, now: int) -> dict[str, int]:
        """What may be claimed now, and from when on it could have been."""
        return {
            name: doc.at
            for name, doc in self.docs.items()
            if doc.work in ("due", "leased") and doc.at <= now
        }

    def claim(self, name: str, *, until: int) -> Lease:
        """Lease one of the claimable."""
        doc = self.docs[name]
        self.claims += 1
        doc.work, doc.at, doc.claimed = "leased", until, self.claims
        doc.tries += 1
        wanted = doc.draft is not None and bool(doc.draft.indexed_text)
        return Lease(
            number=self.claims,
            id=name,
            text_hash=doc.draft.text_hash if doc.draft and wanted else None,
            vectors=doc.vectors,
            litter=doc.litter,
            tries=doc.tries,
        )

    def settle(self, lease: Lease, what: str, *, at: int = 0, copy: bytes = b"") -> bool:
        """Whether the lease still counted."""
        doc = self.docs.get(lease.id)
        if doc is None or doc.work != "leased" or doc.claimed != lease.number:
            return False
        match what:
            case "done" if lease.text_hash is None:
                doc.work, doc.vectors, doc.litter = "none", None, False
                doc.tries, doc.error = 0, None
            case "done":
                doc.work, doc.vectors, doc.litter = "indexed", (lease.text_hash or "", 2), False
                doc.error = None
                doc.copy, doc.copied = copy, lease.text_hash or ""
            case "fail":
                doc.work, doc.error = "failed", "broken"
            case "retry":
                doc.work, doc.at, doc.error = "due", at, "later"
            case "release":
                doc.work, doc.at = "due", 0
                doc.tries -= 1
        return True

    def doubt(self, name: str, *, now: int) -> bool:
        """Whether it is here."""
        doc = self.docs.get(name)
        if doc is None:
            return False
        self._owe(doc, now, wanted=True)
        doc.since = now
        return True

    def purge(self, before: int) -> int:
        """How many tombstones went."""
        gone = [
            name
            for name, doc in self.docs.items()
            if doc.deleted and doc.updated < before and doc.work == "none"
        ]
        for name in gone:
            del self.docs[name]
        return len(gone)

    # Reading

    def living(self) -> dict[str, Doc]:
        """All entries."""
        return {name: doc for name, doc in self.docs.items() if not doc.deleted}

    def in_order(self, order: str) -> list[str]:
        """The ids of all entries, oldest first."""
        times = {
            name: doc.draft.timestamp if order == "timestamp" and doc.draft else doc.updated
            for name, doc in self.living().items()
        }
        return sorted(times, key=lambda name: (times[name], name))

    def status(self) -> tuple[int, int, int, int | None]:
        """Due, leased, failed, and since when the longest waits."""
        works = [doc.work for doc in self.docs.values()]
        since = [doc.since for doc in self.docs.values() if doc.work in ("due", "leased")]
        oldest = min(since, default=None)
        return works.count("due"), works.count("leased"), works.count("failed"), oldest

    def copied(self) -> "Model":
        """A snapshot."""
        return Model({name: replace(doc) for name, doc in self.docs.items()}, self.claims)


def _newer(mine: Any, other: Any) -> bool:
    if mine is None or other is None or mine.kind != other.kind:
        return False
    return bool(mine.value > other.value)


def _filed(draft: Draft) -> tuple[Any, ...]:
    """What the vectors are made from, and the fields they are filed under."""
    metadata = draft.metadata
    fields = [repr(metadata.get(key)) for key in ("session_id", "author", "role")]
    return draft.text_hash, draft.timestamp, draft.origin, *fields
