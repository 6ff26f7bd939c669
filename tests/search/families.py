"""Families to search in: what they hold, and where they are."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any, Self

import pytest
from mongomock_motor import AsyncMongoMockClient

from dualstore.documents.base import Database
from dualstore.documents.mongo import MongoDatabase
from dualstore.embedders.base import Embedder, Vectors
from dualstore.embedders.static import StaticEmbedder
from dualstore.manager import DualStoreManager
from dualstore.search.results import Hit, Mode, SearchResult
from dualstore.settings import Settings
from dualstore.testing import Faults, faulty
from dualstore.vectors.exact import ExactVectors
from dualstore.wiring import Backends
from tests.documents.conftest import own_database
from tests.documents.places import Address
from tests.support.mongomock import bulk_writes_with_sort
from tests.support.multikey import unique_members

Item = dict[str, Any]
Place = Callable[[], Database]
DAY = 86_400_000
JANUARY = 1_672_531_200_000
"""The first of 2023."""


class Wordless(Embedder):
    """The bundled embedder, as one without word vectors."""

    def __init__(self, inner: StaticEmbedder) -> None:
        self._inner = inner
        self.name, self.version = "wordless", inner.version
        self.dimension, self.chunk_chars = inner.dimension, inner.chunk_chars
        self.takes_images = False

    async def load(self) -> None:
        await self._inner.load()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await self._inner.embed(texts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None: ...


@contextmanager
def place_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    """`sqlite`, `mongomock` or `served`: a place of one's own, empty, gone afterwards."""
    match kind:
        case "sqlite":
            yield Address("sqlite", str(folder / "documents.db")).open
        case "mongomock":
            with bulk_writes_with_sort(), unique_members():
                database: Any = AsyncMongoMockClient()["documents"]
                yield lambda: MongoDatabase(database)
        case _:
            server = request.getfixturevalue("wire_server")
            with own_database(server) as name:
                yield Address("motor", server.url, name).open


@asynccontextmanager
async def family(
    documents: Database, embedder: Embedder, *, faults: Faults | None = None, name: str = "notes"
) -> AsyncIterator[DualStoreManager]:
    """An empty one, with exact vectors."""
    backends = Backends(documents, ExactVectors(), embedder)
    manager = await DualStoreManager.create(
        name,
        filter_fields=["kind"],
        settings=Settings(index_lease=2.0),
        backends=faulty(backends, faults) if faults else backends,
    )
    async with manager:
        yield manager


def ids(result: SearchResult | Sequence[Hit]) -> list[str]:
    """Of the hits, in their order."""
    hits = result.hits if isinstance(result, SearchResult) else result
    return [hit.entry.id for hit in hits]


async def all_pages(
    notes: DualStoreManager,
    query: str,
    mode: Mode = "hybrid",
    where: dict[str, Any] | None = None,
    *,
    limit: int,
) -> list[SearchResult]:
    """Every page of a search."""
    pages = [await notes.search(query, mode, where, limit)]
    while cursor := pages[-1].next_cursor:
        pages.append(await notes.search(query, mode, where, limit, cursor=cursor))
    return pages


# Few entries


def item(id_: str, text: str, *, at: int = 0, thread: str | None = None, **metadata: Any) -> Item:
    metadata |= {"session_id": thread} if thread else {}
    return {"id": id_, "text": text, "timestamp": at, "metadata": metadata}


HOME = [
    item("kitten", "The kitten sleeps on the sofa", at=10, thread="home", author="Ann Lee"),
    item("dog", "A dog barks at the mailman", at=20, thread="home", author="Bob"),
    item("hm", "Hm, and then?", at=30, thread="home", author="user"),
    item("blank", "🎉", at=40, thread="home", author="user"),
    item("tax", "Quarterly tax report for the office", at=50, thread="work", kind="office"),
    item("code", "parseConfig in src/app.ts:42 raises ENOENT", at=60, thread="work", kind="code"),
    item("ja", "データベース接続エラーが発生しました", at=70, thread="work", kind="code"),
    item("odd", 'He said "AND NOT", (foo OR bar)* NEAR/3 $where: {"$ne": null}', at=80),
    item("image", "a kitten in a basket", at=90, type="image"),
]


# Many entries

PLAIN = """deploy failed database migration server cache timeout retry queue worker customer
invoice payment refund login password token session kitten sofa garden weather holiday train ticket
budget meeting Thursday yesterday release rollback index vector search ranking snippet cursor filter
""".split()
CODE = """parseConfig parse_config src/app.ts src/app.ts:42 lib/search/rank.py --dry-run v2.14.0
ENOENT ERR_4032 getUserById user@example.com #1234 $HOME/.config HTTP/2 0xDEADBEEF 127.0.0.1:8080
SELECT_ALL std::vector C:\\temp\\x.log sha256:9f86d081 UserService.refresh() {"id":7}
a/b/c.tar.gz
""".split()
SCRIPTS = """データベース接続エラー 設定ファイルを読み込む 部署失败 数据库迁移
데이터베이스 오류가 발생 ошибка базы данных
σφάλμα βάσης हिन्दी में त्रुटि ข้อผิดพลาดของฐานข้อมูล خطأ في قاعدة البيانات שגיאה Übergröße naïve Straße
İstanbul ﬁne 🎉 👩‍👩‍👧""".split()
AUTHORS = ["Ann Lee", "Bob Stone", "José", "user", "assistant", "tool", None]


def many(count: int = 300) -> list[Item]:
    """Threads, authors, code, several scripts, long and blank ones; always the same."""
    chance = Random(20_230_507)
    return [_one(number, chance) for number in range(count)]


def _one(number: int, chance: Random) -> Item:
    pools = chance.choices([PLAIN, CODE, SCRIPTS], [6, 2, 1], k=chance.choice([2, 4, 8, 16]))
    text = " ".join(chance.choice(pool) for pool in pools)
    if number % 29 == 0:
        text = chance.choice(["", " ", "...", "🎉", "?!"])
    elif number % 31 == 0:
        text = " ".join(chance.choice(PLAIN) for _ in range(600))
    elif number % 7 == 0:
        text += chance.choice(["?", "？", "."])
    metadata: Item = {"kind": chance.choice(["note", "log", "code"]), "n": number % 10}
    author, thread = chance.choice(AUTHORS), chance.randrange(16)
    metadata |= {"author": author} if author else {}
    metadata |= {"session_id": f"thread {thread}"} if thread else {}
    when = JANUARY + chance.randrange(200) * DAY
    return {"id": f"{number:03}", "text": text, "timestamp": when, "metadata": metadata}


QUESTIONS = [
    *(
        "deploy failed",
        "database migration timeout",
        "why did the payment fail?",
        "a cat on a couch",
    ),
    *(
        "parseConfig",
        "parse_config",
        "where is src/app.ts:42",
        "app.ts",
        "src/app.ts ENOENT",
        "ERR_4032",
    ),
    *(
        "--dry-run",
        "v2.14.0",
        "get user by id",
        "getUserById",
        "user@example.com",
        "#1234",
        "0xdeadbeef",
    ),
    *("127.0.0.1", "UserService.refresh", "c.tar.gz", "C:\\temp\\x.log", '{"id":7}', "std::vector"),
    *(
        "データベース",
        "接続エラー",
        "設定ファイル",
        "部署失败",
        "데이터베이스",
        "ошибка",
        "σφάλμα",
        "त्रुटि",
    ),
    *("ฐานข้อมูล", "قاعدة البيانات", "שגיאה", "ubergrosse", "strasse", "istanbul", "fine naive"),
    *(
        "what did Ann say about the invoice",
        "Bob's budget",
        "José release",
        "the assistant's rollback",
    ),
    *(
        "when was the meeting",
        "when did Ann fix the login",
        "release on 7 March 2023",
        "in May 2023",
    ),
    *("which day is the holiday", "rollback since january", "2023-02-14 train ticket"),
    *(
        "search ranking snippet cursor filter index vector",
        "money back for a client",
        "credentials",
    ),
    *(
        "the",
        "who are you",
        "is it",
        "kitten?",
        "Kitten KITTEN kitten",
        "nothing of the kind xyzzy",
    ),
    *(
        "queue worker -retry",
        "(cache OR timeout) AND NOT server",
        '"login password"',
        "token* ^session",
    ),
    *("weather " * 50, "garden\0sofa", "🎉 sofa", "holiday\u202etrain"),
]
