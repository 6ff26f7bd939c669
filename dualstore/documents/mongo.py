"""MongoDB: one database, shared by any number of processes and machines."""

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any, Final, Self
from urllib.parse import parse_qsl

from pymongo import ReadPreference, WriteConcern
from pymongo.database import Database as BlockingDatabase
from pymongo.errors import PyMongoError
from pymongo.topology_description import TopologyDescription

from dualstore.documents.base import Database, DocumentStore, Health
from dualstore.documents.families import record_family, recorded_specs, respec_family
from dualstore.documents.mongo_collection import MongoCollection
from dualstore.documents.mongo_documents import MongoDocuments
from dualstore.documents.mongo_journal import MongoJournal
from dualstore.documents.mongo_line import Line
from dualstore.documents.mongo_records import MongoRecords
from dualstore.documents.mongo_respec import MongoRederiver
from dualstore.errors import SettingsError, StorageError, StorageLayoutError, shown
from dualstore.family import FamilySpec
from dualstore.metrics import Metrics

LAYOUT_SPACE: Final = "dualstore.layout"
LAYOUT_KEY: Final = "version"
DEFAULT_NAME: Final = "dualstore"

# Step n makes layout n + 2 of layout n + 1. It may be cut off anywhere, or run in two processes
# at once, so doing it again must change nothing.
_MIGRATIONS: Final[tuple[Callable[["MongoDatabase"], Awaitable[None]], ...]] = (
    lambda database: database.prepare_journal(),
)
LAYOUT: Final = len(_MIGRATIONS) + 1

_NAME_LIMIT: Final = 80
_NAME_HEAD: Final = 60
_DRIVER_TIMEOUTS: Final = (
    "serverSelectionTimeoutMS",
    "connectTimeoutMS",
    "socketTimeoutMS",
    "waitQueueTimeoutMS",
)
_SOONER: Final = 0.9
"""The driver knows what it waited for, so it gives up before we do."""


class MongoDatabase(Database):
    """A database object of motor or of PyMongo's asynchronous client.

    It stays its owner's: it is closed here only with `close_client`. No call waits longer than
    `timeout` seconds.
    """

    # motor has no types, and its databases have no common type with PyMongo's
    def __init__(
        self,
        database: Any,
        *,
        timeout: float = 10.0,
        close_client: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        if isinstance(database, str | BlockingDatabase):
            raise SettingsError(
                "a database of motor or of PyMongo's AsyncMongoClient is needed, not "
                f"{type(database).__name__}; for a URL there is MongoDatabase.from_url"
            )
        self._database = _durable(database)
        self._close_client = close_client
        self._metrics = metrics or Metrics()
        self._line = Line(self._locate, timeout=timeout)
        self.records = MongoRecords(self._collection("dualstore.records"))
        self._logs = MongoJournal(self._collection("dualstore.journal"))
        self.journal = self._logs

    @classmethod
    def from_url(cls, url: str, *, timeout: float = 10.0, metrics: Metrics | None = None) -> Self:
        """With a client of its own; the database is the one in the path, or `dualstore`."""
        from motor.motor_asyncio import AsyncIOMotorClient

        if not isinstance(url, str):
            raise SettingsError(f"a MongoDB URL is needed, not {shown(url)}")
        options: dict[str, Any] = _timeouts(url, timeout)
        try:
            client: Any = AsyncIOMotorClient(url, **options)
            database = client.get_default_database(DEFAULT_NAME)
        except (PyMongoError, ValueError, TypeError) as error:
            raise SettingsError(_refusal(url, error)) from None
        return cls(database, timeout=timeout, close_client=True, metrics=metrics)

    async def __aenter__(self) -> Self:
        try:
            await self._prepare()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *details: object) -> None:
        self._line.close()
        if self._close_client:
            await self._line.leave(self._database.client.close)

    async def family(self, spec: FamilySpec) -> DocumentStore:
        await record_family(self.records, spec)
        rows = self._collection(_collection_name(spec.name))
        store = MongoDocuments(spec, rows, self._metrics)
        await store.prepare()
        return store

    async def specs(self) -> list[FamilySpec]:
        return await recorded_specs(self.records)

    async def respec(self, spec: FamilySpec, *, now: int) -> None:
        rows = self._collection(_collection_name(spec.name))

        async def rederive(made: FamilySpec, after: str | None, limit: int) -> str | None:
            return await MongoRederiver(made, spec, rows, now=now).step(after, limit)

        await respec_family(self.records, spec, rederive)

    async def health(self) -> Health:
        build = await self._command("buildInfo")
        return Health(
            backend=f"MongoDB {build.get('version', 'of an unknown version')}",
            location=self._locate(),
            layout=LAYOUT,
            bytes=await self._bytes(),
        )

    async def _bytes(self) -> int | None:
        """Not everything that speaks MongoDB's protocol can say."""
        try:
            stats = await self._command("dbStats")
            return int(stats["storageSize"] + stats["indexSize"])
        except (StorageError, NotImplementedError, KeyError):
            return None

    async def _command(self, name: str) -> Any:
        return await self._line.call(lambda: self._database.command(name))

    async def _prepare(self) -> None:
        found = await self.records.get(LAYOUT_SPACE, LAYOUT_KEY)
        if found is not None and found.value > LAYOUT:
            raise StorageLayoutError(
                f"{self._locate()} has layout {found.value}, written by a newer release; "
                f"this one knows {LAYOUT}: update it"
            )
        await self.records.prepare()
        if found is None:
            await self.prepare_journal()
            await self.records.create(LAYOUT_SPACE, LAYOUT_KEY, LAYOUT)
        elif found.value < LAYOUT:
            for migrate in _MIGRATIONS[found.value - 1 :]:
                await migrate(self)
            await self.records.replace(found, LAYOUT)

    async def prepare_journal(self) -> None:
        """What layout 2 has beside layout 1."""
        await self._logs.prepare()

    def _collection(self, name: str) -> MongoCollection:
        return MongoCollection(self._database.get_collection(name), self._line)

    def _locate(self) -> str:
        """The addresses and the name; the driver keeps user and password elsewhere."""
        known = getattr(self._database.client, "topology_description", None)
        if not isinstance(known, TopologyDescription):
            return f"MongoDB database {self._database.name}"
        addresses = sorted(known.server_descriptions())
        # whose servers are named in the DNS, which has not been asked yet
        scheme = "mongodb+srv" if any(port is None for _, port in addresses) else "mongodb"
        hosts = ",".join(host if port is None else f"{host}:{port}" for host, port in addresses)
        return f"{scheme}://{hosts}/{self._database.name}"


def _collection_name(family: str) -> str:
    """The family's own, unless some servers would find it too long; no family's has a tilde."""
    if len(family) <= _NAME_LIMIT:
        return family
    return f"{family[:_NAME_HEAD]}~{blake2b(family.encode(), digest_size=8).hexdigest()}"


def _durable(database: Any) -> Any:
    """The same database, where a write is acknowledged once it survives, and is read at once."""
    try:
        return database.with_options(
            write_concern=WriteConcern("majority", j=True),
            read_preference=ReadPreference.PRIMARY,
        )
    except NotImplementedError:
        return database  # a double in memory: there is nothing to survive


def _timeouts(url: str, timeout: float) -> dict[str, Any]:
    """The driver's own, where the URL has none."""
    given = {name.lower() for name, _ in parse_qsl(url.partition("?")[2])}
    milliseconds = max(1, int(timeout * 1000 * _SOONER))
    return {name: milliseconds for name in _DRIVER_TIMEOUTS if name.lower() not in given}


def _refusal(url: str, error: Exception) -> str:
    """Without the driver's words where they could quote a password."""
    if "@" in url or "password" in url.lower():
        return (
            "the MongoDB URL can't be used: check its hosts and options, and percent-escape "
            "what is special in user and password"
        )
    return f"the MongoDB URL {shown(url)} can't be used: {error}"
