"""What can't be taken is refused before anything is written, by an error that names it."""

from typing import Any, cast

import pytest

from dualstore.conversations import (
    AssistantAmendment,
    AssistantMessage,
    Imported,
    LogEntry,
    UnknownEntry,
    UnreadableEntry,
    UserMessage,
)
from dualstore.conversations.coding import prepared
from dualstore.conversations.conversations import Conversations
from dualstore.conversations.scope import LogName, Scope
from dualstore.errors import (
    ConflictError,
    CursorError,
    EntryError,
    EntryTooLargeError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
)
from tests.conversations.telling import amendment, answer, callback, messages, seqs, summary, user

CYCLE: dict[str, Any] = {"role": "user", "content": "x"}
CYCLE["self"] = CYCLE
FAN: list[Any] = []
FAN += [FAN, FAN]


async def _calls(log: Conversations, conversation_id: str, **scope: Any) -> list[Any]:
    """Everything that needs a conversation."""
    return [
        lambda: log.get(conversation_id, **scope),
        lambda: log.read(conversation_id, **scope),
        lambda: log.append(conversation_id, [user("q")], **scope),
        lambda: log.rename(conversation_id, "t", **scope),
        lambda: log.verify(conversation_id, **scope),
        lambda: log.list_threads(conversation_id, **scope),
        lambda: log.import_snapshot(conversation_id, **scope),
        lambda: log.create(parent=conversation_id, **scope),
        lambda: log.turn(conversation_id, **scope).__aenter__(),
    ]


async def test_an_unknown_conversation_is_not_found(log: Conversations) -> None:
    for call in await _calls(log, "nobody"):
        with pytest.raises(NotFoundError, match="'nobody' is not here"):
            await call()
    assert await log.delete("nobody") is False
    assert await log.list() == []


async def test_a_foreign_tenants_conversation_is_not_found(log: Conversations) -> None:
    await log.create("c", tenant="acme")
    for scope in ({}, {"tenant": "other"}, {"tenant": "acme", "agent": "a"}, {"agent": "acme"}):
        for call in await _calls(log, "c", **scope):
            with pytest.raises(NotFoundError, match="'c' is not here"):
                await call()
        assert await log.delete("c", **scope) is False
    assert (await log.get("c", tenant="acme")).id == "c"


BATCHES: list[tuple[Any, str]] = [
    ([], "1 to 5,000 entries, not 0"),
    ([user("x")] * 5_001, "not 5,001"),
    ("user_message", "list of entries"),
    (user("x"), "list of entries"),
    (None, "list of entries"),
    ([user("x"), None], "item 1: entry: must be a mapping"),
    ([{}], "item 0: type"),
    ([{"type": 3}], "item 0: type"),
    ([{"type": "unreadable"}], "item 0: type"),
    ([UnreadableEntry(problem="x")], "item 0: type"),
    ([{"type": "user_message"}], "item 0: message: Field required"),
    ([{"type": "user_message", "message": "hello"}], "must be a mapping with role"),
    ([{"type": "user_message", "message": {"content": "x"}}], "needs a role"),
    ([{"type": "user_message", "message": {"role": "user", "content": 3}}], "list of parts"),
    ([{"type": "user_message", "message": {"role": "u", "content": ["x"]}}], "a part that is"),
    ([user("x", id="")], "item 0: id"),
    ([user("x", id="a\nb")], "item 0: id"),
    ([user("x", id=7)], "item 0: id"),
    ([user("x", id="i" * 513)], "item 0: id"),
    ([user("x", colour="blue")], "item 0: colour: Extra"),
    ([user("x", tenant="acme")], "item 0: tenant"),
    ([user("x"), summary("s")], "item 1: compaction: needs either"),
    ([summary("s", -1)], "item 0: covers_through_seq"),
    ([summary("s", 1, kept_ids=[])], "needs either"),
    ([summary("", 0)], "item 0: summary_message: says nothing"),
    ([summary(" \n", 0)], "item 0: summary_message: says nothing"),
    ([summary(cast(Any, None), 0)], "item 0: summary_message: says nothing"),
    ([summary(cast(Any, []), 0)], "item 0: summary_message: says nothing"),
    ([summary(cast(Any, [{"type": "text", "text": " "}]), 0)], "summary_message: says nothing"),
    ([{"type": "mood", "fields": 5}], "item 0: fields: must be a mapping"),
    ([amendment("a")], "needs append_text or metadata"),
    ([{"type": "callback_started", "consumed_ids": "r1"}], "consumed_ids"),
    ([{"type": "turn_finished", "status": "great"}], "status"),
    ([{"type": "subagent_result", "result": {"task": "t"}}], "needs subagent_id"),
    (
        [{"type": "subagent_result", "result": {"subagent_id": "s", "task": "t"}}],
        "needs a status",
    ),
    ([{"type": "imported", "display": [], "context": [], "pending": []}], "import_snapshot"),
    ([Imported(display=[], context=[], pending=[])], "import_snapshot"),
    ([{"type": "user_message", "message": CYCLE}], "contains itself"),
    ([user("x", id="\ud800")], "item 0: id"),
    ([user("\ud800")], "surrogate"),
    ([answer("x", {"when": object()})], "holds object"),
    ([answer("x", {"nan": float("nan")})], "holds nan"),
    ([answer("x", {"big": 2**70})], "64 bits"),
]


HEARD = {"role": "user", "content": "x"}
MUTATED = AssistantAmendment(target_entry_id="a", append_text="x")
MUTATED.__dict__["append_text"] = None
MODELS: list[tuple[Any, str]] = [
    (UnknownEntry(type="user_message", fields={"message": "hello"}), "must be a mapping with role"),
    (UnknownEntry(type="user_message", fields={"message": HEARD, "seq": 7}), "item 0: seq"),
    (UnknownEntry(type="turn_started", fields={"colour": "blue"}), "item 0: colour: Extra"),
    (UnknownEntry(type="imported", fields={}), "import_snapshot"),
    (UnknownEntry.model_construct(type="mood", fields=5), "item 0: fields"),
    (LogEntry(type="user_message"), "item 0: message: Field required"),
    (LogEntry(type=""), "item 0: type"),
    (LogEntry.model_construct(), "item 0: type"),
    (UserMessage.model_construct(message="hello"), "must be a mapping with role"),
    (UserMessage.model_construct(message=HEARD, turn_id=7), "item 0: turn_id"),
    (UserMessage.model_construct(message=HEARD, tenant="acme"), "item 0: tenant"),
    (MUTATED, "needs append_text or metadata"),
]


@pytest.mark.parametrize(("model", "why"), MODELS)
async def test_a_model_is_checked_as_a_mapping_is(
    log: Conversations, model: LogEntry, why: str
) -> None:
    await log.create("c")
    with pytest.raises(EntryError, match=why):
        await log.append("c", [model])
    assert await log.read("c") == []


async def test_a_model_of_another_form_is_kept_as_it_is(log: Conversations) -> None:
    await log.create("c")
    later = UnknownEntry(type="user_message", version=2, fields={"said": "x"})
    (stored,) = await log.append("c", [later])
    assert await log.append("c", [stored]) == [stored]
    assert stored == later.model_copy(update={"seq": 1, "created_at": stored.created_at})


async def test_a_batch_with_one_bad_entry_nothing_of_it_lands(log: Conversations) -> None:
    await log.create("c")
    for batch, why in BATCHES:
        with pytest.raises(InvalidInputError, match=why):
            await log.append("c", batch)
        if isinstance(batch, list) and len(batch) == 1:
            with pytest.raises(InvalidInputError, match=why.replace("item 0", "item 1")):
                await log.append("c", [user("good"), *batch])
    assert await log.read("c") == []


async def test_what_must_be_there_and_is_not_is_named(log: Conversations) -> None:
    await log.create("c")
    await log.append("c", [user("q", id="q"), answer("a", id="a")])
    for entry, why in (
        (amendment("nobody", "x"), "'nobody' is no answer"),
        (amendment("q", "x"), "'q' is no answer"),
        (summary("s", 4), "covers_through_seq: 4 isn't there yet"),
        (summary("s", kept_ids=["a", "nobody"]), "'nobody' is no entry"),
    ):
        with pytest.raises(EntryError, match=why):
            await log.append("c", [user("new"), entry])
    assert seqs(await log.read("c")) == [1, 2]


async def test_consumption_of_what_is_not_there_consumes_nothing(log: Conversations) -> None:
    await log.create("c")
    await log.append("c", [callback("later")])
    told = {"subagent_id": "s", "task": "t", "status": "completed"}
    await log.append("c", [{"type": "subagent_result", "id": "later", "result": told}])
    assert len((await log.get("c")).pending) == 1


def test_a_cycle_that_fans_out_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualstore.values.MAX_BYTES", 100_000)
    with pytest.raises(EntryTooLargeError, match="cycle"):
        prepared(AssistantMessage(message={"role": "assistant", "fan": FAN}))


BOUNDS: list[dict[str, Any]] = [
    {"after_seq": -1},
    {"before_seq": -1},
    {"limit": 0},
    {"limit": -5},
    {"after_seq": "1"},
    {"after_seq": True},
    {"limit": 1.5},
    {"types": "user_message"},
    {"types": [1]},
]


async def test_negative_cursors_and_odd_bounds_are_refused(log: Conversations) -> None:
    await log.create("c")
    for bounds in BOUNDS:
        with pytest.raises(InvalidInputError):
            await log.read("c", **bounds)


async def test_odd_questions_are_refused(log: Conversations) -> None:
    await log.create("c")
    for tail in (-1, "5", True):
        with pytest.raises(InvalidInputError, match="tail"):
            await log.get("c", tail=tail)  # type: ignore[arg-type]
    for cursor in ("", "1", "x.y", "-1.0", "1.0 ", "9" * 40 + ".0"):
        with pytest.raises(CursorError, match="no cursor"):
            await log.get("c", before=cursor)
    for limit in (0, -1):
        with pytest.raises(InvalidInputError, match="limit"):
            await log.list(limit)
        with pytest.raises(InvalidInputError, match="limit"):
            await log.search("x", limit=limit)
    with pytest.raises(InvalidInputError, match="no mode"):
        await log.search("x", "odd")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="query"):
        await log.search(7)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="grace"):
        await log.sweep(grace=-1)


async def test_bounds_that_nothing_is_within_are_fine(log: Conversations) -> None:
    await log.create("c")
    await log.append("c", [user("q"), answer("a")])
    assert await log.read("c", after_seq=99) == []
    assert await log.read("c", before_seq=0) == []
    assert await log.read("c", after_seq=2**60, before_seq=2**60) == []
    assert await log.read("c", types=[]) == []
    assert await log.read("c", types=["nothing"]) == []


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 513, 7, "\ud800"])
def test_names_that_cannot_be_kept_are_refused(name: Any) -> None:
    for scope in ({"tenant": name}, {"agent": name}):
        with pytest.raises(InvalidNameError):
            Scope("house", **scope)
    with pytest.raises(InvalidNameError):
        Scope("house").conversation(name)


async def test_a_conversation_with_such_a_name_is_nowhere(log: Conversations) -> None:
    calls = [
        log.create(""),
        log.get(" "),
        log.create("c", tenant=""),
        log.create("c", agent="a\nb"),
        log.append("", [user("q")]),
    ]
    for call in calls:
        with pytest.raises(InvalidNameError):
            await call
    assert await log.list() == []


async def test_names_that_are_too_long_together_are_refused(log: Conversations) -> None:
    long = ":" * 512
    with pytest.raises(InvalidNameError, match="together"):
        await log.create(long, tenant=long, agent=long)


async def test_an_odd_title_is_refused(log: Conversations) -> None:
    await log.create("c", "title")
    for title in (7, None, "\ud800"):
        with pytest.raises(InvalidInputError, match="title"):
            await log.create("d", title)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="title"):
            await log.rename("c", title)  # type: ignore[arg-type]
    assert [each.title for each in await log.list()] == ["title"]


async def test_creating_again_is_the_same_or_a_conflict(log: Conversations) -> None:
    old = messages("q", "a")
    await log.create("c", "title", old)
    await log.rename("c", "another")
    assert (await log.create("c", "title", old)).title == "another"
    for other in (("c", "other", old), ("c", "title", old[:1]), ("c", "title")):
        with pytest.raises(ConflictError, match="'c'"):
            await log.create(*other)
    with pytest.raises(ConflictError):
        await log.import_snapshot("c", display=old[:1])


@pytest.mark.parametrize("bad", ["q", [1], [{"content": "x"}], [{"role": "user", "id": 3}]])
async def test_messages_from_before_the_log_are_checked(log: Conversations, bad: Any) -> None:
    with pytest.raises(InvalidInputError):
        await log.create("c", messages=bad)
    with pytest.raises(InvalidInputError):
        await log.import_snapshot("c", display=bad)
    assert await log.list() == []


@pytest.mark.parametrize("tenant", [None, "-", "=", "a:b", "a%3Ab", "%", "ä\U0001f600"])
@pytest.mark.parametrize("conversation", ["c", ":", "a%25", "-"])
def test_names_of_logs_can_be_read_back(tenant: str | None, conversation: str) -> None:
    name = LogName(Scope("house", tenant, None), conversation, "1")
    assert LogName.parse(str(name)) == name
