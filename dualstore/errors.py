"""Every error this library raises on purpose.

    DualStoreError
    ├── InvalidInputError            what the caller gave can't be taken; nothing was written
    │   ├── EntryError               an entry: which item, which field, why
    │   │   └── EntryTooLargeError
    │   ├── FilterError              a filter: which operator or field, why
    │   ├── CursorError              a cursor that isn't ours, or is from another query
    │   ├── InvalidNameError         an agent's, a family's, a record's or a key's name
    │   └── SettingsError            a setting: which one, why
    ├── FamilyMismatchError          the family was made with another spec, analyzer or embedder
    ├── EmbedderError                the embedder gave what isn't an embedding
    ├── UnavailableError             nobody answered in time; trying again may help
    ├── RemoteError                  the remote's answer can't be used; asking again won't help
    │   └── RemoteRefusedError       it doesn't take the user or the password
    ├── PartialWriteError            a batch broke in the middle; knows what was acknowledged
    ├── ConflictError                something else is there under this id; nothing was written
    ├── ClosedError                  it was closed before; open it anew
    ├── NotFoundError                there is nothing of that name
    ├── VectorWriteError             the document is safe, its vector isn't in yet
    └── StorageError                 the store answered that it can't; trying again won't help
        ├── StorageCorruptError
        ├── StorageFullError
        ├── VectorsGoneError         an index that was here is gone; its vectors can be made again
        ├── StorageLayoutError       written by a newer release
        └── StoragePermissionError   not readable or writable, or the password is wrong

Driver errors never leave `documents/`, `vectors/`, `embedders/` and `remote/`: each of their
files maps all of its driver's errors into this tree.
"""

from collections.abc import Mapping, Sequence


def shown(value: object) -> str:
    """A value as errors show it: short, whatever it is."""
    try:
        return f"{value!r:.80}"
    except Exception:  # any object may be given, and some can't be written down
        return f"a {type(value).__name__} that can't be shown"


class DualStoreError(Exception):
    """The one root: `except DualStoreError` catches whatever this library raises on purpose."""


class InvalidInputError(DualStoreError, ValueError):
    """What the caller gave can't be taken; nothing was written."""


class EntryError(InvalidInputError):
    """An entry can't be taken. `position` is its place in the batch, None for a single one."""

    def __init__(self, field: str, reason: str, *, position: int | None = None) -> None:
        self.field = field
        self.reason = reason
        self.position = position
        where = field if position is None else f"item {position}: {field}"
        super().__init__(f"{where}: {reason}")

    def at(self, position: int) -> "EntryError":
        """The same error, naming the item of the batch it came from."""
        return type(self)(self.field, self.reason, position=position)


class EntryTooLargeError(EntryError):
    """An entry, or one of its parts, is larger than any backend could keep."""


class FilterError(InvalidInputError):
    """A filter uses an operator, a field or an operand that the dialect doesn't have."""


class CursorError(InvalidInputError):
    """A cursor is damaged, or belongs to another query."""


class InvalidNameError(InvalidInputError):
    """A name that must be spelled in a certain way isn't."""


class SettingsError(InvalidInputError):
    """A setting has a value that nothing can be made of."""


class FamilyMismatchError(DualStoreError):
    """The family is recorded with another spec, analyzer or embedder than it is opened with."""


class EmbedderError(DualStoreError):
    """The embedder answered with what isn't an embedding, or refuses for good.

    Trying the same text again won't help.
    """


class UnavailableError(DualStoreError):
    """Nobody answered in time. Nothing is known to be lost, and trying again may help.

    `causes` says of each who could have been asked what was in the way, where there were several.
    """

    def __init__(self, message: str, *, causes: Sequence[DualStoreError] = ()) -> None:
        self.causes = tuple(causes)
        super().__init__(message)


class RemoteError(DualStoreError):
    """The remote answered with what can't be used. Asking the same again won't help."""


class RemoteRefusedError(RemoteError):
    """The remote refuses the user or the password."""


class PartialWriteError(DualStoreError):
    """A batch broke in the middle: `acknowledged` are the ids that are durable all the same.

    Of the others nothing is known; writing the whole batch again is safe. What broke it is the
    `__cause__`.
    """

    def __init__(self, message: str, *, acknowledged: Sequence[str]) -> None:
        self.acknowledged = tuple(acknowledged)
        super().__init__(f"{message} ({len(self.acknowledged)} items were acknowledged before)")


class ConflictError(DualStoreError):
    """Under these `ids` there is something else already. Nothing was written."""

    def __init__(self, message: str, *, ids: Sequence[str]) -> None:
        self.ids = tuple(ids)
        super().__init__(message)


class ClosedError(DualStoreError, RuntimeError):
    """What is used was closed before. Nothing was done."""


class NotFoundError(DualStoreError, LookupError):
    """There is nothing of that name, as far as anybody knows who could be asked."""


class VectorWriteError(DualStoreError):
    """The documents of `ids` are durable, but their vectors aren't in the index.

    They stay due and are indexed later, unless `reasons` has a final reason for one of them.
    """

    def __init__(
        self, message: str, *, ids: Sequence[str], reasons: Mapping[str, str] | None = None
    ) -> None:
        self.ids = tuple(ids)
        self.reasons = dict(reasons or {})
        super().__init__(message)


class StorageError(DualStoreError):
    """The store answered, and says that it can't. Trying again won't help by itself."""


class StorageCorruptError(StorageError):
    """What is stored can't be read back as what it should be."""


class StorageFullError(StorageError):
    """No space is left; the write was rolled back."""


class VectorsGoneError(StorageError):
    """The index is no longer where it was: dropped, or its server came back empty.

    `VectorPlace.index` makes it again, empty; what it held is then due.
    """


class StorageLayoutError(StorageError):
    """The store was written by a newer release; this one leaves it untouched."""


class StoragePermissionError(StorageError):
    """The store may not be read or written with the rights or the password given."""
