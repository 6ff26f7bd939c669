from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from dualstore.errors import RemoteError, SettingsError
from dualstore.remote.opencode import OpenCodeRemote
from dualstore.remote.opencode_address import address
from tests.support.opencode_double import OpenCodeDouble
from tests.support.opencode_faults import answers, not_found

SECRET = "geheim"


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:4096", "http://127.0.0.1:4096"),
        ("http://127.0.0.1:4096/", "http://127.0.0.1:4096"),
        ("https://example.org/opencode/", "https://example.org/opencode"),
        ("HTTP://Example.ORG/Path//", "http://example.org/Path"),
        ("http://[::1]:80/", "http://[::1]:80"),
        (f"http://me:{SECRET}@example.org:1/x", "http://example.org:1/x"),
    ],
)
def test_the_base_ends_with_its_path(url: str, base: str) -> None:
    assert address(url, user="", password="").base == base


@pytest.mark.parametrize(
    ("url", "user", "password", "login"),
    [
        ("http://x", "", "", None),
        ("http://x", "", SECRET, ("opencode", SECRET)),
        ("http://x", "me", SECRET, ("me", SECRET)),
        (f"http://me:{SECRET}@x", "", "", ("me", SECRET)),
        (f"http://:{SECRET}@x", "", "", ("opencode", SECRET)),
        ("http://me@x", "", SECRET, ("me", SECRET)),
        ("http://me:old@x", "you", SECRET, ("you", SECRET)),
        ("http://m%40e:%2F%3A%C3%A4@x", "", "", ("m@e", "/:ä")),
    ],
)
def test_the_login_is_what_is_given_or_what_is_in_the_address(
    url: str, user: str, password: str, login: tuple[str, str] | None
) -> None:
    found = address(url, user=user, password=password)
    assert found.login == login
    assert SECRET not in repr(found) + found.shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "http://",
        "http:///path",
        "http://x/?a=1",
        "http://x?",
        "http://x/#part",
        "http://x/#",
        "http://x y/",
        "http://x\n",
        "http://x:port",
        "http://x:99999",
        "http://[::1",
        f"http://me:{SECRET}/more@x",
        f"http://me:1/{SECRET}@x",
        f"http://me:{SECRET}#more@x",
        f"http://me:{SECRET}?more@x",
        f"http://me:[{SECRET}@x",
    ],
)
def test_what_is_no_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="the remote's address") as caught:
        OpenCodeRemote(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("password", [SECRET, "two  spaces", "ä/+:@%", "\xff\xfe?>~"])
async def test_whatever_form_of_the_password_the_server_repeats_is_not_shown(password: str) -> None:
    login = f"me:{password}".encode()
    forms = (
        password,
        quote(password, safe=""),
        b64encode(login).decode(),
        urlsafe_b64encode(login).decode().rstrip("="),
    )
    double = OpenCodeDouble()
    async with OpenCodeRemote(double.url, user="me", password=password, transport=double) as remote:
        for form in forms:
            double.faults.append(answers(400, {"message": f"got Authorization: Basic {form}"}))
            with pytest.raises(RemoteError, match=r"Basic \*\*\*=*$") as caught:
                await remote.fetch_session("ses_1")
            assert " ".join(form.split()) not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1", True),
        ("http://127.9.9.9:1/x", True),
        ("http://localhost", True),
        ("http://opencode.localhost", True),
        ("http://[::1]", True),
        ("https://127.0.0.1", False),
        ("http://10.0.0.1", False),
        ("http://localhost.example.org", False),
    ],
)
def test_this_machine_is_known(url: str, is_here: bool) -> None:
    assert address(url, user="", password="").is_here is is_here


async def test_the_path_of_the_address_comes_first() -> None:
    double = OpenCodeDouble()
    double.faults.append(not_found())
    async with OpenCodeRemote(f"{double.url}/under/it/", transport=double) as remote:
        assert await remote.fetch_session("ses_1") is None
    assert list(double.asked) == ["GET /under/it/session/ses_1"]
