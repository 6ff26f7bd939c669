"""mongo-java-server, fetched by Maven and compiled once into the cache folder of the repository."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCES = Path(__file__).parent / "mongo_wire"
CACHE = Path(__file__).parents[2] / ".cache" / "mongo-wire"
BUILD_SECONDS = 100  # less than one test may take, so that a slow download ends with its reason

# One test run is over before the second compiler pays, and one small heap is enough.
JVM_OPTIONS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


class CannotBuildError(Exception):
    """The server can't be made on this machine; the message says what is missing."""


def java_command() -> list[str]:
    """The command that starts the server, to be followed by the port. Built when it isn't there."""
    home = CACHE / _fingerprint()
    java, maven, javac = (_program(name) for name in ("java", "mvn", "javac"))
    with _locked():
        if not home.exists():
            _build(home, maven=maven, javac=javac)
    return [java, *JVM_OPTIONS, "-cp", f"{home}/lib/*{os.pathsep}{home}/classes", "Server"]


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise CannotBuildError(f"{name} is not on the PATH (a JDK 17 and Maven are needed)")
    return found


def _fingerprint() -> str:
    sources = (SOURCES / "pom.xml", SOURCES / "Server.java")
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]


@contextmanager
def _locked() -> Iterator[None]:
    """Several test processes may start at once; the kernel frees the lock of one that dies."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(home: Path, *, maven: str, javac: str) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        draft = Path(name) / "home"
        pom = str(SOURCES / "pom.xml")
        _run(
            maven,
            "-q",
            "-B",
            "-f",
            pom,
            "dependency:copy-dependencies",
            f"-DoutputDirectory={draft}/lib",
        )
        source = str(SOURCES / "Server.java")
        _run(javac, "--release", "17", "-cp", f"{draft}/lib/*", "-d", f"{draft}/classes", source)
        draft.rename(home)


def _run(*command: str) -> None:
    try:
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise CannotBuildError(f"{command[0]} failed: {error.stdout.strip()[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise CannotBuildError(f"{command[0]} took longer than {BUILD_SECONDS} s") from error
