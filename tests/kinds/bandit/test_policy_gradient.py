"""Learning on digits: the catastrophe, its rescue, stopping and going on, and the artefact that comes out."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import sparse

from tests.kinds.bandit.digits_log import digits
from worker.contract.context import Checkpoint, Context
from worker.contract.errors import Cancelled, JobError
from worker.kinds.bandit.dataset import TEST, TRAIN, VALIDATION, BanditLog, Standard, split_rounds
from worker.kinds.bandit.learning import softmax_policy
from worker.kinds.bandit.learning import training_set as sets
from worker.kinds.bandit.learning.minsup import in_support_value, minsup, rarest_supported
from worker.kinds.bandit.learning.models import Shape, build
from worker.kinds.bandit.learning.objectives import Settings
from worker.kinds.bandit.learning.params import PolicyGradientParams
from worker.kinds.bandit.learning.select import bisect_k, within
from worker.kinds.bandit.learning.train import Recipe, fit
from worker.kinds.bandit.methods.policy_gradient import policy_gradient
from worker.kinds.bandit.policies import DenseTable, Policy, ScorerTable, SparseTable, dense
from worker.kinds.bandit.summary import LearntPolicy
from worker.kinds.bandit.support import support_of, unsupported_mass


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def learn(log: BanditLog | None = None, ctx: Context | None = None, **params: Any) -> LearntPolicy:
    given = PolicyGradientParams(**params)
    return policy_gradient(digits().log if log is None else log, given, Context(seed=0) if ctx is None else ctx)


def written(policy: LearntPolicy, log: BanditLog | None = None) -> np.ndarray:
    log = digits().log if log is None else log
    return policy.policy_on(log).dense(np.arange(log.n))


def lacking(policy: np.ndarray) -> float:
    return float(np.where(digits().logging > 0, 0, policy).sum(1).mean())


def test_defaults_when_support_is_deficient_then_minsup_beats_logging_and_rescues_from_the_catastrophe():
    logging_value = digits().test_value(digits().logging)
    shifted = written(learn(k=1.0))
    rescued = learn()
    value = digits().test_value(written(rescued))
    assert lacking(shifted) > 0.7  # rewards -1/0: nearly all mass on what was never tried
    assert digits().test_value(shifted) < 0.3 < logging_value
    assert value > logging_value + 0.2
    assert rescued.origin.settings["k"] < 1.0
    assert rescued.choice.selector == "minsup"
    tried = {round(one.k, 2): one for one in rescued.choice.tried}
    assert set(tried) == {0.0, 0.15, 0.3, 1.0}
    assert tried[1.0].scores["minsup"] < tried[0.0].scores["minsup"]
    assert tried[1.0].unsupported > 0.7


def test_shifted_rewards_when_nothing_is_done_about_support_then_fail_the_same_way_and_are_warned_of():
    ctx = Context(seed=0)
    log = replace(digits().log, reward=digits().log.reward - 1, reward_range=(-1.0, 0.0))
    fallen = written(learn(log, ctx, support="none"))
    np.testing.assert_allclose(fallen, written(learn(k=1.0)), atol=1e-4)
    assert any("negative rewards" in text for text in ctx.warnings)
    assert any("never takes" in text for text in ctx.warnings)


@pytest.mark.parametrize("objective", ["ips", "snips", "dr", "banditnet", "poem", "dros", "sg"])
def test_every_objective_when_trained_on_digits_then_improves_on_the_logging_policy(objective):
    policy = learn(objective=objective, k=0.15, shrinkage=0.1 if objective == "sg" else 5.0)
    # A ratio has no reason to keep the weight of its denominator: SNIPS overfits the propensities of small logs.
    gain = 0.0 if objective == "snips" else 0.1
    assert digits().test_value(written(policy)) > digits().test_value(digits().logging) + gain


def test_restrict_actions_when_learnt_then_no_served_mass_is_unsupported():
    policy = learn(support="restrict_actions")
    found = written(policy)
    assert lacking(found) == 0
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)
    with pytest.raises(JobError) as raised:
        policy.policy_on(replace(digits().log, logging=None))
    assert raised.value.code == "logging_policy_required"


def test_extrapolation_when_constant_then_learns_what_restrict_policy_learns():
    first, second = (written(learn(support=s, k=0.3)) for s in ("extrapolate", "restrict_policy"))
    # Equal in expectation: E[w] = 1 - m. On one log they differ by the noise of mean(w).
    assert abs(digits().test_value(first) - digits().test_value(second)) < 0.1


def test_kappa_when_given_then_the_best_policy_within_it_is_kept():
    policy = learn(digits(4).log, kappa=0.05, epochs=30)
    tried = policy.choice.tried
    chosen = next(one for one in tried if one.name == policy.choice.chosen)
    allowed = [one for one in tried if one.unsupported <= 0.05]
    assert chosen in allowed
    assert chosen.scores["minsup"] == max(one.scores["minsup"] for one in allowed)
    assert len(allowed) < len(tried)
    assert abs(max(one.k for one in allowed) - min(one.k for one in tried if one not in allowed)) < 0.05


@pytest.mark.parametrize(
    "params",
    [
        {"k_grid": [0.0, 0.2]},
        {"batch_size": 256, "epochs": 8, "k": 0.1, "objective": "poem"},
        {"model": "mlp", "seeds": 2, "k": 0.1, "epochs": 10},
        {"kappa": 0.1, "epochs": 10},
    ],
    ids=["grid", "batches", "seeds", "bisection"],
)
def test_training_when_stopped_anywhere_and_resumed_then_gives_the_same_bytes(params, tmp_path):
    log = digits(4).log
    counter = Interrupted(at=-1)
    expected = bundle(learn(log, counter, **params), log, tmp_path / "whole")
    assert bundle(learn(log, **params), log, tmp_path / "again") == expected
    for number, at in enumerate([counter.reports // 5, counter.reports // 2, counter.reports - 2]):
        ctx = Interrupted(at)
        with pytest.raises(Cancelled):
            learn(log, ctx, **params)
        resumed = Context(seed=0, _points=ctx.stored())
        assert bundle(learn(log, resumed, **params), log, tmp_path / str(number)) == expected
        assert resumed.restore() is None  # every training has a resume point of its own


class Interrupted(Context):
    """Stops at the `at`-th report of progress."""

    def __init__(self, at: int) -> None:
        super().__init__(seed=0)
        self.at, self.reports = at, 0
        self.saved: dict[str, Checkpoint] = {}

    def save_checkpoint(self, points: Mapping[str, Checkpoint]) -> None:
        self.saved = dict(points)

    def stored(self) -> dict[str, Checkpoint]:
        """The resume points as they come back from a disk."""
        return {
            path: replace(
                point, arrays={k: v.copy() for k, v in point.arrays.items()}, state=json.loads(json.dumps(point.state))
            )
            for path, point in self.saved.items()
        }

    def report_progress(self, *_: object) -> None:
        self.reports += 1
        if self.reports == self.at:
            self.stop()


def bundle(policy: LearntPolicy, log: BanditLog, folder: Path) -> str:
    folder.mkdir()
    policy.write(folder, log)
    files = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    return hashlib.sha256(repr(files).encode()).hexdigest()


@pytest.mark.parametrize(
    ("params", "bias"),
    [
        ({}, [-0.35447, 0.33811, -0.27869, -0.43346]),
        ({"batch_size": 256, "epochs": 8, "k": 0.1, "objective": "poem"}, [0.065, 0.28914, -0.24854, -0.36494]),
        ({"model": "mlp", "seeds": 2, "k": 0.1, "epochs": 10}, [0.38023, 0.05041, -0.17922, -0.29165]),
        ({"epochs": 10, "k": 0.1, "objective": "dr"}, [-1.7714, -1.53884, -1.43724, -1.39385]),
    ],
    ids=["defaults", "batches", "seeds", "doubly robust"],
)
def test_weights_when_the_seed_is_the_same_then_are_those_of_the_first_release(params, bias):
    np.testing.assert_allclose(learn(digits(4).log, **params).weights["bias"][:4], bias, atol=2e-3)


def test_time_limit_when_it_passes_then_the_best_so_far_is_given_with_a_warning():
    ctx = Context(seed=0, deadline=0.0)
    policy = learn(ctx=ctx)
    assert any("time limit" in text for text in ctx.warnings)
    assert len(policy.choice.tried) == 1


def test_full_batch_when_cut_into_blocks_then_learns_the_same_policy(monkeypatch):
    log = digits(4).log
    whole = learn(log, k=0.1, objective="snips", epochs=10)
    monkeypatch.setattr(sets, "BLOCK", 400)
    cut = learn(log, k=0.1, objective="snips", epochs=10)
    # Float32 sums in another order, which Adam's division carries on.
    np.testing.assert_allclose(written(whole, log), written(cut, log), atol=1e-3)


def test_artefact_when_written_and_read_then_is_the_same_policy_everywhere(tmp_path):
    for support, model in (("restrict_policy", "linear"), ("restrict_actions", "mlp")):
        policy = learn(digits(8).log, support=support, model=model, k=0.0, epochs=5)
        folder = tmp_path / model
        folder.mkdir()
        policy.write(folder, digits(8).log)
        back = LearntPolicy.read(folder)
        np.testing.assert_array_equal(written(policy, digits(8).log), written(back, digits(8).log))
        assert (back.origin, back.choice, back.warnings) == (policy.origin, policy.choice, policy.warnings)
        assert json.loads((folder / "policy.json").read_text())["origin"] == policy.origin.to_json()
        np.testing.assert_allclose(predicted(folder, model == "mlp"), written(policy, digits(8).log)[:20], atol=1e-6)


def predicted(folder: Path, masked: bool) -> np.ndarray:
    """What the shipped predictor says of the first 20 rounds, run by itself."""
    x, support = digits(8).log.x[:20], digits(8).logging[:20] > 0
    np.savez(folder / "in.npz", x=x, support=support)
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import numpy as np, predict\n"
        f"given = np.load({str(folder / 'in.npz')!r})\n"
        f"np.save({str(folder / 'out.npy')!r}, predict.predict(given['x'], given['support'] if {masked} else None))"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    return np.load(folder / "out.npy")


def test_learnt_policy_when_on_another_log_then_refuses_other_shapes():
    policy = learn(digits(8).log, k=0.0, epochs=2)
    with pytest.raises(JobError) as raised:
        policy.policy_on(replace(digits(8).log, n_actions=11))
    assert raised.value.code == "invalid_input"


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_log_when_it_has_no_context_features_then_one_distribution_is_learnt(model):
    log = replace(digits(4).log, contexts=np.zeros((len(digits(4).log.contexts), 0), np.float32))
    ctx = Context(seed=0)
    policy = learn(log, ctx, model=model, k=0.1, epochs=5)
    rows = written(policy, log)
    np.testing.assert_array_equal(rows, np.broadcast_to(rows[0], rows.shape))
    assert any("no context features" in text for text in ctx.warnings)


# Many actions


def large_log(n_actions: int = 6000, n: int = 1500, *, seed: int = 0) -> tuple[BanditLog, np.ndarray]:
    """Actions with features; the reward is high where they match the context; 30 actions a context are ever tried."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n_actions, 8)).astype(np.float32)
    contexts = rng.normal(size=(100, 8)).astype(np.float32)
    quality = 1 / (1 + np.exp(-2 * contexts @ embeddings.T / np.sqrt(8)))
    tried = np.sort(np.argsort(rng.random((100, n_actions)), axis=1)[:, :30], axis=1).astype(np.int32)
    table = sparse.csr_array((np.full(3000, 1 / 30), tried.ravel(), np.arange(101) * 30), (100, n_actions))
    row = rng.integers(0, 100, n).astype(np.int32)
    action = tried[row, rng.integers(0, 30, n)]
    reward = (rng.random(n) < quality[row, action]).astype(np.float64)
    log = BanditLog(
        action,
        reward,
        np.full(n, 1 / 30),
        n_actions,
        contexts,
        context_index=row,
        logging=Policy(SparseTable(table), row),
        embeddings=embeddings,
        reward_range=(0.0, 1.0),
    )
    return log, quality


def test_two_stages_when_there_are_thousands_of_actions_then_the_candidates_serve_and_beat_the_log():
    log, quality = large_log()
    policy = learn(log, k=0.3, epochs=15, lr=0.05)
    assert policy.origin.settings["model"] == "two-tower-linear"
    target = policy.policy_on(log)
    assert isinstance(target.table, SparseTable)
    assert target.table.entries.nnz == 100 * 200
    learnt_value = (target.table.entries.toarray() * quality).sum(1).mean()
    assert learnt_value > log.reward.mean() + 0.15  # the features carry over to actions that no round tried


def test_two_stages_when_restricted_extrapolated_or_doubly_robust_then_run(tmp_path):
    log, _ = large_log(1200, 600)
    for params in ({"support": "restrict_actions"}, {"support": "extrapolate", "k": 0.2}, {"objective": "dr"}):
        policy = learn(log, epochs=3, reward_model="ridge", **{"k": 0.1, **params})
        found = policy.policy_on(log)
        assert policy.candidates == 200
        np.testing.assert_allclose(found.dense(np.arange(5)).sum(1), 1)
        if params.get("support") == "restrict_actions":
            assert log.logging is not None
            assert unsupported_mass(found, support_of(log.logging)).max() == 0
    policy.write(tmp_path, log)
    np.save(tmp_path / "x.npy", log.contexts)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import numpy as np, predict; "
    code += f"np.save({str(tmp_path / 'y.npy')!r}, predict.predict(np.load({str(tmp_path / 'x.npy')!r})))"
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), found.table.dense(np.arange(100)), atol=1e-6)


def test_single_stage_when_asked_for_with_many_actions_then_is_served_by_scores(monkeypatch):
    log, _ = large_log(1200, 600)
    policy = learn(log, k=0.1, epochs=2, candidates=0)
    table = policy.policy_on(log).table
    assert isinstance(table, DenseTable)
    monkeypatch.setattr(softmax_policy, "WRITTEN_OUT", 1000)
    scorer = policy.policy_on(log).table
    assert isinstance(scorer, ScorerTable)
    np.testing.assert_allclose(scorer.dense(np.arange(100)), table.values, atol=1e-12)


# MinSup


def greedy(mu: np.ndarray, multiple: float) -> np.ndarray:
    """The published loop, written out."""
    found, left = np.zeros_like(mu), 1.0
    for action in np.argsort(mu, kind="stable"):
        if mu[action] <= 0:
            continue
        found[action] = min(multiple * mu[action], left)
        left -= found[action]
    return found


@pytest.mark.parametrize("multiple", [1.0, 3.0, 100.0])
def test_rarest_supported_policy_when_built_at_once_then_equals_the_loop(multiple):
    rng = np.random.default_rng(0)
    mu = rng.dirichlet(np.full(9, 0.3), 50) * (rng.random((50, 9)) < 0.7)
    mu[:, 0] += 0.05
    mu[0] = 1 / 9
    mu /= mu.sum(1, keepdims=True)
    expected = np.array([greedy(row, multiple) for row in mu])
    for logging in (dense(mu), Policy(SparseTable(sparse.csr_array(mu)))):
        found = rarest_supported(logging, multiple).dense(np.arange(50))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        assert found[mu == 0].max() == 0


def test_minsup_when_written_out_then_is_k0_plus_the_translated_ips():
    rng = np.random.default_rng(0)
    w, r, c = rng.exponential(size=30), rng.random(30), rng.integers(1, 4, 30).astype(float)
    assert minsup(w, r, 0.4) == pytest.approx((w * r).mean() + 0.4 * (1 - w.mean()), abs=1e-12)
    repeated = np.repeat(np.arange(30), c.astype(int))
    assert minsup(w, r, 0.4, c) == pytest.approx(minsup(w[repeated], r[repeated], 0.4), abs=1e-12)


def test_in_support_value_when_enumerated_then_is_the_value_of_the_rarest_actions():
    mu, q = np.array([[0.6, 0.3, 0.1, 0.0]]), np.array([0.1, 0.2, 0.9, 5.0])
    action = np.arange(3, dtype=np.int32)
    row = np.zeros(3, np.int32)
    log = BanditLog(
        action, q[:3], mu[0, :3], 4, np.zeros((1, 0), "f4"), row, logging=dense(mu, row), weight=mu[0, :3].copy()
    )
    assert in_support_value(log, np.arange(3), 5.0) == pytest.approx(0.5 * 0.9 + 0.5 * 0.2, abs=1e-12)


# Choosing, parts and refusals


def test_bisection_when_the_mass_grows_with_k_then_finds_the_boundary():
    class Step:
        def __init__(self, k: float) -> None:
            self.k = k
            self.missing = float(np.clip(k - 0.2, 0, 1))
            self.scores = {"minsup": k}

    tried: list[Any] = list(bisect_k(Step, 0.3, (0.0, 1.0)))
    assert 0.48 <= within(tried, 0.3, "minsup").k <= 0.5
    below: list[Any] = list(bisect_k(Step, 0.0, (0.5, 1.0)))
    assert within(below, 0.0, "minsup").k <= 0.2
    assert within(below, -1.0, "minsup").k == min(step.k for step in below)


def test_sharpening_when_the_selector_likes_it_then_scales_the_scores_and_is_recorded():
    plain = learn(k=0.1, epochs=20, sharpen=False)
    sharp = learn(k=0.1, epochs=20)
    factor = sharp.origin.settings["sharpened"]
    assert plain.origin.settings["sharpened"] == 1.0
    assert factor in (1.0, 2.0, 4.0)
    np.testing.assert_array_equal(sharp.weights["actions"], plain.weights["actions"] * np.float32(factor))
    scores = [policy.choice.tried[0].scores["minsup"] for policy in (plain, sharp)]
    assert scores[1] >= scores[0]


def test_weight_decay_when_rewards_change_their_unit_then_follows():
    log = digits(4).log
    cents = replace(log, reward=100 * log.reward - 7, reward_range=(-7.0, 93.0))
    first, second = (learn(data, k=k, epochs=1) for data, k in ((log, 0.1), (cents, 3.0)))
    assert second.origin.settings["l2"] == pytest.approx(100 * first.origin.settings["l2"])


def test_parts_when_the_log_has_no_split_then_users_stay_whole_and_shares_hold():
    log = digits().log
    user = np.random.default_rng(0).integers(0, 200, log.n).astype(np.int32)
    found = split_rounds(replace(log, user=user), 3)
    assert sorted(np.concatenate([found.train, found.validation, found.test]).tolist()) == list(range(log.n))
    owners = [set(user[part].tolist()) for part in (found.train, found.validation, found.test)]
    assert [len(users) for users in owners] == [140, 30, 30]
    assert len(set.union(*owners)) == 200


def test_parts_when_the_log_has_a_split_then_it_is_kept():
    log = digits().log
    split = np.resize(np.array([TRAIN, TRAIN, VALIDATION, TEST], np.int8), log.n)
    found = split_rounds(replace(log, split=split))
    np.testing.assert_array_equal(found.test, np.flatnonzero(split == TEST))
    with pytest.raises(JobError) as raised:
        split_rounds(log.take(np.arange(20)))
    assert raised.value.code == "too_few_rounds"


@pytest.mark.parametrize(
    "params",
    [
        {"support": "extrapolate", "objective": "snips"},
        {"objective": "sg", "shrinkage": 2.0},
        {"kappa": 0.1, "support": "none"},
        {"lr": 2.0},
    ],
)
def test_parameters_when_they_do_not_fit_together_then_are_refused(params):
    with pytest.raises(ValidationError):
        PolicyGradientParams(**params)


@pytest.mark.parametrize(
    "params", [{"selector": "minsup"}, {"support": "restrict_actions"}, {"support": "extrapolate"}]
)
def test_methods_when_the_logging_policy_is_unknown_then_say_what_they_need(params):
    with pytest.raises(JobError) as raised:
        learn(replace(digits(4).log, logging=None), **params)
    assert raised.value.code == "logging_policy_required"


def test_learning_when_only_propensities_are_known_then_chooses_by_snips_and_says_so():
    ctx = Context(seed=0)
    policy = learn(replace(digits(4).log, logging=None), ctx, epochs=5)
    assert policy.choice.selector == "snips"
    assert any("Without the logging policy" in text for text in ctx.warnings)


def test_training_when_the_objective_is_not_finite_then_the_job_says_it_diverged():
    log = digits(8).log
    rounds = sets.training_set(log, np.arange(log.n), Standard.of(log.x))
    recipe = Recipe(Settings("ips"), lr=0.1, epochs=3, batch_size=None, l2=0.0, seed=0)
    with pytest.raises(JobError) as raised:
        fit(build(Shape("linear", 64, 10)), rounds, recipe, Context(), lambda *_: float("nan"))
    assert raised.value.code == "diverged"
