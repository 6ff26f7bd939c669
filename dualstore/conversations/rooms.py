"""The rooms that conversations are kept in, put together."""

from collections.abc import Callable
from dataclasses import dataclass

from dualstore.conversations.cards import Cards
from dualstore.conversations.finding import Search
from dualstore.conversations.following import Follower
from dualstore.conversations.loading import Loader
from dualstore.conversations.making import Maker
from dualstore.conversations.payloads import Payloads
from dualstore.conversations.reading import Reader
from dualstore.conversations.removing import Remover
from dualstore.conversations.replaying import Replaying
from dualstore.conversations.shelf import Shelf
from dualstore.conversations.snapshots import Snapshots
from dualstore.conversations.verifying import Verifier
from dualstore.conversations.windows import Windows
from dualstore.conversations.writer import Writer
from dualstore.manager import DualStoreManager
from dualstore.wiring import Backends


@dataclass(frozen=True, slots=True)
class Rooms:
    """Everything that serves the conversations of one house."""

    cards: Cards
    maker: Maker
    writer: Writer
    reader: Reader
    verifier: Verifier
    remover: Remover
    follower: Follower
    search: Search


def furnished(
    backends: Backends,
    *,
    house: str,
    open_family: Callable[[], DualStoreManager],
    read_log: bool,
) -> Rooms:
    """Nothing is asked, nor any task started, before it is used."""
    journal, records = backends.documents.journal, backends.documents.records
    clock, metrics = backends.clock, backends.metrics
    cards, payloads, shelf = Cards(records), Payloads(records, clock=clock), Shelf(open_family)
    snapshots, loader = Snapshots(payloads), Loader(payloads)
    replaying = Replaying(journal, loader)
    remover = Remover(
        journal,
        house=house,
        cards=cards,
        payloads=payloads,
        loader=loader,
        shelf=shelf,
        clock=clock,
    )
    follower = Follower(
        journal, house=house, cards=cards, loader=loader, shelf=shelf, remover=remover
    )
    reader = Reader(
        journal,
        cards=cards,
        windows=Windows(journal, loader),
        snapshots=snapshots,
        metrics=metrics,
        read_log=read_log,
    )
    return Rooms(
        cards=cards,
        maker=Maker(cards=cards, snapshots=snapshots, remover=remover, clock=clock),
        writer=Writer(
            journal,
            cards=cards,
            payloads=payloads,
            replaying=replaying,
            clock=clock,
            metrics=metrics,
            appended=follower.wake,
        ),
        reader=reader,
        verifier=Verifier(
            journal,
            cards=cards,
            replaying=replaying,
            snapshots=snapshots,
            reader=reader,
            metrics=metrics,
        ),
        remover=remover,
        follower=follower,
        search=Search(journal, cards=cards, loader=loader, shelf=shelf, follower=follower),
    )
