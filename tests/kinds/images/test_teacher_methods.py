"""softlabel, rded and sre2l on scikit-learn's digits: what they deliver, and that the same teacher serves everyone."""

from __future__ import annotations

import json
import runpy
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.kinds.images.tiny import digits
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.images.dataset import TEST, TRAIN, Images, Schema, channel_statistics
from worker.kinds.images.fitting import Recipe, train
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.labelling import control, labeller
from worker.kinds.images.methods.rded import RDEDParams, rded
from worker.kinds.images.methods.softlabel import SoftLabelParams, softlabel
from worker.kinds.images.methods.sre2l import SRe2LParams, sre2l
from worker.kinds.images.networks import build
from worker.kinds.images.selection.pickers import at_random, spread
from worker.kinds.images.splits import random_split
from worker.kinds.images.summary import ImagesSummary
from worker.kinds.images.teachers.crops import resized
from worker.kinds.images.teachers.params import TeacherParams

SHORT = {"teacher_epochs": 4, "temperature": 2.0, "labels": "soft", "views": 1}


@cache
def images(classes: int = 4, each: int = 60) -> Images:
    """Digits, split."""
    pixels, y = digits(classes, each)
    pixels, y = pixels[..., None], y.astype(np.int64)
    split = random_split(y, 0.2, 0)
    names = tuple(map(str, range(classes)))
    return Images(pixels, y, split, Schema(names, channel_statistics(pixels, np.flatnonzero(split == TRAIN))))


def accuracy(given: ImageSet, asked: ImageSet, seed: int = 0) -> float:
    """Of a ConvNet trained on a set for 150 steps."""
    network = build("convnet", 1, 8, given.classes, seed=seed, width=16)
    model = train(network, given, Recipe(steps=150, epochs=1), Context(seed=seed))
    return float((model.logits(asked).argmax(axis=1) == asked.y).mean())


def test_soft_labels_are_of_real_training_images_and_sum_to_one() -> None:
    data = images()
    made = softlabel(data, SoftLabelParams(ipc=3, **SHORT), Context(seed=2))
    assert made.soft is not None
    assert np.bincount(made.y).tolist() == [3] * 4
    assert (data.split[made.rows] == TRAIN).all()
    assert np.array_equal(made.x, data.pixels[made.rows])
    assert made.soft.sum(axis=1) == pytest.approx(np.ones(12), abs=2e-3)
    assert (made.soft.argmax(axis=1) == made.y).mean() > 0.7
    assert np.array_equal(made.soft, made.soft.astype(np.float16))  # what is measured is what is delivered
    again = softlabel(data, SoftLabelParams(ipc=3, **SHORT), Context(seed=2))
    assert again.packed() == made.packed()
    assert softlabel(data, SoftLabelParams(ipc=3, **SHORT), Context(seed=3)).packed() != made.packed()


def test_the_temperature_is_the_one_whose_labels_teach_best_on_validation() -> None:
    made = softlabel(images(), SoftLabelParams(ipc=3, labels="soft", views=2, teacher_epochs=4), Context(seed=2))
    tried = made.origin.settings["temperatures_tried"]
    assert [one["temperature"] for one in tried] == [1, 2, 4, 8]
    best = max(one["validation_accuracy"] for one in tried)
    chosen = next(one for one in tried if one["temperature"] == made.origin.settings["temperature"])
    assert chosen["validation_accuracy"] == best


def test_logits_of_views_are_the_teachers_centred_and_scaled(tmp_path: Path) -> None:
    data, ctx = images(), Context(seed=2)
    made = softlabel(data, SoftLabelParams(ipc=3, teacher_epochs=4, views=5), ctx)
    assert made.loss == "logits"
    assert made.soft is not None
    assert made.soft.shape == (60, 4)
    assert made.parts_in_bytes["labels"] == 60 * 4 * 2
    z = labeller(data, TeacherParams(teacher_epochs=4), ctx).logits(made.images)
    z -= z.mean(axis=1, keepdims=True)
    assert made.origin.settings["temperature"] == pytest.approx(z.std(), rel=1e-4)
    assert made.soft == pytest.approx(z / z.std(), abs=2e-3)
    assert made.images.y.tolist() == np.repeat(made.y, 5).tolist()
    alone = softlabel(data, SoftLabelParams(ipc=3, teacher_epochs=4, views=1), ctx)
    assert np.array_equal(alone.x, made.x)
    assert np.array_equal(alone.images.all(), made.images.all()[::5])
    made.write(tmp_path, data)
    loaded = runpy.run_path(str(tmp_path / "load.py"))
    assert loaded["x"] == pytest.approx(made.images.all(), abs=1e-5)
    assert np.array_equal(loaded["targets"], made.soft)
    assert json.loads((tmp_path / "train_recipe.json").read_text())["labels"] == "logits"


def test_random_images_get_labels_of_the_same_form_and_views_and_count_their_bytes() -> None:
    data, ctx = images(), Context(seed=2)
    made = softlabel(data, SoftLabelParams(ipc=3, teacher_epochs=4, views=5), ctx)
    first, second = control(data, [data.chosen(made.rows)] * 2, made.origin.settings, ctx)
    assert first.packed() == made.packed()
    assert first.parts_in_bytes == made.parts_in_bytes
    assert np.array_equal(first.images.all(), made.images.all())
    assert np.array_equal(first.soft, second.soft)
    usual = control(data, [data.chosen(made.rows)], {"teacher_epochs": 4}, ctx)[0]
    assert usual.loss == "cross-entropy"
    assert usual.soft.shape == (12, 4)


def test_softer_labels_have_more_entropy() -> None:
    cold, warm = (
        softlabel(images(), SoftLabelParams(ipc=2, **SHORT | {"temperature": one}), Context(seed=2)).soft
        for one in (1.0, 8.0)
    )
    assert cold is not None
    assert warm is not None
    assert warm.max(axis=1).mean() < cold.max(axis=1).mean()


def test_crops_are_found_in_real_images_of_their_class() -> None:
    data = images()
    made = rded(data, RDEDParams(ipc=2, candidates=20, least_area=0.5, **SHORT), Context(seed=1))
    assert np.bincount(made.y).tolist() == [2] * 4
    assert made.rows is None
    for x, y in zip(made.x, made.y, strict=True):
        sources = data.train.pixels(np.flatnonzero(data.train.y == y))
        assert any(
            np.array_equal(resized(source[top : top + h, left : left + w], (8, 8)), x)
            for source in sources
            for h in range(5, 9)
            for w in range(5, 9)
            for top in range(9 - h)
            for left in range(9 - w)
        )


def test_whole_images_are_kept_as_they_are_and_the_easiest_are_taken() -> None:
    data = images()
    made = rded(data, RDEDParams(ipc=2, least_area=1.0, crops=1, choose="least-loss", **SHORT), Context(seed=1))
    teacher = labeller(data, TeacherParams(**SHORT), Context(seed=1))
    logits = teacher.logits(data.train)
    loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), data.train.y]
    for one in range(4):
        rows = np.flatnonzero(data.train.y == one)
        easiest = data.train.pixels(rows[np.argsort(loss[rows], kind="stable")[:2]])
        assert {x.tobytes() for x in made.x[made.y == one]} == {x.tobytes() for x in easiest}


def test_tiles_of_a_canvas_are_images_of_their_own(tmp_path: Path) -> None:
    made = rded(images(), RDEDParams(ipc=1, factor=2, candidates=20, **SHORT), Context(seed=1))
    assert made.stored == 4
    assert len(made.images) == len(made) == 16
    assert made.x.shape == (4, 8, 8, 1)
    assert made.y.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert made.soft is not None
    assert made.soft.shape == (16, 4)
    made.write(tmp_path, images())
    back = ImagesSummary.read(tmp_path)
    assert np.array_equal(back.images.all(), made.images.all())
    loaded = runpy.run_path(str(tmp_path / "load.py"))
    assert loaded["x"] == pytest.approx(made.images.all(), abs=1e-5)
    assert loaded["targets"] == pytest.approx(made.soft)
    with pytest.raises(JobError, match="do not fill") as refused:
        rded(images(), RDEDParams(factor=3, **SHORT), Context())
    assert refused.value.pointer == "/params/factor"


def test_recovered_images_are_pixels_that_the_network_takes_for_their_class() -> None:
    data = images()
    made = sre2l(data, SRe2LParams(ipc=2, steps=60, **SHORT | {"teacher_epochs": 15}), Context(seed=1))
    assert np.bincount(made.y).tolist() == [2] * 4
    x = made.images.all()
    low, high = (data.encoding.encode(np.full((1, 1, 1, 1), one, np.uint8)).item() for one in (0, 255))
    assert low - 1e-2 <= x.min()
    assert x.max() <= high + 1e-2
    assert made.soft is not None
    assert (made.soft.argmax(axis=1) == made.y).mean() > 0.7


@pytest.mark.parametrize("run", [softlabel, sre2l])
def test_a_teacher_tuned_as_remem_does_gives_other_labels(run) -> None:
    params = SoftLabelParams if run is softlabel else SRe2LParams
    ctx = Context(seed=4)
    made = run(images(), params(ipc=1, teacher="remem", teacher_width=8, **SHORT), ctx)
    usual = run(images(), params(ipc=1, teacher_width=8, **SHORT), Context(seed=4))
    assert np.array_equal(made.x, usual.x)  # the labels alone are the teacher's
    assert not np.array_equal(made.soft, usual.soft)
    assert made.origin.settings["teacher"] == "remem"


def test_random_images_are_labelled_by_the_very_teacher_which_is_not_trained_again() -> None:
    data, ctx = images(), Context(seed=2)
    made = softlabel(data, SoftLabelParams(ipc=3, **SHORT), ctx)
    assert len(ctx._figures) == 1
    taken = data.chosen(made.rows)
    first, second = control(data, [taken, taken.take(np.arange(6))], made.origin.settings, ctx)
    assert len(ctx._figures) == 1
    assert np.array_equal(first.soft[:6], second.soft)  # one temperature for all draws
    assert first.soft.argmax(axis=1).tolist() == made.soft.argmax(axis=1).tolist()
    other = control(data, [taken], made.origin.settings | {"teacher_width": 16}, ctx)[0]
    assert len(ctx._figures) == 2
    assert not np.array_equal(other.soft, first.soft)


def test_without_validation_images_the_temperature_is_one_and_that_is_said() -> None:
    data = images()
    split = np.where(data.split == 1, 0, data.split).astype(np.int8)
    bare = Images(data.pixels, data.label, split, data.schema)
    ctx = Context(seed=1)
    made = softlabel(bare, SoftLabelParams(ipc=1, labels="soft", teacher_epochs=2), ctx)
    assert made.origin.settings["temperature"] == 1
    assert any("no validation images" in said for said in ctx.warnings)


@pytest.mark.slow
def test_chosen_crops_with_soft_labels_beat_random_images_with_hard_ones_on_digits() -> None:
    """By more than two standard deviations of random draws, at one image a class."""
    data = images(10, 0)
    test = data.part(TEST)
    rows = [spread(data.train, np.ones(10, int), lambda r: r[:, None], at_random, Context(seed=n)) for n in range(5)]
    random = np.array([accuracy(data.train.take(one), test, n) for n, one in enumerate(rows)])
    made = rded(data, RDEDParams(ipc=1), Context(seed=0))
    ours = np.mean([accuracy(made.images, test, n) for n in range(3)])
    assert ours > random.mean() + 2 * random.std()
