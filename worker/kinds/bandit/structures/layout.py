"""Where the rows of a log stand among the steps of their unit: positions of a slate, steps of a trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.kinds.bandit.policies import Floats

MOST_CELLS = 50_000_000  # units times the steps of the longest one


@dataclass(frozen=True)
class Layout:
    """m units of at most L steps. `rows` (m, L) int64: the row of every step, -1 after the last of its unit."""

    rows: NDArray[np.int64]

    @classmethod
    def of(cls, unit: NDArray[np.integer], step: NDArray[np.integer]) -> Layout:
        """From the unit, 0 to m - 1, and the number of the step, of every row (n,)."""
        order = np.lexsort((step, unit))
        length = np.bincount(unit)
        if len(length) * int(length.max()) > MOST_CELLS:
            raise JobError(
                "dense_too_large",
                f"{len(length):,} units of up to {int(length.max()):,} steps are too many to lay out "
                f"({MOST_CELLS:,} at most).",
                hint="Split the longest ones, or upload fewer.",
                pointer="/files",
            )
        rows = np.full((len(length), int(length.max())), -1, np.int64)
        first = np.cumsum(length) - length
        place = np.arange(len(order)) - np.repeat(first, length)
        rows[unit[order], place] = order
        return cls(rows)

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Which steps there are (m, L)."""
        return self.rows >= 0

    @property
    def units(self) -> int:
        """Number of units m."""
        return len(self.rows)

    @property
    def steps(self) -> int:
        """Steps L of the longest unit."""
        return self.rows.shape[1]

    def spread(self, values: NDArray[np.floating], fill: float = 0.0) -> Floats:
        """Values of rows (n,) at their steps (m, L), `fill` where there is none."""
        found = np.full(self.rows.shape, fill)
        found[self.present] = values[self.rows[self.present]]
        return found

    def gather(self, table: Floats, n: int) -> Floats:
        """The other way round: values at steps (m, L) as values of rows (n,)."""
        found = np.zeros(n)
        found[self.rows[self.present]] = table[self.present]
        return found


def check(unit: NDArray[np.integer], step: NDArray[np.integer], ids: NDArray[np.str_], words: tuple[str, str]) -> None:
    """Refuse units with a step twice or missing, or that begin later than others: products of weights need them all.

    `ids`: of the units; `words`: what a unit and a step are called, which are their columns' roles too.
    """
    name, part = words
    order = np.lexsort((step, unit))
    same = np.diff(unit[order]) == 0
    jump = np.diff(step[order].astype(np.int64))
    pointer = f"/columns/{part}"
    if (twice := same & (jump == 0)).any():
        row = order[1:][twice][0]
        raise JobError(
            "invalid_input",
            f"The {name} {ids[unit[row]]} has two rows for {part} {step[row]} ({int(twice.sum()):,} such rows).",
            hint=f"Every row needs a {part} of its own within its {name}.",
            pointer=pointer,
        )
    if (hole := same & (jump > 1)).any():
        row = order[1:][hole][0]
        raise JobError(
            "invalid_input",
            f"The {name} {ids[unit[row]]} lacks a row before {part} {step[row]} ({int(hole.sum()):,} such gaps).",
            hint=f"Upload every {part}, also those without any reward: what was done there belongs to the weights.",
            pointer=pointer,
        )
    start = np.flatnonzero(np.concatenate([[True], ~same]))
    first = step[order][start]
    if (late := first > first.min()).any():
        row = order[start[late][0]]
        raise JobError(
            "invalid_input",
            f"The {name} {ids[unit[row]]} begins at {part} {step[row]}, others at {first.min()} "
            f"({int(late.sum()):,} begin late).",
            hint=f"Upload its first {part}s too, or leave the {name} out.",
            pointer=pointer,
        )
