"""The embedded default: one SQLite file, shared by any number of processes."""

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self

from dualstore.documents import sqlite_layout
from dualstore.documents.base import Database, DocumentStore, Health
from dualstore.documents.families import record_family, recorded_specs, respec_family
from dualstore.documents.sqlite_documents import SqliteDocuments
from dualstore.documents.sqlite_errors import mapped
from dualstore.documents.sqlite_journal import SqliteJournal
from dualstore.documents.sqlite_lanes import Lanes, writing
from dualstore.documents.sqlite_records import SqliteRecords
from dualstore.documents.sqlite_respec import Rederiver
from dualstore.errors import SettingsError, StoragePermissionError, shown
from dualstore.family import FamilySpec
from dualstore.metrics import Metrics

READERS: Final = 3
BUSY_TIMEOUT: Final = 30.0


class SqliteDatabase(Database):
    """A file, made with its folder when it is missing.

    `synchronous="normal"` survives the death of any process; `"full"` also that of the machine,
    and makes a single write about three times as slow. A write waits `busy_timeout` seconds for
    other processes before it is unavailable.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        synchronous: Literal["normal", "full"] = "normal",
        busy_timeout: float = BUSY_TIMEOUT,
        metrics: Metrics | None = None,
    ) -> None:
        self.path = _checked(path)
        self._busy_timeout = busy_timeout
        self._metrics = metrics or Metrics()
        connect = partial(
            sqlite_layout.connect, self.path, busy_timeout=busy_timeout, synchronous=synchronous
        )
        self._connect = connect
        self._writer = Lanes(partial(connect, create=False), self.path, width=1, name="writer")
        self._readers = Lanes(
            partial(connect, create=False), self.path, width=READERS, name="reader"
        )
        self.records = SqliteRecords(writer=self._writer, readers=self._readers)
        self.journal = SqliteJournal(writer=self._writer, readers=self._readers)

    async def __aenter__(self) -> Self:
        self._writer.start()
        self._readers.start()
        try:
            await asyncio.to_thread(self._prepare)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    def _prepare(self) -> None:
        """The one connection that may make the file: a later one would hide that it is gone."""
        _make_folder(self.path)
        try:
            with closing(self._connect(create=True)) as connection:
                sqlite_layout.prepare(connection, self.path, busy_timeout=self._busy_timeout)
        except (sqlite3.Error, OSError) as error:
            raise mapped(error, self.path) from error

    async def __aexit__(self, *details: object) -> None:
        await self._readers.stop()
        await self._writer.stop()

    async def family(self, spec: FamilySpec) -> DocumentStore:
        await record_family(self.records, spec)

        def job(connection: sqlite3.Connection) -> int:
            with writing(connection):
                return sqlite_layout.family_number(connection, spec.name)

        number = await self._writer.run(job)
        return SqliteDocuments(
            spec, number, writer=self._writer, readers=self._readers, metrics=self._metrics
        )

    async def specs(self) -> list[FamilySpec]:
        return await recorded_specs(self.records)

    async def respec(self, spec: FamilySpec, *, now: int) -> None:
        async def rederive(made: FamilySpec, after: str | None, limit: int) -> str | None:
            def job(connection: sqlite3.Connection) -> str | None:
                with writing(connection):
                    number = sqlite_layout.family_number(connection, spec.name)
                    rederiver = Rederiver(made, spec, number)
                    return rederiver.step(connection, after=after, limit=limit, now=now)

            return await self._writer.run(job)

        await respec_family(self.records, spec, rederive)

    async def health(self) -> Health:
        def job(connection: sqlite3.Connection) -> Health:
            (layout,) = connection.execute("PRAGMA user_version").fetchone()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (size,) = connection.execute("PRAGMA page_size").fetchone()
            return Health(f"SQLite {sqlite3.sqlite_version}", str(self.path), layout, pages * size)

        return await self._readers.run(job)


def _checked(path: Path | str) -> Path:
    """Absolute, so that it means the same file wherever the process goes."""
    name = str(path)
    if not name or name == ":memory:" or "\0" in name:
        raise SettingsError(f"{shown(name)} is no path of a file; SQLite is used with files only")
    return Path(name).absolute()


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoragePermissionError(
            f"the folder {path.parent} can't be made: {error.strerror or error}"
        ) from error
