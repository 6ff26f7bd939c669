from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dualstore.entry import Drafter
from dualstore.errors import EntryError
from dualstore.family import FamilySpec
from dualstore.mirror.kinds import Copy
from dualstore.mirror.tasks import AgentTask, followed, task_copy, task_of
from dualstore.remote.base import Change
from dualstore.values import YEAR_1, YEAR_9999
from tests.mirror.strategies import LOOSE, loosened

BASE = 0x1FACF1B40000
AT = 1_795_209_240_000
MS = AT - 1_000
CHILD: dict[str, Any] = {
    "id": "ses_1",
    "parentID": "ses_0",
    "title": "Find the hose",
    "time": {"created": MS, "updated": MS},
}
BEGUN = AgentTask(
    "ses_1", "Find the hose", MS, "running", MS, sequence=0, heard=BASE, title="Find the hose"
)
FAILED = {"name": "APIError", "data": {"message": "no water"}}
ABORTED = {"name": "MessageAbortedError", "data": {"message": "Aborted"}}


class Told:
    """Makes changes as a server tells them: ids grow, and durable ones have a number."""

    def __init__(self, *, order: int = BASE, session_id: str = "ses_1") -> None:
        self._order = order
        self._sequence = 0
        self._session_id = session_id

    def durable(self, kind: str, **data: Any) -> Change:
        change = replace(self.once(kind, **data), sequence=self._sequence)
        self._sequence += 1
        return change

    def once(self, kind: str, **data: Any) -> Change:
        event_id = f"evt_{self._order % 2**48:012x}xyz"
        self._order += 1
        return Change(self._session_id, None, kind, event_id, data)

    def session(self, kind: str = "session.updated", **info: Any) -> Change:
        return self.durable(kind, info={**CHILD, **info})

    def message(self, message_id: str, at: int, role: str = "assistant", **info: Any) -> Change:
        time = {"created": MS + at, **info.pop("time", {})}
        return self.durable(
            "message.updated", info={"id": message_id, "role": role, "time": time, **info}
        )

    def user(self, message_id: str, at: int) -> Change:
        return self.message(message_id, at, "user")

    def ended(self, message_id: str, at: int, finish: str | None = "stop") -> Change:
        return self.message(message_id, at, finish=finish, time={"completed": MS + at + 1})

    def text(self, message_id: str, part_id: str, text: str, **part: Any) -> Change:
        part = {"id": part_id, "messageID": message_id, "type": "text", "text": text, **part}
        return self.durable("message.part.updated", part=part, time=MS + 50)

    def status(self, status: str) -> Change:
        return self.once("session.status", status={"type": status})


def after(changes: Iterable[Change], task: AgentTask | None = None) -> AgentTask | None:
    for change in changes:
        task = followed(task, change, at=AT)
    return task


def ends(*changes: Change, task: AgentTask | None = None) -> tuple[str, str | None]:
    """How a task stands after them."""
    found = after(changes, task)
    assert found is not None
    return found.status, found.completion_message


def whole_run(told: Told) -> list[Change]:
    """Of a sub agent, in the order in which a server tells it."""
    return [
        told.session("session.created"),
        told.user("msg_1", 1),
        told.text("msg_1", "prt_1", "find it"),
        told.session(time={"created": MS, "updated": MS + 2}),
        told.status("busy"),
        told.message("msg_2", 3),
        told.text("msg_2", "prt_2", ""),
        told.text("msg_2", "prt_2", "In the shed."),
        told.message("msg_2", 3, finish="stop"),
        told.ended("msg_2", 3),
        told.status("busy"),
        told.status("idle"),
        told.once("session.idle"),
        told.user("msg_1", 1),  # again, with a summary
    ]


# How a task begins


@pytest.mark.parametrize("kind", ["session.created", "session.updated"])
def test_a_session_with_a_parent_begins_a_task(kind: str) -> None:
    assert followed(None, Told().session(kind), at=AT) == BEGUN


def test_a_session_without_a_parent_begins_none() -> None:
    for parent in (None, "", 5):
        assert followed(None, Told().session(parentID=parent), at=AT) is None


def test_nothing_else_begins_a_task() -> None:
    told = Told()
    assert after([told.user("msg_1", 1), told.status("busy"), told.ended("msg_2", 2)]) is None
    assert after([told.durable("session.deleted", info=CHILD)]) is None


def test_a_task_without_a_title_is_called_as_its_session_until_there_is_one() -> None:
    told = Told()
    begun = followed(None, told.session(title=None), at=AT)
    assert begun is not None
    assert begun.task == "ses_1"
    renamed = followed(begun, told.session(title="Find the hose"), at=AT)
    assert renamed is not None
    assert renamed.task == "Find the hose"


def test_later_titles_rename_a_task() -> None:
    told = Told()
    task = after([told.session(), told.session(title="Find the rake"), told.session(title=None)])
    assert task is not None
    assert (task.task, task.title) == ("Find the rake", "Find the rake")


def test_a_task_that_somebody_put_in_words_keeps_them() -> None:
    told, mine = Told(), AgentTask("ses_1", "Mine", MS, "idle", MS)
    task = after([told.session(title="Find the rake"), told.session(title="Find it")], mine)
    assert task is not None
    assert (task.task, task.title) == ("Mine", "Find it")


# How it goes on


def test_a_whole_run_ends_completed_with_the_last_words() -> None:
    told = Told()
    assert after(whole_run(told)) == AgentTask(
        session_id="ses_1",
        task="Find the hose",
        start_time=MS,
        status="completed",
        last_activity=1_795_209_239_360,  # of the id, 0x1facf1b40 milliseconds
        completion_message="In the shed.",
        sequence=9,
        heard=BASE + 13,
        title="Find the hose",
        message=(MS + 3, "msg_2"),
        said=("msg_2", "prt_2", "In the shed."),
    )


def test_each_step_of_a_run() -> None:
    statuses, task = [], None
    for change in whole_run(Told()):
        task = followed(task, change, at=AT)
        assert task is not None
        statuses.append(task.status)
    assert statuses == ["running"] * 9 + ["completed"] * 5


def test_a_step_that_calls_tools_ends_nothing() -> None:
    told = Told()
    assert ends(told.session(), told.ended("msg_1", 1, "tool-calls")) == ("running", None)


def test_a_message_of_nobody_known_changes_nothing() -> None:
    told = Told()
    changes = [told.session(), told.ended("msg_1", 1), told.message("msg_2", 2, "system")]
    assert ends(*changes) == ("completed", None)


def test_an_answer_of_no_model_completes_nothing() -> None:
    told = Told()
    changes = [told.session(), told.user("msg_1", 1), told.ended("msg_2", 2, None)]
    assert ends(*changes) == ("idle", None)


def test_an_answer_that_is_not_at_its_end_completes_nothing() -> None:
    told = Told()
    assert ends(told.session(), told.message("msg_1", 1, finish="stop")) == ("running", None)


def test_an_error_fails_a_task_with_its_words() -> None:
    told = Told()
    assert ends(told.session(), told.message("msg_1", 1, error=FAILED)) == ("failed", "no water")
    assert ends(told.session(), told.once("session.error", error=FAILED)) == ("failed", "no water")
    assert ends(told.session(), told.once("session.error")) == ("failed", None)
    long = {"name": "E", "data": {"message": "x" * 3_000}}
    assert ends(told.session(), told.message("m", 1, error=long)) == ("failed", "x" * 2_000)


def test_what_was_aborted_is_idle() -> None:
    told = Told()
    changes = [
        told.session(),
        told.user("msg_1", 1),
        told.message("msg_2", 2),
        told.once("session.error", error=ABORTED),
        told.status("idle"),
        told.text("msg_2", "prt_1", "slow"),
    ]
    assert ends(*changes) == ("idle", None)
    aborted = told.message("msg_2", 2, error=ABORTED, time={"completed": MS + 3})
    assert ends(*changes, aborted) == ("idle", None)
    assert ends(*changes[:3], aborted) == ("idle", None)


def test_idle_ends_only_what_is_running() -> None:
    for kind, data in (("session.status", {"status": {"type": "idle"}}), ("session.idle", {})):
        told = Told()
        begun, done = told.session(), told.ended("msg_1", 1)
        failed = told.message("msg_2", 2, error=FAILED)
        quiet = told.once(kind, **data)
        assert ends(begun, quiet) == ("idle", None)
        assert ends(begun, done, quiet) == ("completed", None)
        assert ends(begun, failed, quiet) == ("failed", "no water")


@pytest.mark.parametrize("status", ["busy", "retry"])
def test_work_wakes_what_is_idle_and_not_what_has_ended(status: str) -> None:
    told = Told()
    idle = [told.session(), told.status("idle"), told.status(status)]
    assert ends(*idle) == ("running", None)
    told = Told()
    assert ends(told.session(), told.ended("msg_1", 1), told.status(status))[0] == "completed"
    assert ends(*idle, told.status("brand-new"), told.once("session.status")) == ("running", None)


@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("ended", ["completed", "failed", "idle"])
def test_a_new_message_begins_anew(role: str, ended: Any) -> None:
    task = replace(BEGUN, status=ended, completion_message="old", message=(MS + 5, "msg_5"))
    new = Told(order=BASE + 1).message("msg_6", 6, role)
    assert ends(replace(new, sequence=1), task=task) == ("running", None)


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_an_older_message_told_again_changes_nothing(role: str) -> None:
    task = replace(BEGUN, status="completed", completion_message="old", message=(MS + 5, "msg_5"))
    for message_id, at in (("msg_9", 4), ("msg_4", 5)):
        again = Told(order=BASE + 1).message(message_id, at, role, error=FAILED)
        assert ends(replace(again, sequence=1), task=task) == ("completed", "old")


def test_the_same_prompt_told_again_does_not_wake_what_failed_meanwhile() -> None:
    told = Told()
    failed = [told.session(), told.user("m", 1), told.once("session.error", error=FAILED)]
    assert ends(*failed, told.user("m", 1)) == ("failed", "no water")
    assert ends(*failed, told.user("m", 2)) == ("running", None)  # the time of another


def test_an_answer_does_not_complete_what_was_asked_after_it_began() -> None:
    told = Told()
    changes = [told.session(), told.message("msg_2", 2), told.user("msg_3", 3)]
    assert ends(*changes, told.ended("msg_2", 2)) == ("running", None)
    assert ends(*changes, told.ended("msg_2", 2), told.ended("msg_4", 4))[0] == "completed"


# What it says at its end


Words = tuple[str, str, str, dict[str, Any]]


def last_words(*parts: Words) -> str | None:
    told = Told()
    begun = [told.session(), told.message("msg_2", 2)]
    texts = [told.text(message, part, text, **more) for message, part, text, more in parts]
    return ends(*begun, *texts, told.ended("msg_2", 2))[1]


def test_the_last_text_of_the_message_that_completes_is_the_completion_message() -> None:
    one: Words = ("msg_2", "prt_1", "one", {})
    two: Words = ("msg_2", "prt_2", " two ", {})
    assert last_words() is None
    assert last_words(one) == "one"
    assert last_words(one, two) == "two"
    assert last_words(two, one) == "two"  # an earlier part that was changed later
    assert last_words(one, ("msg_2", "prt_1", "won", {})) == "won"
    assert last_words(one, ("msg_2", "prt_2", " ", {})) == "one"
    assert last_words(one, ("msg_1", "prt_2", "of another", {})) == "one"
    assert last_words(one, ("msg_2", "prt_2", "aside", {"synthetic": True})) == "one"
    assert last_words(one, ("msg_2", "prt_2", "thought", {"type": "reasoning"})) == "one"
    assert last_words(("msg_2", "prt_1", "x" * 3_000, {})) == "x" * 2_000


def test_the_words_of_an_earlier_message_are_not_those_of_the_last() -> None:
    told = Told()
    first = [told.session(), told.message("msg_1", 1), told.text("msg_1", "prt_1", "First.")]
    assert ends(*first, told.ended("msg_2", 2)) == ("completed", None)


def test_a_task_made_in_the_middle_of_an_answer_hears_its_end() -> None:
    told, mine = Told(), AgentTask("ses_1", "Mine", MS, "running", MS)
    older = told.text("msg_1", "prt_9", "Doing it.")
    changes = [older, told.text("msg_2", "prt_1", "Done."), told.ended("msg_2", 2)]
    assert ends(*changes, task=mine) == ("completed", "Done.")


# What doesn't count


def test_a_deleted_session_leaves_its_task() -> None:
    told = Told()
    task = after(whole_run(told))
    assert followed(task, told.durable("session.deleted", info=CHILD), at=AT) is task


def test_changes_of_other_sessions_do_not_count() -> None:
    other = Told(order=BASE + 5, session_id="ses_2")
    for change in whole_run(other):
        assert followed(BEGUN, change, at=AT) is BEGUN


def test_what_is_not_above_the_sequence_does_not_count() -> None:
    task = replace(BEGUN, sequence=5)
    change = Told(order=BASE - 9).ended("msg_1", 1)
    for sequence in (0, 4, 5):
        assert followed(task, replace(change, sequence=sequence), at=AT) is task
    assert ends(replace(change, sequence=6), task=task)[0] == "completed"


def test_a_session_that_begins_anew_counts_from_its_first_change_on() -> None:
    task = replace(BEGUN, sequence=5)
    ended = Told(order=BASE + 9).ended("msg_1", 1)
    assert ended.sequence == 0
    after = followed(task, ended, at=AT)
    assert after is not None
    assert (after.status, after.sequence) == ("completed", 0)
    assert followed(after, replace(ended, sequence=5), at=AT) is not after
    assert followed(after, ended, at=AT) is after
    nameless = replace(ended, id="of another form")
    assert followed(task, nameless, at=AT) is task


def test_what_is_told_once_does_not_count_after_something_newer() -> None:
    told = Told(order=BASE - 1)
    assert followed(BEGUN, told.status("idle"), at=AT) is BEGUN
    assert followed(BEGUN, told.status("idle"), at=AT) is BEGUN  # the same that began it
    assert ends(told.status("idle"), task=BEGUN)[0] == "idle"


def test_what_is_told_once_counts_when_the_order_begins_anew() -> None:
    told, task = Told(order=2**48), replace(BEGUN, heard=2**48 - 1)
    assert ends(told.status("idle"), task=task)[0] == "idle"


def test_a_durable_change_that_comes_late_makes_nothing_older_count_again() -> None:
    told, task = Told(order=BASE + 1), replace(BEGUN, heard=BASE + 9)
    late = replace(told.user("msg_1", 1), sequence=1)
    assert ends(late, told.status("idle"), task=task)[0] == "running"


def test_what_is_told_without_an_order_counts() -> None:
    change = Change("ses_1", None, "session.idle", "", {"time": MS + 1})
    assert ends(change, task=BEGUN)[0] == "idle"


def test_activity_never_goes_back_and_is_of_when_it_happened() -> None:
    told = Told(order=BASE + 1)
    early, late = told.session(time={"updated": MS - 5}), told.session(time={"updated": MS + 5})
    task = after([replace(late, sequence=1), replace(early, sequence=2)], BEGUN)
    assert task is not None
    assert task.last_activity == MS + 5


# Properties

MESSAGE_IDS = st.sampled_from(["msg_1", "msg_2", "msg_3"])
INFOS = st.fixed_dictionaries(
    {
        "id": MESSAGE_IDS,
        "role": st.sampled_from(["user", "assistant", "assistant"]),
        "time": st.fixed_dictionaries(
            {"created": st.integers(MS, MS + 3)}, optional={"completed": st.integers(MS, MS + 9)}
        ),
    },
    optional={
        "finish": st.sampled_from(["stop", "tool-calls"]),
        "error": st.sampled_from([FAILED, ABORTED]),
    },
)
PARTS = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["prt_1", "prt_2"]),
        "messageID": MESSAGE_IDS,
        "type": st.sampled_from(["text", "text", "reasoning"]),
        "text": st.sampled_from(["", "one", "two"]),
    }
)
SESSIONS = st.sampled_from(["Find the hose", "Find the rake"]).map(
    lambda title: {**CHILD, "title": title}
)
STATUSES = st.sampled_from(["busy", "retry", "idle"]).map(lambda each: {"type": each})
DURABLE: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("session.updated"), st.fixed_dictionaries({"info": SESSIONS})),
    st.tuples(st.just("message.updated"), st.fixed_dictionaries({"info": INFOS})),
    st.tuples(st.just("message.updated"), st.fixed_dictionaries({"info": INFOS})),
    st.tuples(st.just("message.part.updated"), st.fixed_dictionaries({"part": PARTS})),
    st.just(("session.deleted", {"info": CHILD})),
)
ONCE: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("session.status"), st.fixed_dictionaries({"status": STATUSES})),
    st.just(("session.idle", {})),
    st.tuples(
        st.just("session.error"),
        st.fixed_dictionaries({"error": st.sampled_from([FAILED, ABORTED])}),
    ),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """Of two sessions in the order in which they are told, over the end of the ids' clock, too."""
    tellers = {
        name: Told(order=draw(st.sampled_from([BASE, 2**48 - 15])), session_id=name)
        for name in ("ses_1", "ses_2")
    }
    told = tellers["ses_1"]
    changes = [told.session("session.created")] if draw(st.booleans()) else []
    for name, durable, once in draw(
        st.lists(st.tuples(st.sampled_from(["ses_1", "ses_1", "ses_2"]), DURABLE, st.none() | ONCE))
    ):
        kind, data = once or durable
        make = tellers[name].once if once else tellers[name].durable
        changes.append(make(kind, **data))
    return changes


MINE = AgentTask("ses_1", "Mine", MS, "idle", MS)
LOCAL = st.none() | st.just(MINE)
RUN = whole_run(Told())


@given(histories(), LOCAL, st.data())
def test_what_was_told_counts_once_however_often_it_is_told(
    changes: list[Change], before: AgentTask | None, data: st.DataObject
) -> None:
    task = after(changes, before)
    assert after(changes, task) == task
    again = data.draw(st.lists(st.sampled_from(changes))) if changes else []
    assert after(again, task) == task


@given(histories(), LOCAL, st.integers(0, 30))
@example(RUN, None, 5)
def test_a_portion_that_begins_with_what_is_known_changes_nothing_but_what_is_new(
    changes: list[Change], before: AgentTask | None, cut: int
) -> None:
    assert after(changes, after(changes[:cut], before)) == after(changes, before)


@given(histories(), LOCAL, st.sets(st.integers(0, 30)))
@example(RUN, None, set(range(30)))
def test_how_it_is_cut_into_portions_does_not_matter(
    changes: list[Change], before: AgentTask | None, cuts: set[int]
) -> None:
    """Between portions it is written down and read back."""
    task = before
    for at, change in enumerate(changes):
        task = followed(task, change, at=AT)
        if task is not None and at in cuts:
            task = task_of(stored(task))
    assert task == after(changes, before)


@given(histories())
def test_only_the_changes_of_its_own_session_matter(changes: list[Change]) -> None:
    own = [change for change in changes if change.session_id == "ses_1"]
    assert after(changes, MINE) == after(own, MINE)


KINDS = st.sampled_from(
    "session.created session.updated message.updated message.part.updated session.status "
    "session.idle session.error message.removed".split()
)
INFO = {**CHILD, "role": "assistant", "finish": "stop", "error": FAILED}
ANY_DATA = LOOSE | loosened(
    {
        "info": INFO,
        "part": {"id": "prt_1", "messageID": "ses_1", "type": "text", "text": "one"},
        "status": {"type": "idle"},
        "error": FAILED,
    }
)


@given(st.lists(st.tuples(KINDS, ANY_DATA), max_size=5), st.none() | st.just(BEGUN))
def test_no_json_breaks_a_task(told: list[tuple[str, Any]], task: AgentTask | None) -> None:
    for at, (kind, data) in enumerate(told, 1):
        task = followed(task, Change("ses_1", at, kind, "evt_1", data), at=AT)
    if task is not None:
        assert task_of(stored(task)) == task


# As an entry


def stored(task: AgentTask) -> Copy:
    """What comes back from a store."""
    copy = task_copy(task)
    spec = FamilySpec("default_tasks", thread_key=None, author_key=None)
    draft = Drafter(spec).compose(
        id=copy.id,
        text=copy.text,
        timestamp=copy.timestamp,
        metadata=copy.metadata,
        body=copy.body,
    )
    return copy._replace(metadata=draft.metadata)


def test_a_task_as_an_entry() -> None:
    task = after(whole_run(Told()))
    assert task is not None
    assert task_copy(task) == Copy(
        id="task:ses_1",
        text="Find the hose\nIn the shed.",
        timestamp=task.last_activity,
        metadata={
            "session_id": "ses_1",
            "status": "completed",
            "followed": {
                "sequence": 9,
                "heard": BASE + 13,
                "title": "Find the hose",
                "message": [MS + 3, "msg_2"],
                "said": ["msg_2", "prt_2", "In the shed."],
            },
        },
        body={
            "sessionId": "ses_1",
            "task": "Find the hose",
            "startTime": "2026-11-20T21:13:59.000Z",
            "status": "completed",
            "lastActivity": "2026-11-20T21:13:59.360Z",
            "completionMessage": "In the shed.",
        },
        version=None,
    )


def test_without_a_message_there_is_none() -> None:
    assert "completionMessage" not in task_copy(BEGUN).body


TEXTS = st.text(max_size=20)
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(
    lambda name: not name.isspace()
)
INT64 = st.integers(-(2**63), 2**63 - 1)
TIMES = st.integers(YEAR_1, YEAR_9999)


@given(
    st.builds(
        AgentTask,
        session_id=NAMES,
        task=TEXTS,
        start_time=TIMES,
        status=st.sampled_from(["running", "completed", "failed", "idle"]),
        last_activity=TIMES,
        completion_message=st.none() | TEXTS,
        sequence=st.none() | INT64,
        heard=st.none() | INT64,
        title=st.none() | TEXTS,
        message=st.none() | st.tuples(INT64, TEXTS),
        said=st.none() | st.tuples(TEXTS, TEXTS, TEXTS),
    )
)
def test_a_task_is_read_back_as_it_was(task: AgentTask) -> None:
    assert task_of(stored(task)) == task


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"sessionId": None}, "body.sessionId"),
        ({"task": 5}, "body.task"),
        ({"status": "done"}, "body.status"),
        ({"status": ["idle"]}, "body.status"),
        ({"startTime": 5}, "body.startTime"),
        ({"lastActivity": "soon"}, "body.lastActivity"),
    ],
)
def test_what_is_no_task_is_refused(wrong: dict[str, Any], field: str) -> None:
    copy = task_copy(BEGUN)
    with pytest.raises(EntryError) as caught:
        task_of(copy._replace(body={**copy.body, **wrong}))
    assert caught.value.field == field


@given(LOOSE, LOOSE)
def test_any_json_is_a_task_or_refused(metadata: Any, body: Any) -> None:
    try:
        assert task_of(task_copy(BEGUN)._replace(metadata={"followed": metadata})) is not None
        task_of(task_copy(BEGUN)._replace(metadata=metadata, body=body))
    except EntryError as error:
        assert error.field.startswith("body.")  # noqa: PT017 - both ends are right
