from typing import Any

import pytest

from dualstore.mirror.coverage import Reached
from dualstore.mirror.news import FEW, News, Step, by_session, is_continued, step
from dualstore.remote.base import Change


def change(sequence: int | None, kind: str = "session.updated", **data: Any) -> Change:
    return Change("ses_1", sequence, kind, f"evt_{sequence}", data)


def part_of(message_id: str, sequence: int = 0) -> Change:
    return change(sequence, "message.part.updated", part={"messageID": message_id})


@pytest.mark.parametrize(
    ("known", "sequence", "expected"),
    [
        (None, 0, Step.NEXT),
        (None, 1, Step.GAP),
        (-1, 0, Step.NEXT),
        (3, 4, Step.NEXT),
        (3, 3, Step.OLD),
        (3, 0, Step.OLD),
        (3, 5, Step.GAP),
        (3, 2**40, Step.GAP),
    ],
)
def test_what_a_change_is_after_those_before(
    known: int | None, sequence: int, expected: Step
) -> None:
    reached = None if known is None else Reached(known, f"evt_{known}")
    assert step(reached, change(sequence)) is expected


def test_another_change_of_the_same_number_begins_anew() -> None:
    assert step(Reached(3, "evt_another"), change(3)) is Step.RESTART


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (change(0, "message.updated", info={"id": "msg_1"}), {"msg_1"}),
        (change(0, "message.removed", messageID="msg_1"), {"msg_1"}),
        (part_of("msg_1"), {"msg_1"}),
        (change(0, "message.part.removed", messageID="msg_1", partID="prt_1"), {"msg_1"}),
        (change(0, "session.updated", info={"id": "ses_1"}), set()),
        (change(0, "session.deleted"), set()),
        (change(0, "moon.risen"), None),
        (change(0, "message.updated", info={}), None),
        (change(0, "message.updated", info=5), None),
    ],
)
def test_which_messages_a_change_is_about(told: Change, expected: set[str] | None) -> None:
    """None for all: what it changed can't be known."""
    news = News.of([told])
    assert (news.messages, news.reached) == (expected, Reached(0, "evt_0"))


def test_of_very_many_messages_all_are_read() -> None:
    few = [part_of(f"msg_{number}", number) for number in range(FEW)]
    assert len(News.of(few).messages or ()) == FEW
    assert News.of([*few, part_of("msg_more", FEW)]).messages is None


def test_where_a_change_is_left_out_all_are_read() -> None:
    assert News.of([part_of("msg_1", 4), part_of("msg_2", 5)]).messages == {"msg_1", "msg_2"}
    news = News.of([part_of("msg_1", 4), part_of("msg_2", 6)])
    assert (news.messages, news.reached) == (None, Reached(6, "evt_6"))


@pytest.mark.parametrize(
    ("reached", "told", "expected"),
    [
        (Reached(3, "evt_3"), [3, 4], True),
        (Reached(3, "evt_3"), [], False),
        (Reached(3, "evt_3"), [4], False),
        (Reached(3, "evt_before"), [3, 4], False),
        (Reached(-1, None), [], True),
        (Reached(-1, None), [0], True),
    ],
)
def test_whether_a_session_goes_on(reached: Reached, told: list[int], expected: bool) -> None:
    assert is_continued(reached, [change(each) for each in told]) is expected


def test_sorting_by_session_keeps_the_order() -> None:
    one, two, three = change(0), Change("ses_2", 0, "x", "evt_x", {}), change(1)
    assert by_session([one, two, three]) == {"ses_1": [one, three], "ses_2": [two]}
