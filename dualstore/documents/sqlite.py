"""The embedded default: one SQLite file, shared by any number of processes."""

import sqlite3
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self

from dualstore.documents import sqlite_layout
from dualstore.documents.base import Database, DocumentStore, Health
from dualstore.documents.doors import record_family
from dualstore.documents.sqlite_documents import SqliteDocuments
from dualstore.documents.sqlite_lanes import Lanes, writing
from dualstore.documents.sqlite_records import SqliteRecords
from dualstore.errors import StoragePermissionError
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
        self.path = Path(path)
        self._busy_timeout = busy_timeout
        self._metrics = metrics or Metrics()
        connect = partial(
            sqlite_layout.connect, self.path, busy_timeout=busy_timeout, synchronous=synchronous
        )
        self._writer = Lanes(connect, self.path, width=1, name="writer")
        self._readers = Lanes(connect, self.path, width=READERS, name="reader")
        self.records = SqliteRecords(writer=self._writer, readers=self._readers)

    async def __aenter__(self) -> Self:
        _make_folder(self.path)
        try:
            await self._writer.run(
                partial(sqlite_layout.prepare, path=self.path, busy_timeout=self._busy_timeout)
            )
        except BaseException:
            await self.__aexit__()
            raise
        return self

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

    async def health(self) -> Health:
        def job(connection: sqlite3.Connection) -> Health:
            (layout,) = connection.execute("PRAGMA user_version").fetchone()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (size,) = connection.execute("PRAGMA page_size").fetchone()
            return Health(f"SQLite {sqlite3.sqlite_version}", str(self.path), layout, pages * size)

        return await self._readers.run(job)


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoragePermissionError(
            f"the folder {path.parent} can't be made: {error.strerror or error}"
        ) from error
