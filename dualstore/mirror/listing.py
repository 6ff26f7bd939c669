"""Which sessions a remote names when it tells all of them, and which it leaves out."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from dualstore.mirror.coverage import Coverage, ListMarks
from dualstore.mirror.keys import parse_key


class Listing:
    """Of one remote."""

    def __init__(self, coverage: Coverage, *, clock: Callable[[], int]) -> None:
        self._coverage = coverage
        self._clock = clock

    async def are_there(self, session_ids: Sequence[str], *, at: int) -> None:
        """Unless it was said since they were asked for, at that time, that they are gone."""
        await self._coverage.note_listed(session_ids)
        marks = await self._coverage.sessions(session_ids)
        for session_id, mark in marks.items():
            if mark.gone_at is not None and not at <= mark.gone_at <= self._clock():
                await self._coverage.change_session(
                    session_id, lambda mark: replace(mark, gone_at=None)
                )

    async def are_others(self, unlisted: Iterable[str], *, at: int) -> None:
        """All were told but these. They may be gone, and come back as others."""
        left_out, new = tuple(unlisted), set[str]()

        def change(marks: ListMarks) -> ListMarks:
            new.clear()
            new.update(set(left_out).difference(marks.unlisted))
            return replace(marks, sessions=at, unlisted=left_out)

        await self._coverage.change_lists(change)
        await self._coverage.begin_anew(_ids(sorted(new)))

    async def is_same(self, named: Collection[str], here: Iterable[str]) -> bool:
        """Whether it is the remote that told sessions before, and not another one at its place: it
        still has one of those that are here, or there is at most one that it could have.
        """
        told = await self._coverage.was_listed(here)
        return len(told) < 2 or not set(named).isdisjoint(told)

    async def left_out(self) -> list[str]:
        """Sessions that were told once, and not when all were told."""
        return await self._coverage.was_listed(_ids((await self._coverage.lists()).unlisted))


def _ids(keys: Iterable[str]) -> list[str]:
    return [parse_key(each).parts[0] for each in keys]
