"""A tiny log of decisions with a known truth, as files to upload and as canonical files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.kinds.bandit.ingest import ingest

ROUNDS, ACTIONS, USERS = 600, 12, 40


def planted(rounds: int = ROUNDS, actions: int = ACTIONS, users: int = USERS, seed: int = 0) -> dict[str, Any]:
    """Arrays of a log: rewards follow the affinity of user and action, the logging policy is softmax(-1.5 q)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(users, 4)).astype(np.float32).astype(float)
    centres = rng.normal(size=(4, 4))
    embeddings = (
        (centres[np.arange(actions) % 4] + 0.2 * rng.normal(size=(actions, 4))).astype(np.float32).astype(float)
    )
    q = 1 / (1 + np.exp(-x @ embeddings.T))
    logging = np.exp(-1.5 * q)
    logging /= logging.sum(axis=1, keepdims=True)
    target = np.full((users, actions), 0.2 / actions)
    target[np.arange(users), q.argmax(axis=1)] += 0.8
    user = rng.integers(0, users, rounds)
    action = (logging[user].cumsum(axis=1) < rng.random(rounds)[:, None]).sum(axis=1)
    return {
        "x": x, "embeddings": embeddings, "q": q, "logging": logging, "target": target, "user": user, "action": action,
        "reward": (rng.random(rounds) < q[user, action]).astype(float),
        "groups": np.arange(actions) % 4,
    }  # fmt: skip


def planted_files(folder: Path, **shape: int) -> list[tuple[str, Path]]:
    """The log as an npz dictionary with grouped policies, embeddings and expected rewards beside it."""
    made = planted(**shape)
    user, action = made["user"], made["action"]
    np.savez(
        folder / "log.npz",
        n_rounds=len(user), n_actions=made["q"].shape[1], action=action, reward=made["reward"], context=made["x"][user],
        pscore=made["logging"][user, action], user_id=user, expected_reward=made["q"][user],
    )  # fmt: skip
    np.savez(folder / "logging_policy.npz", probabilities=made["logging"], index=user)
    np.savez(folder / "target_policy.npz", probabilities=made["target"], index=user)
    np.savez(folder / "action_embeddings.npz", embeddings=made["embeddings"])
    np.savez(folder / "action_hierarchy.npz", hierarchy=made["groups"][None, :])
    names = ("log.npz", "logging_policy.npz", "target_policy.npz", "action_embeddings.npz", "action_hierarchy.npz")
    return [(name, folder / name) for name in names]


def tiny_bandit(folder: Path, **shape: int) -> Path:
    """Write the tiny log's canonical files below `folder` and return where they lie."""
    canonical = folder / "canonical"
    canonical.mkdir()
    ingest(planted_files(folder, **shape), {"r_min": 0.0, "r_max": 1.0}, canonical, Context())
    return canonical
