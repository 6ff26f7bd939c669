"""Whatever MongoDB or its drivers say, it is one of our errors, in time, and keeps the password."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import bson.errors
import gridfs.errors  # its errors are the driver's as well  # noqa: F401
import pymongo.errors
import pytest

from dualstore.documents.base import PutOutcome
from dualstore.documents.mongo import LAYOUT, MongoDatabase
from dualstore.documents.mongo_errors import is_drivers, mapped
from dualstore.errors import (
    DualStoreError,
    EntryTooLargeError,
    PartialWriteError,
    SettingsError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StoragePermissionError,
    UnavailableError,
)
from tests.documents.places import DRIVERS
from tests.documents.scripted_server import Command, refusal, scripted_server
from tests.documents.writing import NOW, SPEC, draft

SECRET = "s3cr3t"
PLACE = "mongodb://127.0.0.1:1/notes"


def _below(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _below(each)


DRIVER_ERRORS = sorted(
    {*_below(pymongo.errors.PyMongoError), *_below(bson.errors.BSONError)}, key=lambda k: k.__name__
)


def _made(kind: type[Exception]) -> Any:
    if issubclass(kind, pymongo.errors.BulkWriteError):
        return kind({"writeErrors": []})
    if issubclass(kind, pymongo.errors.ClientBulkWriteException):
        return kind({}, verbose=False)
    if issubclass(kind, pymongo.errors.EncryptedCollectionError):
        return kind(ValueError("cause"), {})
    if issubclass(kind, pymongo.errors.EncryptionError):
        return kind(ValueError("cause"))
    return kind("reason")


@pytest.mark.parametrize("kind", DRIVER_ERRORS)
def test_every_driver_error_is_one_of_ours(kind: type[Exception]) -> None:
    ours = mapped(_made(kind), PLACE)
    assert isinstance(ours, DualStoreError)
    assert PLACE in str(ours)
    if issubclass(kind, pymongo.errors.ConnectionFailure):
        assert type(ours) is UnavailableError
    if issubclass(kind, pymongo.errors.ConfigurationError):
        assert type(ours) is SettingsError


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (18, StoragePermissionError),
        (13, StoragePermissionError),
        (14031, StorageFullError),
        (10334, EntryTooLargeError),
        (50, UnavailableError),
        (112, UnavailableError),
        (10107, UnavailableError),
        (64, UnavailableError),
        (59, StorageError),
        (None, StorageError),
    ],
)
def test_what_the_server_says_is_told_by_its_code(
    code: int | None, expected: type[DualStoreError]
) -> None:
    alone = pymongo.errors.OperationFailure("text", code, {"errmsg": "its own words"})
    assert type(mapped(alone, PLACE)) is expected
    assert "its own words" in str(mapped(alone, PLACE))
    wrong = {"index": 0, "code": code, "errmsg": "its own words", "op": {"text": SECRET}}
    ours = mapped(pymongo.errors.BulkWriteError({"writeErrors": [wrong]}), PLACE)
    assert type(ours) is expected
    assert SECRET not in str(ours)


def test_what_cannot_be_read_is_corrupt_and_what_is_too_large_is_said_to_be() -> None:
    assert type(mapped(bson.errors.InvalidBSON("x"), PLACE)) is StorageCorruptError
    assert type(mapped(pymongo.errors.DocumentTooLarge("x"), PLACE)) is EntryTooLargeError


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(SettingsError, match="a MongoDB URL is needed, not None"):
        MongoDatabase.from_url(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        f"mongodb://me:{SECRET}/x@host:x/db",
        f"mongodb://me:{SECRET}@:@host/db",
        f"mongodb://me:{SECRET}@host:99999/db",
        f"mongodb://me:{SECRET}@/db",
        f"http://me:{SECRET}@host/db",
        "mongodb://",
        "mongodb://host:port",
        f"mongodb://host/?tlsCertificateKeyFilePassword={SECRET}&authSource=",
        "",
    ],
)
def test_a_url_that_means_nothing_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        MongoDatabase.from_url(url)
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_blocking_database_or_a_url_in_its_place_is_refused() -> None:
    with pymongo.MongoClient[Command](connect=False) as client:
        for source in (client["notes"], "mongodb://localhost"):
            with pytest.raises(SettingsError, match="AsyncMongoClient"):
                MongoDatabase(source)


async def test_a_wrong_password_is_told_and_not_shown() -> None:
    def script(name: str, _: Command) -> Command | None:
        return refusal(18, "Authentication failed.") if name == "saslStart" else None

    async with scripted_server(script) as host:
        database = MongoDatabase.from_url(f"mongodb://me:{SECRET}@{host}/notes", timeout=5)
        with pytest.raises(StoragePermissionError, match=f"{host}/notes.*password") as caught:
            async with database:
                pass
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_a_refused_address_is_unavailable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    await _is_unavailable(f"mongodb://me:{SECRET}@127.0.0.1:{port}/notes", 0.5)


async def test_a_silent_address_is_unavailable_in_time() -> None:
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        await _is_unavailable(f"mongodb://127.0.0.1:{silent.getsockname()[1]}/notes", 0.5)


async def _is_unavailable(url: str, timeout: float) -> None:
    database = MongoDatabase.from_url(url, timeout=timeout)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1.*try again") as caught:
        async with database:
            pass
    assert time.monotonic() - began < timeout + 1.5
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_a_conflict_between_writers_is_asked_again() -> None:
    conflicts = {"insert": 2, "update": 1, "delete": 1}

    def script(name: str, _: Command) -> Command | None:
        conflicts[name] = conflicts.get(name, 0) - 1
        return refusal(112, "WriteConflict") if conflicts[name] >= 0 else None

    async with scripted_server(script) as host, _open(host) as database:
        record = await database.records.create("space", "key", 1)
        assert record is not None
        assert await database.records.replace(record, 2) is None
        assert not await database.records.delete(record)


async def test_a_conflict_inside_a_bulk_is_written_again() -> None:
    answers = iter([_wrong(112, at=1), _wrong(11000, at=0)])
    inserted: list[list[str]] = []

    def script(name: str, command: Command) -> Command | None:
        if name != "insert" or command["insert"] != SPEC.name:
            return None
        inserted.append([each["_id"] for each in command["documents"]])
        return next(answers, None)

    async with scripted_server(script) as host, _open(host) as database:
        store = await database.family(SPEC)
        puts = await store.put([draft("a"), draft("b")], now=NOW)
    assert inserted == [["a", "b"], ["b"], ["b"]]
    assert [put.outcome for put in puts] == [PutOutcome.CREATED] * 2


async def test_a_conflict_that_never_ends_is_unavailable() -> None:
    def script(_: str, command: Command) -> Command | None:
        return _wrong(112, at=0) if command.get("insert") == SPEC.name else None

    async with scripted_server(script) as host, _open(host) as database:
        store = await database.family(SPEC)
        with pytest.raises(UnavailableError, match="conflict"):
            await store.put([draft("a")], now=NOW)


async def test_a_full_disk_in_the_middle_names_what_was_acknowledged() -> None:
    rounds = iter([None, _wrong(14031, at=0)])

    def script(_: str, command: Command) -> Command | None:
        return next(rounds, None) if command.get("insert") == SPEC.name else None

    async with scripted_server(script) as host, _open(host) as database:
        store = await database.family(SPEC)
        with pytest.raises(PartialWriteError, match="no space left") as caught:
            await store.put([draft("a"), draft("b"), draft("b", "new")], now=NOW)
    assert caught.value.acknowledged == ("a",)
    assert isinstance(caught.value.__cause__, StorageFullError)


async def test_what_is_not_confirmed_to_be_durable_is_not_acknowledged() -> None:
    def script(_: str, command: Command) -> Command | None:
        if command.get("insert") != SPEC.name:
            return None
        assert command["writeConcern"] == {"w": "majority", "j": True}
        return {"n": 1, "ok": 1, "writeConcernError": {"code": 64, "errmsg": "waiting timed out"}}

    async with scripted_server(script) as host, _open(host) as database:
        store = await database.family(SPEC)
        with pytest.raises(UnavailableError, match="durable"):
            await store.put([draft("a")], now=NOW)


@pytest.mark.parametrize("answer", [{"ok": 1}, {"ok": 1, "cursor": 5}, {"ok": 1, "cursor": {}}])
@pytest.mark.parametrize("driver", DRIVERS)
async def test_an_answer_that_is_none_is_a_storage_error(driver: str, answer: Command) -> None:
    """The driver itself stumbles over it, with whatever error that leads to."""

    def script(_: str, command: Command) -> Command | None:
        return answer if command.get("find") == SPEC.name else None

    async with scripted_server(script) as host:
        client = DRIVERS[driver](f"mongodb://{host}")
        async with MongoDatabase(client["notes"], timeout=5, close_client=True) as database:
            store = await database.family(SPEC)
            with pytest.raises(StorageError, match="answered what isn't understood"):
                await store.get(["a"])


def test_an_error_of_our_own_is_nobody_elses() -> None:
    with pytest.raises(KeyError) as caught:
        dict[str, int]()["ours"]
    assert not is_drivers(caught.value)


async def test_a_url_that_leads_to_the_dns_is_named_as_it_is() -> None:
    database = MongoDatabase.from_url(f"mongodb+srv://me:{SECRET}@nohost.invalid/notes")
    await database.__aexit__()
    with pytest.raises(UnavailableError, match=r"^mongodb\+srv://nohost\.invalid/notes was left"):
        await database.records.get("space", "key")


async def test_being_cancelled_is_not_swallowed() -> None:
    async def wait_for_ever(database: MongoDatabase) -> None:
        async with database:
            pass

    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = _open(f"127.0.0.1:{silent.getsockname()[1]}")
        task = asyncio.create_task(wait_for_ever(database))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_server_that_cannot_say_its_size_is_healthy() -> None:
    def script(name: str, _: Command) -> Command | None:
        return refusal(59, "no such command") if name.lower() == "dbstats" else None

    async with scripted_server(script) as host, _open(host) as database:
        health = await database.health()
    assert (health.bytes, health.layout) == (None, LAYOUT)
    assert health.location == f"mongodb://{host}/notes"


def _open(host: str) -> MongoDatabase:
    return MongoDatabase.from_url(f"mongodb://{host}/notes", timeout=5)


def _wrong(code: int, *, at: int) -> Command:
    return {"n": 0, "ok": 1, "writeErrors": [{"index": at, "code": code, "errmsg": "said so"}]}
