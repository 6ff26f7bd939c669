"""Payloads of any size: beside the log in parts, whole again when they are read, swept if lost."""

from typing import Any

import pytest

from dualstore.conversations import payloads
from dualstore.conversations.coding import LARGE, preview
from dualstore.conversations.conversations import Conversations
from dualstore.errors import ConflictError, UnavailableError
from dualstore.testing import FakeClock, Fault, Faults
from dualstore.values import from_json, size_of, to_json
from tests.conversations.damage import log_name
from tests.conversations.houses import House
from tests.conversations.telling import answer, messages, result, seqs, tasks, texts, tool, user

HOUR = 3_600_000


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with 40 MB, in a fraction of the time."""
    monkeypatch.setattr(payloads, "PART", 400_000)


async def kept(house: House) -> tuple[int, int]:
    """How many payloads, and parts of them, are kept for all conversations."""
    records = house.backends.documents.records
    lists = await records.range("conversations.payloads", limit=1000)
    parts = await records.range("conversations.parts", limit=1000)
    return len(lists), len(parts)


async def test_40_mb_in_one_entry_are_split_and_come_back_whole(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    large = "x" * 40_000_000
    (stored,) = await log.append("c", [tool(large)])
    assert stored.message["content"] == large  # type: ignore[attr-defined]
    assert await kept(house) == (1, 20)
    name = await log_name(house.backends.documents)
    (item,) = await house.backends.documents.journal.read(name)
    assert size_of(item.text) < 200_000
    (read,) = await house.store().conversations.read("c")
    assert read == stored
    assert (await log.get("c")).context[0]["content"] == large


@pytest.mark.usefixtures("small_parts")
async def test_whatever_is_large_is_kept_beside_the_log(log: Conversations) -> None:
    large = "x" * (LARGE + 1)
    await log.create("c", messages=messages(large))
    told = [answer([{"type": "text", "text": large}], id="a"), result(large, id="r")]
    await log.append("c", told)
    assert await log.append("c", told) == (await log.read("c"))[1:]
    found = await log.get("c")
    assert texts(found.display) == [large, [{"type": "text", "text": large}]]
    assert tasks(found.pending) == [large]
    report = await log.verify("c")
    assert (report.clean, report.entries) == (True, 3)
    with pytest.raises(ConflictError):
        await log.append("c", [answer("other", id="a")])
    with pytest.raises(ConflictError):
        await log.append("c", [answer(large, id="a")])


@pytest.mark.usefixtures("small_parts")
async def test_a_batch_of_many_that_are_large_together_is_one_step(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    told = [tool(f"{n} " + "x" * 900_000) for n in range(14)]
    assert seqs(await log.append("c", told)) == list(range(1, 15))
    assert texts((await log.get("c")).context) == texts(each["message"] for each in told)
    assert (await log.verify("c")).clean
    assert (await kept(house))[0] > 5


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
async def test_a_crash_in_the_middle_leaves_nothing_visible_and_is_swept(
    house: House, log: Conversations, clock: FakeClock, fault: Fault
) -> None:
    await log.create("c")
    large = user("x" * (LARGE + 1), id="large")
    for number in (1, 2, 3):
        faults = Faults()
        store = house.store(faults).conversations
        faults.plan(len(faults.calls) + number + 1, fault=fault)
        with pytest.raises(UnavailableError):
            await store.append("c", [user("before"), large])
        assert faults.struck
        assert await log.read("c") == []
    left, _ = await kept(house)
    assert left > 0
    assert await log.sweep() == 0  # somebody may still be about to name them
    assert seqs(await log.append("c", [large])) == [1]
    clock.advance(HOUR + 1)
    assert await log.sweep() == left
    assert await kept(house) == (1, 3)
    assert (await log.verify("c")).clean
    assert await log.sweep() == 0


@pytest.mark.usefixtures("small_parts")
async def test_a_lost_or_changed_part_is_named_and_the_preview_is_shown(
    house: House, log: Conversations
) -> None:
    await log.create("c")
    await log.append("c", [user("the beginning " + "x" * LARGE), user("next")])
    records = house.backends.documents.records
    part = (await records.range("conversations.parts"))[1]
    for damage in ("changed", "gone"):
        if damage == "changed":
            await records.replace(part, "y" * 400_000)
            part = (await records.range("conversations.parts"))[1]
        else:
            await records.delete(part)
        found = await log.get("c")
        assert found.origin == "degraded"
        assert found.display[0]["content"].startswith("the beginning xx")
        assert len(found.display[0]["content"]) < 100_000
        report = await log.verify("c")
        assert ("payload", 1) in [(each.kind, each.seq) for each in report.problems]


@pytest.mark.usefixtures("small_parts")
async def test_deleting_takes_payloads_along_and_those_of_nobody_are_swept(
    house: House, log: Conversations, clock: FakeClock
) -> None:
    for name in ("c", "d"):
        await log.create(name, messages=messages("x" * 500_000))
        await log.append(name, [user("x" * (LARGE + 1))])
    assert (await kept(house))[0] == 4
    await log.delete("c")
    assert (await kept(house))[0] == 2
    # as a process would leave it that died before it wrote the card
    faults = Faults()
    faults.outage("records.create", since=4)
    with pytest.raises(UnavailableError):
        await house.store(faults).conversations.create("e", messages=messages("x" * 500_000))
    assert (await kept(house))[0] == 3
    clock.advance(HOUR + 1)
    assert await log.sweep() == 1
    assert (await kept(house))[0] == 2
    assert (await log.verify("d")).clean


@pytest.mark.parametrize("payload", [
    {"message": {"role": "user", "content": "x" * 10**6}},
    {"message": {"role": "user", "content": [{"type": "text", "text": "x" * 9}] * 10**5}},
    {"message": {"role": "user", "content": "", **{f"k{n}": n for n in range(10**5)}}},
    {"result": {"subagent_id": "s", "task": "t" * 10**6, "status": "error"}},
])  # fmt: skip
@pytest.mark.parametrize("room", [200, 1_000, 100_000])
def test_a_preview_is_small_and_of_the_same_form(payload: dict[str, Any], room: int) -> None:
    before = to_json(payload, "payload")
    short = preview(payload, room)
    assert size_of(to_json(short, "preview")) <= room
    assert short.keys() == payload.keys()
    (inner,), (whole,) = short.values(), payload.values()
    assert {"role", "content"} & whole.keys() <= inner.keys()
    assert {"subagent_id", "task", "status"} & whole.keys() <= inner.keys()
    assert from_json(before) == payload
