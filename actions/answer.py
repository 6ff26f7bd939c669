"""What every action returns: a value, and where it came from."""

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from actions.shapes import Shape
from dualstore.errors import DualStoreError

Source = Literal["local", "stale", "remote"]

T = TypeVar("T", bound=Shape)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A value that says how far it can be trusted."""

    value: T
    source: Source
    """`stale` is from here, and older than it should be."""
    complete: bool
    """Nothing that belongs to it is known to be missing."""
    age_ms: int | None
    """Since the remote said the same; None if it never did."""
    degraded: tuple[str, ...] = ()
    """What went wrong on the way, in words."""
    errors: tuple[DualStoreError, ...] = ()
    """What went wrong on the way."""

    def to_json(self) -> dict[str, Any]:
        """The value's JSON, with `_answer` beside its fields."""
        return {
            **self.value.to_json(),
            "_answer": {
                "source": self.source,
                "complete": self.complete,
                "ageMs": self.age_ms,
                "degraded": list(self.degraded),
                "errors": [f"{type(each).__name__}: {each}" for each in self.errors],
            },
        }
