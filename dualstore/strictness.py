"""Waiting until vectors are in, for writes that must not return before."""

import asyncio
from collections.abc import Mapping
from typing import Final

from dualstore.documents.base import DocumentStore, Scanned
from dualstore.errors import VectorWriteError, shown
from dualstore.outbox import IndexState

_FIRST_POLL: Final = 0.005
_LONGEST_POLL: Final = 0.1


async def wait_for_vectors(
    store: DocumentStore, hashes: Mapping[str, str], *, timeout: float
) -> None:
    """Until the vectors of these texts are in, by whomever.

    `hashes` has the text hash by id; what was changed or deleted since isn't waited for. Raises
    `VectorWriteError` when one can't be made, or `timeout` seconds aren't enough.
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
                    await asyncio.sleep(pause)
                    pause = min(_LONGEST_POLL, 2 * pause)
    except TimeoutError:
        raise _late(waiting, failed, timeout) from None
    if failed:
        raise _late(set(), failed, timeout)


def _is_open(scanned: Scanned, text_hash: str) -> bool:
    same = not scanned.deleted and scanned.text_hash == text_hash
    return same and scanned.mark.claim_at is not None


def _failed(marks: Mapping[str, Scanned], hashes: Mapping[str, str]) -> dict[str, str]:
    return {
        each: scanned.mark.error or "no reason given"
        for each, scanned in marks.items()
        if scanned.mark.state is IndexState.FAILED and scanned.text_hash == hashes[each]
    }


def _late(waiting: set[str], failed: Mapping[str, str], timeout: float) -> VectorWriteError:
    ids = [*failed, *sorted(waiting)]
    why = [f"{shown(each)} can't be indexed: {failed[each]}" for each in list(failed)[:3]]
    if waiting:
        why.append(f"{len(waiting)} not indexed within {timeout:g} s, and indexed later")
    return VectorWriteError(
        f"the documents are stored, but not all of their vectors: {'; '.join(why)}",
        ids=ids,
        reasons=failed,
    )
