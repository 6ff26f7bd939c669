"""The int8 copy of an entry's vectors that is kept beside its terms. Pure.

Exact enough for the ranking, a quarter of the size, and enough to fill a lost index again without
asking the embedder. It names its embedder: copies made by another one are none.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualstore.embedders.base import Vectors

_HEADER: Final = struct.Struct("<8sHH")
_STEPS: Final = 127


def to_copies(vectors: Sequence[Vectors], identity: str) -> list[bytes]:
    """One of each entry, which has a row per chunk. Of a row only its direction is kept."""
    if not vectors:
        return []
    rows = np.concatenate(vectors)
    scales = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.float32(1e-30))
    steps = np.rint(rows / scales * _STEPS).astype(np.int8)
    tag = _tag(identity)
    copies: list[bytes] = []
    start = 0
    for some in vectors:
        part = steps[start : start + len(some)]
        copies.append(_HEADER.pack(tag, *part.shape) + part.tobytes())
        start += len(some)
    return copies


def compared(
    copies: Sequence[bytes], vector: Vectors, identity: str
) -> list[tuple[float, int] | None]:
    """For each entry the cosine of its nearest chunk, and which that is; None without a copy."""
    tag = _tag(identity)
    read = [_read(copy, tag) for copy in copies]
    rows = [each for each in read if each is not None]
    if not rows:
        return [None] * len(copies)
    steps = np.concatenate(rows).astype(np.float32)
    lengths = np.maximum(np.linalg.norm(steps, axis=1), np.float32(1e-30))
    cosines = (steps @ vector / lengths).tolist()
    found: list[tuple[float, int] | None] = []
    at = 0
    for each in read:
        count = 0 if each is None else len(each)
        nearest = max(range(at, at + count), key=cosines.__getitem__, default=None)
        found.append(None if nearest is None else (cosines[nearest], nearest - at))
        at += count
    return found


def from_copy(copy: bytes, identity: str) -> Vectors | None:
    """The vectors, normalised; None if there are none, or they are another embedder's."""
    steps = _read(copy, _tag(identity))
    if steps is None:
        return None
    vectors = steps.astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalised: Vectors = vectors / np.maximum(norms, np.float32(1e-30))
    return normalised


def _read(copy: bytes, tag: bytes) -> NDArray[np.int8] | None:
    if len(copy) < _HEADER.size:
        return None
    mine, rows, dimension = _HEADER.unpack_from(copy)
    if mine != tag or len(copy) != _HEADER.size + rows * dimension:
        return None
    return np.frombuffer(copy, np.int8, offset=_HEADER.size).reshape(rows, dimension)


@lru_cache(maxsize=8)
def _tag(identity: str) -> bytes:
    return blake2b(identity.encode(), digest_size=8).digest()
