"""What all faulty parts share."""

from typing import Any, Generic, TypeVar

from dualstore.testing.faults import Faults

T = TypeVar("T")


class Wrapped(Generic[T]):
    """Whatever isn't a method of the contract is read from the inner one, each time anew."""

    def __init__(self, inner: T, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # a copy is asked for these before it has an inner one
            raise AttributeError(name)
        return getattr(self._inner, name)
