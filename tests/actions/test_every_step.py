"""The Nth call of the stores fails, for every N: there is the right answer all the same."""

from pathlib import Path

import pytest

from dualstore.documents.sqlite import SqliteDatabase
from dualstore.embedders.static import StaticEmbedder
from dualstore.errors import StorageError
from dualstore.indexing.worker import IndexWorker
from dualstore.testing import Fault
from tests.actions.test_faults import ACTIONS, everything, scene
from tests.actions.world import ABSENT, FINISHED, STALE, double_world

COLD = [(name, False) for name, action in ACTIONS.items() if not action.is_search]
EXPIRED = [(name, True) for name in ("sessions.get", "messages.list", "events.list")]


@pytest.fixture(autouse=True)
def _nobody_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the calls are the same each time."""
    monkeypatch.setattr(IndexWorker, "wake", lambda _: None)


@pytest.mark.parametrize(("name", "is_here"), [*COLD, *EXPIRED])
async def test_the_answer_is_right_whichever_call_fails(
    tmp_path: Path,
    embedder: StaticEmbedder,
    name: str,
    is_here: bool,
) -> None:
    action, number = ACTIONS[name], 0
    async with SqliteDatabase(tmp_path / "documents.db") as database:
        while True:
            agent = f"agent{number}"
            async with double_world(database, embedder, agent_name=agent) as world:
                it = scene(world)
                if is_here:
                    await everything(it)
                    it.goes_on()
                    world.later(FINISHED + STALE)
                for manager in world.context.families:
                    await manager.family()
                world.faults.calls.clear()
                world.faults.plan(number + 1, fault=Fault.BEFORE, error=StorageError)
                answer = await action.ask(it)
                if not world.faults.struck:
                    break
                if name != "tasks.list":
                    assert action.told(answer.value) == action.truth(it), world.faults.struck
                world.faults.heal()
                world.later(FINISHED + STALE + ABSENT)
                again = await action.ask(it)
                assert action.told(again.value) == action.truth(it)
                assert (again.complete, again.errors) == (True, ())
            number += 1
    assert number
