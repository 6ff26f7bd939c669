"""Waiting until vectors are in, for writes that must not return before."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from dualstore.documents.base import DocumentStore, Scanned
from dualstore.errors import DualStoreError, VectorWriteError, shown
from dualstore.indexing.worker import is_lasting
from dualstore.outbox import IndexState

_FIRST_POLL: Final = 0.005
_LONGEST_POLL: Final = 0.1
_SAID: Final = 3
"""Reasons that a message has; the error has all of them."""


async def wait_for_vectors(
    store: DocumentStore,
    hashes: Mapping[str, str],
    *,
    timeout: float,
    obstacle: Callable[[], DualStoreError | None],
) -> None:
    """Until the vectors of these texts are in, by whomever.

    `hashes` has the text hash by id; what was changed or deleted since isn't waited for. Raises
    `VectorWriteError` when one can't be made, `timeout` seconds aren't enough, or the `obstacle`
    won't go by itself.
    """
    waiting, failed = set(hashes), dict[str, str]()
    pause = _FIRST_POLL
    try:
        async with asyncio.timeout(timeout):
            while waiting:
                marks = await store.marks(list(waiting))
                failed |= _failed(marks, hashes)
                waiting = {each for each in marks if _is_open(marks[each], hashes[each])}
                if waiting:
                    _check(obstacle(), waiting, failed)
                    await asyncio.sleep(pause)
                    pause = min(_LONGEST_POLL, 2 * pause)
    except TimeoutError:
        why = f"not indexed within {timeout:g} s, and indexed later"
        raise _error(waiting, failed, why, obstacle()) from obstacle()
    if failed:
        raise _error(set(), failed, "", None)


def _check(error: DualStoreError | None, waiting: set[str], failed: Mapping[str, str]) -> None:
    if error is not None and is_lasting(error):
        raise _error(
            waiting, failed, "not indexed, and not before this is mended", error
        ) from error


def _is_open(scanned: Scanned, text_hash: str) -> bool:
    same = not scanned.deleted and scanned.text_hash == text_hash
    return same and scanned.mark.claim_at is not None


def _failed(marks: Mapping[str, Scanned], hashes: Mapping[str, str]) -> dict[str, str]:
    return {
        each: scanned.mark.error or "no reason given"
        for each, scanned in marks.items()
        if scanned.mark.state is IndexState.FAILED and scanned.text_hash == hashes[each]
    }


def _error(
    waiting: set[str], failed: Mapping[str, str], why: str, obstacle: DualStoreError | None
) -> VectorWriteError:
    said = [f"{shown(each)} can't be indexed: {failed[each]}" for each in list(failed)[:_SAID]]
    if waiting:
        reason = f" ({obstacle})" if obstacle else ""
        said.append(f"{len(waiting)} {why}{reason}")
    return VectorWriteError(
        f"the documents are stored, but not all of their vectors: {'; '.join(said)}",
        ids=[*failed, *sorted(waiting)],
        reasons=failed,
    )
