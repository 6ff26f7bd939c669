"""A server that speaks Ollama's and OpenAI's embeddings APIs, and fails as it is told.

Its vectors count hashed words: the same text always has the same one, and order doesn't matter.
"""

import json
import socket
import struct
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIMENSION = 16
MODEL = "stub-model"
DIGEST = "0a109f422b47e3a30ba2b10eca18548e944e8a23073ee3f3e947efcf3c45e59f"
OLLAMA_NAME = f"{MODEL}:latest"

Rows = list[list[float]]


@dataclass(frozen=True)
class Fault:
    """What is wrong with one answer; without any, a delay is all there is to it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    spoil: Callable[[Rows], Any] | None = None
    delay: float = 0.0
    reset: bool = False
    cut: bool = False


BROKEN = Fault(status=500, body=b'{"error": "out of memory"}')
RESET = Fault(reset=True)
CUT = Fault(cut=True)
HTML = Fault(body=b"<html><body>Welcome</body></html>", headers={"Content-Type": "text/html"})
TRUNCATED = Fault(body=b'{"embeddings": [[0.1, 0.2')
NAN = Fault(body=b'{"embeddings": [[NaN]], "data": [{"index": 0, "embedding": [NaN]}]}')


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    path: str
    headers: dict[str, str]
    body: Any


class StubServer:
    """Faults are used up in order, one for each request to an embeddings path."""

    def __init__(self) -> None:
        self.key = ""
        self.digest = DIGEST
        self.dimension = DIMENSION
        self.tags = True
        self.faults: deque[Fault] = deque()
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stub = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def texts(self) -> list[list[str]]:
        """The batches that were asked for."""
        return [asked.body["input"] for asked in self.asked if asked.body]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def stub_server() -> Iterator[StubServer]:
    stub = StubServer()
    stub.start()
    try:
        yield stub
    finally:
        stub.stop()


def unused_url() -> str:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def vector(text: str, *, dimension: int) -> list[float]:
    row = [0.0] * dimension
    for word in text.split():
        row[zlib.crc32(word.encode()) % dimension] += 1.5
    return row


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stub: StubServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # head and body in one packet
    server: _Server

    def log_message(self, *args: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client had enough
            self.close_connection = True

    def do_GET(self) -> None:
        self._remember(None)
        if self.path != "/api/tags" or not self.server.stub.tags:
            self._answer(404, b"404 page not found")
        elif self._allowed():
            other = {"name": "other:latest", "digest": "ffff"}
            mine = {"name": OLLAMA_NAME, "digest": self.server.stub.digest}
            self._answer(200, json.dumps({"models": [other, mine]}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._remember(body)
        if self.path not in ("/api/embed", "/v1/embeddings"):
            self._answer(404, b"404 page not found")
        elif not self._allowed():
            pass
        elif body["model"] != MODEL:
            self._answer(404, json.dumps({"error": self._not_found(body["model"])}).encode())
        else:
            self._embed(body["input"])

    def _remember(self, body: Any) -> None:
        self.server.stub.asked.append(Asked(self.path, dict(self.headers.items()), body))

    def _allowed(self) -> bool:
        key = self.server.stub.key
        if not key or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        said = {"error": {"message": f"Incorrect API key: {self.headers.get('Authorization')}"}}
        self._answer(401, json.dumps(said).encode())
        return False

    def _not_found(self, model: str) -> Any:
        if self.path == "/api/embed":
            return f'model "{model}" not found, try pulling it first'
        return {"message": f"The model `{model}` does not exist", "code": "model_not_found"}

    def _embed(self, texts: list[str]) -> None:
        stub = self.server.stub
        fault = stub.faults.popleft() if stub.faults else Fault()
        stub.stopping.wait(fault.delay)
        if fault.reset:
            self._hang_up()
            return
        rows: Any = [vector(text, dimension=stub.dimension) for text in texts]
        if fault.spoil:
            rows = fault.spoil(rows)
        body = json.dumps(self._shaped(rows)).encode() if fault.body is None else fault.body
        self._answer(fault.status, body, headers=fault.headers, cut=fault.cut)

    def _shaped(self, rows: Any) -> Any:
        if self.path == "/api/embed":
            return {"model": MODEL, "embeddings": rows}
        data = [{"index": index, "embedding": row} for index, row in enumerate(rows)]
        return {"object": "list", "data": data[::-1], "model": MODEL}

    def _answer(
        self, status: int, body: bytes, *, headers: dict[str, str] | None = None, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def _hang_up(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
