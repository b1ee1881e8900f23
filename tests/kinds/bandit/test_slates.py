"""Estimates on slates: obp's values, identities, refusals, and no verdict better than the truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.kinds.bandit.planted_slates import draw, policies, upload, world
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit import structures
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimators import doubly_robust, importance
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.ingest import ingest
from worker.kinds.bandit.methods.auto import AutoParams, auto
from worker.kinds.bandit.methods.random_rounds import RandomRoundsParams, random_rounds
from worker.kinds.bandit.methods.slate_estimate import slate_estimate
from worker.kinds.bandit.slates.params import SlateEstimateParams
from worker.kinds.bandit.slates.weights import chances, weights_of
from worker.kinds.bandit.stepwise import importance as steps
from worker.kinds.bandit.structures.slates import SlateLog

GOLDEN = json.loads((Path(__file__).parent / "obp_structured.json").read_text())


def golden_log(form: str) -> tuple[SlateLog, np.ndarray, np.ndarray, np.ndarray]:
    """obp's inputs: the log, the target's probabilities of logged items, predictions at them, and their expectation."""
    given = GOLDEN["slates"]
    action = np.array(given["action"])
    m, positions = action.shape
    logging, target = (np.array(given[name], float) for name in ("logging", "target"))
    logging, target = (table / table.sum(axis=2, keepdims=True) for table in (logging, target))
    predicted = np.array(given["predicted_tenths"]) / 10.0

    def at(table: np.ndarray) -> np.ndarray:
        return np.take_along_axis(table, action[:, :, None], 2)[:, :, 0]

    slate = np.repeat(np.arange(m), positions)
    log = BanditLog(
        action=action.ravel().astype(np.int32),
        reward=np.array(given["reward_tenths"]).ravel() / 10.0,
        propensity=at(logging).ravel(),
        n_actions=logging.shape[2],
        contexts=np.zeros((1, 0), np.float32),
        context_index=np.zeros(m * positions, np.int32),
        position=np.tile(np.arange(positions), m).astype(np.int32),
    )
    data = SlateLog(log, slate.astype(np.int32), form)
    return data, at(target), at(predicted), (target * predicted).sum(axis=2)


def test_estimators_when_given_obps_log_then_give_its_values():
    data, chance, logged, expected = golden_log("item_alone")
    weights, reward = weights_of(data, chance.ravel()), data.layout.spread(data.log.reward)
    found = {
        "sips": steps.plain(weights.slate, reward),
        "rips": steps.plain(weights.prefix, reward),
        "iips": steps.plain(weights.item, reward),
        "snsips": steps.self_normalised(weights.slate, reward),
        "snrips": steps.self_normalised(weights.prefix, reward),
        "sniips": steps.self_normalised(weights.item, reward),
        "cascade_dr": steps.doubly_robust(weights.prefix, reward, logged, expected),
    }
    assert {name: one.value for name, one in found.items()} == pytest.approx(GOLDEN["slate_values"], abs=1e-12)
    for one in found.values():
        assert one.influence.mean() == pytest.approx(one.value, abs=1e-12)


def test_one_position_then_every_estimator_is_that_of_rounds():
    data, chance, logged, expected = golden_log("item_alone")
    top = data.log.take(np.arange(0, data.log.n, 3))
    one = SlateLog(top, np.arange(top.n, dtype=np.int32), "item_alone")
    weights, reward = weights_of(one, chance[:, 0]), top.reward[:, None]
    terms = Terms(top.reward, chance[:, 0] / top.propensity, logged[:, 0], expected[:, 0])
    for weight in (weights.slate, weights.prefix, weights.item):
        assert steps.plain(weight, reward).value == pytest.approx(importance.ips(terms).value, abs=1e-14)
        normal = steps.self_normalised(weight, reward)
        assert normal.value == pytest.approx(importance.snips(terms).value, abs=1e-14)
        assert normal.influence == pytest.approx(importance.snips(terms).influence, abs=1e-12)
    robust = steps.doubly_robust(weights.prefix, reward, logged[:, :1], expected[:, :1])
    assert robust.value == pytest.approx(doubly_robust.dr(terms).value, abs=1e-14)


@pytest.mark.parametrize("form", ["item", "prefix", "slate"])
def test_propensities_when_written_in_another_form_then_weights_are_the_same(form):
    rng = np.random.default_rng(5)
    at = world(rng)
    logging, target = policies(rng, at, null=False)
    alone, other = (draw(np.random.default_rng(1), at, logging, target, 50, f) for f in ("item_alone", form))
    first, second = (weights_of(data, chances(data, [])["target"][0]) for data in (alone, other))
    assert second.slate == pytest.approx(first.slate, rel=1e-12)
    assert second.item is None
    assert (second.prefix is None) == (form == "slate")
    if second.prefix is not None:
        assert second.prefix == pytest.approx(first.prefix, rel=1e-12)


def test_unequal_slates_then_positions_that_are_not_there_change_nothing():
    data, chance, _, _ = golden_log("item_alone")
    longer = data.layout
    keep = np.ones(data.log.n, bool)
    keep[longer.rows[::2, 2]] = False
    short = SlateLog(data.log.take(np.flatnonzero(keep)), data.slate[keep], "item_alone")
    found = weights_of(short, chance.ravel()[keep])
    full = weights_of(data, chance.ravel())
    assert found.prefix[1::2] == pytest.approx(full.prefix[1::2], abs=1e-12)
    assert found.slate[::2, 0] == pytest.approx(full.prefix[::2, 1], abs=1e-12)
    assert (found.slate[::2, 2] == 1).all()


def test_upload_when_read_back_then_gives_the_truth_and_a_verdict_on_column_and_policy(tmp_path):
    rng = np.random.default_rng(11)
    at = world(rng)
    logging, target = policies(rng, at, null=False)
    out = tmp_path / "canonical"
    out.mkdir()
    options = {"structure": "slates", "propensity_of": "item_alone", "r_min": 0, "r_max": 1}
    said = ingest(upload(tmp_path, draw(rng, at, logging, target, 1500)), options, out, Context())
    assert said["statistics"]["slates"] == 1500
    assert "users" not in said["statistics"]
    assert said["detection"]["columns"]["target:column"] == "target_probability_column"
    data = structures.load(out)
    found = slate_estimate(data, SlateEstimateParams(behaviour="cascade"), Context())
    truth = at.value(target)
    by_name = {one["name"]: one for one in found.verdict.details["targets"]}
    assert by_name.keys() == {"column", "whole"}
    for one in by_name.values():
        assert one["low"] <= truth <= one["high"]
        assert one["status"] == "better"
    labels = [row["estimator"] for row in found.tables[1].rows if row["target"] == "whole"]
    assert set(labels) == {"SNSIPS", "SIPS", "SNRIPS", "RIPS", "SNIIPS", "IIPS", "Cascade-DR"}
    assert any("Cascade-DR was left out" in text and text.startswith("column") for text in found.warnings)
    assert auto(data, AutoParams(), Context()).verdict == slate_estimate(data, SlateEstimateParams(), Context()).verdict


def test_ordinary_methods_when_given_slates_then_refuse_and_name_the_method():
    data, _, _, _ = golden_log("item")
    with pytest.raises(JobError) as refused:
        random_rounds(data, RandomRoundsParams(), Context())
    assert "slate-estimate" in refused.value.hint
    with pytest.raises(JobError) as refused:
        slate_estimate(data.log, SlateEstimateParams(), Context())
    assert "structure=slates" in refused.value.hint


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[:4] + rows[5:], "lacks a row before position 2"),
        (lambda rows: [*rows, rows[-1]], "has two rows for position 2"),
        (lambda rows: rows[:3] + rows[4:], "begins at position 1, others at 0"),
    ],
)
def test_rows_when_missing_or_double_then_refused_with_the_slate(tmp_path, change, says):
    rng = np.random.default_rng(2)
    at = world(rng)
    upload(tmp_path, draw(rng, at, *policies(rng, at, null=False), 20))
    head, *rows = (tmp_path / "log.csv").read_text().splitlines()
    (tmp_path / "log.csv").write_text("\n".join([head, *change(rows)]))
    out = tmp_path / "canonical"
    out.mkdir()
    options = {"structure": "slates", "propensity_of": "item"}
    with pytest.raises(JobError) as refused:
        ingest([("log.csv", tmp_path / "log.csv")], options, out, Context())
    assert says in refused.value.detail
    assert refused.value.hint


def test_propensities_when_they_are_not_of_the_slate_then_refused(tmp_path):
    rng = np.random.default_rng(2)
    at = world(rng)
    upload(tmp_path, draw(rng, at, *policies(rng, at, null=False), 20))
    for form in ("slate", "prefix"):
        (tmp_path / form).mkdir()
        with pytest.raises(JobError) as refused:
            ingest(
                [("log.csv", tmp_path / "log.csv")],
                {"structure": "slates", "propensity_of": form},
                tmp_path / form,
                Context(),
            )
        assert refused.value.pointer == "/options/propensity_of"


def claims(
    seed: int, logs: int, slates: int, behaviour: str, *, null: bool, below: float = 0.0, whole: bool = False
) -> dict[str, float]:
    """Shares of verdicts, and how often the intervals hold the value and the gain."""
    counts = {"better": 0, "worse": 0, "cannot_tell": 0, "value": 0, "gain": 0}
    for number in range(logs):
        rng = np.random.default_rng([seed, number])
        at = world(rng, below=below)
        logging, target = policies(rng, at, null=null)
        data = draw(rng, at, logging, target, slates, whole=whole)
        params = SlateEstimateParams(behaviour=behaviour, q_model="none", gamma=1)
        said = slate_estimate(data, params, Context()).verdict.details["targets"][0]
        truth = at.value(target)
        counts[said["status"]] += 1
        counts["value"] += said["low"] <= truth <= said["high"]
        gain = truth - at.value(logging)
        counts["gain"] += said["over_logging_low"] <= gain <= said["over_logging_high"]
    return {name: count / logs for name, count in counts.items()}


@pytest.mark.parametrize(("behaviour", "below", "whole"), [("any", 0.9, False), ("any", 0, True), ("cascade", 0, True)])
def test_target_that_gains_nothing_then_hardly_ever_called_better_or_worse(behaviour, below, whole):
    found = claims(3, 50, 600, behaviour, null=True, below=below, whole=whole)
    assert found["better"] <= 0.02, found
    assert found["worse"] <= 0.02, found
    assert found["gain"] >= 0.92, found


def test_target_that_is_better_then_seen_under_the_cascade_and_values_are_covered():
    found = claims(4, 25, 1500, "cascade", null=False, whole=True)
    assert found["better"] >= 0.65, found
    assert found["worse"] == 0
    assert found["value"] >= 0.88, found


def test_range_when_not_declared_then_cannot_tell_and_says_what_would_settle_it():
    rng = np.random.default_rng(1)
    at = world(rng)
    data = draw(rng, at, *policies(rng, at, null=False), 1500)
    open_ended = replace(data, log=replace(data.log, reward_range=None))
    verdict = slate_estimate(open_ended, SlateEstimateParams(behaviour="cascade"), Context()).verdict
    assert verdict.status == "cannot_tell"
    assert verdict.settled_by == ("r_min and r_max",)


def test_deterministic_log_then_cannot_tell():
    rng = np.random.default_rng(1)
    at = world(rng)
    logging, target = policies(rng, at, null=False)
    certain = np.where(logging == logging.max(axis=2, keepdims=True), 1.0, 0.0)
    verdict = slate_estimate(draw(rng, at, certain, target, 1500), SlateEstimateParams(), Context()).verdict
    assert verdict.status == "cannot_tell"
    assert any("deterministic" in reason for reason in verdict.reasons)


def test_propensities_too_small_then_red_without_a_p_value():
    rng = np.random.default_rng(1)
    at = world(rng)
    logging, target = policies(rng, at, null=False)
    data = draw(rng, at, logging, target, 1500)
    wrong = replace(data, log=replace(data.log, propensity=data.log.propensity * 0.7))
    said = slate_estimate(wrong, SlateEstimateParams(), Context()).verdict
    assert said.status == "cannot_tell"
    assert said.details["targets"][0]["reliability"] == "red"
    assert said.details["targets"][0]["p"] is None
