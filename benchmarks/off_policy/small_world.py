"""A world of 12 contexts and 5 actions whose gains are known exactly, drawn from quickly and often."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.gain.control import Control
from worker.kinds.bandit.gain.series import Series, with_logging_policy
from worker.kinds.bandit.overlap import Overlap, Pairs
from worker.kinds.bandit.policies import DenseTable, Policy

CONTEXTS, ACTIONS = 12, 5


@dataclass(frozen=True)
class World:
    """Logging and target policy (U, A), expected reward `q` (U, A) in (0, 1)."""

    mu: np.ndarray
    pi: np.ndarray
    q: np.ndarray

    @property
    def gain(self) -> float:
        """Of the target over the logging policy; contexts are equally likely."""
        return float(((self.pi - self.mu) * self.q).sum(axis=1).mean())

    def log(self, rounds: int, seed: int) -> BanditLog:
        """A log of 0/1 rewards."""
        rng = np.random.default_rng([seed, 7])
        x = rng.integers(0, CONTEXTS, rounds)
        a = (self.mu[x].cumsum(axis=1) < rng.random(rounds)[:, None]).sum(axis=1).clip(0, ACTIONS - 1)
        index = x.astype(np.int32)
        return BanditLog(
            action=a.astype(np.int32),
            reward=(rng.random(rounds) < self.q[x, a]).astype(float),
            propensity=self.mu[x, a],
            n_actions=ACTIONS,
            contexts=np.eye(CONTEXTS, dtype=np.float32),
            context_index=index,
            logging=Policy(DenseTable(self.mu), index),
            targets={"target": Policy(DenseTable(self.pi), index)},
            reward_range=(0.0, 1.0),
        )

    def binary(self, log: BanditLog, q: np.ndarray, seed: int) -> np.ndarray:
        """A further 0/1 reward of the log's rounds with expectation `q` (U, A)."""
        return (np.random.default_rng([seed, 11]).random(log.n) < q[log.rows, log.action]).astype(float)


def world(gain: float, seed: int = 0) -> World:
    """A world whose target gains exactly this: rewards of two random tables mixed so that it does."""
    rng = np.random.default_rng(seed)
    mu, pi = rng.dirichlet(np.full(ACTIONS, 2.0), (2, CONTEXTS))
    mu = 0.8 * mu + 0.2 / ACTIONS
    made = World(mu, pi, expected(mu, pi, gain, seed))
    assert abs(made.gain - gain) < 1e-12
    return made


def expected(mu: np.ndarray, pi: np.ndarray, gain: float, seed: int) -> np.ndarray:
    """Expected rewards (U, A) in [0.1, 0.9] under which pi gains exactly `gain` over mu."""
    rng = np.random.default_rng([seed, 3])
    free, along = rng.uniform(0.3, 0.7, mu.shape), np.sign(pi - mu)
    first, reach = ((pi - mu) * free).sum(axis=1).mean(), np.abs(pi - mu).sum(axis=1).mean()
    q = free + along * (gain - first) / reach
    assert q.min() > 0.05
    assert q.max() < 0.95
    return q


def adaptive(there: World, rounds: int, seed: int) -> tuple[BanditLog, np.ndarray]:
    """A log whose policy takes more often what paid before, and the target's gain in each round's context (n,)."""
    rng = np.random.default_rng([seed, 2])
    sums, counts = np.ones((CONTEXTS, ACTIONS)), np.full((CONTEXTS, ACTIONS), 2.0)
    x, a, r = rng.integers(0, CONTEXTS, rounds), np.empty(rounds, np.int32), np.empty(rounds)
    mu = np.empty((rounds, ACTIONS))
    for i in range(rounds):
        mean = sums[x[i]] / counts[x[i]]
        weights = np.exp(4 * (mean - mean.max()))
        mu[i] = 0.8 * weights / weights.sum() + 0.2 / ACTIONS
        a[i] = min(int((mu[i].cumsum() < rng.random()).sum()), ACTIONS - 1)
        r[i] = rng.random() < there.q[x[i], a[i]]
        sums[x[i], a[i]] += r[i]
        counts[x[i], a[i]] += 1
    index = x.astype(np.int32)
    log = BanditLog(
        a, r, mu[np.arange(rounds), a], ACTIONS, np.eye(CONTEXTS, dtype=np.float32), index,
        Policy(DenseTable(mu)), {"target": Policy(DenseTable(there.pi), index)}, reward_range=(0.0, 1.0),
    )  # fmt: skip
    return log, ((there.pi[x] - mu) * there.q[x]).sum(axis=1)


def gain_series(log: BanditLog, values: np.ndarray | None = None) -> tuple[BanditLog, Series]:
    """The series of the target without a reward model: 0.5 is taken off every reward; `values`: other rewards (n,)."""
    log = log if values is None else replace(log, reward=values)
    target, logging = log.targets["target"], log.logging
    assert logging is not None
    pairs = Pairs.of(target, logging)
    control = Control(np.full(log.n, 0.5), None)
    overlap = Overlap.of(pairs, pairs.share())
    return log, with_logging_policy(log, pairs, overlap, target.at(log.action) / log.propensity, control, (0.0, 1.0))
