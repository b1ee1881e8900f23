"""A world of 12 contexts and 5 actions whose gains are known exactly, drawn from quickly and often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.kinds.bandit.dataset import BanditLog
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
