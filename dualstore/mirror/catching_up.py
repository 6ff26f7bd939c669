"""Making all that is here as it is at the remote: which sessions there are, what is new of each.

What was read to its end is on record session by session (`SessionMark.reached`), so whoever is
broken off goes on there. The changes of a session are asked for before its messages are read: what
was read is then never older than what is said to be known.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from dualstore.errors import DualStoreError, RemoteError, UnavailableError
from dualstore.mirror.coverage import Coverage, Reached, SessionMark
from dualstore.mirror.fetching import Fetcher
from dualstore.mirror.keys import parse_key
from dualstore.mirror.news import OF_SESSIONS, News, Step, by_session, is_continued, step
from dualstore.mirror.news_reading import NewsReader, Progress, check_kept, patiently
from dualstore.mirror.telling import found, ms_at, text_at
from dualstore.remote.base import Change, RemoteSource, Thing

PORTION: Final = 50
"""Sessions whose whole history is asked for in one; half as many where that takes too long."""
_LATER: Final = 2**52
"""A sequence number that no session reaches: nothing after it is told."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """What a remote says that it has, and what is known of that."""

    sessions: Mapping[str, Thing]
    marks: Mapping[str, SessionMark]

    @property
    def known(self) -> dict[str, Reached]:
        """Those that were read before, and of which only what is new has to be."""
        marks = {each: self.marks[each].reached for each in self.sessions if each in self.marks}
        return {each: reached for each, reached in marks.items() if reached is not None}

    def is_read(self, session_id: str) -> bool:
        """Whether all its messages are here, and it has had no news since."""
        updated, mark = self._updated(session_id), self.marks.get(session_id)
        is_comparable = mark is not None and mark.updated is not None and updated is not None
        return mark is not None and is_comparable and mark.covers(updated)

    def news_of(self, session_id: str, changes: Sequence[Change]) -> News | None:
        """What has to be read of one that was read before; None for nothing."""
        mark = self.marks[session_id]
        stretch, is_next = mark.messages, True
        if changes:
            # a session that was imported may have been imported again, which nothing tells
            is_next = step(mark.reached, changes[0]) is Step.NEXT and not _is_imported(mark)
        elif mark.covers(self._updated(session_id)):
            return None
        news = News.of(changes)
        news.session = self.is_changed(session_id, changes)
        if not (changes and is_next) or stretch is None or stretch.oldest is not None:
            news.messages = None
        news.reached = news.reached or mark.reached
        return news

    def is_changed(self, session_id: str, changes: Sequence[Change]) -> bool:
        """Whether it became another one after it was listed."""
        last = next((each for each in reversed(changes) if each.type in OF_SESSIONS), None)
        told = found(last.data, "info") if last else None
        listed = self.sessions[session_id]
        return isinstance(told, dict) and any(told[key] != listed.get(key) for key in told)

    def _updated(self, session_id: str) -> int | None:
        return ms_at(self.sessions[session_id], "time", "updated")


class CatchingUp:
    """Catches up with one remote, once."""

    def __init__(
        self,
        remote: RemoteSource,
        fetcher: Fetcher,
        coverage: Coverage,
        *,
        progress: Progress | None = None,
    ) -> None:
        self._remote = remote
        self._fetcher = fetcher
        self._coverage = coverage
        self._reader = NewsReader(remote, fetcher, progress=progress)
        self.synced = self._reader.synced
        self.reached: dict[str, Reached] = {}
        """By session, up to which change everything is here; of those that failed it isn't."""
        self.others: set[str] = set()
        """Sessions that are others than those that are here under their ids."""
        self.is_whole = remote.capabilities.has_history
        """Whether nothing can have been missed, but of the sessions that failed."""

    async def newest(self, count: int) -> None:
        """The messages of the newest sessions, where they aren't here as they are there.

        Raises as `everything`.
        """
        listed = await self._listed()
        newest = [each for each in list(listed.sessions)[:count] if not listed.is_read(each)]
        self.synced.total = len(newest)
        await self._reader.read({each: News(None) for each in newest})

    async def everything(self, *, is_same: bool = False) -> None:
        """With `is_same` the remote is known to be the one that was caught up with before.

        Raises `UnavailableError` when the remote stays away, or when what it tells can't be kept.
        What was read until then is.
        """
        listed = await self._listed()
        news, restarted = await self._news(listed, is_same=is_same)
        await self._coverage.begin_anew(restarted)
        await self._part_with(is_same=is_same or bool(listed.known.keys() - restarted))
        self.reached = {each: at for each, at in listed.known.items() if each not in restarted}
        changed: dict[str, News] = {}
        for each in self.reached:
            if told := listed.news_of(each, news.get(each, ())):
                changed[each] = told
        whole = [each for each in listed.sessions if each not in self.reached]
        if not self.is_whole:
            whole = [each for each in whole if not listed.is_read(each)]
        self.synced.total = len(whole) + len(changed)
        await self._reader.events(one for each in ("", *changed) for one in news.get(each, ()))
        self.reached |= await self._reader.read(changed)
        await self._read_whole(whole, listed)
        if self.is_whole:
            check_kept(await self._fetcher.changes([], are_all=True))

    async def _listed(self) -> _Listed:
        told = await patiently(self._fetcher.sessions)
        check_kept(told)
        sessions = {
            session_id: each for each in told.content.items if (session_id := text_at(each, "id"))
        }
        marks = await self._coverage.sessions(sessions)
        self.others = {each for each in sessions if each in marks and marks[each].is_other}
        for each in self.others:
            del sessions[each]
            self.synced.failed[each] = "there is another session than the one that is here"
        return _Listed(sessions, marks)

    async def _news(
        self, listed: _Listed, *, is_same: bool
    ) -> tuple[dict[str, list[Change]], set[str]]:
        """What happened in the sessions that were read before; and those of them that have begun
        anew under their id.

        To see the latter, what is known to have happened last is told again.
        """
        known = listed.known
        if not known:
            return {}, set()
        back = 0 if is_same else 1
        told = await self._history(
            {
                each: max(-1, known[each].sequence - back) if each in known else _LATER
                for each in listed.sessions
            }
        )
        if told is None:
            return {}, set()
        news = {each: some for each, some in by_session(told).items() if each in known or not each}
        if is_same:
            return news, set()
        restarted = {
            each for each, reached in known.items() if not is_continued(reached, news.get(each, ()))
        }
        for each in known.keys() & news.keys() - restarted:
            news[each] = [one for one in news[each] if (one.sequence or 0) > known[each].sequence]
        return {each: some for each, some in news.items() if some}, restarted

    async def _part_with(self, *, is_same: bool) -> None:
        """Sessions that aren't listed any more are gone when the remote says so itself. If nothing
        that was there is there, it is another remote, and they are only forgotten to be its own.
        """
        keys = (await self._coverage.lists()).unlisted
        ids = [session_id for each in keys for session_id in parse_key(each).parts]
        marks = await self._coverage.sessions(ids)
        missing = [each for each, mark in marks.items() if mark.reached is not None]
        if is_same or len(missing) == 1:
            for each in missing:
                await patiently(lambda each=each: self._fetcher.session(each))  # type: ignore[misc]
        elif missing:
            await self._coverage.forget(missing)
            self.synced.notes.append(
                f"{self._remote.name} is another one than before: of {len(missing)} sessions that "
                "it had none is there. They are kept"
            )

    async def _read_whole(self, sessions: Iterable[str], listed: _Listed) -> None:
        """In portions: while the messages of one are read, the next one's history is kept."""
        left = dict.fromkeys(sessions)
        coming = asyncio.ensure_future(self._portion(left, listed))
        try:
            while news := await coming:
                for each in news:
                    del left[each]
                coming = asyncio.ensure_future(self._portion(left, listed))
                self.reached |= await self._reader.read(news)
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _portion(self, left: Mapping[str, None], listed: _Listed) -> dict[str, News]:
        """What has to be read of some. Where not all others can be named, it is of more."""
        size = PORTION
        while left and self.is_whole:
            named = self._named(listed, left, size)
            try:
                told = await self._remote.fetch_history(named)
            except (RemoteError, UnavailableError) as error:
                await patiently(partial(self._remote.fetch_sessions, limit=1))
                if size == 1:
                    self._give_up(error)
                size //= 2
            else:
                portion = [each for each in left if each not in named]
                return await self._kept(portion, by_session(told), listed)
        return {each: News(None) for each in list(left)[:PORTION]}

    def _named(self, listed: _Listed, left: Mapping[str, None], size: int) -> dict[str, int]:
        """All but some that are left, as far as that is possible."""
        others = [each for each in listed.sessions if each not in left]
        later = list(left)[size:]
        return dict.fromkeys([*others, *later][: self._remote.capabilities.most_named], _LATER)

    async def _kept(
        self, portion: Iterable[str], histories: Mapping[str, Sequence[Change]], listed: _Listed
    ) -> dict[str, News]:
        """What happened is kept before any message is read."""
        await self._reader.events(one for each in ("", *portion) for one in histories.get(each, ()))
        return {
            each: News(
                messages=None,
                reached=_end_of(histories.get(each, ())),
                session=listed.is_changed(each, histories.get(each, ())),
            )
            for each in portion
        }

    async def _history(self, known: Mapping[str, int]) -> list[Change] | None:
        """None where it isn't told, or where what is told can't be used."""
        if not self.is_whole:
            return None
        try:
            return await patiently(lambda: self._remote.fetch_history(known))
        except RemoteError as error:
            self._give_up(error)
            return None

    def _give_up(self, error: DualStoreError) -> None:
        """From now on only lists tell what is new."""
        self.is_whole = False
        self.synced.notes.append(f"what happened can't be told: {error}")


def _is_imported(mark: SessionMark) -> bool:
    return mark.reached is not None and mark.reached.sequence < 0


def _end_of(changes: Sequence[Change]) -> Reached:
    if not changes or changes[-1].sequence is None:
        return Reached(-1, None)
    return Reached(changes[-1].sequence, changes[-1].id)
