"""How well learners that see only a set of rows predict other rows: the mean over four proxies.

The rows that sets are judged on are never candidates, and the teacher, whose opinion is half of the target, has not
seen them. Classes are measured by AUC with soft targets t: the share of pairs (i, j), weighted by t_i (1 - t_j), that
are in the right order; several classes by the mean over each against the rest. Numbers are measured by R squared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worker.kinds.table.dataset import Rows
from worker.kinds.table.evolution import proxies
from worker.kinds.table.evolution.proxies import Cuts


@dataclass(frozen=True)
class Objective:
    """`pool`: the candidates; `asked`: the rows that are predicted; `wanted` (q, C): what should be said of them, half
    label and half teacher, in [0, 1] for classes, standard scores of numbers. `classes`: 0 in regression. `seed`: of
    the forests, the same for all sets."""

    pool: Rows
    asked: Rows
    wanted: np.ndarray
    classes: int
    seed: int

    @cached_property
    def cuts(self) -> Cuts:
        """The thresholds of trees."""
        return Cuts.of(self.asked.x)

    @cached_property
    def table(self) -> np.ndarray:
        """Which rows asked about lie above them."""
        return self.cuts.table(self.asked.x)

    @cached_property
    def square(self) -> np.ndarray:
        """Squared norms of the rows asked about."""
        return np.einsum("nd,nd->n", self.asked.x, self.asked.x)

    def of(self, rows: np.ndarray) -> float:
        """The worth of a set of pool rows (s,); more is better."""
        x = self.pool.x[rows]
        y = one_column_a_class(self.pool.y[rows], self.classes).astype(np.float32)
        logistic = bool(self.classes)
        above = self.cuts.table(x)
        distance = self.square[:, None] + np.einsum("sd,sd->s", x, x) - 2 * self.asked.x @ x.T
        said = (
            proxies.linear(x, y, self.asked.x, logistic=logistic),
            proxies.neighbours(distance, y),
            proxies.boosted(above, y, self.table, logistic=logistic),
            proxies.forest(above, y, self.table, np.random.default_rng(self.seed)),
        )
        return float(np.mean([self.worth(one) for one in said]))

    def worth(self, said: np.ndarray) -> float:
        """The metric of scores (q, C)."""
        columns = range(self.wanted.shape[1])
        if self.classes:
            return float(np.mean([soft_auc(self.wanted[:, column], said[:, column]) for column in columns]))
        wanted = self.wanted[:, 0]
        return 1 - float(((wanted - said[:, 0]) ** 2).mean() / max(float(wanted.var()), 1e-300))


def one_column_a_class(y: np.ndarray, classes: int) -> np.ndarray:
    """Targets as columns (n, C) of zeros and ones, one for two classes; a number as (n, 1)."""
    if not classes:
        return y[:, None]
    if classes == 2:
        return (y == 1).astype(np.float64)[:, None]
    return np.eye(classes)[y]


def soft_auc(wanted: np.ndarray, score: np.ndarray) -> float:
    """The share of pairs in the right order, each weighted by wanted_i (1 - wanted_j), ties as half; 0.5 where there
    is no such pair. Pairs of a row with itself, which tie, are left out."""
    order = np.argsort(score, kind="stable")
    value, up, down = score[order], wanted[order], 1 - wanted[order]
    below = np.concatenate([[0.0], np.cumsum(down)])
    first, last = np.searchsorted(value, value, "left"), np.searchsorted(value, value, "right")
    own = float((up * down).sum())
    won = float((up * (below[first] + below[last])).sum()) / 2 - own / 2
    pairs = float(up.sum() * down.sum()) - own
    return won / pairs if pairs > 1e-12 else 0.5
