"""Where an OpenCode server is, and who asks: the one may be shown, the other never."""

import ipaddress
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from dualstore.errors import SettingsError

_USER: Final = "opencode"
_URL_SAFE: Final = str.maketrans("+/", "-_")


@dataclass(frozen=True, slots=True)
class Address:
    """It can be shown: its login is in none of its representations."""

    base: str
    """Ends with its path, without a slash."""
    login: tuple[str, str] | None = field(repr=False)

    @property
    def shown(self) -> str:
        return f"the OpenCode server at {self.base}"

    @property
    def is_secure(self) -> bool:
        return self.base.startswith("https:")

    @property
    def is_here(self) -> bool:
        """Plain HTTP on this machine: proxies and certificates of the environment mean others."""
        return not self.is_secure and _is_loopback(urlsplit(self.base).hostname or "")

    def without_password(self, text: str) -> str:
        """Nor the header that it is sent in, nor the way it is written in an address."""
        user, password = self.login or ("", "")
        if not password:
            return text
        header = b64encode(f"{user}:{password}".encode()).decode().rstrip("=")
        for each in (header, header.translate(_URL_SAFE), quote(password, safe=""), password):
            text = text.replace(each, "***")
        return text


def address(url: str, *, user: str, password: str) -> Address:
    """A login in the url is used where none is given beside it. Raises `SettingsError`."""
    parts = _parted(url)
    user = user or unquote(parts.username or "")
    password = password or unquote(parts.password or "")
    login = (user or _USER, password) if user or password else None
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port is None else f":{parts.port}"
    return Address(f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}", login)


def _parted(url: str) -> SplitResult:
    """Checked. What is wrong is said without the url, of which any part may be a password's."""
    if not url.isprintable() or " " in url:
        raise SettingsError("the remote's address has a space or a character that can't be seen")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise SettingsError(
            "the remote's address is not one: in a user or password, : / ? # @ [ ] and % have to "
            "be written as %3A %2F %3F %23 %40 %5B %5D and %25"
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError("the remote's address must start with http:// or https:// and a host")
    if "?" in url or "#" in url:
        raise SettingsError("the remote's address must end with its path: no ? and no #")
    if "@" in parts.path:
        raise SettingsError(
            "the remote's address has an @ after its host; a / in a password is %2F"
        )
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
