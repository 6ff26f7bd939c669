"""What stands in for the clock, and a hook that remembers."""

from typing import Final, TypeVar

from dualstore.metrics import Event

START: Final = 1_750_000_000_000

E = TypeVar("E", bound=Event)


class FakeClock:
    """A clock that stands still until it is told to go on; in epoch milliseconds."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, milliseconds: int) -> None:
        """Negative ones turn it back, as happens to real clocks."""
        self.now += milliseconds


class Recorder:
    """A metrics hook that keeps what happened, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The events of a type, in order."""
        return [event for event in self.events if isinstance(event, kind)]
