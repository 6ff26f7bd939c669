"""A stream of server-sent events, cut into their data."""

from collections.abc import Iterator
from typing import Final

from dualstore.errors import RemoteError

_FIELD: Final = b"data:"


class Frames:
    """Bytes in, the data of each whole event out.

    Lines end with a line feed and nothing else: what JSON leaves as it is (U+2028 among others)
    would end lines of text.
    """

    def __init__(self, *, largest: int) -> None:
        self._largest = largest
        self._begun: list[bytes] = []  # of a line whose end hasn't come
        self._data: list[bytes] = []  # of an event whose end hasn't come
        self._held = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What has come to its end with this piece. Raises `RemoteError` if one has no end."""
        *ended, begun = piece.split(b"\n")
        for line in ended:
            yield from self._end(line)
        self._begun.append(begun)
        self._held += len(begun)
        if self._held > self._largest:
            raise RemoteError(f"an event has more than {self._largest} bytes")

    def _end(self, line: bytes) -> Iterator[bytes]:
        whole = b"".join((*self._begun, line)).removesuffix(b"\r")
        self._begun.clear()
        self._held += len(line)
        if whole.startswith(_FIELD):
            self._data.append(whole[len(_FIELD) :].removeprefix(b" "))
        elif not whole:
            data, self._data, self._held = self._data, [], 0
            if data:
                yield b"\n".join(data)
