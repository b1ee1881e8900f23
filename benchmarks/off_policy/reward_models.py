"""What reward models see where the best action differs by context: DM and the noise of DR, by model.

Run: `python -m benchmarks.off_policy.reward_models --letter FOLDER`, where `letter-recognition.data.gz` lies.
Classes are actions and the right one pays 1: the digits of scikit-learn (10 actions, 64 columns) and UCI Letter (26, 16
columns). The logging policy follows a logistic regression on few labels, with a fifth of its choices at random; the
target takes what boosted trees on half of all labels say, and one choice in fifty at random. 6,000 rounds, three folds,
mean of three logs. `auto` is the job's default: the model of least squared error on rounds left out.
Bars: on digits DM of the default at least 0.8 (the additive model: below 0.5); on both DR no noisier than with it.
Writes `benchmarks/results/off_policy_reward_models.json`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from benchmarks.off_policy.letter import letters
from benchmarks.record import write
from worker.contract.context import Context
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import Policy, dense
from worker.kinds.bandit.reward_models import gbdt, logistic, per_action
from worker.kinds.bandit.reward_models.choice import choose
from worker.kinds.bandit.reward_models.crossfit import CrossFitted, crossfit

ROUNDS, LOGS, LABELS = 6_000, 3, 350
FITS = {"logistic": logistic.fit, "per_action": per_action.fit, "gbdt": gbdt.fit}


def logged(x: np.ndarray, label: np.ndarray, seed: int) -> tuple[BanditLog, Policy, float]:
    """A log, the target and its value on these rounds."""
    rng = np.random.default_rng(seed)
    count = int(label.max()) + 1
    few = rng.permutation(len(x))[:LABELS]
    taught = LogisticRegression(max_iter=300).fit(x[few], label[few])
    scores = np.full((len(x), count), -np.inf)
    scores[:, taught.classes_] = 0.5 * taught.decision_function(x)
    mu = np.exp(scores - scores.max(axis=1, keepdims=True))
    mu = 0.8 * mu / mu.sum(axis=1, keepdims=True) + 0.2 / count
    half = rng.permutation(len(x))[: len(x) // 2]
    best = HistGradientBoostingClassifier(max_iter=100).fit(x[half], label[half]).predict(x)
    pi = np.full((len(x), count), 0.02 / count)
    pi[np.arange(len(x)), best] += 0.98
    rows = rng.integers(0, len(x), ROUNDS).astype(np.int32)
    action = (mu[rows].cumsum(axis=1) > rng.random((ROUNDS, 1))).argmax(axis=1).astype(np.int32)
    log = BanditLog(
        action,
        (action == label[rows]).astype(np.float64),
        mu[rows, action],
        count,
        x.astype(np.float32),
        context_index=rows,
        logging=dense(mu, rows),
        reward_range=(0.0, 1.0),
    )
    return log, dense(pi, rows), float(pi[rows, label[rows]].mean())


def told(log: BanditLog, target: Policy, fitted: CrossFitted) -> dict[str, float]:
    """Squared error on rounds left out, DM, DR and the standard error of DR."""
    weight = target.at(log.action) / log.propensity
    robust = fitted.dm["target"] + weight * (log.reward - fitted.q_logged)
    return {
        "error": float(((log.reward - fitted.q_logged) ** 2).mean()),
        "dm": float(fitted.dm["target"].mean()),
        "dr": float(robust.mean()),
        "dr_se": float(robust.std() / log.n**0.5),
    }


def measure(x: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Means over the logs, by model."""
    rows: dict[str, list[dict[str, float]]] = {}
    truths, chosen = [], []
    for seed in range(LOGS):
        log, target, truth = logged(x, label, seed)
        truths.append(truth)
        for name, fit in FITS.items():
            rows.setdefault(name, []).append(told(log, target, crossfit(log, fit, {"target": target})))
        choice = choose(log, {"target": target}, 3, 0, Context(seed=0), (0.0, 1.0))
        chosen.append(choice.name)
        rows.setdefault("auto", []).append(told(log, target, choice.reward))
    figures = {
        name: {key: float(np.mean([one[key] for one in ones])) for key in ones[0]} for name, ones in rows.items()
    }
    return {"actions": int(label.max()) + 1, "truth": float(np.mean(truths)), "chosen": chosen, **figures}


def main() -> None:
    """Both data sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--letter", type=Path, required=True)
    folder = parser.parse_args().letter
    pixels, digit = load_digits(return_X_y=True)
    data = letters(folder)
    figures = {"digits": measure(pixels / 16, digit), "letter": measure(np.asarray(data.x)[:, :16], data.label)}
    digits = figures["digits"]
    bars = {
        "digits_dm_at_least_0.8": digits["auto"]["dm"],
        "dr_se_over_the_additive": {
            name: one["auto"]["dr_se"] / one["logistic"]["dr_se"] for name, one in figures.items()
        },
        "met": digits["auto"]["dm"] >= 0.8
        and all(one["auto"]["dr_se"] <= one["logistic"]["dr_se"] for one in figures.values()),
    }
    write(
        "off_policy_reward_models", {"rounds": ROUNDS, "logs": LOGS, "bars": bars, **figures}, ("numpy", "scikit-learn")
    )


if __name__ == "__main__":
    main()
