"""Each fault, seen by a real driver; then the proxy is healthy again without being touched."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, NetworkTimeout, ServerSelectionTimeoutError

from tests.support.proxy import Fault, TcpProxy
from tests.support.wire import WireServer

Document = dict[str, Any]


@pytest.fixture(autouse=True)
def truth(wire_server: WireServer) -> Iterator[Collection[Document]]:
    """The collection as it is, seen past the proxy; empty at first."""
    with MongoClient[Document](wire_server.url) as client:
        yield client["proxy"]["things"]
        client.drop_database("proxy")


@pytest.fixture
def things(wire_server: WireServer, wire_proxy: TcpProxy) -> Iterator[Collection[Document]]:
    """The same collection through the proxy, by a driver that repeats nothing by itself."""
    with MongoClient[Document](
        wire_server.behind(wire_proxy.port),
        retryReads=False,
        retryWrites=False,
        serverSelectionTimeoutMS=1_000,
        socketTimeoutMS=1_000,
    ) as client:
        yield client["proxy"]["things"]


def test_a_healthy_proxy_counts_what_passes(
    things: Collection[Document], wire_proxy: TcpProxy
) -> None:
    things.insert_one({"_id": 1})
    things.database.client.admin.command("ping")
    assert things.find_one({}) == {"_id": 1}
    things.delete_many({})
    assert wire_proxy.commands == ["insert", "find", "delete"]
    assert wire_proxy.struck == []


@pytest.mark.parametrize("reset", [False, True])
def test_cut_before_loses_the_command(
    things: Collection[Document], truth: Collection[Document], wire_proxy: TcpProxy, reset: bool
) -> None:
    wire_proxy.cut_before(2, reset=reset)
    things.insert_one({"_id": 1})
    with pytest.raises(AutoReconnect):
        things.insert_one({"_id": 2})
    assert wire_proxy.struck == [Fault.CUT_BEFORE]
    things.insert_one({"_id": 3})
    assert truth.distinct("_id") == [1, 3]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("fault", [Fault.CUT_AFTER, Fault.CUT_MID_ANSWER])
def test_cuts_after_the_command_lose_only_the_answer(
    things: Collection[Document],
    truth: Collection[Document],
    wire_proxy: TcpProxy,
    fault: Fault,
    reset: bool,
) -> None:
    cut = wire_proxy.cut_after if fault is Fault.CUT_AFTER else wire_proxy.cut_mid_answer
    cut(1, reset=reset)
    with pytest.raises(AutoReconnect):
        things.insert_one({"_id": 1})
    assert wire_proxy.struck == [fault]
    things.insert_one({"_id": 2})
    assert truth.distinct("_id") == [1, 2]


def test_an_orderly_cut_and_a_reset_look_different(
    things: Collection[Document], wire_proxy: TcpProxy
) -> None:
    wire_proxy.cut_before(1)
    with pytest.raises(AutoReconnect, match="connection closed"):
        things.insert_one({"_id": 1})
    wire_proxy.cut_before(1, reset=True)
    with pytest.raises(AutoReconnect, match="reset by peer"):
        things.insert_one({"_id": 1})


def test_a_stalled_command_takes_effect_when_it_is_released(
    things: Collection[Document], truth: Collection[Document], wire_proxy: TcpProxy
) -> None:
    wire_proxy.stall(1)
    began = time.monotonic()
    with pytest.raises(NetworkTimeout):
        things.insert_one({"_id": 1})
    assert 0.9 < time.monotonic() - began < 3
    assert truth.count_documents({}) == 0
    wire_proxy.release()
    _eventually_holds(truth, 1)


def test_a_stalled_answer_means_that_the_command_took_effect(
    things: Collection[Document], truth: Collection[Document], wire_proxy: TcpProxy
) -> None:
    wire_proxy.stall_answer(1)
    with pytest.raises(NetworkTimeout):
        things.insert_one({"_id": 1})
    assert truth.count_documents({}) == 1


def test_who_waits_for_a_stalled_answer_gets_it(
    things: Collection[Document], wire_proxy: TcpProxy
) -> None:
    wire_proxy.stall_answer(1)
    writer = threading.Thread(target=things.insert_one, args=({"_id": 1},))
    writer.start()
    wire_proxy.wait_until_struck()
    assert writer.is_alive()
    wire_proxy.release()
    writer.join(5)
    assert not writer.is_alive()


def test_refusing_ends_connections_and_healing_accepts_them_at_the_same_port(
    things: Collection[Document], wire_proxy: TcpProxy
) -> None:
    port = wire_proxy.port
    things.insert_one({"_id": 1})
    wire_proxy.refuse()
    with pytest.raises((AutoReconnect, ServerSelectionTimeoutError)):
        things.insert_one({"_id": 2})
    with pytest.raises(ServerSelectionTimeoutError, match="refused"):
        things.insert_one({"_id": 2})
    wire_proxy.heal()
    assert wire_proxy.port == port
    things.insert_one({"_id": 3})


def test_healing_disarms(things: Collection[Document], wire_proxy: TcpProxy) -> None:
    wire_proxy.cut_before(1)
    wire_proxy.heal()
    things.insert_one({"_id": 1})
    assert wire_proxy.struck == []


def test_a_server_that_is_away_looks_like_a_cut(own_wire_server: WireServer) -> None:
    with TcpProxy(own_wire_server.host, own_wire_server.port) as proxy:
        url = own_wire_server.behind(proxy.port)
        with MongoClient[Document](url, serverSelectionTimeoutMS=500) as client:
            client.admin.command("ping")
            own_wire_server.stop()
            with pytest.raises(AutoReconnect):
                client["proxy"]["things"].insert_one({"_id": 1})
            own_wire_server.restart()
            client["proxy"]["things"].insert_one({"_id": 1})


async def test_an_asynchronous_driver_under_test_is_not_disturbed(
    wire_server: WireServer, wire_proxy: TcpProxy, truth: Collection[Document]
) -> None:
    url = wire_server.behind(wire_proxy.port)
    async with AsyncMongoClient[Document](url, retryWrites=False) as client:
        things = client["proxy"]["things"]
        for step in range(1, 4):
            wire_proxy.cut_after(1)
            with pytest.raises(AutoReconnect):
                await things.insert_one({"_id": step})
    assert truth.distinct("_id") == [1, 2, 3]


def test_a_loop_over_all_steps_of_an_operation_knows_its_end(
    things: Collection[Document], wire_proxy: TcpProxy
) -> None:
    def operation() -> None:
        things.replace_one({"_id": 1}, {"n": 1}, upsert=True)
        things.find_one({"_id": 1})

    operation()
    steps = len(wire_proxy.commands)
    assert steps == 2
    for n in range(1, steps + 1):
        wire_proxy.cut_before(n)
        with pytest.raises(AutoReconnect):
            operation()
    wire_proxy.cut_before(steps + 1)
    operation()
    assert wire_proxy.struck == [Fault.CUT_BEFORE] * steps


def _eventually_holds(truth: Collection[Document], count: int) -> None:
    deadline = time.monotonic() + 5
    while truth.count_documents({}) != count:
        assert time.monotonic() < deadline, "still not so"
        time.sleep(0.02)
