import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualstore.documents.base import PutOutcome
from dualstore.documents.sqlite import SqliteDatabase
from dualstore.errors import UnavailableError
from dualstore.manager import DualStoreManager
from dualstore.mirror.following import TaskFollower, begun
from dualstore.mirror.intake import Intake, Revisions
from dualstore.mirror.kinds import Copy
from dualstore.mirror.refusals import Refusals
from dualstore.mirror.tasks import AgentTask, task_of
from dualstore.remote.base import Change
from dualstore.settings import Settings
from dualstore.store import open_store
from dualstore.testing import FakeClock
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.dual.listening import Listening
from tests.mirror.test_tasks import AT, CHILD, MS, Told, after, whole_run


class Side:
    """One process that follows tasks."""

    def __init__(self, tasks: DualStoreManager, intake: Intake) -> None:
        self.tasks = tasks
        self.intake = intake
        self.follower = TaskFollower(tasks, intake)

    async def task(self, session_id: str = "ses_1") -> AgentTask | None:
        entry = await self.tasks.get(f"task:{session_id}")
        return None if entry is None else task_of(entry)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Side]:
    async with SqliteDatabase(folder / "a.db") as documents, Listening() as embedder:
        clock = FakeClock(AT)
        backends = Backends(documents, ExactVectors(), embedder, clock)
        async with open_store(Settings(), backends=backends) as store:
            refusals = Refusals(documents.records, space="mirror")
            yield Side(store.tasks, Intake(origin="fake", refusals=refusals, clock=clock))


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    async with opened(tmp_path) as one:
        yield one


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Side]:
    async with opened(tmp_path) as one:
        yield one


async def test_a_task_follows_what_happens(side: Side) -> None:
    run = whole_run(Told())
    for change in run:
        await side.follower.follow([change], at=AT)
    assert await side.task() == after(run)
    assert await side.follower.are_tasks(["ses_1", "ses_2"]) == {"ses_1"}


async def test_it_is_the_same_in_portions_of_any_size(side: Side) -> None:
    told = [whole_run(Told(session_id=f"ses_{each}")) for each in range(8)]
    for size, run in enumerate(told, 1):
        for start in range(0, len(run), size):
            await side.follower.follow(run[start : start + size], at=AT)
    for each, run in enumerate(told):
        expected = after(run)
        found = await side.task(f"ses_{each}")
        assert found == expected
        assert found is not None
        assert found.status == "completed"


async def test_what_happened_before_counts_once(side: Side) -> None:
    run = whole_run(Told())
    await side.follower.follow(run, at=AT)
    before = await side.tasks.get("task:ses_1")
    await side.follower.follow(run, at=AT)
    assert await side.tasks.get("task:ses_1") == before


async def test_nothing_begins_with_a_session_that_has_no_parent(side: Side) -> None:
    await side.follower.begin([{**CHILD, "parentID": None}], at=AT)
    await side.follower.follow([Told().user("m", 1), Told().status("busy")], at=AT)
    assert await side.tasks.count() == 0
    assert begun({**CHILD, "parentID": None}) is None


async def test_a_session_with_a_parent_is_a_task_of_its_own(side: Side) -> None:
    sessions = [CHILD, {**CHILD, "id": "ses_2", "title": "Find the rake"}, {**CHILD, "id": None}]
    await side.follower.begin(sessions, at=AT)
    assert await side.task() == begun(CHILD)
    task = await side.task("ses_2")
    assert task is not None
    assert (task.task, task.status, task.start_time) == ("Find the rake", "running", MS)
    assert await side.tasks.count() == 2


async def test_a_session_told_again_does_not_begin_its_task_anew(side: Side) -> None:
    run = whole_run(Told())
    await side.follower.follow(run, at=AT)
    await side.follower.begin([CHILD], at=AT)
    assert await side.task() == after(run)


async def test_changes_of_one_portion_go_to_their_own_tasks(side: Side) -> None:
    one, two = Told(session_id="ses_1"), Told(session_id="ses_2")
    mixed = [
        change
        for both in zip(whole_run(one), [*whole_run(two)[:6]] * 3, strict=False)
        for change in both
    ]
    await side.follower.follow(mixed, at=AT)
    first, second = await side.task("ses_1"), await side.task("ses_2")
    assert first is not None
    assert second is not None
    assert (first.status, second.status) == ("completed", "running")


async def test_a_task_that_was_deleted_stays_deleted(side: Side) -> None:
    run = whole_run(Told())
    await side.follower.follow(run[:5], at=AT)
    assert await side.tasks.delete("task:ses_1")
    await side.follower.follow(run[5:], at=AT)
    await side.follower.begin([CHILD], at=AT)
    assert await side.task() is None


async def test_what_somebody_else_put_there_is_left_alone(side: Side) -> None:
    mine = {"id": "task:ses_1", "text": "mine", "metadata": {"session_id": "ses_1"}}
    await side.tasks.insert(mine)
    await side.follower.begin([CHILD, {**CHILD, "id": "ses_2"}], at=AT)
    await side.follower.follow(whole_run(Told()), at=AT)
    entry = await side.tasks.get("task:ses_1")
    assert entry is not None
    assert (entry.text, entry.body) == ("mine", None)
    assert await side.task("ses_2") is not None


async def test_sessions_that_can_have_no_task_harm_no_others(side: Side) -> None:
    bad = ["", " ", "a\nb", "x" * 5_000, "\ud800"]
    await side.follower.begin([{**CHILD, "id": each} for each in bad] + [CHILD], at=AT)
    changes = [Told(session_id=each).session() for each in bad]
    await side.follower.follow([*changes, *whole_run(Told())], at=AT)
    task = await side.task()
    assert task is not None
    assert task.status == "completed"
    assert await side.follower.are_tasks([*bad, "ses_1"]) == {"ses_1"}
    assert await side.tasks.count() == 1


class Overtaken(Intake):
    """Before each write somebody else does something, as long as there is something to do."""

    def __init__(self, inner: Intake, meanwhile: Iterable[Any]) -> None:
        self._inner = inner
        self._meanwhile = iter(meanwhile)
        self.outcomes: list[PutOutcome] = []

    async def put(
        self, manager: DualStoreManager, copies: Iterable[Copy], seen: Revisions
    ) -> dict[str, PutOutcome]:
        do = next(self._meanwhile, None)
        if do is not None:
            await do()
        outcomes = await self._inner.put(manager, copies, seen)
        self.outcomes += outcomes.values()
        return outcomes


async def test_both_changes_count_when_somebody_else_is_faster(side: Side, other: Side) -> None:
    told = Told()
    begin, words, end = told.session(), told.text("m1", "p1", "Done."), told.ended("m1", 1)
    await side.follower.follow([begin], at=AT)

    async def meanwhile() -> None:
        await other.follower.follow([words], at=AT)

    overtaken = Overtaken(side.intake, [meanwhile])
    await TaskFollower(side.tasks, overtaken).follow([words, end], at=AT)
    assert overtaken.outcomes == [PutOutcome.OUTDATED, PutOutcome.UPDATED]
    assert await side.task() == after([begin, words, end])


async def test_both_changes_count_when_the_task_is_new_to_both(side: Side, other: Side) -> None:
    told = Told()
    begin, end = told.session(), told.ended("m1", 1)

    async def meanwhile() -> None:
        await other.follower.begin([CHILD], at=AT)

    overtaken = Overtaken(side.intake, [meanwhile])
    await TaskFollower(side.tasks, overtaken).follow([begin, end], at=AT)
    assert overtaken.outcomes == [PutOutcome.OUTDATED, PutOutcome.UPDATED]
    task = await side.task()
    assert task is not None
    assert task.status == "completed"


async def test_only_what_was_overtaken_is_done_again(side: Side, other: Side) -> None:
    runs: dict[str, Sequence[Change]] = {
        f"ses_{each}": whole_run(Told(session_id=f"ses_{each}")) for each in range(3)
    }
    changes = [change for run in runs.values() for change in run]

    async def meanwhile() -> None:
        await other.follower.follow(runs["ses_1"][:3], at=AT)

    overtaken = Overtaken(side.intake, [meanwhile])
    await TaskFollower(side.tasks, overtaken).follow(changes, at=AT)
    assert sorted(overtaken.outcomes) == ["created", "created", "outdated", "updated"]
    for session_id, run in runs.items():
        assert await side.task(session_id) == after(run)


async def test_who_is_always_overtaken_gives_up(side: Side, other: Side) -> None:
    told = Told()
    await side.follower.follow([told.session()], at=AT)

    def renaming() -> Iterable[Any]:
        for number in range(100):

            async def rename(title: str = f"Title {number}") -> None:
                await other.follower.follow([told.session(title=title)], at=AT)

            yield rename

    overtaken = Overtaken(side.intake, renaming())
    late = replace(told.once("session.error", error={"name": "E"}), sequence=1_000)
    with pytest.raises(UnavailableError, match="too many at once"):
        await TaskFollower(side.tasks, overtaken).follow([late], at=AT)


async def test_two_that_follow_the_same_at_once_lose_nothing(side: Side, other: Side) -> None:
    """Both are told all, in portions of different sizes, as two processes are."""
    runs = [whole_run(Told(session_id=f"ses_{each}")) for each in range(6)]

    async def follow(one: Side, run: Sequence[Change], size: int) -> None:
        for start in range(0, len(run), size):
            await one.follower.follow(run[start : start + size], at=AT)

    await asyncio.gather(
        *(follow(side, run, 1) for run in runs), *(follow(other, run, 3) for run in runs)
    )
    for each, run in enumerate(runs):
        assert await side.task(f"ses_{each}") == after(run)
        assert await other.task(f"ses_{each}") == after(run)
