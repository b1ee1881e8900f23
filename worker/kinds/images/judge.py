"""Judge summaries of images: train networks on them, on the full data and on cheap picks; measure on held-out images.

Every learner is trained on one set alone, from the same starts; whether it sees augmented images is chosen on the
validation images, for every set anew. Test images are looked at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Learner, and_floors, learners_of
from worker.evidence.measurements import Measurements, Protocol, Scores, TestSet
from worker.evidence.training import Contender, Plan, code_hash, train_all
from worker.evidence.wording import number
from worker.kinds.images.baselines import contenders
from worker.kinds.images.copies import also_in_training
from worker.kinds.images.dataset import TEST, VALIDATION, Images
from worker.kinds.images.evaluate_params import KIND, EvaluateParams, evaluate_params
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.metrics import measure, metrics_of
from worker.kinds.images.needs import TEST_IMAGES
from worker.kinds.images.predictor import RECIPES, Predictor, Training
from worker.kinds.images.showing import bytes as stored_bytes
from worker.kinds.images.showing import figures, neighbours, pictures, ranking_scores
from worker.kinds.images.summary import ImagesSummary

__all__ = ["EvaluateParams", "evaluate_params", "judge"]


@dataclass(frozen=True)
class Bench:
    """What learners see of how they are judged."""

    training: Training


def judge(data: Images, summaries: Sequence[ImagesSummary], params: EvaluateParams, ctx: Context) -> Measurements:
    """Train every learner on every set, measure on the test images, and describe the first summary.

    Raises `JobError` `too_few_rows` when there are no test images, `Cancelled` when a stop was asked for, `TimeOver`
    when the time is over before anything was measured.
    """
    validation, test = (
        _sample(data.part(code), most, ctx.seed + code)
        for code, most in ((VALIDATION, params.tune_images), (TEST, params.test_images))
    )
    if not len(test):
        raise TEST_IMAGES.refusal()
    with ctx.part("sets", 0, 2, seed=ctx.seed) as part:
        sets = contenders(data, summaries, params.baselines, draws=params.draws, ctx=part)
    plan = _plan(data, sets, validation, test, params, ctx)
    with ctx.part("train", 1, 2, seed=ctx.seed) as part:
        trained = train_all(plan, part)
    names = [one.record.name for one in sets if one.record.role == "summary"]
    summary, shown = summaries[0], plan.learners[0]
    scored = ranking_scores.table(trained.results, shown.name, shown.label, summary.soft is not None)
    in_bytes = stored_bytes.table([one.record.label for one in sets if one.record.role == "summary"], summaries)
    return Measurements(
        kind=KIND,
        unit="image",
        units="images",
        event="images for training",
        sets=tuple(one.record for one in sets),
        tests=(TestSet("test", "held-out images", "images", len(test), _rows(test).astype(str)),),
        learners=tuple(sorted(plan.learners, key=lambda one: one.floor)),
        metrics=metrics_of(len(data.classes)),
        primary=plan.metric.name,
        results=trained.results,
        protocol=_protocol(data, plan, len(validation), len(test), params, ctx),
        origins={name: one.origin for name, one in zip(names, summaries, strict=True)},
        plots=figures.plots(trained.results, shown.name, shown.label, summary),
        pictures=pictures.pictures(data, summary, seed=ctx.seed),
        tables=tuple(one for one in (scored, in_bytes) if one is not None),
        privacy=neighbours.privacy(data, summary, seed=ctx.seed),
        warnings=tuple(
            dict.fromkeys(
                [*(text for one in summaries for text in one.warnings), *ctx.warnings, *_warnings(data, test)]
            )
        ),
        unfinished=trained.unfinished,
        bootstrap=params.bootstrap,
        seed=ctx.seed,
    )


def _rows(images: ImageSet) -> np.ndarray:
    return np.arange(len(images)) if images.rows is None else images.rows


def _sample(images: ImageSet, most: int, seed: int) -> ImageSet:
    if not most or len(images) <= most:
        return images
    return images.take(np.sort(np.random.default_rng([seed, 2]).choice(len(images), most, replace=False)))


def _plan(
    data: Images, sets: Sequence[Contender], validation: ImageSet, test: ImageSet, params: EvaluateParams, ctx: Context
) -> Plan:
    metric = metrics_of(len(data.classes))[0]
    training = params.training(data.shape[0])

    def validate(model: Predictor) -> Scores:
        return measure(model.probabilities(validation), validation.y)[metric.name]

    def test_scores(model: Predictor) -> Mapping[str, Mapping[str, Scores]]:
        return {"test": measure(model.probabilities(test), test.y)}

    return Plan(
        learners=_learners(params),
        contenders=sets,
        metric=metric,
        params=Bench(training),
        validator=(lambda _: validate) if len(validation) > 1 else None,
        measure=test_scores,
        digest=lambda images: images.digest,
        basis={
            "metric": metric.name,
            "training": vars(training) | {"width": training.width_on(ctx.device)},
            "held out": [one.digest for one in (validation, test)],
        },
        code=_code(),
        timings=2,
    )


def _learners(params: EvaluateParams) -> list[Learner]:
    """The learners asked for, and the floors, with the recipes and the seeds of the protocol."""
    known = learners_of(KIND)
    found: list[Learner] = []
    for name in and_floors(params.learners, known):
        one = known[name]
        if one.settings == RECIPES:
            wanted = {"tuned": ("no", "dsa"), "yes": ("dsa",), "no": ("no",)}[params.augment]
            recipes = tuple(recipe for recipe in RECIPES if recipe["augment"] in wanted)
            one = replace(one, settings=recipes, seeds=params.seeds)
        found.append(one)
    return found


@cache
def _code() -> str:
    return code_hash(Path(__file__).parent)


def _protocol(data: Images, plan: Plan, tuned: int, tested: int, params: EvaluateParams, ctx: Context) -> Protocol:
    training: Training = plan.params.training
    width = training.width_on(ctx.device)
    fields = {
        "split": {"content": ctx.content, "name": data.schema.split},
        "metric": plan.metric.name,
        "learners": {one.name: one.version for one in plan.learners},
        "tuning": {
            "images": tuned,
            "settings": {one.name: list(one.settings) for one in plan.learners},
            "training": vars(training) | {"width": width},
        },
        "seeds": {"job": ctx.seed, "draws": params.draws, "learners": {one.name: one.seeds for one in plan.learners}},
        "tests": {"images": tested},
    }
    flips = "with" if training.flips else "without"
    text = (
        "Every network is trained on each set alone, from the same starts: SGD with momentum 0.9, weight decay 5e-4, "
        "batches of 256, a tenth of the step from half-time on, for as many epochs as make "
        f"{number(training.steps)} steps, {training.epochs} at least; convolutions have {width} channels. The step "
        "size (0.01, or the one that was learned with the images, and 0.1) and whether images are augmented (one of "
        f"colour, crop, cutout, scale, rotation at a time, as DSA, {flips} mirroring) are settings, chosen for every "
        f"set anew on {number(tuned)} validation images; soft labels are learned by cross-entropy, scores and logits "
        "by squared error. Where a summary has labels of several views of an image, networks are trained on all views, "
        "as they are on those of its images with hard labels and of random images with soft ones. Images are "
        "standardised by the training part's mean and deviation, and whitened where the summary is; "
        "models trained on it see test "
        f"images the same way. Figures are over {number(tested)} test images: accuracy is the share whose class is "
        "predicted, balanced accuracy its mean over the classes, macro F1 the mean over classes of 2TP/(2TP+FP+FN), "
        "log-loss minus the logarithm of the probability given to the class, taken as at least one in a million; the "
        "calibration error is the mean distance of confidence from accuracy in 15 bins. Random and herded images are "
        "as many of every class as the summary stores; a canvas that holds several small images counts as one. Bytes "
        "are those of the arrays: pixels of one byte (two for made images), two bytes a class or two for each soft "
        "label, and all that is needed to decode."
    )
    return Protocol(fields, text)


def _warnings(data: Images, test: ImageSet) -> list[str]:
    found = [f"Only {len(test)} test images: every interval here is wide."] if len(test) < 200 else []
    if again := also_in_training(data, _rows(test)):
        found.append(f"{again:,} of {len(test):,} test images equal a training image: figures are too good (leakage).")
    return found
