"""Classes, or quantile bins of a number to predict: what a split and a budget are spread over, and prior weights."""

from __future__ import annotations

from typing import Literal

import numpy as np

from worker.contract.errors import JobError

Allocation = Literal["balanced", "sqrt", "proportional"]


def quantile_bins(target: np.ndarray, bins: int) -> np.ndarray:
    """The bin (n,) of each number, of at most `bins` that hold about as many rows; ties stay together."""
    edges = np.unique(np.quantile(target, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, target, side="right")


def allocate(masses: np.ndarray, room: np.ndarray, total: int, how: Allocation) -> np.ndarray:
    """How many of `total` rows each stratum (k,) gets: alike, by the root of its mass, or by its mass; one at least,
    and not more than its `room` in rows. Largest remainders.

    Raises `JobError` `budget_too_small` below a row a stratum.
    """
    present = np.flatnonzero(room > 0)
    if total < len(present):
        raise JobError(
            "budget_too_small",
            f"The budget comes to {total} rows; each of the {len(present)} classes (or bins) needs one.",
            hint=f"Ask for at least {len(present)} rows.",
            pointer="/params/budget",
        )
    power = {"balanced": 0.0, "sqrt": 0.5, "proportional": 1.0}[how]
    given = np.zeros(len(room), np.int64)
    given[present] = 1
    share = np.where(room > 0, np.maximum(masses, 1e-12) ** power, 0.0)
    while (left := total - int(given.sum())) > 0:
        open_ = given < room
        wish = np.where(open_, share, 0.0)
        if not wish.any():
            break
        ideal = total * share / share.sum()
        lack = np.where(open_, np.maximum(ideal - given, 1e-9 * wish), 0.0)
        step = np.minimum(np.floor(left * lack / lack.sum()).astype(np.int64), room - given)
        if not step.any():
            step[np.argmax(lack)] = 1
        given += step
    return given


def prior_weights(strata: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Weights (s,) float32, of mean 1, that give the strata (s,) of a summary the shares of the source's `masses`."""
    counts = np.bincount(strata, minlength=len(masses))
    there = counts > 0
    share = np.where(there, masses, 0.0)
    each = np.divide(share / share.sum() * len(strata), counts, out=np.zeros(len(masses)), where=there)
    return each[strata].astype(np.float32)
