"""From claimed work to vectors: what to write, what to remove, what can't be done. No writing."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dualstore.chunking import OVERLAP, Span, chunks
from dualstore.documents.base import Work
from dualstore.embedders.base import Embedder, Vectors
from dualstore.entry import Drafter, Entry
from dualstore.errors import EmbedderError, UnavailableError
from dualstore.family import FamilySpec
from dualstore.indexing.copies import from_copy, to_copies
from dualstore.indexing.filing import fields_of
from dualstore.outbox import Failed, Indexed, Outcome, Removed
from dualstore.terms import analysed
from dualstore.vectors.base import VectorId, VectorItem

_AT_ONCE: Final = 50
_PROBE: Final = "a plain sentence that any embedder knows what to do with"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What one claimed document wants of the index."""

    work: Work
    outcome: Outcome
    """How it ends if the index does as it is told."""
    items: tuple[VectorItem, ...] = ()
    gone: tuple[str, ...] = ()
    """Ids of vectors that may be there, and shall not be."""


class Preparer:
    """Makes vectors with one embedder, for the entries of one family."""

    def __init__(self, spec: FamilySpec, embedder: Embedder) -> None:
        self._spec = spec
        self._embedder = embedder
        self._drafter = Drafter(spec)

    async def prepare(self, works: Sequence[Work]) -> list[Prepared]:
        """In the order of the works. Raises `UnavailableError` when the embedder can't be asked."""
        known: dict[str, Vectors] = {}
        missing: dict[str, list[str]] = {}
        async for work in _in_turn(works):
            if work.entry is not None:
                texts = self._texts(work.entry)
                vectors = self._copied(work, len(texts))
                if vectors is None:
                    missing[work.id] = texts
                else:
                    known[work.id] = vectors
        made = await self._embed(missing)
        if made and not any(_says_something(each) for each in made.values()):
            await self._check_direction()
        copies = self._copies(made)
        return [
            self._prepared(work, known.get(work.id, made.get(work.id)), copies.get(work.id))
            async for work in _in_turn(works)
        ]

    async def has_direction(self, entry: Entry) -> bool:
        """Whether there would be any vector of it. Raises as the embedder does."""
        texts = self._texts(entry)
        return bool(texts) and bool((await self._embedder.embed(texts)).any())

    def spans(self, entry: Entry) -> list[Span]:
        """Where its chunks are in its indexed text; none if it is excluded."""
        text = self._drafter.indexed_text(entry)
        size = self._embedder.chunk_chars
        return chunks(text, size=size, overlap=min(OVERLAP, size // 4), limit=len(analysed(text)))

    def _texts(self, entry: Entry) -> list[str]:
        text = self._drafter.indexed_text(entry)
        return [text[span.start : span.end] for span in self.spans(entry)]

    def _copied(self, work: Work, rows: int) -> Vectors | None:
        if work.entry is None or work.mark.held != work.entry.text_hash:
            return None
        vectors = from_copy(work.vector, self._embedder.identity)
        return vectors if vectors is not None and len(vectors) == rows else None

    async def _embed(
        self, texts: Mapping[str, Sequence[str]]
    ) -> dict[str, Vectors | EmbedderError]:
        """All at once; when one of them spoils it, each is tried by itself."""
        if not texts:
            return {}
        try:
            rows = await self._embedder.embed([one for some in texts.values() for one in some])
        except EmbedderError as error:
            if len(texts) == 1:
                return {next(iter(texts)): await self._blamed(error)}
            each = [await self._embed({name: some}) for name, some in texts.items()]
            return {name: vectors for some in each for name, vectors in some.items()}
        return dict(zip(texts, _parted(rows, map(len, texts.values())), strict=True))

    async def _blamed(self, error: EmbedderError) -> EmbedderError:
        """The error, if it is the text's fault: an embedder that does nothing is unavailable."""
        try:
            await self._embedder.embed([_PROBE])
        except EmbedderError as broken:
            raise UnavailableError(f"the embedder can't be used: {broken}") from broken
        return error

    async def _check_direction(self) -> None:
        """None of the texts has one: an embedder that gives none to any is unavailable, too."""
        if not (await self._embedder.embed([_PROBE])).any():
            raise UnavailableError(
                f"the embedder {self._embedder.name} can't be used: it gives nothing but zeros"
            )

    def _copies(self, made: Mapping[str, Vectors | EmbedderError]) -> dict[str, bytes]:
        """All in one go: one by one they take several times as long."""
        some = {each: rows for each, rows in made.items() if not isinstance(rows, EmbedderError)}
        copies = to_copies(list(some.values()), self._embedder.identity)
        return dict(zip(some, copies, strict=True))

    def _prepared(
        self, work: Work, vectors: Vectors | EmbedderError | None, copy: bytes | None
    ) -> Prepared:
        if isinstance(vectors, EmbedderError):
            return Prepared(work, Failed(str(vectors)))
        if work.entry is None or vectors is None or not vectors.any():
            return Prepared(work, Removed(), gone=_old_ids(work, keep=""))
        entry = work.entry
        return Prepared(
            work,
            Indexed(entry.text_hash, len(vectors), work.vector if copy is None else copy),
            items=tuple(self._items(entry, vectors)),
            gone=_old_ids(work, keep=entry.text_hash),
        )

    def _items(self, entry: Entry, vectors: Vectors) -> Iterable[VectorItem]:
        fields = fields_of(entry, self._spec)
        for chunk, vector in enumerate(vectors):
            if vector.any():
                yield VectorItem(str(VectorId(entry.id, entry.text_hash, chunk)), vector, fields)


def _says_something(made: Vectors | EmbedderError) -> bool:
    return isinstance(made, EmbedderError) or bool(made.any())


async def _in_turn(works: Sequence[Work]) -> AsyncIterator[Work]:
    """One by one, letting others have the loop now and then."""
    for at, work in enumerate(works, 1):
        yield work
        if at % _AT_ONCE == 0:
            await asyncio.sleep(0)


def _parted(rows: Vectors, counts: Iterable[int]) -> Iterable[Vectors]:
    start = 0
    for count in counts:
        yield rows[start : start + count]
        start += count


def _old_ids(work: Work, *, keep: str) -> tuple[str, ...]:
    """Of the vectors that were settled last, unless they are the ones to keep."""
    held = work.mark.held
    if not held or held == keep:
        return ()
    return tuple(str(VectorId(work.id, held, chunk)) for chunk in range(work.mark.chunks))
