"""The watcher of a private Chroma server: `python chroma_watcher.py FOLDER REPORT OPTIONS`.

It runs by path and imports nothing but a few modules of the standard library, so that it is up in
some milliseconds. It starts Chroma on the folder, says in `server.json` where it is, and ends it
a few seconds after the last user has left. What it holds tells everybody else how things are:

- `server.lock`, alone, shared with Chroma through an inherited descriptor: somebody owns the
  folder's files as long as either of the two lives.
- `users.lock` is what users share. Who gets it alone knows that nobody is left.

REPORT is a descriptor: one line of JSON goes there when Chroma is ready, or why it isn't.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import select
import signal
import socket
import sys
import time

SERVER_LOCK = "server.lock"
USERS_LOCK = "users.lock"
START_LOCK = "start.lock"
ANNOUNCEMENT = "server.json"
LOG = "server.log"

HOST = "127.0.0.1"
DATABASES = "/api/v2/tenants/default_tenant/databases"
PREFIX = "dualstore-proof-"
SERVED = "private server\n"
MAX_LOG = 256 * 1024
TICK = 0.2
PATIENCE = 5.0
PORTS = 5
NO_PROGRAM = 127

PR_SET_PDEATHSIG = 1


def ask(
    port: int, method: str, path: str, body: bytes = b"", timeout: float = 2.0
) -> tuple[int, bytes]:
    """Status and body of the answer; 0 when there was none."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = b""
    try:
        with socket.create_connection((HOST, port), timeout) as connection:
            connection.sendall(head.encode() + body)
            while len(answer) < 1 << 20 and (piece := connection.recv(1 << 16)):
                answer += piece
    except OSError:
        return 0, b""
    top, _, said = answer.partition(b"\r\n\r\n")
    status = top.split(maxsplit=2)[1:2]
    return (int(status[0]), said) if status and status[0].isdigit() else (0, b"")


def proves(port: int, database: str, timeout: float = 2.0) -> bool:
    """Whether the server at this port is the one that made this database."""
    status, said = ask(port, "GET", f"{DATABASES}/{database}", timeout=timeout)
    try:
        answer = json.loads(said) if status == 200 else None
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("name") == database


class CannotStartError(Exception):
    """Why there is no server; the keyword arguments are what the starter is told."""

    def __init__(self, **facts: object) -> None:
        super().__init__(repr(facts))
        self.facts = facts


class Watcher:
    """The life of one server, from its start to its end."""

    def __init__(
        self,
        folder: str,
        *,
        program: list[str],
        linger: float,
        patience: float,
        kernel_ties: bool = sys.platform == "linux",
    ) -> None:
        self.folder = folder
        self.program = program
        self.linger = linger
        self.patience = patience
        self.kernel_ties = kernel_ties
        self.leash = -1
        self.database = PREFIX + secrets.token_hex(16)
        self.port = 0
        self.child = 0
        self.status: int | None = None
        self.lock = -1
        self.awake, waker = os.pipe()
        os.set_blocking(self.awake, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    def start(self) -> None:
        """Raises `CannotStartError`, and leaves nothing behind."""
        self.own_folder()
        for _ in range(PORTS):
            with reserved_port() as self.port:
                self.spawn()
                if self.becomes_ready():
                    self.announce()
                    return
        raise CannotStartError(ended=self.status, said=self.log_tail())

    def own_folder(self) -> None:
        self.lock = os.open(self.path(SERVER_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        until = time.monotonic() + 1.0
        while not try_lock(self.lock):  # whoever asks how things are holds it for a moment
            if time.monotonic() > until:
                raise CannotStartError(taken=True)
            time.sleep(0.01)
        os.truncate(self.lock, 0)
        os.pwrite(self.lock, SERVED.encode(), 0)

    def spawn(self) -> None:
        self.status = None
        self.log_start = os.stat(self.path(LOG)).st_size
        watcher = os.getpid()
        self.child = os.fork()
        if self.child == 0:
            self.become_chroma(watcher)
        if not self.kernel_ties:
            self.put_on_leash()

    def become_chroma(self, watcher: int) -> None:
        try:
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            if self.kernel_ties:
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
                if os.getppid() != watcher:
                    os._exit(0)
            os.set_inheritable(self.lock, True)
            arguments = ["run", "--path", self.folder, "--host", HOST, "--port", str(self.port)]
            os.execvpe(self.program[0], [*self.program, *arguments], environment())
        except OSError as error:
            print(f"{self.program[0]}: {error.strerror}", file=sys.stderr, flush=True)
        finally:
            os._exit(NO_PROGRAM)

    def put_on_leash(self) -> None:
        """Where the kernel doesn't end Chroma with its watcher, a process waits and does it."""
        self.let_off_leash()
        held, self.leash = os.pipe()
        if os.fork() == 0:
            os.closerange(3, held)
            os.closerange(held + 1, 1024)
            if os.read(held, 1) == b"":
                os.kill(self.child, signal.SIGTERM)
            os._exit(0)
        os.close(held)

    def let_off_leash(self) -> None:
        if self.leash >= 0:
            os.write(self.leash, b".")
            os.close(self.leash)
            self.leash = -1

    def becomes_ready(self) -> bool:
        """False when the port was taken by somebody else meanwhile."""
        until = time.monotonic() + self.patience
        while not self.has_ended():
            if ask(self.port, "GET", "/api/v2/heartbeat")[0] == 200 and self.makes_proof():
                return not self.has_ended()
            if time.monotonic() > until:
                self.end()
                raise CannotStartError(slow=self.patience, said=self.log_tail())
            self.sleep(0.01)
        if self.status == 0:  # this is how Chroma says that the port is taken
            return False
        raise CannotStartError(ended=self.status, said=self.log_tail())

    def makes_proof(self) -> bool:
        wanted = json.dumps({"name": self.database}).encode()
        status, said = ask(self.port, "POST", DATABASES, wanted)
        if status != 200:
            self.end()
            raise CannotStartError(refused=status, said=said.decode(errors="replace"))
        for each in json.loads(ask(self.port, "GET", DATABASES)[1] or b"[]"):
            if each["name"].startswith(PREFIX) and each["name"] != self.database:
                ask(self.port, "DELETE", f"{DATABASES}/{each['name']}")
        return proves(self.port, self.database)

    def announce(self) -> None:
        """In one step, so that nobody reads a half."""
        draft = self.path(f"{ANNOUNCEMENT}.{os.getpid()}")
        with open(draft, "w") as file:
            json.dump(self.facts(), file)
        os.replace(draft, self.path(ANNOUNCEMENT))

    def facts(self) -> dict[str, object]:
        return {
            "port": self.port,
            "database": self.database,
            "folder": self.folder,
            "inode": os.fstat(self.lock).st_ino,
        }

    def announced(self) -> object:
        try:
            with open(self.path(ANNOUNCEMENT)) as file:
                return json.load(file)
        except (OSError, ValueError):
            return None

    def watch(self) -> None:
        """Until Chroma has ended, the folder has gone elsewhere, or nobody is left."""
        users = os.open(self.path(USERS_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        idle_since: float | None = None
        while not self.has_ended() and self.is_in_place():
            now = time.monotonic()
            if not try_lock(users):
                idle_since = None
            elif idle_since is None or now < idle_since + self.linger:
                fcntl.flock(users, fcntl.LOCK_UN)
                idle_since = idle_since or now
            else:
                return  # with the lock held: who comes now waits, and starts the next server
            self.keep_in_order()
            self.sleep(TICK)

    def keep_in_order(self) -> None:
        with contextlib.suppress(OSError):
            if os.stat(self.path(LOG)).st_size > MAX_LOG:
                os.truncate(self.path(LOG), 0)
        with contextlib.suppress(OSError):
            if self.announced() != self.facts():
                self.announce()

    def end(self) -> None:
        """Chroma is gone afterwards."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.child and not self.has_ended():
                os.kill(self.child, number)
                until = time.monotonic() + PATIENCE
                while not self.has_ended() and time.monotonic() < until:
                    self.sleep(0.05)
        self.let_off_leash()

    def withdraw(self) -> None:
        """Nobody needs to try an address that no longer answers."""
        with contextlib.suppress(OSError):
            if self.lock >= 0 and self.announced() == self.facts():
                os.unlink(self.path(ANNOUNCEMENT))

    def has_ended(self) -> bool:
        if self.status is None:
            ended, status = os.waitpid(self.child, os.WNOHANG)
            if ended:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self.lock), os.stat(self.path(SERVER_LOCK)))
        except OSError:
            return False

    def sleep(self, seconds: float) -> None:
        """Less when Chroma ends meanwhile."""
        select.select([self.awake], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self.awake, 4096)

    def log_tail(self) -> str:
        with open(self.path(LOG), "rb") as file:
            file.seek(self.log_start)
            return file.read()[-4000:].decode(errors="replace")

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)


class reserved_port:  # noqa: N801 - it reads as what it is
    """A free port that the system gives to nobody else who asks for any, until Chroma listens."""

    def __enter__(self) -> int:
        self.holder = socket.socket()
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.holder.bind((HOST, 0))
        return int(self.holder.getsockname()[1])

    def __exit__(self, *details: object) -> None:
        self.holder.close()


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def environment() -> dict[str, str]:
    """Ours, without what would make Chroma another one than the one we want."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHROMA_")}
    return {"RUST_LOG": "error", **kept, "ANONYMIZED_TELEMETRY": "False"}


def report(descriptor: int, facts: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # who asked may be gone
        os.write(descriptor, json.dumps(facts).encode() + b"\n")
        os.close(descriptor)


def main(folder: str, descriptor: int, options: dict[str, object]) -> None:
    if os.fork():
        os._exit(0)  # so that init reaps the watcher, and not whoever started it
    os.setsid()
    os.chdir("/")
    os.set_inheritable(descriptor, False)
    watcher = Watcher(folder, **options)  # type: ignore[arg-type]
    try:
        watcher.start()
        report(descriptor, {"ready": watcher.port})
        watcher.watch()
    except CannotStartError as error:
        report(descriptor, error.facts)
    except OSError as error:
        report(descriptor, {"errno": error.errno, "said": str(error)})
    finally:
        watcher.withdraw()
        watcher.end()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
