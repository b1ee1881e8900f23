"""Judging: what stands beside a summary, and figures that are known."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.kinds.images.small import small_digits
from worker.contract.context import Context
from worker.evidence.measurements import Measurements
from worker.evidence.report import build
from worker.kinds.images import KIND
from worker.kinds.images.dataset import TEST, TRAIN, Images
from worker.kinds.images.metrics import expected_calibration_error, measure
from worker.kinds.images.predictor import RECIPES
from worker.kinds.images.showing import neighbours
from worker.kinds.images.showing.ranking_scores import augmentation_robust_score, label_robust_score
from worker.kinds.images.summary import ImagesSummary
from worker.runtime.registry import discover


def judged(data: Images, summary: ImagesSummary, **more) -> Measurements:
    given = {"learners": ["ntk"], "draws": 2, "bootstrap": 100, "seeds": 1, "steps": 20, "epochs": 2, "width": 8} | more
    return summary.judge(data, KIND.judging.params()(**given), Context(seed=1))


def made_by(name: str, data: Images, **params) -> ImagesSummary:
    method = discover()["images", name]
    return method.run(data, method.params(**params), Context(seed=1))


def test_report_of_made_images_when_judged_then_has_all_that_must_stand_beside_them(tmp_path: Path):
    data = small_digits(tmp_path)
    found = judged(
        data, made_by("k-means", data, ipc=2), learners=["convnet", "ntk"], baselines=["random", "herding"], steps=5
    )
    sets = {one.name: one for one in found.sets}
    assert sets.keys() == {
        "full", "summary", "summary-weighted", "summary-png", "random", "herding", "random-bytes",
    }  # fmt: skip
    assert sets["random"].rows == sets["herding"].rows == 8
    assert abs(sets["random-bytes"].bytes / sets["summary"].bytes - 1) < 0.1
    assert sets["random-bytes"].rows > 8
    assert sets["summary-png"].bytes == sets["random"].bytes + 8 * 4, "a byte a pixel, a class, a weight"
    assert all(one.compressed <= one.bytes + 20 for one in found.sets)
    tried = next(one.tried for one in found.results if one.learner == "convnet" and one.set == "summary")
    assert [dict(one.settings) for one in tried] == [dict(one) for one in RECIPES]
    report = build(found, {})
    said = json.loads(report.json_text())
    assert {"fidelity", "cross_learner", "ranking-scores", "bytes", "privacy"} <= {
        one["name"] for one in said["tables"]
    }
    assert {"recall", "confusion"} <= {one["name"] for one in said["plots"]}
    assert report.pictures.keys() == {"real-images.png", "summary-images.png", "nearest-real.png"}
    assert all(Image.open(io.BytesIO(png)).size[0] > 64 for png in report.pictures.values())


def test_summary_with_soft_labels_when_judged_then_hard_labels_and_random_images_with_soft_ones_are_beside(
    tmp_path: Path,
):
    data = small_digits(tmp_path)
    found = judged(data, made_by("softlabel", data, ipc=2))
    sets = {one.name: one for one in found.sets}
    assert "summary-hard" in sets
    assert sets["random-soft"].bytes == sets["summary"].bytes
    assert (sets["summary"].bytes, sets["summary-hard"].bytes) == (8 * (64 + 12 * 2 * 4), 8 * (64 + 2))
    assert "soft-labels" in {plot.name for plot in found.plots}


def test_test_images_that_are_training_images_too_when_judged_then_the_report_says_how_many(tmp_path: Path):
    data = small_digits(tmp_path)
    pixels, test = np.array(data.pixels), np.flatnonzero(data.split == TEST)
    pixels[test[:3]] = pixels[np.flatnonzero(data.split == TRAIN)[0]]
    leaking = replace(data, pixels=pixels)
    cheap = {"learners": ["nearest-mean"], "baselines": ["random"]}
    found = judged(leaking, made_by("random", leaking, ipc=1), **cheap)
    said = f"3 of {len(test)} test images equal a training image: figures are too good (leakage)."
    assert [one for one in found.warnings if "leakage" in one] == [said]
    assert not any("leakage" in one for one in judged(data, made_by("random", data, ipc=1), **cheap).warnings)


def test_kernel_ridge_when_trained_on_random_images_then_learns_less_than_from_all(tmp_path: Path):
    data = small_digits(tmp_path)
    found = judged(data, made_by("random", data, ipc=1), baselines=["random"])
    accuracy = {
        one.set: float(np.mean(one.scores["test"]["accuracy"])) for one in found.results if one.learner == "ntk"
    }
    assert accuracy["full"] > 0.9
    assert accuracy["full"] > accuracy["summary"] > 0.3


def test_scores_of_dd_ranking_when_nothing_is_gained_or_lost_then_are_the_known_ones():
    assert label_robust_score(0.0, 0.0) == pytest.approx((1 - math.exp(-1)) / (math.e - math.exp(-1)))
    assert label_robust_score(1.0, -1.0) == pytest.approx(1)
    assert label_robust_score(-1.0, 1.0) == pytest.approx(0)
    # IOR of 20 points and HLR of 40: a = -0.1
    assert label_robust_score(0.2, 0.4) == pytest.approx((math.exp(-0.1) - math.exp(-1)) / (math.e - math.exp(-1)))
    assert augmentation_robust_score(0.1, 0.3) == pytest.approx(
        (math.exp(0.2) - math.exp(-1)) / (math.e - math.exp(-1))
    )


def test_metrics_of_known_probabilities():
    probability = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    y = np.array([0, 1, 1, 0])
    found = measure(probability, y)
    assert found["accuracy"].tolist() == [1, 0, 1, 1]
    assert float(np.mean(found["log_loss"])) == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.7]).mean())
    # every image lies in a bin of its own
    assert expected_calibration_error(probability, y) == pytest.approx((0.1 + 0.6 + 0.2 + 0.3) / 4)
    many = np.full((1, 30), 0.01)
    many[0, :5] = [0.2, 0.15, 0.14, 0.12, 0.1]
    assert measure(many, np.array([4]))["top_5"].tolist() == [1]
    assert measure(many, np.array([7]))["top_5"].tolist() == [0]


def test_nearest_real_image_of_a_real_one_is_itself_and_the_attack_on_them_finds_nothing_seen(tmp_path: Path):
    data = small_digits(tmp_path)
    rows = np.flatnonzero(data.split == TRAIN)[:6]
    points = neighbours.points_of(data.train, np.arange(6))
    apart, which = neighbours.nearest(points, data.train, np.arange(len(data.train)))
    assert apart.max() == 0
    assert which.tolist() == list(range(6))
    other, _ = neighbours.nearest(points, data.train, np.arange(len(data.train)), leave=np.arange(6))
    x = data.train.all().reshape(len(data.train), -1)
    brute = np.sqrt(((x[:6, None] - x[None]) ** 2).mean(axis=2))
    brute[np.arange(6), np.arange(6)] = np.inf
    np.testing.assert_allclose(other, brute.min(axis=1), rtol=1e-4)
    assert len(rows) == 6


def test_dataset_without_test_images_when_judged_then_is_refused_with_a_cure(tmp_path: Path):
    from dataclasses import replace

    from worker.contract.errors import JobError

    data = small_digits(tmp_path)
    summary = made_by("random", data, ipc=1)
    without = replace(data, split=np.where(data.split == TEST, 1, data.split).astype(np.int8))
    with pytest.raises(JobError, match="no test images"):
        judged(without, summary)
