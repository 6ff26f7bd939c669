"""A process that uses a private server: `python -m tests.support.chroma_user FOLDER WHAT [NAME]`.

It says what it has done, a line of JSON each, and leaves in order when its standard input ends.

- `stay`: opens the index, says what `server.json` says, and stays.
- `write`: writes vector after vector, and says each id once it is acknowledged.
- `hold`: holds the folder with `chroma+embedded`.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import numpy as np

from dualstore.vectors.base import VectorItem
from dualstore.vectors.chroma import ChromaEmbedded
from dualstore.vectors.chroma_server import ChromaPrivate

INDEX = "shared"
DIMENSION = 8
LINGER = 0.5


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def item(name: str) -> VectorItem:
    """A vector that can be told by its name."""
    codes = np.frombuffer(name.encode().rjust(DIMENSION, b"."), np.uint8)[-DIMENSION:]
    return VectorItem(name, (codes / 16).astype(np.float32), {"name": name})


async def stay(folder: Path, ended: asyncio.Event) -> None:
    async with ChromaPrivate(folder, linger=LINGER) as place:
        await place.index(INDEX, dimension=DIMENSION)
        say(json.loads((folder / "server.json").read_text()))
        await ended.wait()


async def write(folder: Path, ended: asyncio.Event, name: str) -> None:
    async with ChromaPrivate(folder, linger=LINGER) as place:
        index = await place.index(INDEX, dimension=DIMENSION)
        number = 0
        while not ended.is_set():
            await index.upsert([item(f"{name}-{number}")])
            say(f"{name}-{number}")
            number += 1


async def hold(folder: Path, ended: asyncio.Event) -> None:
    async with ChromaEmbedded(folder) as place:
        await place.index(INDEX, dimension=DIMENSION)
        say("held")
        await ended.wait()


def _end_of_input() -> asyncio.Event:
    """Without a thread: a process that fails must not wait for one."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def read() -> None:
        if not os.read(0, 1024):
            loop.remove_reader(0)
            ended.set()

    loop.add_reader(0, read)
    return ended


async def main(folder: str, what: str, name: str = "") -> None:
    ended = _end_of_input()
    match what:
        case "stay":
            await stay(Path(folder), ended)
        case "write":
            await write(Path(folder), ended, name)
        case "hold":
            await hold(Path(folder), ended)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
