"""The judge of interactions, on planted data: groups of users who like the same items."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.evidence.measurements import Measurements
from worker.evidence.report import build
from worker.kinds.interactions import portrait
from worker.kinds.interactions.baselines import contenders
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.fidelity import EvaluateParams, _Distinct, judge
from worker.kinds.interactions.learners.tuning import fit_tuned
from worker.kinds.interactions.methods.evaluate import NoParams, evaluate
from worker.kinds.interactions.splits import clean
from worker.kinds.interactions.summary import InteractionsSummary

GROUPS, USERS, ITEMS = 6, 360, 60
JOB = {"method": "distill-cf", "dataset": "ds_1@1", "seed": 0, "params": {}}


def planted(seed: int = 0, events: int = 9) -> Interactions:
    rng = np.random.default_rng(seed)
    own = ITEMS // GROUPS
    user, item = [], []
    for u in range(USERS):
        inside = (u % GROUPS) * own + rng.choice(own, min(events - 2, own), replace=False)
        outside = rng.choice(ITEMS, 2, replace=False)
        chosen = np.unique(np.concatenate((inside, outside)))
        user += [u] * len(chosen)
        item += chosen.tolist()
    users, items = np.array(user), np.array(item)
    return Interactions.from_columns(users, items, clean(users, seed=seed))


def one_row_a_group(data: Interactions, value: float = 1.0) -> InteractionsSummary:
    """Six ideal rows: everything a learner needs to know about the planted data."""
    rows = np.kron(np.eye(GROUPS), np.ones(ITEMS // GROUPS)).astype(np.float32) * value
    hard = sparse.csr_array((rows > 0).astype(np.float32))
    return InteractionsSummary(
        sparse.csr_array(rows), hard, data.item_ids, "soft" if value < 1 else "hard", settings={"inner_lambda": 0.1}
    )


def full_as_summary(data: Interactions) -> InteractionsSummary:
    users = np.flatnonzero(np.diff(data.train.indptr))
    return InteractionsSummary.of_users(data.training_rows(), data.item_ids, row_ids=data.user_ids[users])


def judged(data: Interactions, summary: InteractionsSummary, **params: Any) -> Measurements:
    return judge(data, summary, EvaluateParams(bootstrap=200, **params), Context(seed=3))


@pytest.fixture(scope="module")
def data() -> Interactions:
    return planted()


@pytest.fixture(scope="module")
def ideal(data: Interactions) -> Measurements:
    return judged(data, one_row_a_group(data))


def test_full_data_as_its_own_summary_keeps_exactly_everything(data: Interactions) -> None:
    verdict = build(judged(data, full_as_summary(data)), JOB).verdict
    assert verdict["fidelity"] == 1.0
    assert verdict["low"] == pytest.approx(1.0, abs=1e-6)
    assert verdict["high"] == pytest.approx(1.0, abs=1e-6)
    assert verdict["rows_share"] == 1.0
    assert verdict["bytes_share"] == 1.0


def test_ideal_rows_beat_random_users_of_the_same_number(ideal: Measurements) -> None:
    verdict = build(ideal, JOB).verdict
    assert verdict["learner"] == "infinite-ae"
    assert verdict["fidelity"] > 0.9
    assert verdict["baseline"]["high"] < verdict["low"]
    assert verdict["rows_share"] == pytest.approx(GROUPS / USERS)


def test_judge_is_deterministic(data: Interactions, ideal: Measurements) -> None:
    again = judged(data, one_row_a_group(data))
    for first, second in zip(ideal.results, again.results, strict=True):
        assert first.chosen == second.chosen
        for name, values in first.per_unit.items():
            assert np.array_equal(values, second.per_unit[name]), (first.learner, first.set, name)


def test_judge_trains_every_learner_on_every_set_and_draw(ideal: Measurements) -> None:
    assert {s.name: s.role for s in ideal.sets} == {
        "full": "full",
        "summary": "summary",
        "random-users": "baseline",
        "head-users": "baseline",
    }
    for learner in ("popularity", "ease", "infinite-ae"):
        for one in ideal.sets:
            assert len(ideal.of(learner, one.name)) == (3 if one.name == "random-users" else 1)
    assert {"ndcg@10", "hr@100", "psp@10", "psp_paper@100", "auc_user"} <= set(ideal.results[0].per_unit)
    assert set(ideal.results[0].pooled) == {"auc_pooled"}
    assert ideal.results[0].per_unit["ndcg@10"].shape == (ideal.n_test,)


def test_learners_are_tuned_on_validation_for_every_set(ideal: Measurements) -> None:
    for learner in ("ease", "infinite-ae"):
        for one in ideal.sets:
            result = ideal.of(learner, one.name)[0]
            values = dict(result.curve.points)
            assert values[result.chosen[result.curve.parameter]] == pytest.approx(result.validation)
            assert result.validation == max(values.values())


def test_baselines_have_as_many_rows_as_the_summary_and_comparable_bytes(data: Interactions) -> None:
    sets = {
        s.record.name: s.record
        for s in contenders(data, one_row_a_group(data), ["random-users", "head-users"], draws=2, seed=0)
    }
    assert sets["random-users"].rows == sets["head-users"].rows == sets["summary"].rows == GROUPS
    assert sets["full"].bytes == 2 * data.train.nnz + 4 * (USERS + 1)
    assert sets["head-users"].events >= sets["random-users"].events


def test_summary_of_thinned_rows_is_compared_at_equal_events(data: Interactions) -> None:
    rows = data.training_rows()
    keep = np.zeros(rows.nnz, dtype=bool)
    keep[rows.indptr[:-1]] = True
    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))[keep]
    thin = sparse.csr_array((np.ones(keep.sum(), np.float32), (owner, rows.indices[keep])), shape=rows.shape)
    found = contenders(data, InteractionsSummary.of_users(thin, data.item_ids), ["random-users"], draws=1, seed=0)
    assert found[-1].record.equal == "events"
    assert thin.nnz <= found[-1].record.events <= thin.nnz + 12


def test_dense_summary_is_compared_with_head_users_of_equal_bytes(data: Interactions) -> None:
    found = contenders(data, one_row_a_group(data, 0.5), ["head-users"], draws=1, seed=0)
    sets = {s.record.name: s.record for s in found}
    assert sets["head-users-bytes"].equal == "bytes"
    assert 0.8 * sets["summary"].bytes <= sets["head-users-bytes"].bytes <= sets["summary"].bytes + 8


def test_other_delivered_forms_are_judged_beside_the_primary_one(data: Interactions) -> None:
    summary = one_row_a_group(data, 0.5)
    summary = replace(summary, forms={"hard": summary.hard})
    found = judged(data, summary, learners=["ease"])
    assert [s.name for s in found.sets if s.role == "form"] == ["summary-hard"]
    assert found.of("ease", "summary-hard")


def test_judge_when_asked_to_stop_raises_cancelled(data: Interactions) -> None:
    ctx = Context()
    ctx.stop()
    with pytest.raises(Cancelled):
        judge(data, one_row_a_group(data), EvaluateParams(), ctx)


def test_judge_without_test_events_is_refused() -> None:
    data = Interactions.from_columns(np.arange(20), np.arange(20) % 7, np.zeros(20))
    with pytest.raises(JobError) as refused:
        judge(data, full_as_summary(data), EvaluateParams(), Context())
    assert refused.value.code == "too_few_rows"


def test_params_refuse_a_metric_whose_length_is_not_measured() -> None:
    with pytest.raises(ValidationError, match="needs its list length in k"):
        EvaluateParams(metric="ndcg@20")
    with pytest.raises(ValidationError):
        EvaluateParams(learners=["svd"])
    assert EvaluateParams(metric="hr@20", k=[20]).metric == "hr@20"


def test_warning_when_popularity_nearly_does() -> None:
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, 41) ** 1.2
    user = np.repeat(np.arange(300), 6)
    item = np.concatenate([rng.choice(40, 6, replace=False, p=weights / weights.sum()) for _ in range(300)])
    data = Interactions.from_columns(user, item, clean(user, seed=0))
    found = judged(data, full_as_summary(data))
    assert any("Popularity comes within 5 %" in warning for warning in found.warnings)


def test_warning_when_validation_events_are_few(data: Interactions, ideal: Measurements) -> None:
    assert data.queries("validation").targets.nnz < 500
    assert any("validation events" in warning for warning in ideal.warnings)


def test_warning_when_infinite_ae_saw_a_part_of_the_full_data(data: Interactions) -> None:
    found = judged(data, one_row_a_group(data), learners=["infinite-ae"], max_users=50)
    assert any("50 of 360 users" in warning for warning in found.warnings)


def test_warning_when_a_subset_holds_test_events(data: Interactions) -> None:
    users = np.arange(data.n_users)
    everything = data.part(0, 1, 2)
    leaking = InteractionsSummary.of_users(everything, data.item_ids, row_ids=data.user_ids[users])
    assert portrait.leaks(data, leaking) == data.queries("test").targets.nnz
    assert any("seen the answers" in warning for warning in portrait.warnings(data, leaking))
    assert portrait.leaks(data, full_as_summary(data)) == 0


def test_nearest_rows_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    real = sparse.csr_array((rng.random((40, 12)) < 0.4).astype(np.float32))
    rows = sparse.csr_array(rng.random((150, 12)).astype(np.float32) * (rng.random((150, 12)) < 0.5))
    cosine, jaccard, equal = portrait.nearest(rows, real)
    a, b = rows.toarray(), real.toarray()
    norms = np.maximum(np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1), 1e-12)
    shared = (a > 0).astype(float) @ b.T
    union = (a > 0).sum(1)[:, None] + b.sum(1) - shared
    assert np.allclose(cosine, (a @ b.T / norms).max(axis=1), atol=1e-6)
    assert np.allclose(jaccard, (shared / np.maximum(union, 1e-12)).max(axis=1))
    assert np.array_equal(equal, ((a > 0)[:, None, :] == (b > 0)[None]).all(-1).sum(1))


def test_nearest_of_real_rows_leaves_out_the_row_itself() -> None:
    real = sparse.csr_array(np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]], np.float32))
    cosine, _, equal = portrait.nearest(real, real, own=np.arange(3))
    assert cosine == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 0.0])
    assert equal.tolist() == [0, 0, 0]


def test_summary_of_copied_rows_is_reported_as_identical_to_real_ones(data: Interactions) -> None:
    found = portrait.privacy(data, full_as_summary(data), seed=0)
    identical = next(row for row in found if row.label == "Rows identical to a real row")
    assert identical.value == 100.0
    assert identical.n == data.training_rows().shape[0]


def test_distinct_histories_give_the_same_scores(data: Interactions) -> None:
    model = fit_tuned("ease", data.training_rows(), data.queries("validation"), grid=[5.0]).model
    inputs = sparse.csr_array(data.training_rows()[np.repeat(np.arange(5), 4)])
    # The order of additions in a matrix product follows its shape, so the last digit may differ.
    np.testing.assert_allclose(_Distinct(model).scores(inputs), model.scores(inputs), rtol=1e-4, atol=1e-6)


def test_fidelity_method_hands_the_given_summary_on_unchanged(data: Interactions) -> None:
    summary = one_row_a_group(data)
    ctx = Context()
    ctx.inputs["summary"] = summary
    assert evaluate(data, NoParams(), ctx) is summary


def test_fidelity_method_refuses_a_missing_or_foreign_summary(data: Interactions) -> None:
    with pytest.raises(JobError, match="No summary"):
        evaluate(data, NoParams(), Context())
    rows = sparse.csr_array(np.eye(3, dtype=np.float32))
    ctx = Context()
    ctx.inputs["summary"] = InteractionsSummary.of_users(rows, np.array(["a", "b", "c"]))
    with pytest.raises(JobError, match="3 items"):
        evaluate(data, NoParams(), ctx)
