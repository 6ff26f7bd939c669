"""A real OpenCode server: offline, in folders of its own, and with a password.

In memory, or in a home whose data and address outlive it.
"""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.opencode_binary import opencode_binary

START_SECONDS = 60.0
STOP_SECONDS = 10.0
READY = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")
OFF = (
    "AUTOUPDATE CLAUDE_CODE DEFAULT_PLUGINS EMBEDDED_WEB_UI EXTERNAL_SKILLS LSP_DOWNLOAD "
    "MODELS_FETCH PROJECT_CONFIG SHARE"
).split()
NOBODY = "http://127.0.0.1:1/v1"
# With these in place it doesn't install a plugin, during which it wouldn't heed SIGTERM.
PLUGIN_LOCK = {"packages": {"": {"dependencies": {"@opencode-ai/plugin": "*"}}}}


class OpenCodeBrokenError(Exception):
    """The program is there, but it doesn't start: never a reason to skip."""


@dataclass(frozen=True)
class OpenCodeServer:
    """A running one. Its folders are projects; both are empty, one is under version control."""

    url: str
    user: str
    password: str
    folders: tuple[Path, Path]
    pid: int


@contextmanager
def opencode_server(
    *,
    password: str = "geheim-5f1c",
    model: str = NOBODY,
    home: Path | None = None,
    port: int = 0,
) -> Iterator[OpenCodeServer]:
    """Ended at the end, however this process ends. Raises `OpenCodeMissingError`.

    `model` is where turns are made; without one only messages that want no reply can be sent. The
    data in a `home` outlive the server, and several may serve one home.
    """
    program = opencode_binary()
    with ExitStack() as stack:
        environment = {"OPENCODE_SERVER_PASSWORD": password}
        if home is None:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="dualstore-opencode-"))
            home, environment["OPENCODE_DB"] = Path(name), ":memory:"
        folders = (_project(home / "project"), _folder(home / "elsewhere"))
        environment |= _environment(home, model)
        log = home / f"server-{port}.log"
        running = stack.enter_context(_running(program, home, log, environment, port=port))
        yield OpenCodeServer(_ready(running, log), "opencode", password, folders, running.pid)


def run_opencode(*words: str, home: Path) -> str:
    """A command beside the server of that home, as its users give it; what it says."""
    answer = subprocess.run(
        [str(opencode_binary()), *words],
        cwd=home / "project",
        env=_environment(home, NOBODY),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    if answer.returncode:
        raise OpenCodeBrokenError(f"{words[0]} ends with {answer.returncode}: {answer.stderr}")
    return answer.stdout


def lasting_port() -> int:
    """One that nobody listens at, and that no connection is given while the server is away."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port


@contextmanager
def _running(
    program: Path, home: Path, log: Path, environment: dict[str, str], *, port: int
) -> Iterator["subprocess.Popen[bytes]"]:
    leash = [sys.executable, str(Path(__file__).with_name("leash.py"))]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*leash, str(program), "serve", "--hostname", "127.0.0.1", "--port", str(port)],
            cwd=home / "project",
            env=environment,
            stdin=subprocess.PIPE,  # its end is how the leash learns that we are gone
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests, which then stop the server
        ) as running,
    ):
        try:
            yield running
        finally:
            _end(running)


def _end(running: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if running.poll() is None:
            os.killpg(running.pid, number)
        try:
            running.wait(STOP_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


def _ready(running: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        if ready := READY.search(log.read_text(errors="replace")):
            return ready[1]
        time.sleep(0.02)
    raise OpenCodeBrokenError(f"it did not start: {log.read_text(errors='replace')[-500:]}")


def _config(model: str) -> dict[str, Any]:
    """A message that wants no reply has to name a model, too."""
    abilities = {"tool_call": True, "reasoning": True}
    limit = {"context": 128_000, "output": 8192}
    return {
        "model": "none/none",
        "small_model": "none/none",
        "enabled_providers": ["none"],
        "provider": {
            "none": {
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": model, "apiKey": "none"},
                "models": {"none": {"name": "None", "limit": limit, **abilities}},
            }
        },
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "lsp": False,
        "formatter": False,
        "permission": "allow",
    }


def _environment(home: Path, model: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    folders = {
        variable: str(_folder(home / variable.lower()))
        for variable in (
            "HOME",
            *(f"XDG_{kind}_HOME" for kind in "DATA CONFIG STATE CACHE".split()),
        )
    }
    config = _folder(Path(folders["XDG_CONFIG_HOME"]) / "opencode")
    _folder(config / "node_modules")
    (config / "package-lock.json").write_text(json.dumps(PLUGIN_LOCK))
    return {
        **kept,
        **folders,
        **{f"OPENCODE_DISABLE_{name}": "1" for name in OFF},
        "OPENCODE_PURE": "1",
        "OPENCODE_CONFIG_CONTENT": json.dumps(_config(model)),
    }


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _project(path: Path) -> Path:
    """A folder with a first commit, from which OpenCode knows a project; plain without git."""
    _folder(path)
    if not (path / ".git").exists() and (git := shutil.which("git")):
        identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
        for words in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
            subprocess.run([git, *words], cwd=path, check=True, stdin=subprocess.DEVNULL)
    return path
