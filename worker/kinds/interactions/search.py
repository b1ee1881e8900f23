"""Choosing a learner's ridge with few trainings: a coarse pass over the grid, a climb, and a look beyond its ends.

The curve of the validation metric over the ridge has one hill in practice; climbing it from the best of a coarse
pass finds the same value as the whole grid at about half the cost. When the best value is an end of the grid the grid
goes on, because a learner that is cut off there is an under-tuned one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse

from worker.kinds.interactions.dataset import Queries
from worker.kinds.interactions.learners.tuning import GRIDS, Tuned, fit_tuned
from worker.runtime.context import Context
from worker.runtime.errors import JobError

_STRIDE = 3
_BEYOND = 3
_TURNS = 3
_LEAST = 1e-5


def tune(
    name: str,
    rows: sparse.csr_array,
    validation: Queries,
    *,
    metric: str,
    small: bool,
    max_users: int,
    nystrom: bool,
    phase: str,
    ctx: Context,
) -> Tuned:
    """A learner fitted to rows (n, I) at the best ridge found on validation users.

    `small`: rows are few, so start from the grid for summaries. The result's curve holds every value tried, in
    increasing order, and its `search_s` the whole search. `phase`: what progress is called. Raises what `fit_tuned`
    raises.
    """

    def fit(grid: Sequence[float] | None, turn: int) -> Tuned:
        # The number of turns is not known before; most searches take at most three.
        with ctx.share(min(turn, _TURNS - 1), _TURNS, phase=phase):
            return fit_tuned(
                name,
                rows,
                validation,
                metric=metric,
                grid=grid,
                summary=small,
                max_users=max_users,
                nystrom=nystrom,
                ctx=ctx,
            )

    if name not in GRIDS or len(validation) == 0:
        return fit(None, 0)
    grid = sorted(GRIDS[name]["summary" if small else "full"])
    best = fit(sorted({*grid[::_STRIDE], grid[-1]}), 0)
    for turn in range(1, len(grid) + _BEYOND):
        more = [] if ctx.out_of_time() else _untried_neighbours(best, grid)
        if not more:
            break
        try:
            best = _better(best, fit(more, turn))
        except JobError as failure:
            # A ridge below the smallest usable one ends the climb; the best so far stands.
            if failure.code != "diverged":
                raise
            break
        grid = sorted({*grid, *more})
    return best


def _untried_neighbours(tuned: Tuned, grid: list[float]) -> list[float]:
    """The grid values on both sides of the best one that were not tried; one more beyond an end."""
    tried = {point["value"] for point in tuned.curve}
    chosen = next(iter(tuned.chosen.values()))
    place = grid.index(chosen)
    around = [grid[at] for at in (place - 1, place + 1) if 0 <= at < len(grid)]
    if place == len(grid) - 1:
        around.append(2.0 * grid[-1])
    if place == 0 and grid[0] > _LEAST:
        around.append(grid[0] / 2)
    return [value for value in around if value not in tried]


def _better(first: Tuned, second: Tuned) -> Tuned:
    """The better of two searches (the first when equal), with the curve and the time of both."""
    winner = second if _top(second) > _top(first) else first
    curve = sorted([*first.curve, *second.curve], key=lambda point: point["value"])
    return replace(winner, curve=curve, search_s=first.search_s + second.search_s)


def _top(tuned: Tuned) -> float:
    return float(np.nanmax([point["metric"] for point in tuned.curve]))
