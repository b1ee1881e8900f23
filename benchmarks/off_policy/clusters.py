"""Where smoothing gains five to six orders of magnitude: clean clusters, and policies that part inside them.

A actions in 50 known clusters with the same reward inside each; the logging policy prefers a cluster's actions by
exp(-b s), the target by exp(+b s), s normal, and clusters by softmax(-2 q) and softmax(+2 q). Weights of single actions
reach e^(2 b s), weights of clusters stay small. Such ratios hold for known structure only: a spread of 0.02 tanh(s) of
the reward inside clusters removes them, and so does not knowing the clusters.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.off_policy.environments import softmax
from worker.kinds.bandit.convolution import convolution
from worker.kinds.bandit.convolution.weights import path_weights
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimators import ESTIMATORS
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.policies import Floats, dense
from worker.kinds.bandit.reward_models import ridge

GROUPS, DRAWS = 50, 20
NAMES = ("ips", "cips", "switch", "snips", "dr", "sndr", "dm")


@dataclass(frozen=True)
class Setting:
    """`tilt` b inside clusters; `spread` of the reward inside them; `halves`: the policies share no action."""

    n_actions: int = 100_000
    n: int = 1_000_000
    tilt: float = 2.0
    spread: float = 0.0
    halves: bool = False
    shift: float = 0.0


def world(setting: Setting, rng: np.random.Generator) -> tuple[np.ndarray, Floats, Floats, Floats, Floats]:
    """Cluster, embedding, expected reward, logging and target probability of every action."""
    cluster = np.arange(setting.n_actions) % GROUPS
    embedding = rng.normal(size=(GROUPS, 10))[cluster] + 0.3 * rng.normal(size=(setting.n_actions, 10))
    q_cluster = rng.uniform(0.1, 0.9, GROUPS)
    s = rng.normal(size=setting.n_actions)
    q = np.clip(q_cluster[cluster] + setting.spread * np.tanh(s), 0, 1)
    inside = [np.exp(sign * setting.tilt * s) for sign in (-1, 1)]
    if setting.halves:
        low = np.arange(setting.n_actions) // GROUPS % 2 == 0
        inside = [np.where(low, inside[0], 0.0), np.where(low, 0.0, inside[1])]
    policies = []
    for sign, mass in zip((-1, 1), inside, strict=True):
        of_cluster = softmax(sign * 2.0 * q_cluster[None])[0]
        policies.append(of_cluster[cluster] * mass / np.bincount(cluster, mass)[cluster])
    return cluster, embedding, q, policies[0], policies[1]


def draw_errors(setting: Setting, seed: int) -> dict[str, float]:
    """Squared error of every estimator on one log of one world."""
    rng = np.random.default_rng(seed)
    cluster, embedding, q, mu, pi = world(setting, rng)
    below = np.cumsum(mu)
    action = np.searchsorted(below, rng.random(setting.n) * below[-1], side="right").astype(np.int32)
    reward = (rng.random(setting.n) < q[action]).astype(np.float64) + setting.shift
    context = np.zeros(setting.n, np.int32)
    log = BanditLog(
        action,
        reward,
        mu[action],
        setting.n_actions,
        np.zeros((1, 0), np.float32),
        context,
        logging=dense(mu[None], context),
        embeddings=embedding.astype(np.float32),
    )
    target, rounds = dense(pi[None], context), np.arange(setting.n)
    path = convolution("tree", None, cluster[None].astype(np.int32))
    smoothed = path_weights(path, log, target)
    model = ridge.fit(log, rounds)
    terms = Terms(reward, smoothed.weight[0], model.at(rounds, action), model.under(target, rounds))
    value = float(pi @ q) + setting.shift
    found = {name: ESTIMATORS[name](terms).value for name in NAMES}
    known = smoothed.taus.index(float(GROUPS))
    found["pc_snips"] = ESTIMATORS["pc_snips"](replace(terms, weight=smoothed.weight[known])).value
    return {name: (estimate - value) ** 2 for name, estimate in found.items()}


def setting_errors(setting: Setting, draws: int = DRAWS) -> dict[str, Any]:
    """MSE of PC-SNIPS on the clusters and how many times larger that of every other estimator is."""
    squares = [draw_errors(setting, seed) for seed in range(draws)]
    mse = {name: float(np.mean([found[name] for found in squares])) for name in squares[0]}
    sys.stderr.write(f"{setting}\n")
    return {"mse": mse, "over_pc_snips": {name: mse[name] / mse["pc_snips"] for name in NAMES}}


def clusters() -> dict[str, Any]:
    """The clean setting, what removes its gain, and its growth with rounds, tilt and actions."""
    small = Setting(n_actions=10_000, n=100_000)
    return {
        "draws": DRAWS,
        "clean": setting_errors(Setting()),
        "disjoint_halves": setting_errors(Setting(halves=True)),
        "spread_0.02": setting_errors(Setting(spread=0.02)),
        "rewards_4_to_5": setting_errors(Setting(shift=4.0)),
        "rounds": {n: setting_errors(Setting(n=n)) for n in (1_000, 10_000, 100_000)},
        "tilt": {b: setting_errors(replace(small, tilt=b)) for b in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)},
        "actions": {a: setting_errors(replace(small, n_actions=a, tilt=1.5)) for a in (100, 1_000, 10_000, 100_000)},
    }
