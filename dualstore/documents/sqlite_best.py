"""Summing up what entries earn by their terms, and cutting at the limit, ties by time and id."""

import sqlite3
from collections.abc import Mapping
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dualstore.documents.sqlite_filters import EVERYWHERE, Scope
from dualstore.documents.sqlite_rows import seq_list
from dualstore.documents.sqlite_terms import Common

Seqs = NDArray[np.int64]
Scores = NDArray[np.float64]

NARROW: Final = 20_000
"""Up to so many entries of a narrow filter are fetched first; behind that, matches are checked."""
DENSE: Final = 0.1
"""Matches for each sequence number from which on a table of all of them is faster than sorting."""
STEP: Final = 8
"""How many steps along the index of times cost as much as looking up one entry."""


class Best:
    """One question to one family, inside one read transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        number: int,
        scope: Scope,
        count: int,
        *,
        version: int,
        common: Common,
    ) -> None:
        self._connection = connection
        self._n = number
        self._scope = scope
        self._count = count
        self._version = version
        self._common = common

    def scored(self, weights: Mapping[str, int], limit: int) -> dict[int, float]:
        """The scores of the best by score, time and id; not in order, and maybe a few more."""
        seqs, scores = self._sum_up(weights)
        if self._scope.narrow:
            inside = self._inside(seqs)
            seqs, scores = seqs[inside], scores[inside]
        if self._scope == EVERYWHERE and len(seqs) <= 2 * limit:
            return dict(zip(seqs.tolist(), scores.tolist(), strict=True))
        if self._scope == EVERYWHERE:
            last = np.partition(scores, -limit)[-limit]
            best = scores >= last
            seqs, scores = seqs[best], scores[best]
        order = np.argsort(-scores, kind="stable")
        return self._cut(seqs[order], scores[order], limit)

    def _sum_up(self, weights: Mapping[str, int]) -> tuple[Seqs, Scores]:
        holders = [self._holders(term) for term in weights]
        if not holders:
            return np.empty(0, np.int64), np.empty(0)
        earned = np.repeat(np.array(list(weights.values()), float), [len(h) for h in holders])
        all_of_them = np.concatenate(holders)
        if len(all_of_them) > DENSE * all_of_them.max(initial=0):
            scores = np.bincount(all_of_them, earned).astype(float)
            seqs = np.flatnonzero(scores).astype(np.int64)
            return seqs, scores[seqs]
        seqs, places = np.unique(all_of_them, return_inverse=True)
        return seqs, np.bincount(places, earned).astype(float)

    def _holders(self, term: str) -> Seqs:
        known = self._common.get(term, self._version)
        if known is None:
            known = self._listed(term)
            self._common.keep(term, self._version, known)
        return known

    def _listed(self, term: str) -> Seqs:
        """In one text: row by row, a hundred thousand of them would each ask for the GIL."""
        (listed,) = self._connection.execute(
            f"SELECT group_concat(rowid) FROM terms_{self._n} WHERE terms_{self._n} MATCH ?",
            (f'"{term}"',),
        ).fetchone()
        return np.fromstring(listed or "", np.int64, sep=",")

    def _inside(self, seqs: Seqs) -> NDArray[np.bool_]:
        """Which ones the narrow filter asks for; all of them if it turns out to be wide."""
        scope = self._scope
        rows = self._connection.execute(
            f"SELECT seq FROM entries_{self._n} WHERE deleted = 0 AND {scope.condition} LIMIT ?",
            (*scope.parameters, NARROW + 1),
        ).fetchall()
        if len(rows) > NARROW:
            return np.ones(len(seqs), bool)
        self._scope = EVERYWHERE
        return np.isin(seqs, np.array(rows, np.int64).ravel())

    def _cut(self, seqs: Seqs, scores: Scores, limit: int) -> dict[int, float]:
        """From the best down, block by block; the ties at a block's end go by time and id."""
        found: dict[int, float] = {}
        start, size = 0, limit
        while start < len(seqs) and len(found) < limit:
            last = scores[min(start + size, len(seqs)) - 1]
            ties = max(start, int(np.searchsorted(-scores, -last, side="left")))
            end = int(np.searchsorted(-scores, -last, side="right"))
            above = dict(zip(seqs[start:ties].tolist(), scores[start:ties].tolist(), strict=True))
            found |= {seq: above[seq] for seq in self._newest(list(above), len(above))}
            wanted = max(0, limit - len(found))
            found |= dict.fromkeys(self._newest(seqs[ties:end].tolist(), wanted), float(last))
            start, size = end, size * 4
        return found

    def _newest(self, seqs: list[int], wanted: int) -> list[int]:
        """The newest of these that the filter asks for."""
        if self._scope == EVERYWHERE and len(seqs) <= wanted:
            return seqs
        steps = wanted * self._count // max(1, len(seqs))
        walks = steps < STEP * len(seqs)
        return self._walked(seqs, wanted) if walks else self._sorted(seqs, wanted)

    def _sorted(self, seqs: list[int], wanted: int) -> list[int]:
        scope = self._scope
        table = "streams" if scope == EVERYWHERE else "entries"
        rows = self._connection.execute(
            "SELECT seq FROM (SELECT value AS seq FROM json_each(?))"
            f" CROSS JOIN {table}_{self._n} USING (seq) WHERE {scope.condition}"
            " ORDER BY timestamp DESC, id LIMIT ?",
            (seq_list(seqs), *scope.parameters, wanted),
        )
        return [seq for (seq,) in rows]

    def _walked(self, seqs: list[int], wanted: int) -> list[int]:
        scope, among = self._scope, set(seqs)
        rows = self._connection.execute(
            f"SELECT seq FROM entries_{self._n} WHERE deleted = 0 AND {scope.condition}"
            " ORDER BY timestamp DESC, id",
            scope.parameters,
        )
        return list(islice((seq for (seq,) in rows if seq in among), wanted))
