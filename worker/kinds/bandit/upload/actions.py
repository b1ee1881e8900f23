"""Which actions there are and which number each has: by position where something goes by position, else by ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.ids import IdMap
from worker.ingest.table import Words
from worker.kinds.bandit.upload.raw import RawLog

_WHOLE = r"^\d{1,9}$"


@dataclass(frozen=True)
class Actions:
    """`n` actions. `ids`: their names in order of their numbers; None: the numbers are the names, from `base`."""

    n: int
    ids: Arrow | None = None
    base: int = 0

    def codes(self, column: Words, what: str) -> NDArray[np.int32]:
        """Numbers (m,) of a column of ids; refuses ids that are no action of this log."""
        return self.of_words(column.words, what)[column.codes]

    def of_words(self, words: Arrow, what: str) -> NDArray[np.int32]:
        """Number of every id."""
        if self.ids is not None:
            found = pc.fill_null(pc.index_in(words, self.ids), -1).to_numpy(zero_copy_only=False).astype(np.int64)
        else:
            whole = pc.match_substring_regex(words, _WHOLE)
            numbers = pc.if_else(whole, words, "-1").cast(pa.int64())
            found = numbers.to_numpy(zero_copy_only=False).astype(np.int64) - self.base
            found[~whole.to_numpy(zero_copy_only=False)] = -1
        wrong = (found < 0) | (found >= self.n)
        if wrong.any():
            shown = words[int(np.argmax(wrong))].as_py()
            last = self.base + self.n - 1
            known = f"the ids are {self.base} to {last}" if self.ids is None else f"there are {self.n:,} known ids"
            raise JobError(
                "action_out_of_range",
                f"{what} names the action {shown!r}, but {known} ({int(wrong.sum()):,} such ids).",
                hint="Give n_actions, correct the ids, or upload tables with an id column instead of positions.",
                pointer="/columns/action",
            )
        return found.astype(np.int32)


def resolve(log: RawLog, widths: Mapping[str, int], named: Mapping[str, Sequence[Arrow]]) -> Actions:
    """The actions of a log and its side tables.

    `widths`: who goes by position, and how many actions it has; `named`: who goes by ids, and which. The ids of
    `embeddings` or `hierarchy`, in order of their rows, number the actions where both kinds meet.
    """
    counts = dict(widths) | ({"n_actions": log.n_actions} if log.n_actions else {})
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        raise JobError(
            "action_out_of_range",
            f"The parts of the upload do not have one number of actions: {listed}.",
            hint="Policies, embeddings and n_actions must all cover the same actions.",
            pointer="/files",
        )
    if counts:
        n = next(iter(counts.values()))
        for table in ("embeddings", "hierarchy"):
            rows = named.get(table, [])
            if len(rows) == 1 and len(rows[0]) == n and not _are_positions(rows[0], n):
                return Actions(n, rows[0])
        return Actions(n, None, int(log.one_based))
    collected = IdMap()
    for words in (log.action.words, *(words for part in named.values() for words in part)):
        collected.add(words.dictionary_encode())
    _, ids = collected.finish()
    return Actions(len(ids), ids)


def _are_positions(ids: Arrow, n: int) -> bool:
    if not pc.all(pc.match_substring_regex(ids, _WHOLE)).as_py():
        return False
    return bool((np.sort(ids.cast(pa.int64()).to_numpy()) == np.arange(n)).all())


def place_rows(actions: Actions, ids: Arrow | None, rows: int, what: str, code: str) -> NDArray[np.int64]:
    """Row of a side table for every action (A,); refuses double ids and actions without a row."""
    if ids is None:
        if rows != actions.n:
            raise JobError(code, f"{what} has {rows:,} rows for {actions.n:,} actions.", pointer="/files")
        return np.arange(rows)
    codes = actions.of_words(ids, what)
    place = np.full(actions.n, -1, np.int64)
    place[codes] = np.arange(rows)
    if len(np.unique(codes)) != len(codes):
        raise JobError("invalid_input", f"{what} has two rows for one action.", pointer="/files")
    if (place < 0).any():
        missing = np.flatnonzero(place < 0)
        names = [str(actions.base + a) if actions.ids is None else actions.ids[int(a)].as_py() for a in missing[:5]]
        raise JobError(
            code,
            f"{what} has no row for {len(missing):,} of {actions.n:,} actions: {', '.join(names)}.",
            hint="Add a row for every action that the log or a policy names.",
            pointer="/files",
        )
    return place
