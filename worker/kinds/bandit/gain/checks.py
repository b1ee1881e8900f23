"""Do the propensities agree with the log? Tests that a wrong logging policy fails and a right one hardly ever.

Each is written for a false alarm of about one in a thousand logs or fewer; the prediction of the reward model gets a
little more, since an error that goes with the reward is the one that turns verdicts. Where only propensities are
known, an excess of weight alone can be a doubt: a shortfall may be missing support, which the bounds pay for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.gain.control import Control
from worker.kinds.bandit.gain.series import Series, effective_rounds
from worker.kinds.bandit.policies import Floats, SparseTable
from worker.kinds.bandit.reward_models.crossfit import mean_under

MEAN_WEIGHT, BALANCE, REWARD = 4.0, 3.0, 2.6  # standard errors
DISAGREEMENT = 1e-3
SUSPICION = 0.05
_LEAST_EXPECTED = 5.0


@dataclass(frozen=True)
class Against:
    """What in the log speaks against its propensities, whatever the target.

    `doubts` forbid any claim. `scores` (n, k): how far each choice departs from the logging policy's mean in ways that
    turn verdicts (towards probable actions, towards high rewards), where both together depart with p below 5 % or
    the second alone below 10 %, too little for a doubt; a claim must then also hold for propensities moved along them.
    None elsewhere.
    """

    doubts: tuple[str, ...] = ()
    scores: Floats | None = None


def of_log(log: BanditLog, control: Control) -> Against:
    """Test the propensities of a log whose logging policy is known; nothing speaks against others by themselves."""
    if log.logging is None:
        return Against()
    found: list[str] = []
    own = log.logging.at(log.action)
    if np.any(np.abs(own / log.propensity - 1) > DISAGREEMENT):
        found.append("the logging policy gives logged actions other probabilities than their propensities")
    expected, entropy = _sums(log)
    if _counts_off(log, expected) > BALANCE:
        found.append("actions were taken more or less often than the logging policy says")
    scores = [np.log(np.maximum(own, 1e-300)) - entropy]
    if abs(_score(log, scores[0])) > BALANCE:
        found.append("probable actions were taken more or less often than the logging policy says")
    if control.model is not None:
        under = mean_under(list(control.model.models), log.logging, control.model.fold)
        scores.append(control.logged - under)
        if abs(_score(log, scores[1])) > REWARD:
            found.append("actions of high expected reward were taken more or less often than the logging policy says")
    if _cells_off(log, own) > BALANCE:
        found.append("within single contexts the logged actions do not follow the logging policy")
    # A departure towards high rewards pretends to a gain, one away from them to a loss: each side has half the level.
    suspicious = any(_joint_p(log, score[:, None]) < 2 * SUSPICION for score in scores[1:])
    moved = np.stack(scores, axis=1)
    return Against(tuple(found), moved if suspicious or _joint_p(log, moved) < SUSPICION else None)


def of_target(
    log: BanditLog, series: Series, control: Control, name: str, limits: tuple[float, float] | None
) -> tuple[str, ...]:
    """What the target's weights say against the propensities; `name`: of the target."""
    n = effective_rounds(log)
    share = log.round_weight / log.round_weight.sum()
    if log.logging is None:
        return _excess(log, series, control, name, limits)
    lost = 0.0 if series.lost is None else float(share @ series.lost)
    off = float(share @ series.weight) - (1.0 - lost)
    noise = float(np.sqrt(series.spread / n))
    if abs(off) > MEAN_WEIGHT * noise + 1e-6:
        return (f"the mean weight is {float(share @ series.weight):.3g} where {1 - lost:.3g} is expected",)
    if control.model is None or series.modelled is None:
        return ()
    difference = (series.weight - 1.0) * control.logged - series.modelled
    reach = float(np.ptp(control.logged)) ** 2 * series.spread
    if abs(_score(log, difference, reach)) > BALANCE:
        return ("the weights do not bring what the reward model expects of the target's own choices",)
    return ()


def _excess(
    log: BanditLog, series: Series, control: Control, name: str, limits: tuple[float, float] | None
) -> tuple[str, ...]:
    over = series.weight - 1.0
    if _score(log, over, float(np.max(np.abs(over), initial=0.0)) ** 2) > MEAN_WEIGHT:
        mean = float(log.round_weight @ series.weight / log.round_weight.sum())
        return (f"the mean weight is {mean:.3g}, above the 1 it can have at most",)
    if control.model is None or limits is None:
        return ()
    dm, reach = control.model.dm[name], series.spread * float(np.ptp(control.logged)) ** 2
    for logged, mean in ((control.logged - limits[0], dm - limits[0]), (limits[1] - control.logged, limits[1] - dm)):
        if _score(log, series.weight * logged - mean, reach) > BALANCE:
            return ("the weights bring more than the target's own choices can",)
    return ()


def _joint_p(log: BanditLog, scores: Floats) -> float:
    """p value of all columns (n, k) having mean zero."""
    share = log.round_weight / log.round_weight.sum()
    mean = share @ scores
    centred = (scores - mean) * share[:, None]
    squares = float(mean @ np.linalg.pinv(centred.T @ centred, hermitian=True) @ mean)
    return float(stats.chi2.sf(squares, scores.shape[1]))


def _score(log: BanditLog, values: Floats, undrawn: float = 0.0) -> float:
    """Mean of values over its standard error, `undrawn` the square of one more round; 0 where nothing varies."""
    share = log.round_weight / log.round_weight.sum()
    mean = float(share @ values)
    variance = float(share**2 @ (values - mean) ** 2) + undrawn * float(share @ share) / log.n
    return mean / float(np.sqrt(variance)) if variance > 1e-24 else 0.0


def _sums(log: BanditLog) -> tuple[Floats, Floats]:
    """Expected number of rounds by action (A,), and the mean of log mu under mu for every round (n,)."""
    assert log.logging is not None  # noqa: S101 - the caller has looked
    table, rows = log.logging.table, log.logging.rows
    counts = np.bincount(rows, log.round_weight, table.n_rows)
    if isinstance(table, SparseTable) and table.floor is None:
        entries = table.entries
        size = np.diff(entries.indptr)
        expected = np.zeros(table.n_actions)
        entropy = np.zeros(table.n_rows)
        step = max(1, 500_000 * table.n_rows // max(1, entries.nnz))
        for start in range(0, table.n_rows, step):
            stop = min(start + step, table.n_rows)
            part = slice(int(entries.indptr[start]), int(entries.indptr[stop]))
            mass = entries.data[part].astype(np.float64)
            owner = np.repeat(np.arange(stop - start), size[start:stop])
            expected += np.bincount(entries.indices[part], counts[start:stop][owner] * mass, table.n_actions)
            entropy[start:stop] = np.bincount(owner, mass * np.log(np.maximum(mass, 1e-300)), stop - start)
        return expected, entropy[rows]
    expected, entropy = np.zeros(table.n_actions), np.zeros(table.n_rows)
    used = np.flatnonzero(counts > 0)
    step = max(1, 2**21 // table.n_actions)
    for start in range(0, len(used), step):
        block = used[start : start + step]
        mass = table.dense(block)
        expected += counts[block] @ mass
        entropy[block] = (mass * np.log(np.maximum(mass, 1e-300))).sum(axis=1)
    return expected, entropy[rows]


def _counts_off(log: BanditLog, expected: Floats) -> float:
    """Chi-square of how often each action was taken, as standard errors; actions expected under 5 times go together."""
    taken = np.bincount(log.action, log.round_weight, log.n_actions)
    often = expected >= _LEAST_EXPECTED
    pairs = np.stack([expected[often], taken[often]])
    rest = np.array([[expected[~often].sum()], [taken[~often].sum()]])
    if rest[0, 0] >= _LEAST_EXPECTED:
        pairs = np.concatenate([pairs, rest], axis=1)
    if pairs.shape[1] < 2:
        return 0.0
    scale = float(log.round_weight @ log.round_weight / log.round_weight.sum())
    found = float(((pairs[1] - pairs[0]) ** 2 / pairs[0]).sum()) / scale
    return float(stats.norm.isf(max(stats.chi2.sf(found, pairs.shape[1] - 1), 1e-300)))


def _cells_off(log: BanditLog, own: Floats) -> float:
    """Pairs of rounds of one context that took the same action, against their expectation, in standard errors.

    Under the logging policy sum_a N_a (N_a - 1) / mu(a) has mean N (N - 1) and variance 2 N (N - 1) (A - 1), A the
    number of supported actions.
    """
    assert log.logging is not None  # noqa: S101 - the caller has looked
    rows = log.logging.rows
    size = np.bincount(rows)
    if log.weight is not None or not np.any(size > 1):
        return 0.0
    _, first, counts = np.unique(
        rows.astype(np.int64) * log.n_actions + log.action, return_index=True, return_counts=True
    )
    pairs = np.bincount(rows[first], counts * (counts - 1) / own[first], len(size))
    many = np.flatnonzero(size > 1)
    n = size[many].astype(np.float64)
    possible = _supported(log, many)
    variance = float((2 * (n - 1) * np.maximum(possible - 1, 0) / n).sum())
    return float(((pairs[many] - n * (n - 1)) / n).sum()) / float(np.sqrt(variance)) if variance > 0 else 0.0


def _supported(log: BanditLog, rows: np.ndarray) -> Floats:
    assert log.logging is not None  # noqa: S101 - the caller has looked
    table = log.logging.table
    if isinstance(table, SparseTable):
        counts = np.diff(table.entries.indptr)[rows].astype(np.float64)
        return counts if table.floor is None else np.where(table.floor[rows] > 0, table.n_actions, counts)
    step = max(1, 2**21 // table.n_actions)
    parts = [(table.dense(rows[i : i + step]) > 0).sum(axis=1) for i in range(0, len(rows), step)]
    return np.concatenate(parts).astype(np.float64)
