"""The terms of estimators whose weights are neither plain nor convolved: embeddings, clusters, classifiers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worker.contract.context import Context
from worker.kinds.bandit.convolution.neighbours import action_points
from worker.kinds.bandit.convolution.tree import tree
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.embedding import embedding_of
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import FITS, Prepared
from worker.kinds.bandit.estimators import Estimator, Terms
from worker.kinds.bandit.estimators.balanced import balanced_weight
from worker.kinds.bandit.estimators.group_ips import group_weight, outcome_embeddings
from worker.kinds.bandit.policies import DenseTable, Policy
from worker.kinds.bandit.reward_models.crossfit import crossfit
from worker.kinds.bandit.reward_models.pairwise import Clusterwise

_NOTHING = "nothing says which actions are alike (no embeddings, no hierarchy)"


@dataclass(frozen=True)
class Special:
    """Terms, and what there was to choose in building them: (name, choice)."""

    terms: Terms
    setting: tuple[str, str] | None = None


def special_terms(
    prepared: Prepared,
    name: str,
    target: Policy,
    estimator: Estimator,
    plain: Terms,
    params: EstimateParams,
    ctx: Context,
) -> Special | str:
    """The terms with the weights this estimator wants for the target called `name`, or why they cannot be had.

    Clusters of OffCEM are the finest groups of actions (`prepare.groups_of`), MIPS and MDR may have others.
    """
    if estimator.weights in ("none", "plain"):
        return Special(plain)
    log = prepared.log
    if estimator.weights == "balanced":
        return Special(replace(plain, weight=balanced_weight(log, target, seed=ctx.seed)))
    if log.logging is None:
        return "the whole logging policy is not known"
    if estimator.weights == "learnt_groups":
        points = action_points(outcome_embeddings(log, np.arange(log.n), ctx), "euclidean", True)
        labels = tree(points, groups=(max(2, round(log.n_actions**0.5)),)).labels[1]
        return Special(replace(plain, weight=group_weight(log.logging, target, labels, log.action)))
    if estimator.weights == "cluster":
        return _NOTHING if prepared.labels is None else _of_clusters(prepared, name, target, plain)
    found = embedding_of(prepared, target, estimator, plain, params, ctx)
    if found is None:
        return _NOTHING
    labels, said = found
    terms = replace(plain, weight=group_weight(log.logging, target, labels, log.action))
    if estimator.name == "mdr":
        terms = _of_groups(prepared, target, labels, terms, params, ctx)
    return Special(terms, ("embedding", said))


def _of_clusters(prepared: Prepared, name: str, target: Policy, plain: Terms) -> Special:
    """OffCEM's weights and model f: the two-step one, or the reward model that the terms already carry."""
    log, found = prepared.log, prepared.clusters
    assert log.logging is not None and prepared.labels is not None  # noqa: S101, PT018 - the caller has looked
    terms = replace(plain, weight=group_weight(log.logging, target, prepared.labels, log.action))
    if found is None:
        return Special(terms, ("model", "one_step"))
    steps = {model.steps for model in found.models if isinstance(model, Clusterwise)}
    said = "two_step" if steps == {2} else "one_step (too few pairs)" if steps == {1} else "two_step in some folds"
    return Special(replace(terms, q_logged=found.q_logged, dm=found.dm[name]), ("model", said))


def _of_groups(
    prepared: Prepared, target: Policy, labels: NDArray[np.int32], terms: Terms, params: EstimateParams, ctx: Context
) -> Terms:
    """MDR's model q(x, e): the reward model fitted to groups in place of actions."""
    grouped = grouped_log(prepared.log, labels)
    policy = grouped_policy(target, labels)
    found = crossfit(grouped, FITS[prepared.choice.name], {"target": policy}, params.folds, ctx.seed, ctx)
    return replace(terms, q_logged=found.q_logged, dm=found.dm["target"])


def grouped_log(log: BanditLog, labels: NDArray[np.int32]) -> BanditLog:
    """The log with groups for actions; embeddings of groups are the means of their actions'."""
    count = int(labels.max()) + 1
    sizes = np.maximum(np.bincount(labels, minlength=count), 1)
    means = None
    if log.embeddings is not None:
        columns = [np.bincount(labels, column, count) / sizes for column in log.embeddings.T.astype(np.float64)]
        means = np.stack(columns, axis=1).astype(np.float32)
    return replace(
        log, action=labels[log.action], n_actions=count, embeddings=means, hierarchy=None, logging=None, targets={},
        support=None, truth=None, action_ids=None,
    )  # fmt: skip


def grouped_policy(policy: Policy, labels: NDArray[np.int32]) -> Policy:
    """The policy's mass on groups, one dense row a context."""
    onehot = np.zeros((policy.n_actions, int(labels.max()) + 1))
    onehot[np.arange(policy.n_actions), labels] = 1.0
    return Policy(DenseTable(policy.table.times(onehot)), policy.index)
