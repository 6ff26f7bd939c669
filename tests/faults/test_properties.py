"""Whatever is done, and whatever fails in between: a plain dict knows what has to be there."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.static import StaticEmbedder
from dualstore.manager import DualStoreManager
from dualstore.testing import Fault, Faults, faulty
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.dual.looking import all_ids, generations, index_of
from tests.faults.conftest import EFFORT
from tests.faults.hurried import Hurried
from tests.faults.places import House
from tests.faults.user import User

IDS = st.sampled_from("abcd")
TEXTS = st.sampled_from(
    [
        "The kitten sleeps on the sofa",
        "Quarterly tax report",
        "A dog barks at the mailman",
        "...",
        "Trains cross the mountains by night. " * 60,
    ]
)
KINDS = st.sampled_from(["home", "office"])
ITEMS = st.builds(
    lambda id_, text, kind: {"id": id_, "text": text, "metadata": {"kind": kind}},
    IDS,
    TEXTS,
    KINDS,
)
CALLS = st.sampled_from(
    [
        "vectors.*",
        "vectors.index.upsert",
        "vectors.index.delete",
        "vectors.place.*",
        "embedder.*",
        "documents.settle",
        "documents.claim",
        "documents.mark_due",
        "documents.put",
        "records.*",
        "records.create",
        "records.replace",
        "records.delete",
        "*",
    ]
)
FAULTS = st.sampled_from([Fault.BEFORE, Fault.AFTER, Fault.HANG, Fault.CANCELLED_AFTER])
EMBEDDER = StaticEmbedder()


class Life(RuleBasedStateMachine):
    """One family, one manager at a time, and those that were abandoned before."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = TemporaryDirectory()
        self.run(self._open())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(work)

    async def _open(self) -> None:
        self.database = SqliteDatabase(Path(self.folder.name) / "a.db")
        await self.database.__aenter__()
        clock = Hurried(speed=200)
        self.house = House(Backends(self.database, ExactVectors(), EMBEDDER, clock), clock)
        self.abandoned: list[tuple[DualStoreManager, Faults]] = []
        self._start()

    def _start(self) -> None:
        self.faults, self.failing = Faults(hang=0.001), False
        self.user = User(
            self.house.manager(faulty(self.house.backends, self.faults)), self.house.promises
        )

    async def _alone(self, work: Coroutine[Any, Any, None]) -> None:
        """In a task of its own, which may be cancelled by a fault."""
        await asyncio.wait([task := asyncio.create_task(work)])
        if not task.cancelled():
            task.result()

    @rule(items=st.lists(ITEMS, min_size=1, max_size=4))
    def insert(self, items: list[dict[str, Any]]) -> None:
        self.run(self._alone(self.user.insert(*items)))

    @rule(id_=IDS)
    def delete(self, id_: str) -> None:
        self.run(self._alone(self.user.delete(id_)))

    @rule(id_=IDS)
    def find(self, id_: str) -> None:
        state = self.house.promises.certain(id_)
        if state is not None and any(map(str.isalnum, state.text)):
            self.run(self._alone(self.user.find(id_)))

    @rule(kind=KINDS)
    def search(self, kind: str) -> None:
        self.run(self._alone(self.user.search("a report about cats", {"metadata.kind": kind})))

    @rule(seconds=st.sampled_from([0.001, 0.005, 0.02]))
    def index_for_a_while(self, seconds: float) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)

        self.run(wait())

    @precondition(lambda self: not self.failing)
    @rule()
    def drain(self) -> None:
        self.run(self.user.manager.drain(timeout=20))

    @rule(pattern=CALLS, fault=FAULTS)
    def fail(self, pattern: str, fault: Fault) -> None:
        self.faults.outage(pattern, since=len(self.faults.calls) + 1, fault=fault)
        self.failing = True

    @rule()
    def heal(self) -> None:
        self.faults.heal()
        self.failing = False

    @rule()
    def crash(self) -> None:
        """It never does anything again, and gives nothing back."""
        self.faults.heal()
        self.faults.outage("*")
        self.abandoned.append((self.user.manager, self.faults))
        damaged = self.user.damaged
        self._start()
        self.user.damaged = damaged

    @rule()
    def let_leases_end(self) -> None:
        self.house.clock.let_leases_end()

    @rule()
    def begin_to_rebuild(self) -> None:
        async def begin() -> None:
            with self.user.turn():
                await self.user.manager.reindex(timeout=0)

        self.run(self._alone(begin()))

    @rule(which=st.integers(0, 9))
    def damage(self, which: int) -> None:
        async def damage() -> None:
            if not await self.house.backends.vectors.names():
                return
            live = (await generations(self.house.backends)).live
            if not live.made:
                return
            index = await index_of(self.house.backends)
            ids = await all_ids(index)
            if ids:
                await index.delete([ids[which % len(ids)]])
                self.user.damaged = True

        self.run(damage())

    @invariant()
    def no_read_lies(self) -> None:
        """Unless it fails."""
        self.run(self._alone(self.user.look()))

    def teardown(self) -> None:
        try:
            self.run(self._end())
        finally:
            self.runner.close()
            self.folder.cleanup()

    async def _end(self) -> None:
        self.faults.heal()
        self.house.clock.let_leases_end()
        try:
            await self.house.check(self.user)
        finally:
            await self.user.manager.close()
            for manager, _ in self.abandoned:
                await manager.close()
            await self.database.__aexit__(None, None, None)


class TestLife(Life.TestCase):  # type: ignore[valid-type, misc]
    settings = settings(
        max_examples=10 * EFFORT,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
