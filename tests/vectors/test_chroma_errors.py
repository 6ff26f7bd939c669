"""Every error that httpx or Chroma has is one of ours, and says what to do."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from dualstore.errors import (
    DualStoreError,
    FamilyMismatchError,
    SettingsError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StoragePermissionError,
    UnavailableError,
    VectorsGoneError,
)
from dualstore.vectors.chroma_errors import (
    Driver,
    ServerLostError,
    UnsettledError,
    failed,
    garbled,
    refused,
    unanswered,
)

WHERE = "http://127.0.0.1:8000"


def _classes(root: type[Exception]) -> Iterator[type[Exception]]:
    yield root
    for each in root.__subclasses__():
        yield from _classes(each)


ALL = {
    each
    for root in (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)
    for each in _classes(root)
    if each.__module__.startswith("httpx")
}
EXPECTED: dict[type[Exception], type[DualStoreError]] = {
    httpx.TimeoutException: UnavailableError,
    httpx.NetworkError: ServerLostError,
    httpx.RemoteProtocolError: ServerLostError,
    httpx.ProxyError: UnavailableError,
    httpx.InvalidURL: SettingsError,
    httpx.UnsupportedProtocol: SettingsError,
    httpx.LocalProtocolError: SettingsError,
}


def _made(kind: type[Exception]) -> Driver:
    made = kind.__new__(kind)
    Exception.__init__(made, "why")
    assert isinstance(
        made, httpx.HTTPError | httpx.InvalidURL | httpx.CookieConflict | httpx.StreamError
    )
    return made


def test_every_class_that_httpx_exports_is_known() -> None:
    exported = {
        each
        for each in vars(httpx).values()
        if isinstance(each, type) and issubclass(each, Exception)
    }
    assert exported <= ALL


@pytest.mark.parametrize("kind", sorted(ALL, key=str))
def test_every_error_of_httpx_is_mapped(kind: type[Exception]) -> None:
    expected = next((ours for theirs, ours in EXPECTED.items() if issubclass(kind, theirs)), None)
    found = unanswered(_made(kind), WHERE)
    assert type(found) is (expected or StorageError)
    assert WHERE in str(found)
    assert kind.__name__ in str(found)


def test_a_deadline_is_unavailable() -> None:
    assert type(unanswered(TimeoutError(), WHERE)) is UnavailableError
    assert asyncio.TimeoutError is TimeoutError


def _error(name: str, message: str) -> bytes:
    return f'{{"error": "{name}", "message": "{message}"}}'.encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, _error("NotFoundError", "Collection [x] does not exist"), VectorsGoneError),
        (404, _error("NotFoundError", "Database [x] not found."), StorageError),
        (404, _error("NotFoundError", "Tenant [x] not found"), StorageError),
        (404, b"<html>nothing here", StorageError),
        (404, b"", StorageError),
        (
            400,
            _error(
                "InvalidArgumentError", "Collection expecting embedding with dimension of 3, got 2"
            ),
            FamilyMismatchError,
        ),
        (400, _error("InvalidArgumentError", "Invalid where clause"), StorageError),
        (400, b"{}", StorageError),
        (401, b"", StoragePermissionError),
        (403, _error("AuthError", "Forbidden"), StoragePermissionError),
        (409, _error("ChromaError", "Collection [x] already exists"), UnavailableError),
        (413, b"", StorageError),
        (422, _error("ChromaError", "Failed to deserialize the JSON body"), StorageError),
        (429, b"", UnavailableError),
        (500, _error("InternalError", "database or disk is full"), StorageFullError),
        (
            500,
            _error("InternalError", "(code: 11) database disk image is malformed"),
            StorageCorruptError,
        ),
        (500, _error("InternalError", "Error loading hnsw index"), StorageCorruptError),
        (
            500,
            _error("InternalError", "Error deserializing pickle file: eval error"),
            StorageCorruptError,
        ),
        (500, _error("InternalError", "hnsw reader: Nothing found on disk"), UnsettledError),
        (500, _error("InternalError", "database is locked"), UnavailableError),
        (
            500,
            _error("InternalError", "attempt to write a readonly database"),
            StoragePermissionError,
        ),
        (500, _error("InternalError", "something else"), StorageError),
        (500, b"oops", UnavailableError),
        (502, b"", UnavailableError),
        (503, b"", UnavailableError),
        (504, b"", UnavailableError),
        (507, b"", StorageFullError),
        (302, b"", StorageError),
        (418, b"[1]", StorageError),
    ],
)
def test_every_refusal_is_mapped(status: int, body: bytes, kind: type[DualStoreError]) -> None:
    found = refused(status, body, WHERE)
    assert type(found) is kind
    assert str(found).startswith(WHERE)
    assert len(str(found)) < 600


def test_what_no_chroma_would_say_is_quoted_in_short() -> None:
    found = garbled(b"<html>" * 1000, WHERE)
    assert type(found) is StorageError
    assert "<html>" in str(found)
    assert len(str(found)) < 400


def test_words_alone_are_mapped_too() -> None:
    assert (
        type(failed("InternalError: unable to open database file", WHERE)) is StoragePermissionError
    )
    assert type(failed("ValueError: no idea", WHERE)) is StorageError
