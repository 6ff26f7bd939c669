"""OpenCode servers that are down, slow, busy, wrong, or somebody else."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import orjson
import pytest

from dualstore.errors import (
    ClosedError,
    DualStoreError,
    RemoteError,
    RemoteRefusedError,
    SettingsError,
    UnavailableError,
)
from dualstore.remote.base import BEAT, CONNECTED
from dualstore.remote.opencode import OpenCodeRemote
from dualstore.remote.opencode_asking import Patience
from tests.remote import sockets
from tests.support import opencode_faults as faults
from tests.support.opencode_double import OpenCodeDouble
from tests.support.opencode_faults import Fault, answers

HASTE = Patience(
    attempts=3,
    connect=0.3,
    read=0.15,
    greeting=0.15,
    total=1.5,
    silence=0.15,
    first_pause=0.01,
    longest_pause=0.02,
    largest_answer=200_000,
)
HURRY = replace(HASTE, total=0.4)
LIST = "GET /experimental/session"
EVENTS = "GET /global/event"
SECRET = "geheim-5f1c"

Ask = Callable[[OpenCodeRemote], Awaitable[object]]


@pytest.fixture
def double() -> OpenCodeDouble:
    return OpenCodeDouble(password=SECRET)


@pytest.fixture
async def remote(double: OpenCodeDouble) -> AsyncIterator[OpenCodeRemote]:
    async with OpenCodeRemote(
        double.url, password=SECRET, patience=HASTE, transport=double
    ) as opened:
        yield opened


@contextmanager
def _raises(
    kind: type[DualStoreError], match: str, *, seconds: float = 2.5
) -> Iterator[pytest.ExceptionInfo[DualStoreError]]:
    """Exactly this error, soon, and without the password."""
    started = time.perf_counter()
    with pytest.raises(kind, match=match) as caught:
        yield caught
    assert caught.type is kind
    assert time.perf_counter() - started < seconds
    assert SECRET not in str(caught.value)


# What may pass


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (faults.refuses, "can't be reached: ConnectError"),
        (faults.resets, "can't be reached: ReadError"),
        (answers(500, {"name": "UnknownError", "data": {"message": "Oh", "ref": "e"}}), "500: Oh"),
        (answers(409, {"_tag": "SessionBusyError", "message": "busy"}), "409: busy"),
        (answers(503, {"_tag": "Overloaded"}), "503: Overloaded"),
        (answers(502, b"<html>", kind="text/html"), "with 502 "),
        *((answers(status, b"[]"), f"with {status} ") for status in (408, 425, 429, 504, 599)),
    ],
)
async def test_what_may_pass_is_asked_three_times(
    double: OpenCodeDouble, remote: OpenCodeRemote, fault: Fault, told: str
) -> None:
    double.faults.extend([fault] * 3)
    with _raises(UnavailableError, rf"opencode\.test .*{told}.*\(3 attempts\)"):
        await remote.fetch_sessions()
    assert double.asked == {LIST: 3}
    double.faults.extend([fault] * 2)
    assert (await remote.fetch_sessions()).complete
    assert not double.faults


async def test_history_only_reads_and_so_is_asked_again(
    double: OpenCodeDouble, remote: OpenCodeRemote
) -> None:
    session_id = double.create_session()
    double.faults.extend([faults.resets, answers(500)])
    assert [each.session_id for each in await remote.fetch_history({})] == [session_id]
    assert double.asked == {"POST /sync/history": 3}


@pytest.mark.parametrize("fault", [faults.refuses, faults.resets, answers(500), answers(503)])
async def test_trouble_is_never_an_absence(
    double: OpenCodeDouble, remote: OpenCodeRemote, fault: Fault
) -> None:
    double.fault_of = lambda _: fault
    for ask in (
        remote.fetch_session("ses_1"),
        remote.fetch_messages("ses_1"),
        remote.fetch_message("ses_1", "msg_1"),
    ):
        with _raises(UnavailableError, "3 attempts"):
            await ask


@pytest.mark.parametrize("fault", [faults.stalls, faults.stalls_midway])
async def test_all_attempts_together_end_in_time(double: OpenCodeDouble, fault: Fault) -> None:
    double.faults.append(fault)
    async with OpenCodeRemote(double.url, patience=HURRY, transport=double) as remote:
        with _raises(UnavailableError, r"does not answer in time \(1 attempt\)", seconds=1):
            await remote.fetch_sessions()
    assert double.asked == {LIST: 1}


@pytest.mark.parametrize("status", [429, 503])
async def test_the_server_says_how_long_to_wait(
    double: OpenCodeDouble, remote: OpenCodeRemote, status: int
) -> None:
    double.faults.append(answers(status, retry_after="1"))
    started = time.perf_counter()
    await remote.fetch_sessions()
    assert 0.95 < time.perf_counter() - started < 1.5


@pytest.mark.parametrize("dated", [True, False])
async def test_a_wait_beyond_all_patience_is_said_at_once(
    double: OpenCodeDouble, remote: OpenCodeRemote, dated: bool
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=500), usegmt=True)
    double.faults.append(answers(429, retry_after=date if dated else "500"))
    with _raises(UnavailableError, r"1 attempt; it asks to wait (500|499) s", seconds=0.5):
        await remote.fetch_sessions()
    assert double.asked == {LIST: 1}


@pytest.mark.parametrize("wait", ["soon", "-5", "", "9" * 400])
async def test_a_wait_that_makes_no_sense_harms_nothing(
    double: OpenCodeDouble, remote: OpenCodeRemote, wait: str
) -> None:
    double.faults.append(answers(503, retry_after=wait))
    with suppress(UnavailableError):
        await remote.fetch_sessions()
    assert double.asked == {LIST: 1 if wait.startswith("9") else 2}


async def test_cancelling_stops_the_waiting(double: OpenCodeDouble, remote: OpenCodeRemote) -> None:
    double.fault_of = lambda _: faults.stalls
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await remote.fetch_sessions()
    double.fault_of = lambda _: None
    assert (await remote.fetch_sessions()).complete


# What stays wrong


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        (answers(401), RemoteRefusedError, "refuses the user or the password"),
        (answers(403, {"message": SECRET}), RemoteRefusedError, "403"),
        (answers(407), RemoteRefusedError, "407"),
        (answers(400, {"_tag": "BadRequest"}), RemoteError, "400: BadRequest$"),
        (
            answers(400, {"name": "BadRequest", "data": {"message": f"no {SECRET}\n at"}}),
            RemoteError,
            r"400: no \*\*\* at$",
        ),
        (answers(404, {"error": "no route"}), RemoteError, "with 404$"),
        (answers(404, b"", kind="text/plain"), RemoteError, "with 404$"),
        (faults.not_found("Session not found"), RemoteError, "of another release"),
        (answers(302, location="http://user:geheim-5f1c@x/"), RemoteError, "with 302$"),
        (answers(308, b"[]", location="/other"), RemoteError, "with 308$"),
        (answers(204), RemoteError, "with 204$"),
        (answers(200, b"<p>Hi", kind="text/html; charset=utf-8"), RemoteError, "text/html where"),
        (answers(200, b"[]", kind="text/plain"), RemoteError, "is this the address of an OpenCode"),
        (answers(200, faults.BEGUN), RemoteError, r"broken JSON \(20 bytes"),
        (answers(200, b""), RemoteError, "broken JSON"),
        (answers(200, b'["\xff"]'), RemoteError, "broken JSON"),
        (answers(200, b"not gzip", content_encoding="gzip"), RemoteError, "can't be asked: Decod"),
        (faults.never_ends, RemoteError, "more than 200000 bytes"),
        (answers(500, b" " * 200_001), RemoteError, "more than 200000 bytes"),
        (answers(200, {"data": []}), RemoteError, "the sessions must be a list, and not an object"),
        (answers(200, b"null"), RemoteError, "must be a list, and not nothing"),
        (answers(200, [{}, "ses_1"]), RemoteError, "number 1 of the sessions must be an object"),
    ],
)
async def test_what_stays_wrong_is_asked_once(
    double: OpenCodeDouble,
    remote: OpenCodeRemote,
    fault: Fault,
    kind: type[DualStoreError],
    told: str,
) -> None:
    double.faults.append(fault)
    with _raises(kind, told):
        await remote.fetch_sessions()
    assert double.asked == {LIST: 1}
    assert (await remote.fetch_sessions()).complete


async def test_only_the_servers_own_word_is_an_absence(
    double: OpenCodeDouble, remote: OpenCodeRemote
) -> None:
    asks: list[Ask] = [
        lambda asked: asked.fetch_session("ses_1"),
        lambda asked: asked.fetch_messages("ses_1"),
        lambda asked: asked.fetch_message("ses_1", "msg_1"),
    ]
    for ask in asks:
        double.faults.append(faults.not_found())
        assert await ask(remote) is None
        for fault in (answers(404), answers(404, {"name": "NotFound"}), answers(404, b"<p>")):
            double.faults.append(fault)
            with _raises(RemoteError, "with 404"):
                await ask(remote)


TIMES = {"created": 1, "updated": 2}
INFO = {"id": "msg_1", "sessionID": "ses_1", "time": {"created": 1}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "a session must be an object, and not a list"),
        ({}, "has the id None, and not ses_1"),
        ({"id": "ses_2", "time": TIMES}, "has the id 'ses_2', and not ses_1"),
        ({"id": "ses_1"}, "the time of session ses_1 must be an object, and not nothing"),
        ({"id": "ses_1", "time": {"created": 1}}, "time.updated of session ses_1 must be a number"),
        ({"id": "ses_1", "time": TIMES | {"created": True}}, "time.created .* must be a number"),
        ({"id": "ses_1", "time": TIMES | {"created": "1"}}, "time.created .* must be a number"),
    ],
)
async def test_a_session_that_is_none(
    double: OpenCodeDouble, remote: OpenCodeRemote, content: Any, told: str
) -> None:
    double.faults.append(answers(200, content))
    with _raises(RemoteError, told):
        await remote.fetch_session("ses_1")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("hello", "a message must be an object, and not a text"),
        ({"parts": []}, "a message's info must be an object, and not nothing"),
        ({"info": INFO | {"id": 5}, "parts": []}, "has the id 5, and not msg_1"),
        ({"info": INFO | {"sessionID": "ses_2"}, "parts": []}, "has the sessionID 'ses_2'"),
        ({"info": INFO | {"time": 5}, "parts": []}, "the time of message msg_1 must be an object"),
        ({"info": INFO | {"time": {}}, "parts": []}, "time.created of message msg_1"),
        ({"info": INFO}, "the parts of message msg_1 must be a list, and not nothing"),
        ({"info": INFO, "parts": [1]}, "number 0 of the parts of message msg_1"),
    ],
)
async def test_a_message_that_is_none(
    double: OpenCodeDouble, remote: OpenCodeRemote, content: Any, told: str
) -> None:
    double.faults.append(answers(200, content))
    with _raises(RemoteError, told):
        await remote.fetch_message("ses_1", "msg_1")


async def test_in_a_list_one_that_is_none_hides_no_other(
    double: OpenCodeDouble, remote: OpenCodeRemote
) -> None:
    odd: list[dict[str, Any]] = [{"id": "ses_1", "time": TIMES}, {"id": 5}, {}]
    double.faults.append(answers(200, odd))
    assert list((await remote.fetch_sessions()).items) == odd
    double.faults.append(answers(200, odd))
    page = await remote.fetch_messages("ses_1")
    assert page is not None
    assert list(page.items) == odd


EVENT: dict[str, Any] = {
    "id": "evt_1",
    "aggregate_id": "ses_1",
    "seq": 0,
    "type": "session.created.1",
    "data": {},
}


@pytest.mark.parametrize(
    ("spoiled", "name", "flaw"),
    [
        (EVENT | {"id": None}, None, "the id of .* must be a text, and not nothing"),
        (EVENT | {"aggregate_id": 5}, "evt_1", "the aggregate_id .* a text, and not a number"),
        (EVENT | {"seq": "0"}, "evt_1", "the seq of an event of the history must be a number"),
        (EVENT | {"seq": -1}, "evt_1", "the seq"),
        (EVENT | {"seq": True}, "evt_1", "the seq"),
        (EVENT | {"type": []}, "evt_1", "the type .* must be a text, and not a list"),
        (EVENT | {"data": "x"}, "evt_1", "the data .* must be an object, and not a text"),
        ({}, None, "the aggregate_id"),
        (None, None, "an event of the history must be an object, and not nothing"),
        ("text", None, "must be an object"),
    ],
)
async def test_an_event_that_is_none_hides_no_other(
    double: OpenCodeDouble, remote: OpenCodeRemote, spoiled: Any, name: str | None, flaw: str
) -> None:
    double.faults.append(answers(200, [spoiled, EVENT, spoiled]))
    whole, *others = await remote.fetch_history({})
    assert (whole.id, whole.session_id, whole.sequence, whole.flaw) == ("evt_1", "ses_1", 0, None)
    assert others[0] == others[1]
    assert (others[0].session_id, others[0].sequence) == ("", None)
    assert others[0].id == name or (name is None and others[0].id)
    assert re.search(flaw, others[0].flaw or "")


async def test_a_history_that_is_none(double: OpenCodeDouble, remote: OpenCodeRemote) -> None:
    double.faults.append(answers(200, {"events": [EVENT]}))
    with _raises(RemoteError, "the history must be a list, and not an object"):
        await remote.fetch_history({})
    double.faults.append(answers(200, [EVENT | {"seq": None}, {}]))
    with _raises(RemoteError, "nothing of the history can be read: the seq"):
        await remote.fetch_history({})


async def test_of_too_many_known_sessions_the_longest_are_named(
    double: OpenCodeDouble, remote: OpenCodeRemote
) -> None:
    known = {f"ses_{number}": number for number in range(1_200)}
    asked: list[dict[str, int]] = []

    def watch(request: httpx.Request) -> None:
        asked.append(orjson.loads(request.content))

    double.fault_of = watch
    await remote.fetch_history(known)
    assert asked == [{f"ses_{number}": number for number in range(300, 1_200)}]


# Following


async def _first(remote: OpenCodeRemote) -> str:
    async with aclosing(remote.follow()) as changes:
        return (await anext(changes)).type


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        (faults.refuses, UnavailableError, "can't be reached: ConnectError"),
        (answers(503), UnavailableError, "answers /global/event with 503"),
        (faults.stalls, UnavailableError, "does not answer in time"),
        (answers(401), RemoteRefusedError, "password"),
        (answers(404), RemoteError, "404"),
        (faults.not_found(), RemoteError, "has no /global/event: is it of another release"),
        (answers(200, b"<p>", kind="text/html"), RemoteError, "text/html where text/event-stream"),
        (answers(200, b"[]"), RemoteError, "application/json where"),
        (answers(200, b"", kind="text/event-stream"), UnavailableError, "has ended the stream"),
    ],
)
async def test_following_that_does_not_begin_is_asked_once(
    double: OpenCodeDouble,
    remote: OpenCodeRemote,
    fault: Fault,
    kind: type[DualStoreError],
    told: str,
) -> None:
    double.faults.append(fault)
    with _raises(kind, told):
        await _first(remote)
    assert double.asked == {EVENTS: 1}
    assert await _first(remote) == CONNECTED


async def test_a_stream_that_ends_or_falls_silent_is_unavailable(
    double: OpenCodeDouble, remote: OpenCodeRemote
) -> None:
    cases = ((double.hang_up, "has ended"), (lambda: None, "has said nothing for 0.15 s"))
    for happens, told in cases:
        async with aclosing(remote.follow()) as changes:
            assert (await anext(changes)).type == CONNECTED
            assert double.followers == 1
            happens()
            with _raises(UnavailableError, told):
                await anext(changes)
        assert double.followers == 0


async def test_what_can_not_be_read_hides_no_other(
    double: OpenCodeDouble, remote: OpenCodeRemote, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="dualstore")
    async with aclosing(remote.follow()) as changes:
        assert (await anext(changes)).type == CONNECTED
        for raw in (
            b"data: {private",
            b"data: []",
            b'data: {"payload": "private"}',
            b'data: {"payload": {"type": "sync"}}',
            b'data: {"payload": {"type": "sync", "syncEvent": {"seq": "private"}}}',
            b'data: {"payload": {"type": "session.idle", "properties": {"sessionID": 5}}}',
        ):
            double.tell(raw + b"\n\n")
        for raw in (b": a comment\n\n", b"event: x\nid: 5\nretry: 1\n\n", b"\n\n\n", b"data:\n"):
            double.tell(raw)
        double.tell_once("server.heartbeat")
        double.tell_once("message.part.delta", sessionID="ses_1", delta="private")
        double.tell_once("session.status", sessionID="ses_1", status={"type": "busy"})
        double.tell_once("session.error", error={"name": "UnknownError"})
        session_id = double.create_session("Seen")
        assert (await anext(changes)).type == CONNECTED
        told = [await anext(changes) for _ in range(3)]
    assert [(change.type, change.session_id, change.sequence) for change in told] == [
        (BEAT, "", None),
        ("session.status", "ses_1", None),
        ("session.created", session_id, 0),
    ]
    assert caplog.text.count("can't be read") == 6
    assert "private" not in caplog.text


async def test_that_it_is_connected_is_said_again_when_it_listens(
    double: OpenCodeDouble, remote: OpenCodeRemote
) -> None:
    double.listens_late = True
    async with aclosing(remote.follow()) as changes:
        first = await anext(changes)
        missed = double.create_session("Too early")
        double.beat()
        assert await anext(changes) == first
        assert (await anext(changes)).type == BEAT
        assert [each.session_id for each in await remote.fetch_history({})] == [missed]
        double.beat()
        double.rename(missed, "In time")
        assert (await anext(changes)).type == BEAT
        assert (await anext(changes)).sequence == 1


async def test_an_event_without_an_end_is_no_event(
    double: OpenCodeDouble, remote: OpenCodeRemote
) -> None:
    for raw in (b"data: " + b"x" * 200_000, b"data: 12345\n" * 40_001):
        async with aclosing(remote.follow()) as changes:
            await anext(changes)
            double.tell(raw)
            with _raises(RemoteError, "more than 200000 bytes"):
                await anext(changes)


# Open and closed


async def test_only_what_is_open_asks(double: OpenCodeDouble) -> None:
    remote = OpenCodeRemote(double.url, password=SECRET, patience=HASTE, transport=double)
    for _ in range(2):
        with _raises(ClosedError, "use it with `async with`"):
            await remote.fetch_sessions()
        with _raises(ClosedError, "use it with `async with`"):
            await _first(remote)
        async with remote:
            assert (await remote.fetch_sessions()).complete
    assert double.asked == {LIST: 2}


async def test_a_transport_that_is_lent_stays_open() -> None:
    class Lent(OpenCodeDouble):
        async def aclose(self) -> None:
            pytest.fail("it was closed")

    lent = Lent()
    async with OpenCodeRemote(lent.url, transport=lent) as remote:
        assert (await remote.fetch_sessions()).complete


async def test_a_follower_ends_when_the_remote_is_closed() -> None:
    async with sockets.serving(sockets.connects_and_stalls) as server:
        async with OpenCodeRemote(server.url, patience=Patience()) as remote:
            changes = remote.follow()
            assert (await anext(changes)).type == CONNECTED
            waiting = asyncio.create_task(anext(changes))
            await asyncio.sleep(0)
        with _raises(UnavailableError, "can't be reached"):
            await waiting


# On sockets


@pytest.mark.parametrize(
    ("act", "told", "attempts"),
    [
        (sockets.stalls, "does not answer in time", 3),
        (sockets.stalls_midway, "does not answer in time", 3),
        (sockets.drips, "does not answer in time", 1),
        (sockets.hangs_up, "can't be reached: RemoteProtocolError", 3),
        (sockets.talks_nonsense, "can't be reached: RemoteProtocolError", 3),
        (sockets.cuts_midway, "can't be reached: RemoteProtocolError", 3),
        (sockets.resets_midway, "can't be reached: ReadError", 3),
        (sockets.resets, "can't be reached: ReadError", 3),
    ],
)
async def test_a_broken_connection_is_unavailable(
    act: sockets.Act, told: str, attempts: int
) -> None:
    async with (
        sockets.serving(act) as server,
        OpenCodeRemote(server.url, patience=HASTE) as remote,
    ):
        tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        with _raises(UnavailableError, rf"{told}.*\({tries}\)"):
            await remote.fetch_sessions()
        assert len(server.heads) == attempts


async def test_nobody_there_is_unavailable() -> None:
    url = sockets.unused_url()
    async with OpenCodeRemote(url, patience=HASTE) as remote:
        with _raises(UnavailableError, rf"{url} can't be reached: ConnectError.*\(3 attempts\)"):
            await remote.fetch_sessions()
        with _raises(UnavailableError, "can't be reached: ConnectError"):
            await _first(remote)


async def test_an_answer_without_an_end_is_cut_off() -> None:
    async with (
        sockets.serving(sockets.never_ends) as server,
        OpenCodeRemote(server.url, patience=HASTE) as remote,
    ):
        with _raises(RemoteError, "more than 200000 bytes"):
            await remote.fetch_sessions()
        assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (sockets.connects_and_stalls, "in time|said nothing"),
        (sockets.connects_and_resets, "can't be reached"),
        (sockets.connects_and_ends, "has ended the stream"),
    ],
)
async def test_a_stream_that_breaks_is_unavailable(act: sockets.Act, told: str) -> None:
    async with (
        sockets.serving(act) as server,
        OpenCodeRemote(server.url, patience=HASTE) as remote,
        aclosing(remote.follow()) as changes,
    ):
        assert (await anext(changes)).type == CONNECTED
        with _raises(UnavailableError, told):
            await anext(changes)


async def test_a_connection_is_used_again() -> None:
    async with (
        sockets.serving(sockets.says(b"[]")) as server,
        OpenCodeRemote(server.url, patience=HASTE) as remote,
    ):
        for _ in range(3):
            await remote.fetch_sessions()
        assert (len(server.heads), server.connections) == (3, 1)


async def test_a_proxy_of_the_environment_is_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sockets.serving(sockets.says(b"[]")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        async with (
            sockets.serving(sockets.says(b"[]")) as server,
            OpenCodeRemote(server.url, patience=HASTE) as here,
        ):
            await here.fetch_sessions()
            assert (len(server.heads), proxy.heads) == (1, [])
        async with OpenCodeRemote("http://opencode.test", patience=HASTE) as there:
            await there.fetch_sessions()
        assert proxy.heads[0].startswith("GET http://opencode.test/experimental/session?")


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTPS_PROXY", f"gopher://me:{SECRET}@x"), ("SSL_CERT_FILE", "/nowhere/at/all")],
)
async def test_an_environment_that_can_not_be_used_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with _raises(SettingsError, r"https://opencode\.test .* that the environment names"):
        async with OpenCodeRemote("https://opencode.test"):
            pass
