"""What OffCEM and MIPS make of clusters and discrete embeddings in an estimate, end to end in memory."""

from __future__ import annotations

import json
import typing

import numpy as np

from worker.kinds.bandit import policies
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.methods.policy_convolution import policy_convolution
from worker.kinds.bandit.truth import Truth
from worker.runtime.context import Context


def rows_of(log: BanditLog, *estimators: str, **params: typing.Any) -> dict[str, typing.Any]:
    """Rows of estimates.json by estimator, and `truth` and `warnings`."""
    given = EstimateParams.model_validate({"estimators": estimators, "selection": "k5", **params})
    found = policy_convolution(log, given, Context())
    target = json.loads(found.files["estimates.json"])["targets"]["target"]
    rows = {row["estimator"]: row for row in target["estimates"]}
    return {**rows, "truth": target["truth"], "warnings": found.warnings}


def made(q: np.ndarray, n: int, *, seed: int = 0, repeat: bool = True, **extra: typing.Any) -> BanditLog:
    """n rounds in the contexts of q (U, A); the logging policy avoids what the target likes, rewards are noisy.

    `repeat` False: every round is a context of its own.
    """
    rng = np.random.default_rng(seed)
    count, n_actions = q.shape
    logging = np.exp(-0.7 * q)
    logging /= logging.sum(axis=1, keepdims=True)
    target = np.full(q.shape, 0.3 / n_actions)
    target[np.arange(count), q.argmax(axis=1)] += 0.7
    user = rng.integers(0, count, n).astype(np.int32)
    action = (logging[user].cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).astype(np.int32)
    contexts = extra.pop("contexts")
    return BanditLog(
        action, q[user, action] + 0.3 * rng.normal(size=n), logging[user, action], n_actions,
        contexts if repeat else contexts[user], user if repeat else None,
        logging=policies.dense(logging, user), targets={"target": policies.dense(target, user)},
        user=user if repeat else None, truth=Truth(q, user), **extra,
    )  # fmt: skip


def clustered(n: int = 1500, *, repeat: bool = True) -> BanditLog:
    """A curved effect of the cluster, and inside a cluster a residual of the action."""
    rng = np.random.default_rng(1)
    contexts, labels = rng.normal(size=(80, 3)), np.arange(24) % 4
    effect = np.sin(2 * contexts @ rng.normal(size=(3, 4)))[:, labels]
    residual = rng.normal(size=24)
    known = {"contexts": contexts.astype(np.float32), "hierarchy": labels[None].astype(np.int32)}
    return made(effect + residual, n, repeat=repeat, **known)


def test_offcem_when_users_repeat_then_two_steps_err_less_than_one_and_the_row_says_which():
    log = clustered()
    one = rows_of(log, "offcem", offcem_model="one_step", folds=2)
    two = rows_of(log, "offcem", folds=2)
    assert one["offcem"]["setting"] == {"model": "one_step"}
    assert two["offcem"]["setting"] == {"model": "two_step"}
    assert abs(two["offcem"]["value"] - two["truth"]) < 0.5 * abs(one["offcem"]["value"] - one["truth"])


def test_offcem_when_no_context_repeats_then_one_regression_replaces_two_and_the_report_says_so():
    found = rows_of(clustered(300, repeat=False), "offcem")
    assert found["offcem"]["setting"] == {"model": "one_step (too few pairs)"}
    assert any("too few pairs" in warning for warning in found["warnings"])
    assert np.isfinite(found["offcem"]["value"])
