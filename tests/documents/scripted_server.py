"""A MongoDB server that answers what a test tells it to: for errors that no other can be led to."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import bson

from tests.support.messages import HEADER, OP_MSG, Message, read_message

OP_REPLY = 1
Command = dict[str, Any]
Script = Callable[[str, Command], Command | None]
"""What to answer to a command, by its name; None for what a healthy empty server says."""

GREETING: Command = {
    "ismaster": True,
    "isWritablePrimary": True,
    "maxBsonObjectSize": 16 * 1024 * 1024,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "minWireVersion": 0,
    "maxWireVersion": 17,
    "ok": 1,
}


def refusal(code: int, reason: str) -> Command:
    """A command that failed as a whole."""
    return {"ok": 0, "code": code, "errmsg": reason}


@asynccontextmanager
async def scripted_server(script: Script) -> AsyncIterator[str]:
    """Its address, host and port."""

    served: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served[writer] = asyncio.current_task()
        while message := await read_message(reader):
            writer.write(_answer(message, script))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in served:
            writer.close()
        await asyncio.gather(*filter(None, served.values()), return_exceptions=True)


def _answer(message: Message, script: Script) -> bytes:
    if message.opcode != OP_MSG:  # the first greeting
        return _packed(OP_REPLY, message.id, struct.pack("<iqii", 8, 0, 0, 1), GREETING)
    command = _command(message.raw)
    said = script(message.command, command) or _healthy(message.command, command)
    return _packed(OP_MSG, message.id, struct.pack("<iB", 0, 0), said)


def _packed(opcode: int, answers: int, head: bytes, document: Command) -> bytes:
    body = head + bson.encode(document)
    return HEADER.pack(HEADER.size + len(body), 0, answers, opcode) + body


def _command(raw: bytes) -> Command:
    """With the documents of its other section, if there is one, under their own name."""
    at = HEADER.size + 4
    command: Command = {}
    while at < len(raw):
        kind, (size,) = raw[at], struct.unpack_from("<i", raw, at + 1)
        if kind == 0:
            command |= bson.decode(raw[at + 1 : at + 1 + size])
        else:
            end = raw.index(b"\0", at + 5)
            name = raw[at + 5 : end].decode()
            command[name] = bson.decode_all(raw[end + 1 : at + 1 + size])
        at += 1 + size
    return command


def _healthy(name: str, command: Command) -> Command:
    match name:
        case "find" | "aggregate":
            place = f"db.{command[name]}"
            return {"cursor": {"id": 0, "ns": place, "firstBatch": []}, "ok": 1}
        case "insert":
            return {"n": len(command["documents"]), "ok": 1}
        case "update":
            return {"n": 0, "nModified": 0, "ok": 1}
        case "hello" | "ismaster":
            return GREETING
        case _:
            return {"n": 0, "version": "5.0.0", "ok": 1}
