"""The search itself: sets of rows that are crossed, changed and kept where learners learn better from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.kinds.table.evolution.objective import Objective

KEPT, FIRST_SWAP = 8, 0.15


@dataclass(frozen=True)
class Found:
    """The best set (s,), pool rows; what was best after each generation; evaluations made, of those `wanted`."""

    rows: np.ndarray
    curve: tuple[dict[str, float], ...]
    evaluations: int
    wanted: int


def search(
    objective: Objective, strata: np.ndarray, starts: Sequence[np.ndarray], evaluations: int, ctx: Context
) -> Found:
    """The best of so many sets. `strata` (p,): class or bin of every pool row, whose counts all sets share; `starts`:
    sets (s,) to begin with.

    Half of the children of a generation mix two parents, half change a share of one's rows, which falls to nothing. A
    generation draws from a stream of its own, so that a resumed search goes on as if it had never stopped.
    """
    sets, worths, generation, curve = _resumed(starts, ctx)
    made = len(starts) + generation * KEPT
    if not generation:
        for number, rows in enumerate(sets):
            ctx.progress(number, evaluations, phase="search")
            worths.append(objective.of(rows))
        sets, worths = _best(sets, worths)
        curve.append({"step": 0.0, "objective": worths[0]})
    while made + KEPT <= evaluations and not ctx.out_of_time():
        rng = np.random.default_rng([ctx.seed, generation])
        share = FIRST_SWAP * (1 - made / evaluations)
        children: list[np.ndarray] = []
        for number in range(KEPT):
            ctx.progress(made + number, evaluations, phase="search", objective=worths[0])
            one, other = rng.choice(len(sets), 2, replace=len(sets) < 2)
            child = crossed(sets[one], sets[other], strata, rng) if number % 2 else sets[min(one, other)]
            children.append(child if number % 2 else changed(child, strata, share, rng))
            worths.append(objective.of(children[-1]))
        sets, worths = _best([*sets, *children], worths)
        generation, made = generation + 1, made + KEPT
        curve.append({"step": float(made), "objective": worths[0]})
        ctx.checkpoint(generation, {"sets": np.stack(sets), "worths": np.array(worths)}, {"curve": curve})
    return Found(sets[0], tuple(curve), made, evaluations)


def crossed(one: np.ndarray, other: np.ndarray, strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of every stratum as many rows as a parent has, drawn from both parents' rows, each once."""
    union = np.union1d(one, other)
    counts = np.bincount(strata[one])
    return np.sort(
        np.concatenate([rng.permutation(union[strata[union] == at])[: counts[at]] for at in np.flatnonzero(counts)])
    )


def changed(rows: np.ndarray, strata: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """The set with a share of its rows, one at least, replaced by others of the same stratum that it does not have."""
    out = rows.copy()
    for place in rng.permutation(len(rows))[: max(1, round(share * len(rows)))]:
        able = np.setdiff1d(np.flatnonzero(strata == strata[out[place]]), out, assume_unique=True)
        if len(able):
            out[place] = rng.choice(able)
    return np.sort(out)


def _best(sets: Sequence[np.ndarray], worths: Sequence[float]) -> tuple[list[np.ndarray], list[float]]:
    """The best `KEPT`, best first, none twice."""
    order = sorted(range(len(sets)), key=lambda place: -worths[place])
    kept: list[int] = []
    for place in order:
        if not any(np.array_equal(sets[place], sets[other]) for other in kept):
            kept.append(place)
    return [sets[place] for place in kept[:KEPT]], [worths[place] for place in kept[:KEPT]]


def _resumed(
    starts: Sequence[np.ndarray], ctx: Context
) -> tuple[list[np.ndarray], list[float], int, list[dict[str, float]]]:
    point = ctx.restore()
    if point is None:
        return list(starts), [], 0, []
    return list(point.arrays["sets"]), point.arrays["worths"].tolist(), point.step, list(point.state["curve"])
