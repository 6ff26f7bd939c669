"""Where the databases of the tests are, in a form that other processes can be given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from dualstore.documents.base import Database
from dualstore.documents.mongo import MongoDatabase
from dualstore.documents.sqlite import SqliteDatabase

DRIVERS: dict[str, Callable[[str], Any]] = {
    "motor": AsyncIOMotorClient,
    "pymongo": AsyncMongoClient,
}


@dataclass(frozen=True)
class Address:
    """What leads any process to one and the same place."""

    backend: str
    url: str
    """A path, or a server's address."""
    name: str = ""

    def open(self, *, timeout: float = 10.0) -> Database:
        """A database object of one's own, not yet entered."""
        if self.backend == "sqlite":
            return SqliteDatabase(self.url)
        client = DRIVERS[self.backend](self.url)
        return MongoDatabase(client[self.name], timeout=timeout, close_client=True)
