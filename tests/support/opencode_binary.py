"""OpenCode's program, fetched from npm once into the cache folder of the repository."""

import base64
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = "opencode-linux-x64"
VERSION = "1.18.33"
SHA512 = "q/t/3p2CTxOT9y2kvjesb/LZab2+1eqlhhWA02Be6mjTtmYtNBcBsrI5yDo4Fw7ZSPBW2oyMIGMNRqiKQjiAWw=="
MEMBER = "package/bin/opencode"

CACHE = Path(__file__).parents[2] / ".cache" / "opencode"
FETCH_SECONDS = 100  # less than one test may take, so that a slow download ends with its reason


class OpenCodeMissingError(Exception):
    """The program can't be had on this machine; the message says why."""


def opencode_binary() -> Path:
    """The program. Fetched when it isn't there."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise OpenCodeMissingError(f"{PACKAGE} runs on Linux on x86-64 only")
    program = CACHE / VERSION / "opencode"
    with _locked():
        if not program.exists():
            _fetch(program.parent)
    return program


@contextmanager
def _locked() -> Iterator[None]:
    """Several test processes may start at once; the kernel frees the lock of one that dies."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        tarball = Path(name) / f"{PACKAGE}-{VERSION}.tgz"
        if shutil.which("npm"):
            _pack(tarball)
        else:
            _download(tarball)
        check(tarball, SHA512)
        draft = Path(name) / "home"
        _unpack(tarball, draft)
        draft.rename(home)


def _pack(tarball: Path) -> None:
    """Npm knows its registry, proxies and certificates best."""
    command = ["npm", "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--loglevel=error"]
    try:
        subprocess.run(
            command,
            cwd=tarball.parent,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise OpenCodeMissingError(f"npm failed: {error.stdout.strip()[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise OpenCodeMissingError(f"npm took longer than {FETCH_SECONDS} s") from error


def _download(tarball: Path) -> None:
    address = f"{registry()}/{PACKAGE}/-/{tarball.name}"
    try:
        with urllib.request.urlopen(address, timeout=30) as answer, tarball.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except OSError as error:
        raise OpenCodeMissingError(f"{PACKAGE} can't be downloaded: {error}") from error


def registry() -> str:
    """What npm would ask: the one in its environment, in the user's file, or the public one."""
    for name, value in os.environ.items():
        if name.lower() == "npm_config_registry" and value:
            return value.rstrip("/")
    config = Path.home() / ".npmrc"
    written = config.read_text(errors="replace") if config.exists() else ""
    named = re.search(r"^\s*registry\s*=\s*(\S+)", written, re.MULTILINE)
    return (named[1] if named else "https://registry.npmjs.org").rstrip("/")


def check(tarball: Path, sha512: str) -> None:
    with tarball.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if base64.b64encode(digest).decode() != sha512:
        raise OpenCodeMissingError(f"{tarball.name} is not the one that was expected")


def _unpack(tarball: Path, home: Path) -> None:
    home.mkdir()
    with tarfile.open(tarball) as archive:
        packed = archive.extractfile(MEMBER)
        if packed is None:
            raise OpenCodeMissingError(f"{tarball.name} has no {MEMBER}")
        with packed, (home / "opencode").open("wb") as file:
            shutil.copyfileobj(packed, file)
    (home / "opencode").chmod(0o755)


if __name__ == "__main__":
    try:
        opencode_binary()
    except OpenCodeMissingError as error:
        sys.exit(str(error))
