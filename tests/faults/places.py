"""Where the scenarios run, and what has to hold after them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field

from dualstore.entry import Drafter, Entry
from dualstore.errors import VectorsGoneError
from dualstore.family import FamilySpec
from dualstore.indexing.preparing import Preparer
from dualstore.manager import DualStoreManager
from dualstore.settings import Settings
from dualstore.terms import VERSION
from dualstore.vectors.base import VectorId
from dualstore.wiring import Backends
from tests.dual.looking import all_ids, copied, generations, index_of, turned
from tests.faults.hurried import LEASE, Hurried
from tests.faults.user import Promises, User

SPEC = FamilySpec("default_notes", filter_fields=("kind",), analyzer=VERSION)
EVENTUAL = Settings(index_lease=LEASE / 1000)
STRICT = Settings(index_lease=LEASE / 1000, consistency="strict", strict_timeout=0.1)
PATIENCE = 20.0
"""Seconds that everything may take to be in step again, once nothing is in the way."""


@dataclass(frozen=True)
class House:
    """Open backends with one family in them, as they are behind everybody's back."""

    backends: Backends
    clock: Hurried
    spec: FamilySpec = SPEC
    settings: Settings = EVENTUAL
    promises: Promises = field(default_factory=Promises)

    def manager(self, backends: Backends | None = None) -> DualStoreManager:
        """As a process of its own would have the family open."""
        opened = backends or self.backends
        return DualStoreManager(self.spec, settings=self.settings, backends=opened)

    @asynccontextmanager
    async def user(self, backends: Backends | None = None) -> AsyncIterator[User]:
        async with self.manager(backends) as manager:
            yield User(manager, self.promises)

    async def damage(self) -> None:
        """One vector away, one turned round, one of nobody's, one of an entry that never was."""
        name = self.spec.name
        index = await index_of(self.backends, name)
        first, second, third, *_ = await all_ids(index)
        await index.delete([first])
        await turned(index, second)
        parsed = VectorId.parse(third)
        assert parsed
        for lie in (VectorId("ghost", "0" * 32, 0), parsed._replace(text_hash="0" * 32), "foreign"):
            await copied(index, third, lie)

    async def lose(self) -> None:
        """The whole index away."""
        live = (await generations(self.backends, self.spec.name)).live
        await self.backends.vectors.drop(live.index_name(self.spec.name))

    async def check(self, user: User) -> None:
        """Once it is drained, both sides say the same, and what was promised."""
        manager = user.manager
        # A write whose caller was cancelled may still wait for its turn: this one comes after it.
        await self.backends.documents.records.create("barrier", self.spec.name, None)
        with suppress(VectorsGoneError):  # nobody may have looked yet
            await manager.search("cats")
        await manager.drain(timeout=PATIENCE)
        if user.damaged:
            await manager.repair()
            await manager.drain(timeout=PATIENCE)
        entries = (await manager.page(limit=500)).entries
        self.promises.check_all(entries)
        report = await manager.consistency_report()
        assert report.clean, report
        assert (report.entries, report.pending, report.failed) == (len(entries), 0, 0)
        await self._check_index(entries)
        status = await manager.index_status()
        assert (status.due, status.leased, status.failed) == (0, 0, 0)
        result = await manager.search("cats", limit=500)
        assert result.degraded == ()
        self.promises.check_hits(result.hits, None)

    async def _check_index(self, entries: tuple[Entry, ...]) -> None:
        """The index holds these entries' vectors and no other, and is the only one there is."""
        name, backends = self.spec.name, self.backends
        names = {each for each in await backends.vectors.names() if each.startswith(f"{name}.g")}
        try:
            recorded = await generations(backends, name)
        except AssertionError:
            assert not any(map(str.isalnum, "".join(each.text for each in entries)))
            return
        assert recorded.at_rest, recorded
        assert names == ({recorded.live.index_name(name)} if recorded.live.made else set())
        if not recorded.live.made:
            assert not any(map(str.isalnum, "".join(each.text for each in entries)))
            return
        index = await index_of(backends, name)
        preparer = Preparer(self.spec, backends.embedder)
        wanted: dict[str, str] = {}
        for entry in entries:
            text = Drafter(self.spec).indexed_text(entry)
            for chunk, span in enumerate(preparer.spans(entry)):
                id_ = str(VectorId(entry.id, entry.text_hash, chunk))
                wanted[id_] = text[span.start : span.end]
        ids = list(wanted)
        assert await all_ids(index) == sorted(ids)
        vectors = await backends.embedder.embed([wanted[each] for each in ids])
        stored = await index.get(ids)
        for each, vector in zip(ids, vectors, strict=True):
            assert float(stored[each].vector @ vector) > 0.99


Prepare = Callable[[House], Awaitable[None]]
Prepared = Callable[[], AbstractAsyncContextManager[House]]
"""A house as somebody left it, each time anew."""
