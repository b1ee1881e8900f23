"""What OffCEM and MIPS make of clusters and discrete embeddings in an estimate, end to end in memory."""

from __future__ import annotations

import json
import typing
from dataclasses import replace

import numpy as np
import pytest

from worker.contract.context import Context
from worker.kinds.bandit import policies
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.embedding import dimensions_of
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimators.importance import ips, snips
from worker.kinds.bandit.estimators.marginalized import marginal_weight
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.methods.policy_convolution import policy_convolution
from worker.kinds.bandit.truth import Truth


def rows_of(log: BanditLog, *estimators: str, **params: typing.Any) -> dict[str, typing.Any]:
    """Rows of estimates.json by estimator, and `truth` and `warnings`."""
    given = EstimateParams.model_validate({"estimators": estimators, "selection": "k5", **params})
    found = policy_convolution(log, given, Context())
    target = json.loads(found.files["estimates.json"])["targets"]["target"]
    rows = {row["estimator"]: row for row in target["estimates"]}
    return {**rows, "truth": target["truth"], "warnings": found.warnings}


def made(q: np.ndarray, n: int, *, sharp: float = 2.0, repeat: bool = True, **extra: typing.Any) -> BanditLog:
    """n rounds in the contexts of q (U, A); the logging policy avoids what the target likes, rewards are noisy.

    `repeat` False: every round is a context of its own.
    """
    rng = np.random.default_rng(0)
    count, n_actions = q.shape
    logging = np.exp(-0.5 * q + 0.5 * rng.normal(size=n_actions))
    logging /= logging.sum(axis=1, keepdims=True)
    target = np.exp(sharp * q)
    target /= target.sum(axis=1, keepdims=True)
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
    return made(effect + residual, n, sharp=10.0, repeat=repeat, **known)


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


def two_columns(second: float, n: int = 4000) -> BanditLog:
    """Actions with two discrete features; the reward follows the first, and the second by a factor."""
    rng = np.random.default_rng(2)
    features = np.stack([np.arange(24) % 3, np.arange(24) // 3 % 4], axis=1)
    q = np.tile(0.5 * features[:, 0] + second * features[:, 1], (50, 1))
    return made(q, n, contexts=rng.normal(size=(50, 2)).astype(np.float32), embeddings=features.astype(np.float32))


def two_levels(fine: float, n: int = 4000) -> BanditLog:
    """The same as a hierarchy: the first feature, and both."""
    log = two_columns(fine, n)
    assert log.embeddings is not None
    first, second = log.embeddings.T.astype(np.int32)
    return replace(log, embeddings=None, hierarchy=np.stack([first, first * 4 + second]))


@pytest.mark.parametrize(("name", "form"), [("mips", ips), ("snmips", snips)])
def test_mips_when_all_columns_are_asked_for_then_they_are_multiplied_inside_the_sum_over_actions(name, form):
    log = two_columns(0.5)
    assert log.embeddings is not None
    codes = log.embeddings.astype(np.int64)
    given = [np.eye(3)[codes[:, 0]], np.eye(4)[codes[:, 1]]]
    weight = marginal_weight(log.logging, log.targets["target"], codes[log.action], given)
    row = rows_of(log, name, mips_embedding="hierarchy")[name]
    assert row["value"] == pytest.approx(form(Terms(log.reward, weight)).value, rel=1e-12)
    assert row["setting"] == {"embedding": "column 1 x column 2"}
    assert rows_of(log, name)[name]["setting"] == {"embedding": "tree"}


def test_mips_when_a_hierarchy_nests_then_all_levels_are_its_finest():
    log = two_levels(0.5)
    names = ("mips", "snmips", "mdr")
    finest, every = (rows_of(log, *names, mips_embedding=choice) for choice in ("finest", "hierarchy"))
    assert [finest[name]["value"] for name in names] == pytest.approx([every[name]["value"] for name in names])
    assert finest["mdr"]["setting"] == {"embedding": "level 2"}


@pytest.mark.parametrize(
    ("log", "factor", "kept"),
    [
        (two_levels, 0.0, "level 1"),
        (two_levels, 0.3, "level 2"),
        (two_columns, 0.0, "column 1"),
        (two_columns, 0.3, "column 1 x column 2"),
    ],
)
def test_mips_when_dimensions_are_selected_then_keeps_those_that_rewards_follow(log, factor, kept):
    found = rows_of(log(factor), "mips", "snmips", "mdr", mips_embedding="selected")
    assert [found[name]["setting"]["embedding"] for name in ("mips", "snmips", "mdr")] == [kept] * 3
    assert found["snmips"]["low"] < found["truth"] < found["snmips"]["high"]


def test_mips_when_embeddings_are_not_discrete_then_the_cut_tree_serves_every_choice():
    log = two_columns(0.5, n=500)
    log = replace(log, embeddings=log.embeddings + np.random.default_rng(3).normal(size=(24, 2)).astype(np.float32))
    rows = [rows_of(log, "mips", mips_embedding=choice)["mips"] for choice in ("finest", "hierarchy", "selected")]
    assert rows[0] == rows[1] == rows[2]


def test_dimensions_when_columns_are_constant_fractions_or_ids_then_they_are_none():
    log = two_columns(0.5, n=100)
    columns = [log.embeddings[:, 0], np.ones(24), np.arange(24), np.arange(24) % 2 / 2]
    found = dimensions_of(replace(log, embeddings=np.stack(columns, axis=1).astype(np.float32)))
    assert found is not None
    assert found.names == ("column 1",)
