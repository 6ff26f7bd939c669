"""A TCP proxy that breaks MongoDB connections at a chosen command.

It runs in a thread with a loop of its own, so that synchronous and asynchronous tests can use it
and the loop under test doesn't disturb it. Every method may be called from any thread.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Self, assert_never

from tests.support.messages import Message, read_message

PATIENCE_SECONDS = 10.0

# What reads and writes data. Handshakes, monitoring and goodbyes come when the driver likes.
COUNTED = frozenset(
    {
        "aggregate",
        "bulkWrite",
        "collMod",
        "count",
        "create",
        "createIndexes",
        "delete",
        "distinct",
        "drop",
        "dropDatabase",
        "dropIndexes",
        "find",
        "findAndModify",
        "findandmodify",
        "getMore",
        "insert",
        "listCollections",
        "listIndexes",
        "update",
    }
)


class Fault(Enum):
    """What happens to one command."""

    CUT_BEFORE = auto()
    CUT_AFTER = auto()
    CUT_MID_ANSWER = auto()
    STALL = auto()
    STALL_ANSWER = auto()


@dataclass(frozen=True)
class Trap:
    """A fault that waits for the command with this number."""

    at: int
    fault: Fault
    reset: bool = False


@dataclass(eq=False)
class _Connection:
    """A client's connection and ours to the server."""

    from_client: asyncio.StreamReader
    to_client: asyncio.StreamWriter
    from_server: asyncio.StreamReader
    to_server: asyncio.StreamWriter
    sprung: dict[int, Trap] = field(default_factory=dict)  # by the id of the command

    def close(self) -> None:
        self.to_client.close()
        self.to_server.close()

    def cut(self, trap: Trap) -> None:
        """End it as the trap says: with a reset, or with an orderly goodbye."""
        if trap.reset:
            raw = self.to_client.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.to_client.transport.abort()
        self.close()


class TcpProxy:
    """Forwards everything to the target until it is told what to break. A context manager.

    Commands are numbered from 1, counting from the call that arms a fault; only those named in
    `counted` have a number. An armed fault strikes once, on one connection.
    """

    def __init__(
        self, target_host: str, target_port: int, *, counted: frozenset[str] = COUNTED
    ) -> None:
        self.port = 0
        self._target = (target_host, target_port)
        self._counted = counted
        self._commands: list[str] = []
        self._struck: list[Fault] = []
        self._traps: list[Trap] = []
        self._connections: set[_Connection] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self._something_struck = threading.Event()
        self._gate = asyncio.Event()
        self._stopping = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)

    # What has happened

    @property
    def commands(self) -> list[str]:
        """The names of the counted commands that have arrived, also of those that were cut."""
        return list(self._commands)

    @property
    def struck(self) -> list[Fault]:
        """The faults that have struck: none after an operation means that n was past its end."""
        return list(self._struck)

    def wait_until_struck(self, timeout: float = PATIENCE_SECONDS) -> None:
        """Wait for the next fault. It blocks: from a loop under test call it in a thread."""
        if not self._something_struck.wait(timeout):
            raise TimeoutError(f"no fault has struck in {timeout} s")

    # What shall happen

    def cut_before(self, n: int, *, reset: bool = False) -> None:
        """Close the connection instead of forwarding the nth command."""
        self._arm(n, Fault.CUT_BEFORE, reset)

    def cut_after(self, n: int, *, reset: bool = False) -> None:
        """Let the nth command take effect, then close instead of forwarding its answer."""
        self._arm(n, Fault.CUT_AFTER, reset)

    def cut_mid_answer(self, n: int, *, reset: bool = False) -> None:
        """Let the nth command take effect, forward half of its answer, then close."""
        self._arm(n, Fault.CUT_MID_ANSWER, reset)

    def stall(self, n: int) -> None:
        """Hold the nth command until `release`. It then takes effect, even if its client left."""
        self._arm(n, Fault.STALL)

    def stall_answer(self, n: int) -> None:
        """Let the nth command take effect and hold its answer until `release`."""
        self._arm(n, Fault.STALL_ANSWER)

    def release(self) -> None:
        """Let everything go that is held."""
        self._do(self._open_gate)

    def refuse(self) -> None:
        """Close all connections and refuse new ones."""
        self._do(self._shut)

    def heal(self) -> None:
        """Disarm, release, accept connections again, on the same port. Commands stay counted."""
        self._do(self._mend)
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(PATIENCE_SECONDS)

    # Its life

    def __enter__(self) -> Self:
        self._thread.start()
        self.heal()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._do(self._stopping.set)
        self._thread.join(PATIENCE_SECONDS)
        if self._errors:
            raise BaseExceptionGroup("the proxy itself failed", self._errors)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        await self._stopping.wait()
        self._open_gate()
        self._shut()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def _arm(self, n: int, fault: Fault, reset: bool = False) -> None:
        def arm() -> None:
            self._something_struck.clear()
            self._traps.append(Trap(at=len(self._commands) + n, fault=fault, reset=reset))

        self._do(arm)

    def _do(self, action: Callable[[], None]) -> None:
        """Do it in the proxy's own thread, and come back when it is done."""

        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(PATIENCE_SECONDS)

    # In the proxy's own thread

    def _open_gate(self) -> None:
        gate, self._gate = self._gate, asyncio.Event()
        gate.set()

    def _mend(self) -> None:
        self._traps.clear()
        self._open_gate()

    def _shut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._connections:
            connection.close()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.create_task(self._serve(reader, writer))
        self._handlers.add(handler)
        handler.add_done_callback(self._handled)

    def _handled(self, handler: asyncio.Task[None]) -> None:
        self._handlers.discard(handler)
        if (error := handler.exception()) is not None:
            self._errors.append(error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        connection = _Connection(reader, writer, *server)
        self._connections.add(connection)
        try:
            if self._listener is not None:  # nobody refused while we were connecting
                await self._pump_both_ways(connection)
        finally:
            connection.close()
            self._connections.discard(connection)

    async def _pump_both_ways(self, connection: _Connection) -> None:
        pumps = {
            asyncio.create_task(self._pump_commands(connection)),
            asyncio.create_task(self._pump_answers(connection)),
        }
        finished, unfinished = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in unfinished:
            pump.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        for pump in finished:
            pump.result()

    async def _pump_commands(self, connection: _Connection) -> None:
        while (command := await read_message(connection.from_client)) is not None:
            if not await self._may_pass(command, connection):
                return
            await _forward(command.raw, connection.to_server)

    async def _pump_answers(self, connection: _Connection) -> None:
        while (answer := await read_message(connection.from_server)) is not None:
            if not await self._may_return(answer, connection):
                return
            await _forward(answer.raw, connection.to_client)

    async def _may_pass(self, command: Message, connection: _Connection) -> bool:
        """Whether the command may go on to the server."""
        trap = self._spring(command)
        if trap is None:
            return True
        if trap.fault not in {Fault.CUT_BEFORE, Fault.STALL}:
            connection.sprung[command.id] = trap
            return True
        return await self._strike(trap, connection)

    async def _may_return(self, answer: Message, connection: _Connection) -> bool:
        """Whether the answer may go on to the client."""
        trap = connection.sprung.pop(answer.answers, None)
        if trap is None:
            return True
        if trap.fault is Fault.CUT_MID_ANSWER:
            await _forward(answer.raw[: len(answer.raw) // 2], connection.to_client)
        return await self._strike(trap, connection)

    async def _strike(self, trap: Trap, connection: _Connection) -> bool:
        """Let the trap do what it is for; whether what sprang it may go on afterwards."""
        self._struck.append(trap.fault)
        self._something_struck.set()
        match trap.fault:
            case Fault.STALL | Fault.STALL_ANSWER:
                await self._gate.wait()
                return True
            case Fault.CUT_BEFORE | Fault.CUT_AFTER | Fault.CUT_MID_ANSWER:
                connection.cut(trap)
                return False
            case _:
                assert_never(trap.fault)

    def _spring(self, command: Message) -> Trap | None:
        """Count the command; the trap that it springs, if any."""
        if command.command not in self._counted:
            return None
        self._commands.append(command.command)
        trap = next((trap for trap in self._traps if trap.at == len(self._commands)), None)
        if trap is not None:
            self._traps.remove(trap)
        return trap


async def _forward(data: bytes, writer: asyncio.StreamWriter) -> None:
    """Send it; that the other side has left is seen by its reader."""
    with suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
