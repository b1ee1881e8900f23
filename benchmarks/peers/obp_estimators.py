"""Seconds and peak memory of obp 0.5.7 on arrays of a log: run by `benchmarks.off_policy.obp_speed` in obp's own
environment, one process a round.

    python obp_estimators.py make FOLDER               draw the log with obp's generator and write its arrays
    python obp_estimators.py time FOLDER               time the estimators once; JSON on the last line
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS, ACTIONS, SEED, DRAWS = 10_000, 1_000, 12_345, 10_000
LIMITS = [10, 50, 100, 500, 1e3, 5e3, 1e4, 5e4, 1e5, 5e5, math.inf]
AMOUNTS = [1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0]


def make(folder: Path) -> None:
    """The recipe of the large-action literature: continuous rewards, three categorical dimensions of ten values."""
    from obp.dataset import SyntheticBanditDatasetWithActionEmbeds, linear_reward_function

    dataset = SyntheticBanditDatasetWithActionEmbeds(
        n_actions=ACTIONS, dim_context=10, reward_type="continuous", reward_function=linear_reward_function, beta=-1,
        reward_std=2.5, n_cat_per_dim=10, n_cat_dim=3, random_state=SEED,
    )  # fmt: skip
    log = dataset.obtain_batch_bandit_feedback(ROUNDS)
    expected = log["expected_reward"]
    target = np.full(expected.shape, 0.05 / ACTIONS)
    target[np.arange(ROUNDS), expected.argmax(axis=1)] += 0.95
    np.savez(
        folder / "log.npz",
        context=log["context"], action=log["action"], reward=log["reward"], pscore=log["pscore"],
        pi_b=log["pi_b"][:, :, 0], target=target, action_context=log["action_context"], p_e_a=log["p_e_a"],
        action_embed=log["action_embed"], value=(target * expected).sum(axis=1).mean(),
    )  # fmt: skip


def clocked(found: dict[str, Any], name: str, call: Callable[[], float]) -> None:
    """Seconds of one call, and what it returned."""
    started = time.perf_counter()
    value = call()
    found[name] = {"seconds": time.perf_counter() - started, "value": float(value)}


def measure(folder: Path) -> dict[str, Any]:
    """Every estimator on its own, as its users call it; the reward model's predictions are computed before."""
    from obp import ope
    from sklearn.linear_model import Ridge

    given = dict(np.load(folder / "log.npz"))
    found: dict[str, Any] = {}
    codes = given["action_context"]
    onehot = np.concatenate([column[:, None] == np.unique(column) for column in codes.T], axis=1).astype(float)
    started = time.perf_counter()
    model = ope.RegressionModel(n_actions=ACTIONS, action_context=onehot, base_model=Ridge())
    predicted = model.fit_predict(
        context=given["context"], action=given["action"], reward=given["reward"], n_folds=3, random_state=SEED
    )
    found["reward_model"] = {"seconds": time.perf_counter() - started, "value": float(predicted.mean())}
    plain = {
        "reward": given["reward"],
        "action": given["action"],
        "pscore": given["pscore"],
        "action_dist": given["target"][:, :, None],
        "estimated_rewards_by_reg_model": predicted,
        "position": np.zeros(ROUNDS, int),  # its tuning fails without
    }
    np.save(folder / "predicted.npy", predicted[:, :, 0])
    clocked(found, "dm", lambda: ope.DirectMethod().estimate_policy_value(**plain))
    clocked(found, "ips", lambda: ope.InverseProbabilityWeighting().estimate_policy_value(**plain))
    clocked(found, "snips", lambda: ope.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**plain))
    clocked(found, "dr", lambda: ope.DoublyRobust().estimate_policy_value(**plain))
    clocked(found, "sndr", lambda: ope.SelfNormalizedDoublyRobust().estimate_policy_value(**plain))
    for name, form, grid in (
        ("switch_tuned", ope.SwitchDoublyRobustTuning, LIMITS),
        ("dros_tuned", ope.DoublyRobustWithShrinkageTuning, LIMITS),
        ("sgdr_tuned", ope.SubGaussianDoublyRobustTuning, AMOUNTS),
    ):
        tuner = form(lambdas=grid, tuning_method="slope", delta=0.05)
        clocked(found, name, lambda tuner=tuner: tuner.estimate_policy_value_with_tuning(**plain))
        found[name]["setting"] = repr(float(tuner.best_hyperparam))
    marginal = ope.MarginalizedInverseProbabilityWeighting(n_actions=ACTIONS)
    embedded = {
        "pi_b": given["pi_b"][:, :, None],
        "action_embed": given["action_embed"],
        "p_e_a": given["p_e_a"],
    }
    clocked(found, "mips", lambda: marginal.estimate_policy_value(**plain, **embedded))
    clocked(
        found,
        "bootstrap",
        lambda: ope.InverseProbabilityWeighting().estimate_interval(
            **plain, n_bootstrap_samples=DRAWS, random_state=SEED
        )["mean"],
    )
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return found


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        sys.stdout.write(json.dumps(measure(Path(sys.argv[2]))) + "\n")
