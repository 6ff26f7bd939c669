"""Finding entries by their terms, and the neighbours of what was found."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from dualstore.documents.base import Candidate, Candidates, Neighbours
from dualstore.documents.sqlite_filters import ODD, Scope
from dualstore.documents.sqlite_lanes import reading
from dualstore.documents.sqlite_rows import id_list, seq_list
from dualstore.documents.weights import weigh

if TYPE_CHECKING:
    from dualstore.documents.sqlite_best import Seqs

COMMON: Final = 10_000
"""Entries from which on those that hold a word are worth keeping."""
MOST_KEPT: Final = 16
_CANDIDATE: Final = "s.id, s.thread, s.timestamp, s.author, terms, vector, s.text_hash"


class Common:
    """Who holds very common words: kept until anything changes, because listing them is dear."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, Seqs]] = {}

    def get(self, term: str, version: int) -> "Seqs | None":
        """As of that version of the family."""
        found = self._known.get(term)
        return found[1] if found and found[0] == version else None

    def keep(self, term: str, version: int, seqs: "Seqs") -> None:
        """Of the rarer ones nothing is kept."""
        if len(seqs) >= COMMON:
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[term] = (version, seqs)


def live_count(connection: sqlite3.Connection, number: int) -> int:
    """Entries of the family."""
    (live,) = connection.execute("SELECT live FROM families WHERE number = ?", (number,)).fetchone()
    return int(live)


def next_seq(connection: sqlite3.Connection, *, number: int) -> int:
    """The sequence number that the next change takes."""
    query = "SELECT next_seq FROM families WHERE number = ?"
    (found,) = connection.execute(query, (number,)).fetchone()
    return int(found)


def candidates(
    connection: sqlite3.Connection,
    *,
    number: int,
    factors: Mapping[str, float],
    scope: Scope,
    limit: int,
    common: Common,
) -> Candidates:
    """The best by the sum of their terms' weights, in order."""
    # numpy takes a tenth of a second to import, which a get shouldn't wait for.
    from dualstore.documents.sqlite_best import Best

    with reading(connection):
        count = live_count(connection, number)
        frequencies = {term: _frequency(connection, number, term) for term in factors}
        weights = weigh(factors, frequencies, count)
        version = next_seq(connection, number=number)
        best = Best(connection, number, scope, count, version=version, common=common)
        scores = best.scored(weights, limit + 1)
        found = _fetch(connection, number, scores)
    return Candidates(tuple(found[:limit]), frequencies, count, cut=len(found) > limit)


def _frequency(connection: sqlite3.Connection, number: int, term: str) -> int:
    row = connection.execute(
        f"SELECT doc FROM vocabulary_{number} WHERE term = ?", (term,)
    ).fetchone()
    return row[0] if row else 0


def _fetch(
    connection: sqlite3.Connection, number: int, scores: Mapping[int, float]
) -> list[Candidate]:
    query = (
        f"SELECT seq, {_CANDIDATE} FROM streams_{number} AS s"
        " WHERE seq IN (SELECT value FROM json_each(?))"
    )
    rows = connection.execute(query, (seq_list(scores),)).fetchall()
    rows.sort(key=lambda row: (-scores[row[0]], -row[3], row[1]))
    return [_to_candidate(row[1:]) for row in rows]


def by_id(connection: sqlite3.Connection, *, number: int, ids: Sequence[str]) -> list[Candidate]:
    """In no particular order."""
    query = (
        f"SELECT {_CANDIDATE} FROM entries_{number} AS e JOIN streams_{number} AS s USING (seq)"
        " WHERE deleted = 0 AND e.id IN (SELECT value FROM json_each(?))"
    )
    return [_to_candidate(row) for row in connection.execute(query, (id_list(ids),))]


def neighbours(
    connection: sqlite3.Connection, *, number: int, ids: Sequence[str], before: int, after: int
) -> dict[str, Neighbours]:
    """Two index ranges for each."""
    query = (
        f"SELECT id, thread, timestamp FROM entries_{number}"
        " WHERE deleted = 0 AND id IN (SELECT value FROM json_each(?))"
    )
    with reading(connection):
        found = connection.execute(query, (id_list(ids),)).fetchall()
        return {
            each: Neighbours(
                _beside(connection, number, "<", "DESC", (thread, timestamp, each, before)),
                _beside(connection, number, ">", "ASC", (thread, timestamp, each, after)),
            )
            for each, thread, timestamp in found
        }


def _beside(
    connection: sqlite3.Connection, number: int, side: str, direction: str, place: Sequence[Any]
) -> tuple[Candidate, ...]:
    if place[0] is None or place[0] == ODD or not place[-1]:
        return ()
    rows = connection.execute(
        f"SELECT {_CANDIDATE} FROM entries_{number} AS e JOIN streams_{number} AS s USING (seq)"
        f" WHERE deleted = 0 AND e.thread = ? AND (e.timestamp, e.id) {side} (?, ?)"
        f" ORDER BY e.timestamp {direction}, e.id {direction} LIMIT ?",
        place,
    )
    return tuple(map(_to_candidate, rows))


def _to_candidate(row: Sequence[Any]) -> Candidate:
    each, thread, timestamp, author, terms, vector, text_hash = row
    place = None if thread == ODD else thread
    return Candidate(each, place, timestamp, author, terms, vector or b"", text_hash)
