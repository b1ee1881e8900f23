"""Distillers end to end on digits: better than random images, forms, refusals, and what hostile settings leave."""

from __future__ import annotations

import importlib
import math
import time
from typing import Any

import numpy as np
import pytest
import torch

from tests.kinds.images.digits import digit_images
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import METHODS
from worker.kinds.images.dataset import TEST
from worker.kinds.images.distillation.distribution_matching import DistributionMatching, Matching
from worker.kinds.images.distillation.experts import ExpertTraining, experts
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.real import RealImages
from worker.kinds.images.distillation.synthetic import Synthetic
from worker.kinds.images.distillation.trajectory_matching import TrajectoryMatching, TrajectorySettings
from worker.kinds.images.fitting import Recipe, train
from worker.kinds.images.networks import build
from worker.kinds.images.parameterisation import Pixels

DISTILLERS = ("kip-fc", "dm", "dc", "dsa", "frepo", "rfad", "mtt", "bptt", "ratbptt")


def run(name: str, data: Any, seed: int = 0, **params: Any) -> Any:
    file = {"random": "random_images"}.get(name, name.replace("-", "_"))
    importlib.import_module(f"worker.kinds.images.methods.{file}")
    one = METHODS["images", name]
    return one.run(data, one.params(**params), Context(seed=seed))


def accuracy(images: Any, data: Any, networks: int = 2) -> float:
    """Test accuracy of ConvNets trained on a set, mean."""
    test, right = data.part(TEST), []
    for seed in range(networks):
        network = build("convnet", 1, (8, 8), 10, seed=1000 + seed, width=32)
        fitted = train(network, images, Recipe(300, 1), Context(seed=seed))
        right.append(float((fitted.logits(test).argmax(axis=1) == test.y).mean()))
    return float(np.mean(right))


@pytest.fixture(scope="module")
def random_images() -> tuple[float, float]:
    data = digit_images()
    found = [accuracy(run("random", data, seed).images, data) for seed in range(6)]
    return float(np.mean(found)), float(np.std(found))


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTILLERS)
def test_an_image_a_class_teaches_more_than_a_random_one(name: str, random_images: tuple[float, float]) -> None:
    """By more than two standard deviations of random draws, in a minute of computing at most."""
    started = time.process_time()
    data = digit_images()
    summary = run(name, data)
    assert time.process_time() - started < 60
    mean, std = random_images
    assert accuracy(summary.images, data) > mean + 2 * std


def test_the_start_is_the_random_image_and_validation_decides() -> None:
    data = digit_images(4, 30)
    summary = run("kip-fc", data, iterations=20, looks=2)
    curve = summary.origin.curve
    assert [one["step"] for one in curve] == [0, 10, 20]
    best = max(one["validation_accuracy"] for one in curve)
    assert summary.origin.best_step == next(one["step"] for one in curve if one["validation_accuracy"] == best)


def test_stored_canvases_and_bases_keep_to_the_budget() -> None:
    data = digit_images(4, 30)
    canvases = run("dm", data, ipc=2, iterations=2, width=8, parameterisation="multiform", factor=2, looks=1)
    assert (canvases.stored, len(canvases)) == (8, 32)
    assert np.bincount(canvases.y).tolist() == [8] * 4
    plain = run("dm", data, ipc=2, iterations=2, width=8, looks=1)
    bases = run("dm", data, ipc=2, iterations=2, width=8, parameterisation="basis", factor=2, basis_images=3, looks=1)
    assert len(bases) == 24
    assert bases.parts_in_bytes["pixels"] + bases.parts_in_bytes["decoder"] <= plain.parts_in_bytes["pixels"]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("kip-fc", {"kernel": "nngp", "kernel_depth": 2, "learn_labels": True, "init": "k-means"}),
        ("kip-fc", {"zca": True, "init": "noise"}),
        ("dm", {"discrepancy": "mmd", "network": "mlp"}),
        ("dm", {"discrepancy": "cf", "sampling": True, "calibration": 1.0, "frequencies": 64}),
        ("dsa", {"ipc": 2, "parameterisation": "basis", "dsa": "crop_scale"}),
        ("mtt", {"engine": "tesla", "datm": True, "experts": 1, "expert_epochs": 3, "syn_steps": 3}),
        ("bptt", {"inner": "sgd", "rate": 0.05, "learn_labels": True, "longest": 4}),
        ("frepo", {"network": "lenet", "pool": 2, "oldest": 2}),
        ("rfad", {"platt": False, "learn_labels": False, "nets": 1}),
    ],
)
def test_every_variant_delivers_finite_images_of_every_class(name: str, params: dict[str, Any]) -> None:
    data = digit_images(4, 30)
    usual = {"iterations": 3} if name == "kip-fc" else {"iterations": 3, "looks": 1, "width": 8}
    summary = run(name, data, **(usual | params))
    images = summary.images
    assert np.isfinite(images.all()).all()
    assert set(images.y.tolist()) == {0, 1, 2, 3}
    assert summary.origin.method == name
    assert (summary.encoding.whitening is not None) == bool(params.get("zca"))


@pytest.mark.parametrize(
    ("name", "params", "pointer"),
    [
        ("dm", {"parameterisation": "multiform", "factor": 4, "width": 8, "iterations": 1, "looks": 1}, ""),
        ("mtt", {"expert_epochs": 2, "ahead": 3}, "/params/expert_epochs"),
        ("ratbptt", {"window": 30, "longest": 10}, "/params/window"),
        ("dm", {"ipc": 1, "parameterisation": "basis", "basis_images": 64, "factor": 1}, "/params/basis_images"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(name: str, params: dict[str, Any], pointer: str) -> None:
    data = digit_images(4, 30)
    if not pointer:
        assert run(name, data, **params).decoder.times == 16
        return
    with pytest.raises(JobError) as refused:
        run(name, data, **params)
    assert refused.value.pointer == pointer
    assert refused.value.hint


def problem(strategy: str = "none", order: Any = None) -> DistributionMatching:
    """Distribution matching whose synthetic images are the real ones."""
    images = digit_images(4, 30).train
    rows = np.argsort(images.y, kind="stable") if order is None else order
    real = RealImages(images, "cpu")
    synthetic = Synthetic(Pixels(), {"x": real.batch(rows)}, real.y[torch.from_numpy(rows)])
    return DistributionMatching(
        synthetic, real, lambda seed: build("convnet", 1, 8, 4, seed=seed, width=4),
        Matching("mean", 10_000, strategy), Optimiser(synthetic.variables, 1.0, "sgd"), 0,
    )  # fmt: skip


def test_real_images_are_at_no_distance_from_themselves() -> None:
    same = problem()
    assert same.step(1, lambda: None) == pytest.approx(0, abs=1e-6)
    augmented = problem("color_crop_cutout_scale_rotate")
    assert augmented.step(1, lambda: None) == pytest.approx(0, abs=1e-6)  # both sides alike


def test_a_learned_step_size_stays_positive_under_hostile_steps() -> None:
    images = digit_images(4, 30).train
    real = RealImages(images, "cpu")

    def fresh(seed: int) -> Any:
        return build("mlp", 1, 8, 4, seed=seed, width=8, depth=1)

    paths = experts(fresh, real, ExpertTraining(3, 0.1, 32), 1, 1, Context())
    rows = np.array([np.flatnonzero(images.y == one)[0] for one in range(4)])
    synthetic = Synthetic(Pixels(), {"x": real.batch(rows)}, real.y[torch.from_numpy(rows)])
    hostile = TrajectorySettings(3, 1, 0, 2, 2, 0, "none", "exact", 0.1)
    matching = TrajectoryMatching(synthetic, paths, fresh(0), hostile, {"x": 1e3, "rate": 10.0}, 0.5, 0)
    for number in range(1, 101):
        assert math.isfinite(matching.step(number, lambda: None))
        rate = matching.candidate().rate
        assert rate is not None
        assert rate > 0
    assert torch.isfinite(synthetic.images()).all()
