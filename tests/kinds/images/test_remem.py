"""Ways of fine-tuning compared: the slices, the choice, the verdict, and a report of all of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.kinds.images.test_teacher_methods import images
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.report import build
from worker.kinds.images.dataset import VALIDATION, Images
from worker.kinds.images.methods.remem import ReMemParams, remem
from worker.kinds.images.networks.vit import ViTShape, fresh_vit
from worker.kinds.images.remem.comparison import ALONE, PLAIN, REMEM, Comparison, difference, slices
from worker.kinds.images.remem.report import verdict_of
from worker.kinds.images.remem.tuning import Candidate, Tuned, TuningRecipe, best_of, patch_for, pretrained, tuned


def test_slices_share_no_image_and_are_as_unequal_as_asked() -> None:
    data = images()
    parts = slices(data, 0.25, 0, 10.0, 0)
    assert not np.isin(parts.pretraining.rows, parts.tuning.rows).any()
    counts = np.bincount(parts.tuning.y)
    assert counts[0] / counts[3] == pytest.approx(10, rel=0.2)
    assert (np.diff(counts) < 0).all()
    level = np.bincount(slices(data, 0.25, 40, 1.0, 0).tuning.y)
    assert level.tolist() == [10] * 4
    with pytest.raises(JobError, match="No image of the class"):
        slices(data, 0.25, 4, 100.0, 0)


def test_patches_fill_the_side() -> None:
    assert [patch_for(side) for side in (8, 28, 32, 64, 224)] == [2, 4, 4, 8, 28]
    with pytest.raises(JobError, match="cannot cut"):
        ViTShape(1, 28, 10, patch=5)


def test_every_way_begins_with_the_same_network_and_the_plain_way_is_plain() -> None:
    data = images()
    recipe = TuningRecipe(width=16, depth=2, heads=2, pretraining=1, tuning=1)
    start = pretrained(data, data.train, recipe, Context(seed=0))
    before = {name: value.clone() for name, value in start.state_dict().items()}
    held = data.part(VALIDATION)
    ways = [tuned(start, one, data.train, held, recipe, Context(seed=0)) for one in (Candidate(), Candidate(scale=0.5))]
    assert all(torch.equal(before[name], value) for name, value in start.state_dict().items())
    assert ways[0].network.mlp_scales == (1, 1)
    assert ways[1].network.mlp_scales == (1, 0.5)
    assert not torch.equal(ways[0].network.head.weight, ways[1].network.head.weight)


def test_the_way_with_the_best_student_is_taken_and_ties_go_to_the_plainer() -> None:
    network = fresh_vit(ViTShape(1, 8, 2, 2, 16, 1, 2, 16), 0)
    ways = [Tuned(Candidate(rho), network, 0.9, student) for rho, student in ((0, 0.5), (0.1, 0.6), (0.2, 0.6))]
    assert best_of(ways).candidate.rho == 0.1
    assert best_of([Tuned(Candidate(rho), network, 0.9) for rho in (0, 0.1)]).candidate.plain


def _comparison(plain: float, ours: float, alone: float) -> Comparison:
    rng = np.random.default_rng(0)
    network = fresh_vit(ViTShape(1, 8, 2, 2, 16, 1, 2, 16), 0)
    right = {name: rng.random((3, 2000)) < share for name, share in ((PLAIN, plain), (REMEM, ours), (ALONE, alone))}
    return Comparison((), Tuned(Candidate(0.05), network, 0.9, 0.9), right, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("plain", "ours", "alone", "status"),
    [
        (0.70, 0.80, 0.60, "ahead"),
        (0.80, 0.70, 0.60, "cheap_is_better"),
        (0.80, 0.80, 0.60, "cheap_would_do"),
        (0.70, 0.80, 0.85, "undetermined"),
        (0.80, 0.70, 0.85, "cheap_is_better"),
    ],
)
def test_the_verdict_follows_the_paired_difference(plain: float, ours: float, alone: float, status: str) -> None:
    verdict = verdict_of(_comparison(plain, ours, alone), 0)
    assert verdict.status == status
    assert verdict.value == pytest.approx(100 * (ours - plain), abs=4)
    assert "SAM 0.05" in verdict.sentence


def test_a_difference_of_one_answer_is_known_exactly() -> None:
    right = np.random.default_rng(1).random((2, 500)) < 0.5
    assert difference(right, right, 100, 0) == (0, 0, 0)
    all_right = np.ones((2, 500), bool)
    assert difference(all_right, ~all_right, 100, 0) == (100, 100, 100)


def test_the_report_names_every_way_and_what_its_teacher_tells() -> None:
    params = ReMemParams(tune_images=60, width=16, depth=2, student_width=8, rhos=[0.0, 0.05], scales=[1.0], seeds=2)
    ctx = Context(seed=1)
    found = remem(images(), params, ctx)
    assert found.n_test == len(images().part(2))
    teachers = next(table for table in found.tables if table.name == "teachers")
    assert [row["name"] for row in teachers.rows] == ["plain", "SAM 0.05"]
    assert all(np.isfinite(row["infonce"]) for row in teachers.rows)
    assert any("2 seeds" in said for said in found.warnings)
    job = {"id": "j", "method": "remem", "kind": "images", "task": "compare", "params": params.model_dump(), "seed": 1}
    assert "SAM 0.05" in build(found, job).html


def test_images_that_are_not_square_are_refused_with_a_cure() -> None:
    data = images()
    tall = Images(data.pixels[:, :, :4], data.label, data.split, data.schema)
    with pytest.raises(JobError, match="square") as refused:
        remem(tall, ReMemParams(tune_images=40), Context())
    assert "resize" in refused.value.hint
