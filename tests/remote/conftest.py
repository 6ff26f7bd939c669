"""A remote at the real OpenCode server, or at its double, on the same terms."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from dualstore.remote.opencode import OpenCodeRemote
from tests.support.opencode_double import OpenCodeDouble
from tests.support.opencode_seed import OpenCodeWriter
from tests.support.opencode_server import OpenCodeServer


@dataclass(frozen=True)
class Side:
    """A server, whichever it is: who asks it, and who changes it."""

    url: str
    user: str
    password: str
    elsewhere: str
    writer: OpenCodeWriter
    transport: httpx.AsyncBaseTransport | None = None

    def remote(self, **options: Any) -> OpenCodeRemote:
        """Not open yet."""
        login = {"user": self.user, "password": self.password}
        return OpenCodeRemote(self.url, **{"transport": self.transport, **login, **options})


@pytest.fixture(params=["double", "real"])
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    if request.param == "double":
        double = OpenCodeDouble(password="geheim-5f1c")
        where = (double.url, double.user, double.password, "/elsewhere")
        transport: httpx.AsyncBaseTransport | None = double
    else:
        real: OpenCodeServer = request.getfixturevalue("real_server")
        where = (real.url, real.user, real.password, str(real.folders[1]))
        transport = None
    async with httpx.AsyncClient(
        base_url=where[0], auth=where[1:3], transport=transport, timeout=30, trust_env=False
    ) as client:
        yield Side(*where, OpenCodeWriter(client), transport)


@pytest.fixture
async def remote(side: Side) -> AsyncIterator[OpenCodeRemote]:
    async with side.remote() as opened:
        yield opened
