"""MongoDB's wire messages, as far as a proxy must understand them."""

import asyncio
import struct
from dataclasses import dataclass

HEADER = struct.Struct("<iiii")  # length of the whole message, its id, the id it answers, opcode
OP_MSG = 2013
BODY, DOCUMENTS = 0, 1  # the kinds of a section of OP_MSG


@dataclass(frozen=True)
class Message:
    """One message as it came, with what its header says."""

    raw: bytes
    id: int
    answers: int
    opcode: int

    @property
    def command(self) -> str:
        """The name of the command, "" for an old opcode. An answer has no sensible one."""
        return _first_key(self.raw[_body(self.raw) :]) if self.opcode == OP_MSG else ""


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """The next message, None when the connection has ended, be it in the middle of one."""
    try:
        header = await reader.readexactly(HEADER.size)
        length, identity, answers, opcode = HEADER.unpack(header)
        rest = await reader.readexactly(length - HEADER.size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return Message(raw=header + rest, id=identity, answers=answers, opcode=opcode)


def _body(raw: bytes) -> int:
    """Where the document of the body section begins."""
    at = HEADER.size + 4  # behind the flags
    while raw[at] == DOCUMENTS:
        (size,) = struct.unpack_from("<i", raw, at + 1)
        at += 1 + size
    return at + 1


def _first_key(document: bytes) -> str:
    """BSON: four bytes of length, one of type, then the key up to a NUL."""
    return document[5 : document.index(b"\0", 5)].decode()
