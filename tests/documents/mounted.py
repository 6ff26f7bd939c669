"""A database on a full or a read-only disk: `python -m tests.documents.mounted HOW FOLDER`.

Meant for a mount namespace of its own, so that no mount outlives it. Prints what happened as JSON;
leaves with 77 where this user may not mount.
"""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from dualstore.documents.sqlite import SqliteDatabase
from dualstore.errors import DualStoreError
from tests.documents.writing import NOW, SPEC, draft

CANNOT_MOUNT = 77
DISK = 4 * 1024 * 1024


def main(how: str, folder: Path) -> None:
    """Each way prints a mapping."""
    match how:
        case "read-only":
            _mount("--bind", folder, folder)
            _mount("-o", "remount,ro,bind", folder)
            errors = [asyncio.run(_refusal(folder / name)) for name in ("new.db", "documents.db")]
            print(json.dumps({"errors": errors, "open": _open_files(folder)}))
        case "full":
            _mount("-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder)
            print(json.dumps(asyncio.run(_fill(folder / "documents.db"))))
        case _:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (DISK, DISK))
            print(json.dumps(asyncio.run(_fill(folder / "documents.db"))))


def _mount(*arguments: str | Path) -> None:
    command = ["mount", *map(str, arguments)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        sys.exit(CANNOT_MOUNT)


def _open_files(folder: Path) -> list[str]:
    """What this process still has open there."""
    links = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    return [link for link in links if link.startswith(f"{folder}{os.sep}")]


async def _refusal(path: Path) -> str:
    try:
        async with SqliteDatabase(path) as database:
            await (await database.family(SPEC)).put([draft("new")], now=NOW)
    except DualStoreError as error:
        return _told(error)
    return "written"


async def _fill(path: Path) -> dict[str, Any]:
    """Write until there is no room left, then look what is there."""
    acknowledged: list[str] = []
    told = ""
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        while not told:
            names = [f"{len(acknowledged) + number:06}" for number in range(5)]
            try:
                await store.put([draft(name, f"{name} " * 2000) for name in names], now=NOW)
                acknowledged += names
            except DualStoreError as error:
                told = _told(error)
    async with SqliteDatabase(path) as database:
        store = await database.family(SPEC)
        found = [one.id for one in await store.scan(limit=10**6)]
        texts = await store.get(found)
    readable = all(texts[name].text == f"{name} " * 2000 for name in found)
    return {"acknowledged": acknowledged, "error": told, "found": found, "readable": readable}


def _told(error: DualStoreError) -> str:
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
