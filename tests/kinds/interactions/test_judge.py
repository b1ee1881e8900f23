"""The judge of interactions, on planted data: groups of users who like the same items."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import sparse

from app.jobs.estimate import estimate
from tests.kinds.interactions.planted import GROUPS, USERS, full_as_summary, of_users, one_row_a_group, planted
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError, TimeOver
from worker.contract.kind import NoParams
from worker.contract.learner import learners_of
from worker.contract.product import Origin
from worker.evidence.measurements import Measurements
from worker.evidence.report import build
from worker.evidence.statistics import value_of
from worker.kinds.interactions import KIND, description, privacy
from worker.kinds.interactions.baselines import contenders
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import arrays, compressed_bytes, file_bytes, plain_bytes
from worker.kinds.interactions.judge import evaluate_params, judge
from worker.kinds.interactions.learners.ease import Ease
from worker.kinds.interactions.methods.evaluate import evaluate
from worker.kinds.interactions.metrics import Ranking
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.splits import TEST, TEST_INPUT, TRAIN, VALIDATION, VALIDATION_INPUT, clean
from worker.kinds.interactions.summary import InteractionsSummary

JOB = {"method": "distill-cf", "dataset": "ds_1@1", "seed": 0, "params": {}}


def judged(data: Interactions, *summaries: InteractionsSummary, **params: Any) -> Measurements:
    return judge(data, summaries, evaluate_params()(bootstrap=200, **params), Context(seed=3))


@pytest.fixture(scope="module")
def data() -> Interactions:
    return planted()


@pytest.fixture(scope="module")
def ideal(data: Interactions) -> Measurements:
    return judged(data, one_row_a_group(data))


def test_full_data_as_its_own_summary_keeps_exactly_everything(data: Interactions) -> None:
    verdict = build(judged(data, full_as_summary(data)), JOB).verdict
    assert verdict["value"] == pytest.approx(1.0)
    assert verdict["low"] == pytest.approx(1.0, abs=1e-6)
    assert verdict["high"] == pytest.approx(1.0, abs=1e-6)
    assert verdict["rows_share"] == 1.0
    assert verdict["bytes_share"] == 1.0


def test_ideal_rows_beat_random_users_of_the_same_number(ideal: Measurements) -> None:
    verdict = build(ideal, JOB).verdict
    assert verdict["learner"] == "infinite-ae"
    assert verdict["status"] == "ahead"
    assert verdict["value"] > 0.9
    assert verdict["baseline"]["high"] < verdict["low"]
    assert verdict["baseline"]["ahead_low"] > 0
    assert verdict["rows_share"] == pytest.approx(GROUPS / USERS)


def test_judge_is_deterministic(data: Interactions, ideal: Measurements) -> None:
    again = judged(data, one_row_a_group(data))
    for first, second in zip(ideal.results, again.results, strict=True):
        assert first.chosen == second.chosen
        for name, scores in first.scores["test"].items():
            assert np.array_equal(scores, second.scores["test"][name]), (first.learner, first.set, name)


def test_judge_trains_every_learner_on_every_set_and_draw(ideal: Measurements) -> None:
    assert {s.name: s.role for s in ideal.sets} == {
        "full": "full",
        "summary": "summary",
        "random-users": "baseline",
        "random-users-bytes": "baseline",
        "head-users": "baseline",
        "head-users-bytes": "baseline",
        "gram-bytes": "bound",
    }
    for learner in ("popularity", "ease", "infinite-ae"):
        for one in ideal.sets:
            trained = 1 if one.role != "bound" or learner == "ease" else 0
            assert len(ideal.of(learner, one.name)) == (3 if one.method == "random-users" else trained)
    scores = ideal.results[0].scores["test"]
    assert {"ndcg@10", "hr@100", "psp@10", "psp_paper@100", "auc_user"} <= set(scores)
    assert isinstance(scores["auc_pooled"], float)
    assert scores["ndcg@10"].shape == (ideal.test.n,)
    assert ideal.test.ids.tolist() == planted().user_ids[planted().queries("test").users].tolist()


def test_learners_are_tuned_on_validation_for_every_set(ideal: Measurements) -> None:
    for learner in ("ease", "infinite-ae"):
        for one in (one for one in ideal.sets if one.role != "bound" or learner == "ease"):
            result = ideal.of(learner, one.name)[0]
            values = [(dict(tried.settings), value_of(tried.validation)) for tried in result.tried]
            assert len(values) >= 12
            assert (dict(result.chosen), result.validation) in values
            assert result.validation == max(value for _, value in values)


def test_baselines_have_as_many_rows_as_the_summary_and_sizes_are_bytes_of_arrays(data: Interactions) -> None:
    found = contenders(data, [one_row_a_group(data)], ["random-users", "head-users"], draws=2, seed=0)
    sets = {s.record.name: s.record for s in found}
    assert sets["random-users"].rows == sets["head-users"].rows == sets["summary"].rows == GROUPS
    stored = arrays(data.training(), "hard")
    assert sets["full"].bytes == plain_bytes(stored)
    assert sets["full"].compressed == compressed_bytes(data.training(), "hard") < file_bytes(stored)
    assert sets["full"].bytes == 4 + 4 * len(data.training()) + 2 * data.train.nnz
    assert sets["head-users"].events >= sets["random-users"].events


def test_equal_rows_and_equal_bytes_are_measured_for_every_form_smaller_than_the_source(data: Interactions) -> None:
    summary = one_row_a_group(data, 0.5)
    summary = replace(summary, forms={"hard": summary.hard, "soft4": summary.rows})
    found = {s.record.name: s.record for s in contenders(data, [summary], ["random-users"], draws=2, seed=0)}
    assert {name for name, record in found.items() if record.role == "baseline"} == {
        "random-users", "random-users-bytes", "random-users-bytes-summary-hard", "random-users-bytes-summary-soft4",
    }  # fmt: skip
    assert found["random-users"].equal == "rows"
    assert {found[name].equal for name in found if "bytes" in name} == {"bytes"}
    labels = [record.label for record in found.values()]
    assert len(set(labels)) == len(labels)


def test_form_larger_than_the_source_is_not_compared_at_equal_bytes(data: Interactions) -> None:
    rng = np.random.default_rng(0)
    rows = sparse.csr_array(rng.random((USERS, data.n_items), dtype=np.float32) * 0.9 + 0.05)
    large = InteractionsSummary(rows, sparse.csr_array(rows > 0, dtype=np.float32), data.item_ids, "soft")
    found = contenders(data, [large], ["random-users", "head-users"], draws=1, seed=0)
    sizes = {s.record.name: s.record.bytes for s in found}
    assert sizes["summary"] > sizes["full"]
    assert [name for name in sizes if "bytes" in name] == []


@pytest.mark.parametrize("value", [1.0, 0.5])
@pytest.mark.parametrize("method", ["random-users", "head-users"])
def test_picks_of_equal_bytes_never_exceed_the_form_and_one_more_user_would(
    data: Interactions, value: float, method: str
) -> None:
    summary = replace(one_row_a_group(data, value), forms={"soft8": one_row_a_group(data, 0.5).rows})
    found = {s.record.name: s for s in contenders(data, [summary], [method], draws=3, seed=9)}
    order_of = {"head-users": lambda draw: np.lexsort((data.user_ids, -np.diff(data.train.indptr)))}
    order_of["random-users"] = lambda draw: np.random.default_rng([9, draw]).permutation(USERS)
    for form in ("summary", "summary-soft8"):
        picks = found[f"{method}-bytes" + ("" if form == "summary" else f"-{form}")]
        limit = found[form].record.bytes
        assert picks.record.bytes <= limit
        for draw, rows in enumerate(picks.draws):
            order = order_of[method](draw)
            n = len(rows)
            assert np.array_equal(rows.matrix.toarray(), data.train[np.sort(order[:n])].toarray())
            assert plain_bytes(arrays(rows, "hard")) <= limit
            one_more = UserRows(data.train).take(np.sort(order[: n + 1]))
            assert plain_bytes(arrays(one_more, "hard")) > limit


def test_summary_of_thinned_rows_is_compared_at_equal_events(data: Interactions) -> None:
    rows = data.training_rows()
    keep = np.zeros(rows.nnz, dtype=bool)
    keep[rows.indptr[:-1]] = True
    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))[keep]
    thin = sparse.csr_array((np.ones(keep.sum(), np.float32), (owner, rows.indices[keep])), shape=rows.shape)
    ids = data.user_ids[np.flatnonzero(np.diff(data.train.indptr))]
    summary = InteractionsSummary.of_users(
        UserRows(thin), data.item_ids, origin=Origin("random-interactions"), row_ids=ids
    )
    found = contenders(data, [summary], ["random-users"], draws=1, seed=0)
    equal = next(one.record for one in found if one.record.equal == "events")
    assert thin.nnz <= equal.events <= thin.nnz + 12


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
        judge(data, [one_row_a_group(data)], evaluate_params()(), ctx)


def test_judge_without_test_events_is_refused() -> None:
    data = Interactions.from_columns(np.arange(20), np.arange(20) % 7, np.zeros(20))
    with pytest.raises(JobError) as refused:
        judge(data, [full_as_summary(data)], evaluate_params()(), Context())
    assert refused.value.code == "too_few_rows"


def test_noise_when_no_floor_was_asked_for_is_undetermined_all_the_same() -> None:
    rng = np.random.default_rng(0)
    user, place = np.divmod(np.arange(240 * 8), 8)
    item = np.concatenate([rng.choice(40, 8, replace=False) for _ in range(240)])
    parts = {0: (TRAIN, TRAIN), 1: (VALIDATION_INPUT, VALIDATION), 2: (TEST_INPUT, TEST)}
    codes = np.array([parts[number] for number in range(3)])[(user >= 140).astype(int) + (user >= 190)]
    data = Interactions.from_columns(user, item, np.where(place < 6, codes[:, 0], codes[:, 1]))
    found = judged(data, of_users(data, np.arange(40)), learners=["ease"])
    assert {one.name for one in found.learners} == {"ease", "popularity"}
    report = json.loads(build(found, {"method": "random-users", "task": "select", "kind": "interactions"}).json_text())
    assert report["verdict"]["sentence"].startswith("Undetermined")


def test_params_refuse_a_metric_whose_length_is_not_measured() -> None:
    with pytest.raises(ValidationError, match="needs its list length in k"):
        evaluate_params()(metric="ndcg@20")
    with pytest.raises(ValidationError):
        evaluate_params()(learners=["svd"])
    assert evaluate_params()(metric="hr@20", k=[20]).metric == "hr@20"


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


def test_warning_when_infinite_ae_learned_through_landmarks(data: Interactions) -> None:
    few = {"learners": ["infinite-ae"], "baselines": []}
    found = judged(data, one_row_a_group(data), max_users=50, landmarks=40, **few)
    assert any("through 40 landmarks" in warning for warning in found.warnings)
    exact = judged(data, one_row_a_group(data), max_users=1000, **few)
    assert not any("landmarks" in warning for warning in exact.warnings)
    through, all_rows = (value_of(m.of("infinite-ae", "full")[0].scores["test"]["ndcg@10"]) for m in (found, exact))
    assert through == pytest.approx(all_rows, rel=0.15)


def test_warning_when_a_subset_holds_test_events(data: Interactions) -> None:
    users = np.arange(data.n_users)
    everything = data.part(0, 1, 2)
    leaking = InteractionsSummary.of_users(
        UserRows(everything), data.item_ids, origin=Origin("uploaded subset"), row_ids=data.user_ids[users]
    )
    assert description.test_events(data, leaking) == data.queries("test").targets.nnz
    assert any("seen the answers" in warning for warning in description.warnings(data, leaking))
    assert description.test_events(data, full_as_summary(data)) == 0


def test_nearest_rows_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    real = sparse.csr_array((rng.random((40, 12)) < 0.4).astype(np.float32))
    rows = sparse.csr_array(rng.random((150, 12)).astype(np.float32) * (rng.random((150, 12)) < 0.5))
    cosine, jaccard, equal = privacy.nearest(rows, real)
    a, b = rows.toarray(), real.toarray()
    norms = np.maximum(np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1), 1e-12)
    shared = (a > 0).astype(float) @ b.T
    union = (a > 0).sum(1)[:, None] + b.sum(1) - shared
    assert np.allclose(cosine, (a @ b.T / norms).max(axis=1), atol=1e-6)
    assert np.allclose(jaccard, (shared / np.maximum(union, 1e-12)).max(axis=1))
    assert np.array_equal(equal, ((a > 0)[:, None, :] == (b > 0)[None]).all(-1).sum(1))


def test_nearest_of_real_rows_leaves_out_the_row_itself() -> None:
    real = sparse.csr_array(np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]], np.float32))
    cosine, _, equal = privacy.nearest(real, real, own=np.arange(3))
    assert cosine == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 0.0])
    assert equal.tolist() == [0, 0, 0]


def test_summary_of_copied_rows_is_reported_as_identical_to_real_ones(data: Interactions) -> None:
    found = privacy.nearest_rows(data, full_as_summary(data), seed=0)
    identical = next(row for row in found if row.label == "Rows identical to a real row")
    assert identical.value == 100.0
    assert identical.n == data.training_rows().shape[0]


def test_users_of_equal_histories_are_scored_once_with_the_same_metrics(data: Interactions) -> None:
    model = Ease(5.0).fit(data.training_rows())
    queries = data.queries("test").take(np.repeat(np.arange(5), 4))
    counts = np.asarray(data.train.sum(axis=0)).ravel()
    shared, each = (Ranking.of(queries, counts, (5,), share=share) for share in (True, False))
    assert [rows.shape[0] for rows in shared.inputs] == [5]
    assert [rows.shape[0] for rows in each.inputs] == [20]
    for name, values in each.measure(model).items():
        np.testing.assert_allclose(shared.measure(model)[name], values, atol=1e-9)


def test_several_summaries_are_judged_in_one_set_of_measurements(data: Interactions) -> None:
    random = of_users(data, np.arange(0, USERS, 30))
    found = judged(data, one_row_a_group(data), random, learners=["ease"], draws=1)
    assert [one.name for one in found.summaries] == ["summary", "summary-2"]
    assert {name: origin.method for name, origin in found.origins.items()} == {
        "summary": "distill-cf", "summary-2": "uploaded subset",
    }  # fmt: skip
    for name in ("summary", "summary-2"):
        assert found.of("ease", name)
    equal = {one.name: one.rows for one in found.sets if one.equal == "rows" and one.method == "random-users"}
    assert sorted(equal.values()) == [GROUPS, 12]
    assert len({one.label for one in found.sets}) == len(found.sets)
    report = build(found, JOB)
    assert {row["set"] for t in report.json["tables"] if t["name"] == "fidelity" for row in t["rows"]} >= {
        one.label for one in found.summaries
    }


def test_evaluate_judges_the_summaries_it_is_given(data: Interactions) -> None:
    ctx = Context(seed=3)
    ctx.inputs["summary"] = [one_row_a_group(data), of_users(data, np.arange(12))]
    ctx.evaluate = evaluate_params()(learners=["ease"], baselines=[], bootstrap=100)
    found = evaluate(data, NoParams(), ctx)
    assert [one.rows for one in found.summaries] == [GROUPS, 12]
    direct = judged(data, one_row_a_group(data), learners=["ease"], baselines=[])
    np.testing.assert_array_equal(
        found.of("ease", "summary")[0].scores["test"]["ndcg@10"],
        direct.of("ease", "summary")[0].scores["test"]["ndcg@10"],
    )


def test_evaluate_refuses_a_summary_over_other_items_or_of_another_kind(data: Interactions) -> None:
    rows = sparse.csr_array(np.eye(3, dtype=np.float32))
    foreign = InteractionsSummary.of_users(
        UserRows(rows), np.array(["a", "b", "c"]), origin=Origin(), row_ids=np.array(["x", "y", "z"])
    )
    for wrong in (foreign, data):
        ctx = Context(evaluate=evaluate_params()())
        ctx.inputs["summary"] = [one_row_a_group(data), wrong]
        with pytest.raises(JobError, match="60 items") as refused:
            evaluate(data, NoParams(), ctx)
        assert refused.value.pointer == "/inputs/summary"


def test_evaluate_refuses_a_summary_that_holds_what_this_version_asks(data: Interactions) -> None:
    leaking = InteractionsSummary.of_users(
        UserRows(data.part(0, 1, 2)), data.item_ids, origin=Origin("random-users"), row_ids=data.user_ids
    )
    ctx = Context(evaluate=evaluate_params()(), inputs={"summary": [leaking]})
    with pytest.raises(JobError, match="test events in this version") as refused:
        evaluate(data, NoParams(), ctx)
    assert refused.value.pointer == "/inputs/summary"


def attack(data: Interactions, summary: InteractionsSummary) -> Any:
    return privacy.membership_attack(data, summary, seed=1)[0]


def test_membership_attack_finds_users_whose_exact_rows_are_in_the_summary(data: Interactions) -> None:
    leaky = attack(data, of_users(data, np.arange(0, USERS, 2)))
    assert leaky.low > 0.55
    everyone = attack(data, full_as_summary(data))
    assert everyone.value > leaky.value > attack(data, one_row_a_group(data)).value
    assert everyone.n == USERS
    assert leaky.low < leaky.value < leaky.high


def test_membership_attack_on_a_summary_that_knows_no_user_is_guessing(data: Interactions) -> None:
    synthetic = attack(data, one_row_a_group(data))
    assert synthetic.low < 0.5 < synthetic.high
    strangers = of_users(planted(seed=77), np.arange(60))
    unrelated = attack(data, strangers)
    assert unrelated.low < 0.5 < unrelated.high
    assert "no guarantee" in unrelated.note


def test_membership_attack_without_held_out_events_says_nothing() -> None:
    data = Interactions.from_columns(np.arange(20) // 4, np.arange(20) % 7, np.zeros(20))
    assert privacy.membership_attack(data, full_as_summary(data), seed=0) == ()


def test_protocol_says_what_was_done(ideal: Measurements, data: Interactions) -> None:
    fields = ideal.protocol.fields
    assert fields["metric"] == "ndcg@10"
    assert set(fields["learners"]) == {"popularity", "ease", "infinite-ae"}
    assert len(fields["tuning"]["settings"]["ease"]) >= 12
    assert fields["tests"]["users"] == ideal.test.n
    assert fields["seeds"] == {"job": 3, "draws": 3}
    for said in ("HR@k", "nDCG@k", "PSP@k", "AUC", "1/log2(r + 1)", f"{ideal.test.n} test users", "default_rng"):
        assert said in ideal.protocol.text, said
    other = judged(data, one_row_a_group(data), learners=["ease"], metric="hr@10", draws=1)
    assert other.protocol.hash != ideal.protocol.hash


def test_draws_follow_from_their_seeds_by_the_rule_in_the_protocol(ideal: Measurements, data: Interactions) -> None:
    found = {s.record.name: s for s in contenders(data, [one_row_a_group(data)], ["random-users"], draws=3, seed=3)}
    users = np.flatnonzero(np.diff(data.train.indptr))
    for name in ("random-users", "random-users-bytes"):
        seeds = ideal.arrays[f"draw_seeds/{name}"]
        assert seeds.tolist() == [[3, 0], [3, 1], [3, 2]]
        for seed, rows in zip(seeds, found[name].draws, strict=True):
            picked = np.random.default_rng(list(seed)).permutation(users)[: len(rows)]
            assert np.array_equal(data.train[np.sort(picked)].toarray(), rows.matrix.toarray())


def test_judge_whose_time_ends_gives_what_it_measured(data: Interactions) -> None:
    class Late(Context):
        left = 60

        def report_progress(self, *_: Any) -> None:
            self.left -= 1
            if self.left < 0:
                raise TimeOver

    found = judge(data, [one_row_a_group(data)], evaluate_params()(bootstrap=100), Late())
    assert "time limit" in found.unfinished
    assert found.of("ease", "full")
    assert found.of("ease", "summary")
    assert build(found, JOB).json["unfinished"] == found.unfinished


def test_cost_of_judging_follows_from_the_statistics_of_a_version_and_the_learners() -> None:
    statistics = {"users": 943, "items": 1682, "events": 100_000, "users_with_test": 943}
    found = {}
    for learners in (["popularity"], ["ease"], ["popularity", "ease", "infinite-ae"]):
        evaluate_json = evaluate_params()(learners=learners).model_dump(mode="json")
        found[len(learners), learners[0]] = estimate(
            {"judging": asdict(KIND.judging.cost)}, statistics, {}, evaluate_json
        )["judging"]
    floor, ease_alone, everything = (one["seconds"] for one in found.values())
    assert 5 < floor < ease_alone < everything < 60
    assert all(400 < one["memory_mb"] < 1000 for one in found.values())
    for name in set(learners_of("interactions")) - {"popularity"}:  # none is as cheap as the floor
        evaluate_json = evaluate_params()(learners=["popularity", name]).model_dump(mode="json")
        cost = estimate({"judging": asdict(KIND.judging.cost)}, statistics, {}, evaluate_json)["judging"]
        assert floor < cost["seconds"] < 1000, name
