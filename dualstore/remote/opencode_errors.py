"""What an answer of OpenCode's that is none means, and what httpx raises instead of one."""

from collections.abc import Mapping
from typing import Final

import httpx
import orjson

from dualstore.errors import RemoteError, RemoteRefusedError
from dualstore.remote.opencode_address import Address
from dualstore.trying import TransientError, retry_after

_NOT_NOW: Final = frozenset({408, 409, 425, 429})
_REFUSED: Final = frozenset({401, 403, 407})
_LONGEST_REASON: Final = 300


class NothingThereError(Exception):
    """The server says itself that there is no such thing."""


def refusal(
    address: Address, path: str, status: int, *, headers: Mapping[str, str], content: bytes
) -> Exception:
    """What to raise for a status that isn't 200."""
    if status in _REFUSED:
        return RemoteRefusedError(
            f"{address.shown} refuses the user or the password ({status}): set "
            "DUALSTORE_REMOTE_USER and DUALSTORE_REMOTE_PASSWORD"
        )
    name, reason = _said(content)
    reason = " ".join(address.without_password(reason).split())[:_LONGEST_REASON]
    if status == httpx.codes.NOT_FOUND and name == "NotFoundError":
        return NothingThereError(reason)
    told = f"answers {path} with {status}{f': {reason}' if reason else ''}"
    if status in _NOT_NOW or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return TransientError(told, wait=retry_after(headers))
    return RemoteError(f"{address.shown} {told}")


def breakage(address: Address, error: httpx.HTTPError | httpx.InvalidURL) -> Exception:
    """What to raise when there is no answer, or only a part of one."""
    named = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    match error:
        case httpx.TimeoutException():
            return TransientError("does not answer in time")
        case httpx.NetworkError() | httpx.RemoteProtocolError() | httpx.ProxyError():
            return TransientError(f"can't be reached: {named}")
        case _:
            return RemoteError(f"{address.shown} can't be asked: {named}")


def _said(content: bytes) -> tuple[str, str]:
    """The error's name and reason, in whichever of its shapes the server says them."""
    try:
        error = orjson.loads(content)
    except orjson.JSONDecodeError:
        return "", ""
    if not isinstance(error, dict):
        return "", ""
    name = error.get("name") or error.get("_tag") or ""
    data = error.get("data")
    reason = (data if isinstance(data, dict) else error).get("message") or name
    return str(name), str(reason)
