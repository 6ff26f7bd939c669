"""What somebody does while one of the calls below him fails."""

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from tests.faults.places import House
from tests.faults.user import User

Act = Callable[[User, House], Coroutine[None, None, None]]

LONG = "Trains cross the mountains by night. " * 100
NOTES: list[dict[str, Any]] = [
    {"id": "a", "text": "The kitten sleeps on the sofa", "metadata": {"kind": "home"}},
    {"id": "b", "text": "Quarterly tax report", "metadata": {"kind": "office", "page": 1}},
    {"id": "c", "text": "A dog barks at the mailman", "metadata": {"kind": "home"}},
    {"id": "d", "text": "...", "metadata": {"kind": "home"}},
    {"id": "e", "text": LONG, "metadata": {}},
]
A, B, C, D, E = NOTES


class Scenario(NamedTuple):
    """Nothing fails `before`."""

    before: Act
    act: Act


async def _nothing(*_: object) -> None:
    return None


async def _indexed(user: User, _: House) -> None:
    await user.insert(*NOTES)
    await user.drain()


async def _damaged(user: User, house: House) -> None:
    await _indexed(user, house)
    await house.damage()


async def _lost(user: User, house: House) -> None:
    await _indexed(user, house)
    await house.lose()


async def _write(user: User, _: House) -> None:
    await user.insert(*NOTES)
    await user.drain()
    await user.insert(A)
    await user.insert({"id": "f", "text": "Cats again"}, {"id": "f", "text": "Cats once more"})
    await user.find("b")
    await user.drain()


async def _update(user: User, _: House) -> None:
    await user.insert({**A, "text": "The kitten is a cat now"})
    await user.insert({**B, "metadata": {"kind": "home", "page": 1}})
    await user.insert({**C, "metadata": {"kind": "home", "unfiled": 2}}, {**E, "text": "Short now"})
    await user.search("cats")
    await user.find("c", {"metadata.kind": "home"})
    await user.drain()
    await user.find("a")
    await user.insert({**D, "text": "Words at last"}, {**A, "text": "?"})
    await user.drain()


async def _delete(user: User, _: House) -> None:
    await user.delete("a")
    await user.search("kitten")
    await user.delete("e")
    await user.drain()
    await user.insert({**A, "text": "The kitten is back"})
    await user.delete("b")
    await user.insert(B)
    await user.drain()
    await user.delete("c")


async def _read(user: User, _: House) -> None:
    user.damaged = True
    await user.get("a")
    await user.look()
    await user.search("cats")
    await user.search("cats", {"metadata.kind": "home"})
    await user.report()
    await user.drain()
    await user.repair()


async def _repair(user: User, _: House) -> None:
    user.damaged = True
    await user.repair()
    await user.search("cats", {"metadata.kind": "office"})
    await user.drain()
    await user.search("cats")


async def _reindex(user: User, _: House) -> None:
    await user.insert({**B, "text": "Monthly tax report"})
    await user.reindex()
    await user.find("a")
    await user.drain()


async def _lose(user: User, house: House) -> None:
    await user.insert({**C, "text": "A dog barks no more"})
    await user.drain()
    await house.lose()
    await user.find("a")
    await user.insert({**B, "text": "Monthly tax report"})
    await user.search("cats")
    await user.drain()
    await user.find("b")


async def _refill(user: User, _: House) -> None:
    await user.find("a")
    await user.insert({**B, "text": "Monthly tax report"})
    await user.drain()


SCENARIOS = {
    "write": Scenario(_nothing, _write),
    "update": Scenario(_indexed, _update),
    "delete": Scenario(_indexed, _delete),
    "read": Scenario(_damaged, _read),
    "repair": Scenario(_damaged, _repair),
    "reindex": Scenario(_indexed, _reindex),
    "lose": Scenario(_indexed, _lose),
    "lost": Scenario(_lost, _refill),
}
