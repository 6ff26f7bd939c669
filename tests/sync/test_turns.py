"""What a model and its tools do at a real server is here as it is there."""

import asyncio

import pytest

from actions import messages, sessions, tasks
from tests.actions.following import converged, followed, there
from tests.support.model_stub import ModelStub
from tests.sync.world import Place, heard, until

pytestmark = pytest.mark.usefixtures("model")


async def test_a_turn_with_tools_is_here_complete_and_every_event_of_it_once(here: Place) -> None:
    async with heard(here.remote) as told, followed(here.context) as following:
        session_id = await here.write.create("Tools")
        await here.write.prompt(session_id, "[[tools]] write the file")
        await converged(here.context, here.remote)
        answer = await sessions.get(here.context, session_id)
        (_, there_now) = (await there(here.remote))[session_id]
        assert answer.source == "local"
        assert answer.value.messages == list(there_now.values()), "part by part, once"
        parts = [part for each in answer.value.messages for part in each["parts"]]
        used = [part["tool"] for part in parts if part["type"] == "tool"]
        assert used == ["write", "read", "bash", "todowrite"]
        ended = {part["state"]["status"] for part in parts if part["type"] == "tool"}
        assert ended == {"completed"}
        assert await here.durable_events(session_id) == await here.events_there(session_id)
        mine = {each.id for each in told if each.session_id == session_id}
        assert "session.idle" in {each.type for each in told}
        await until(lambda: _are_all_here(here, session_id, mine))
        assert set((await here.events(session_id)).values()) == {1}
        found = await messages.search(here.context, "the file is written, read and shown", k=1)
        assert found.value.results[0].session_id == session_id
        assert (following.failing, following.unknown) == ({}, {})


async def _are_all_here(here: Place, session_id: str, event_ids: set[str]) -> bool:
    return event_ids <= (await here.events(session_id)).keys()


async def test_the_task_of_a_sub_agent_is_completed(here: Place) -> None:
    async with followed(here.context):
        session_id = await here.write.create("Delegated")
        await here.write.prompt(session_id, "[[subagent]] find the marmot")
        await converged(here.context, here.remote)
        listed = await tasks.list(here.context, status="completed")
        (task,) = (each for each in listed.value.tasks if "marmot" in each.task)
        assert task.completion_message == "An answer without any tools."
        told = await there(here.remote)
        assert told[task.session_id][0]["parentID"] == session_id
        for each in (session_id, task.session_id):
            assert await here.durable_events(each) == await here.events_there(each)


async def test_text_that_streams_is_empty_until_it_is_finished(
    here: Place, model: ModelStub
) -> None:
    async with followed(here.context):
        session_id = await here.write.create("Streaming")
        turn = asyncio.ensure_future(here.write.prompt(session_id, "[[slow]] tell me"))
        await until(lambda: _says(here, session_id, ""))
        await converged(here.context, here.remote)
        assert await here.texts(session_id) == [""]
        model.release()
        await turn
        await until(lambda: _says(here, session_id, "The beginning of a long answer."))
        await converged(here.context, here.remote)
        assert await here.durable_events(session_id) == await here.events_there(session_id)


async def _says(here: Place, session_id: str, text: str) -> bool:
    return await here.texts(session_id) == [text]


async def test_a_turn_that_is_aborted_is_here_as_far_as_it_came(here: Place) -> None:
    async with followed(here.context):
        session_id = await here.write.create("Aborted")
        turn = asyncio.ensure_future(here.write.prompt(session_id, "[[slow]] tell me"))
        await until(lambda: _says(here, session_id, ""))
        await here.write.abort(session_id)
        assert (await turn)["info"]["error"]["name"] == "MessageAbortedError"
        await converged(here.context, here.remote)
        newest = await messages.list(here.context, session_id, limit=1)
        assert newest.value.messages[0]["info"]["error"]["name"] == "MessageAbortedError"
        assert await here.texts(session_id) == ["The beginning of "]


async def test_a_turn_that_the_model_refuses_is_here_with_its_error(here: Place) -> None:
    async with followed(here.context):
        session_id = await here.write.create("Refused")
        await here.write.prompt(session_id, "[[error]] tell me")
        await converged(here.context, here.remote)
        newest = await messages.list(here.context, session_id, limit=1)
        assert newest.value.messages[0]["info"]["error"]["data"]["message"] == "the stub says no"
