"""Embedding servers that are down, slow, busy, wrong, or somebody else."""

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from dualstore.embedders.http_asking import Patience
from dualstore.errors import EmbedderError, UnavailableError
from tests.embedders.conftest import Kind, loaded
from tests.embedders.stub import (
    BROKEN,
    CUT,
    DIMENSION,
    HTML,
    MODEL,
    NAN,
    RESET,
    TRUNCATED,
    Fault,
    StubServer,
    unused_url,
)


@pytest.mark.parametrize(
    "fault",
    [BROKEN, RESET, CUT, *(Fault(status=status, body=b"busy") for status in (429, 502, 503, 504))],
    ids=["500", "reset", "cut", "429", "502", "503", "504"],
)
async def test_what_may_pass_is_tried_again(kind: Kind, stub: StubServer, fault: Fault) -> None:
    async with loaded(kind, stub) as embedder:
        stub.faults.extend([fault, fault])
        assert (await embedder.embed(["text"])).any()
        assert not stub.faults


async def test_attempts_are_bounded_and_the_server_may_come_back(
    kind: Kind, stub: StubServer
) -> None:
    async with loaded(kind, stub) as embedder:
        stub.faults.extend([BROKEN] * 3)
        with pytest.raises(UnavailableError, match=r"500: out of memory \(3 attempts\)"):
            await embedder.embed(["text"])
        assert (await embedder.embed(["text"])).any()


async def test_a_server_that_is_down_is_unavailable(kind: Kind, stub: StubServer) -> None:
    url = unused_url()
    with pytest.raises(UnavailableError, match="can't be reached") as caught:
        await loaded(kind, stub, url=url).__aenter__()
    assert url in str(caught.value)


async def test_a_slow_server_is_unavailable_in_time(kind: Kind, stub: StubServer) -> None:
    patience = Patience(attempts=5, attempt=0.1, total=0.3, first_pause=0.01)
    async with loaded(kind, stub, patience=patience) as embedder:
        stub.faults.extend([Fault(delay=5)] * 5)
        started = time.perf_counter()
        with pytest.raises(UnavailableError, match="did not answer in time"):
            await embedder.embed(["text"])
        assert time.perf_counter() - started < 2


async def test_retry_after_is_waited_for(kind: Kind, stub: StubServer) -> None:
    async with loaded(kind, stub) as embedder:
        stub.faults.append(Fault(status=429, headers={"Retry-After": "1"}))
        started = time.perf_counter()
        assert (await embedder.embed(["text"])).any()
        assert time.perf_counter() - started > 0.95


@pytest.mark.parametrize("dated", ["in seconds", "as a date"])
async def test_a_retry_after_beyond_all_patience_is_said_at_once(
    kind: Kind, stub: StubServer, dated: str
) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=500), usegmt=True)
    wait = later if dated == "as a date" else "500"
    async with loaded(kind, stub) as embedder:
        stub.faults.append(Fault(status=429, headers={"Retry-After": wait}))
        started = time.perf_counter()
        with pytest.raises(UnavailableError, match=r"1 attempt; it asks to wait (500|499) s"):
            await embedder.embed(["text"])
        assert time.perf_counter() - started < 1


@pytest.mark.parametrize("said", ["soon", "-5", "", "9" * 400, "²"])
async def test_a_retry_after_that_makes_no_sense_harms_nothing(
    kind: Kind, stub: StubServer, said: str
) -> None:
    headers = {"Retry-After": said.encode("utf-8").decode("latin-1")}
    async with loaded(kind, stub) as embedder:
        stub.faults.append(Fault(status=503, headers=headers))
        try:
            assert (await embedder.embed(["text"])).any()
        except UnavailableError:
            assert said.startswith("9")


async def test_a_cancelled_call_stops_waiting(kind: Kind, stub: StubServer) -> None:
    async with loaded(kind, stub, patience=Patience()) as embedder:
        stub.faults.extend([Fault(delay=20)] * 3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await embedder.embed(["text"])


# Answers that are none


def _one_less(rows: list[list[float]]) -> Any:
    return rows[:-1]


def _one_more(rows: list[list[float]]) -> Any:
    return [*rows, rows[0]]


def _wider(rows: list[list[float]]) -> Any:
    return [[*row, 1.0] for row in rows]


def _ragged(rows: list[list[float]]) -> Any:
    return [rows[0][:-1], *rows[1:]]


def _nothing(rows: list[list[float]]) -> Any:
    return [None for _ in rows]


def _words(rows: list[list[float]]) -> Any:
    return [["a"] * len(row) for row in rows]


def _huge(rows: list[list[float]]) -> Any:
    return [[1e300] * len(row) for row in rows]


@pytest.mark.parametrize("spoil", [_one_less, _one_more, _wider, _ragged, _nothing, _words, _huge])
async def test_what_is_no_embedding_is_refused_at_once(
    kind: Kind, stub: StubServer, spoil: Callable[[list[list[float]]], Any]
) -> None:
    async with loaded(kind, stub) as embedder:
        stub.asked.clear()
        stub.faults.append(Fault(spoil=spoil))
        with pytest.raises(EmbedderError, match=MODEL):
            await embedder.embed(["text", "more"])
        assert len(stub.asked) == 1
        assert (await embedder.embed(["text"])).any()


@pytest.mark.parametrize("fault", [HTML, TRUNCATED, NAN], ids=["html", "truncated", "NaN"])
async def test_what_is_no_json_is_refused_at_once(
    kind: Kind, stub: StubServer, fault: Fault
) -> None:
    async with loaded(kind, stub) as embedder:
        stub.faults.append(fault)
        with pytest.raises(EmbedderError, match="isn't JSON"):
            await embedder.embed(["text"])


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b"{}",
        b'"text"',
        b'{"embeddings": {}, "data": 3}',
        b'{"data": [1]}',
        b'{"data": [{"index": [], "embedding": [1]}]}',
        b'{"data": [{"index": 7}]}',
    ],
)
async def test_json_of_another_kind_is_refused_at_once(
    kind: Kind, stub: StubServer, body: bytes
) -> None:
    async with loaded(kind, stub) as embedder:
        stub.faults.append(Fault(body=body))
        with pytest.raises(EmbedderError):
            await embedder.embed(["text"])


async def test_vectors_of_zeros_stay_zeros(kind: Kind, stub: StubServer) -> None:
    async with loaded(kind, stub) as embedder:
        stub.faults.append(Fault(spoil=lambda rows: [[0.0] * DIMENSION for _ in rows]))
        assert not (await embedder.embed(["text", "more"])).any()


@pytest.mark.parametrize("spoil", [lambda _: [], lambda _: [[]], lambda _: [[math.pi], [1.0]]])
async def test_a_probe_that_teaches_nothing_is_refused(
    kind: Kind, stub: StubServer, spoil: Callable[[Any], Any]
) -> None:
    stub.faults.append(Fault(spoil=spoil))
    with pytest.raises(EmbedderError):
        await loaded(kind, stub).__aenter__()


@pytest.mark.parametrize("status", [301, 400, 413, 501])
async def test_other_refusals_are_final_and_say_why(
    kind: Kind, stub: StubServer, status: int
) -> None:
    async with loaded(kind, stub) as embedder:
        stub.asked.clear()
        stub.faults.append(Fault(status=status, body=b'{"error": {"message": "not like this"}}'))
        with pytest.raises(EmbedderError, match=f"{status}: not like this"):
            await embedder.embed(["text"])
        assert len(stub.asked) == 1


async def test_text_that_is_too_long_for_the_model_is_final_whatever_the_status(
    kind: Kind, stub: StubServer
) -> None:
    body = b'{"error": "the input length exceeds the context length"}'
    async with loaded(kind, stub) as embedder:
        stub.faults.append(Fault(status=500, body=body))
        with pytest.raises(EmbedderError, match="exceeds the context length"):
            await embedder.embed(["text"])
