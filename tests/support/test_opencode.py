"""How OpenCode's program is fetched, and how its server ends. Needs no network."""

import base64
import hashlib
import io
import os
import platform
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import httpx
import pytest

from tests.support import opencode_binary
from tests.support.opencode_binary import OpenCodeMissingError, registry
from tests.support.opencode_server import opencode_server

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No cache, no npm, and nothing written about registries."""
    for name in [name for name in os.environ if name.lower().startswith("npm_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(opencode_binary, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return tmp_path


def test_the_registry_is_the_one_npm_would_ask(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry() == "https://registry.npmjs.org"
    (home / ".npmrc").write_text("fund=false\nregistry = https://written.test/npm/\n")
    assert registry() == "https://written.test/npm"
    monkeypatch.setenv("npm_config_registry", "https://set.test/")
    assert registry() == "https://set.test"


def _served(home: Path, monkeypatch: pytest.MonkeyPatch, member: str) -> str:
    """A registry in a folder that has the package; what its tarball hashes to."""
    folder = home / "registry" / opencode_binary.PACKAGE / "-"
    folder.mkdir(parents=True)
    path = folder / f"{opencode_binary.PACKAGE}-{opencode_binary.VERSION}.tgz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(member)
        info.size = 7
        archive.addfile(info, io.BytesIO(b"program"))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", (home / "registry").as_uri())
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def test_the_program_is_fetched_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = _served(home, monkeypatch, opencode_binary.MEMBER)
    monkeypatch.setattr(opencode_binary, "SHA512", digest)
    program = opencode_binary.opencode_binary()
    assert program.read_bytes() == b"program"
    assert os.access(program, os.X_OK)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", (home / "nowhere").as_uri())
    assert opencode_binary.opencode_binary() == program
    assert {path.name for path in (home / "cache").iterdir()} == {"lock", program.parent.name}


def test_another_package_is_not_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _served(home, monkeypatch, opencode_binary.MEMBER)
    with pytest.raises(OpenCodeMissingError, match="not the one that was expected"):
        opencode_binary.opencode_binary()
    assert [path.name for path in (home / "cache").iterdir()] == ["lock"]


def test_what_can_not_be_had_is_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", (home / "nowhere").as_uri())
    with pytest.raises(OpenCodeMissingError, match="can't be downloaded"):
        opencode_binary.opencode_binary()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(OpenCodeMissingError, match="Linux on x86-64 only"):
        opencode_binary.opencode_binary()


def test_no_server_outlives_a_killed_test_run(tmp_path: Path) -> None:
    """Two run at once here, each at a port of its own."""
    code = """
from time import sleep
from tests.support.opencode_server import opencode_server
with opencode_server() as server:
    print(server.url, flush=True)
    sleep(60)
"""
    try:
        opencode_binary.opencode_binary()
    except OpenCodeMissingError as error:
        pytest.skip(str(error))
    with opencode_server() as server:
        with subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as run:
            assert run.stdout is not None
            other = run.stdout.readline().strip()
            assert other != server.url
            assert _answers(other)
            run.kill()
        _wait_until_gone(other)
        assert _answers(server.url)
    _wait_until_gone(server.url)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 401
    except httpx.TransportError:
        return False


def _wait_until_gone(url: str) -> None:
    until = time.monotonic() + 10
    while _answers(url):
        assert time.monotonic() < until, "it still runs"
        time.sleep(0.05)
