"""LangChain and LangGraph on the same texts, with the same embedder, beside us.

They are installed into `.cache/bench-peers`, once; `dual_peers.py` runs there.
"""

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.corpus import Corpus
from bench.dual_bed import (
    COUNT,
    Messages,
    folder_of_its_own,
    heading,
    line,
    made_bed,
    messages,
    portions,
)
from dualstore.manager import DualStoreManager

SYSTEMS: Final = ("langchain", "langgraph")
BATCH: Final = 100
LIMIT: Final = 10
SINGLES: Final = 100
QUERIES: Final = 200

_ROOT: Final = Path(__file__).parent.parent
_HOME: Final = _ROOT / ".cache" / "bench-peers"
_PYTHON: Final = _HOME / "env" / "bin" / "python"
_SCRIPT: Final = Path(__file__).with_name("dual_peers.py")
_NEEDED: Final = (
    "langchain-chroma",
    "langchain-classic",
    "langgraph-checkpoint-sqlite",
    "sqlalchemy[asyncio]",
)
_ABLE: Final = (
    "import sqlite3, sys; sqlite3.connect(':memory:').enable_load_extension(True);"
    " sys.exit(sys.version_info < (3, 11))"
)


class PeersError(Exception):
    """Why the others can't be measured here."""


async def peers() -> None:
    """Everybody's single writes, batches and questions, in turn."""
    try:
        await asyncio.to_thread(_install)
    except PeersError as error:
        print(f"\nno peers: {error}")
        return
    given = {
        "batches": messages(COUNT),
        "singles": messages(SINGLES, seed=2, first=COUNT),
        "queries": [text[:60] for text in _texts(QUERIES)],
    }
    ours = await _ours(given)
    for system in SYSTEMS:
        try:
            _print(await asyncio.to_thread(_theirs, system, given), ours)
        except PeersError as error:
            print(f"\nno {system}: {error}")


def _texts(count: int) -> list[str]:
    corpus = Corpus(seed=3)
    return [corpus.text() for _ in range(count)]


async def _ours(given: dict[str, Any]) -> dict[str, float]:
    with folder_of_its_own() as folder:
        async with made_bed(folder) as bed, bed.family("peers") as manager:
            seconds = await _batches(manager, given["batches"])
            singles = [await _single(manager, each) for each in given["singles"]]
            acknowledged, searchable = map(statistics.median, zip(*singles, strict=True))
            queries = [await _query(manager, each) for each in given["queries"]]
    return {
        "per_second": COUNT / seconds,
        "single": acknowledged,
        "searchable": searchable,
        "query": statistics.median(queries),
    }


async def _batches(manager: DualStoreManager, given: Messages) -> float:
    start = time.perf_counter()
    for some in portions(given, BATCH):
        await manager.insert_many(some)
    await manager.drain()
    return time.perf_counter() - start


async def _single(manager: DualStoreManager, message: Any) -> tuple[float, float]:
    """Until it is acknowledged, and until it can be found by meaning."""
    start = time.perf_counter()
    await manager.insert(message)
    acknowledged = time.perf_counter() - start
    await manager.drain()
    return acknowledged, time.perf_counter() - start


async def _query(manager: DualStoreManager, query: str) -> float:
    start = time.perf_counter()
    found = await manager.search(query, "semantic", limit=LIMIT)
    seconds = time.perf_counter() - start
    if len(found.hits) < LIMIT:
        raise SystemExit("a question was answered with too little")
    return seconds


async def answers(system: str, corpora: Sequence[Mapping[str, Any]]) -> list[list[list[str]]]:
    """What a system finds: for each corpus and query the ids, best first."""
    await asyncio.to_thread(_install)
    found: list[list[list[str]]] = await asyncio.to_thread(_theirs, system, {"corpora": corpora})
    return found


async def speed(system: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """How long a system takes for `batches`, `singles` and `queries`."""
    await asyncio.to_thread(_install)
    found: dict[str, Any] = await asyncio.to_thread(_theirs, system, given)
    return found


def _theirs(system: str, given: Mapping[str, Any]) -> Any:
    with folder_of_its_own() as folder:
        texts = folder / "texts.json"
        texts.write_text(json.dumps(given), encoding="utf-8")
        done = _run(str(_PYTHON), str(_SCRIPT), str(texts), str(folder), system)
    return json.loads(done.splitlines()[-1])


def _print(theirs: dict[str, Any], ours: dict[str, float]) -> None:
    """Ratios that are the better the larger they are."""
    heading("ours", "theirs", "times")
    print(theirs["version"])
    line(
        f"batches of {BATCH}, a second, until searchable",
        ours["per_second"],
        theirs["per_second"],
        ratio=ours["per_second"] / theirs["per_second"],
    )
    rows = {
        "single write, ms, ours until acknowledged": ("single", "single"),
        "single write, ms, ours until searchable": ("searchable", "single"),
        f"question, {COUNT:,} entries, ms": ("query", "query"),
    }
    for name, (mine, other) in rows.items():
        times = ours[mine] * 1e3, theirs[other] * 1e3
        line(name, *times, ratio=times[1] / times[0])


def _install() -> None:
    """Once; with a Python whose SQLite loads extensions, which not every one does."""
    wanted = "\n".join(_NEEDED)
    installed = _HOME / "installed"
    if installed.exists() and installed.read_text(encoding="utf-8") == wanted:
        return
    able = [each for each in _pythons() if _is_able(each)]
    if not able:
        raise PeersError("no Python 3.11 or newer here has an SQLite that loads extensions")
    print(f"installing the peers into {_HOME.relative_to(_ROOT)} ...", flush=True)
    shutil.rmtree(_HOME, ignore_errors=True)
    _run(able[0], "-m", "venv", str(_HOME / "env"))
    _run(str(_PYTHON), "-m", "pip", "install", "--quiet", "--editable", str(_ROOT), *_NEEDED)
    installed.write_text(wanted, encoding="utf-8")


def _pythons() -> list[str]:
    found = (sys.executable, shutil.which("python3"), "/usr/bin/python3")
    return list(dict.fromkeys(each for each in found if each and Path(each).exists()))


def _is_able(python: str) -> bool:
    done = subprocess.run((python, "-c", _ABLE), check=False, capture_output=True)
    return done.returncode == 0


def _run(*command: str) -> str:
    """Its output."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise PeersError(f"{command[1:3]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
