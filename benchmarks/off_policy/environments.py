"""Synthetic worlds with a known truth: contexts, actions with embeddings, rewards, two policies, and their logs.

`large_actions` is the environment of the large-action bar; `suite_world` the three reward shapes and three mismatches
of the selector suite; `Clusters` the clean-cluster world in which weights of groups gain several orders of magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import Floats, dense

CONTEXTS, DIMENSION = 200, 10
Bias = Literal["embedding", "free"]
Shape = Literal["bilinear", "noisy", "table"]
Mismatch = Literal["S", "M", "L"]


@dataclass(frozen=True)
class World:
    """`x` (U, d), `e` (A, d), expected reward `q`, logging `mu` and target `pi` (U, A); contexts are equally likely."""

    x: Floats
    e: Floats
    q: Floats
    mu: Floats
    pi: Floats

    @property
    def value(self) -> float:
        """The target's true value."""
        return float((self.pi * self.q).sum(axis=1).mean())

    @cached_property
    def _edges(self) -> Floats:
        below = np.cumsum(self.mu, axis=1)
        return (below / below[:, -1:] + np.arange(len(self.mu))[:, None]).ravel()

    def log(self, n: int, seed: int) -> BanditLog:
        """n rounds with Bernoulli rewards; its target policy is `pi`."""
        rng = np.random.default_rng(seed)
        context = rng.integers(len(self.x), size=n).astype(np.int32)
        place = np.searchsorted(self._edges, context + rng.random(n), side="right")
        action = np.minimum(place - context * self.q.shape[1], self.q.shape[1] - 1).astype(np.int32)
        reward = (rng.random(n) < self.q[context, action]).astype(np.float64)
        return BanditLog(
            action,
            reward,
            self.mu[context, action],
            self.q.shape[1],
            self.x.astype(np.float32),
            context,
            logging=dense(self.mu, context),
            targets={"target": dense(self.pi, context)},
            embeddings=self.e.astype(np.float32),
            reward_range=(0.0, 1.0),
        )


def _actions(rng: np.random.Generator, n_actions: int, least_centres: int) -> tuple[Floats, np.ndarray]:
    """Embeddings (A, d) around A/10 centres with noise 0.3, and the centre of every action."""
    centres = rng.normal(size=(max(n_actions // 10, least_centres), DIMENSION))
    of_action = rng.integers(len(centres), size=n_actions)
    return centres[of_action] + 0.3 * rng.normal(size=(n_actions, DIMENSION)), of_action


def _sigmoid(scores: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-scores))


def softmax(scores: Floats) -> Floats:
    """Rows of probabilities."""
    wide = np.exp(scores - scores.max(axis=1, keepdims=True))
    return wide / wide.sum(axis=1, keepdims=True)


def epsilon_greedy(q: Floats, epsilon: float = 0.05) -> Floats:
    """The best action with 1 - epsilon, every action with epsilon / A on top."""
    pi = np.full(q.shape, epsilon / q.shape[1])
    pi[np.arange(len(q)), q.argmax(axis=1)] += 1.0 - epsilon
    return pi


def large_actions(n_actions: int, seed: int, *, bias: Bias = "free", sharpness: float = -3.0) -> World:
    """q = sigmoid(1.5 x W e / sqrt(10) + 0.5 b), logging softmax(sharpness q), target epsilon-greedy 0.05.

    W has variance 1/d. `bias` says what b is: `free`, a normal draw of its own per action, which neither
    smoothing nor a model on the embedding can see, or linear in the embedding (b = e.v / sqrt(10)).
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(CONTEXTS, DIMENSION))
    weights = rng.normal(size=(DIMENSION, DIMENSION)) / np.sqrt(DIMENSION)
    e, _ = _actions(rng, n_actions, 1)
    free = rng.normal(size=n_actions)
    b = e @ rng.normal(size=DIMENSION) / np.sqrt(DIMENSION) if bias == "embedding" else free
    q = _sigmoid(1.5 * x @ weights @ e.T / np.sqrt(DIMENSION) + 0.5 * b)
    return World(x, e, q, softmax(sharpness * q), epsilon_greedy(q))


def suite_world(n_actions: int, seed: int, shape: Shape, mismatch: Mismatch) -> World:
    """A world of the selector suite.

    Shapes: `bilinear` as in `large_actions` (bias from the embedding); `noisy` adds unit normal noise to every logit;
    `table` is a random table over 5 types of context and 5 of action, where an action has its centre's type but for
    30 % of actions that have one of their own. Mismatches: S softmax(5 q) from a uniform log, M epsilon-greedy from a
    uniform log, L epsilon-greedy from softmax(-3 q).
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(CONTEXTS, DIMENSION))
    weights = rng.normal(size=(DIMENSION, DIMENSION)) / np.sqrt(DIMENSION)
    e, centre = _actions(rng, n_actions, 5)
    logits = 1.5 * x @ weights @ e.T / np.sqrt(DIMENSION) + 0.5 * (e @ rng.normal(size=DIMENSION)) / np.sqrt(DIMENSION)
    if shape == "noisy":
        logits = logits + rng.normal(size=logits.shape)
    if shape == "table":
        of_context = np.argmax(x @ rng.normal(size=(DIMENSION, 5)), axis=1)
        of_action = rng.integers(5, size=int(centre.max()) + 1)[centre]
        own = rng.random(n_actions) < 0.3
        of_action[own] = rng.integers(5, size=int(own.sum()))
        logits = 1.5 * rng.normal(size=(5, 5))[of_context][:, of_action]
    q = _sigmoid(logits)
    uniform = np.full(q.shape, 1.0 / n_actions)
    mu = softmax(-3.0 * q) if mismatch == "L" else uniform
    return World(x, e, q, mu, softmax(5.0 * q) if mismatch == "S" else epsilon_greedy(q))
