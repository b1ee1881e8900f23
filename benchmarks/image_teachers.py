"""What soft labels give, and what chosen or made images give beyond them: softlabel, rded and sre2l on Fashion-MNIST.

    python -m benchmarks.image_teachers [--ipc 10] [--seeds 3] [--threads 1] [--methods rded sre2l]

Needs `fashion-mnist` beside the clone (or in $DISTILLERY_SHARED_DATA). One job each, with one teacher, a ConvNet of
width 32 at the preset quick; then ConvNets of width 32, which no teacher was, are trained on every set for 300 steps
without augmentation (the recipe of Dataset Condensation, arXiv:2006.05929), and measured on the 5,000 test images.
Random images are drawn anew for every seed, the same ones with hard labels, and in views with the teacher's labels.
Nothing was chosen on test images. Writes benchmarks/results/image_teachers.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.record import write
from tests.shared_data import shared
from worker.contract.context import Context, seed_of
from worker.kinds.images.dataset import TEST, TRAIN, Images, Schema, channel_statistics
from worker.kinds.images.fitting import Recipe, train
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.labelling import control
from worker.kinds.images.methods.rded import RDEDParams, rded
from worker.kinds.images.methods.softlabel import SoftLabelParams
from worker.kinds.images.methods.sre2l import SRe2LParams, sre2l
from worker.kinds.images.networks import build
from worker.kinds.images.remem.comparison import difference
from worker.kinds.images.selection.pickers import at_random, spread
from worker.kinds.images.splits import with_validation
from worker.kinds.images.summary import ImagesSummary
from worker.kinds.images.views import Views

STEPS, WIDTH, RESAMPLES = 300, 32, 1_000
METHODS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "rded": (rded, RDEDParams),
    "sre2l": (sre2l, SRe2LParams),
}


def fashion_mnist() -> Images:
    """Its 50,000 training images, a tenth of which validate, and its 5,000 test images."""
    with np.load(shared("fashion-mnist") / "fashion_mnist_50k_5k.npz") as stored:
        pixels = np.concatenate([stored["x_train"], stored["x_test"]])[..., None]
        label = np.concatenate([stored["y_train"], stored["y_test"]]).astype(np.int64)
        split = np.repeat([TRAIN, TEST], [len(stored["x_train"]), len(stored["x_test"])]).astype(np.int8)
    split = with_validation(split, label, 0.1, 0)
    encoding = channel_statistics(pixels, np.flatnonzero(split == TRAIN))
    return Images(pixels, label, split, Schema(tuple(map(str, range(10))), encoding))


def right(images: ImageSet, test: ImageSet, seed: int) -> np.ndarray:
    """Which test images a ConvNet trained on a set has right: bool (n,)."""
    channels, height, width = images.shape
    network = build("convnet", channels, (height, width), images.classes, seed=seed, width=WIDTH)
    model = train(network, images, Recipe(steps=STEPS, epochs=1), Context(seed=seed))
    return model.logits(test).argmax(axis=1) == test.y


def hard(summary: ImagesSummary) -> ImageSet:
    """Its images with their classes alone, without views."""
    return replace(summary, soft=None, loss="cross-entropy", views=Views()).images


def main() -> None:
    """Run, say what was found, and write it."""
    parser = argparse.ArgumentParser(description="Soft labels, rded and sre2l on Fashion-MNIST.")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data, ctx = fashion_mnist(), Context(seed=0)
    test, counts = data.part(TEST), np.full(10, arguments.ipc)
    started = time.perf_counter()
    drawn = [
        data.train.take(
            spread(data.train, counts, lambda rows: rows[:, None], at_random, Context(seed=seed_of(0, f"{n}")))
        )
        for n in range(arguments.seeds)
    ]
    with ctx.part("control", seed=0) as part:
        soft = control(data, drawn, SoftLabelParams(ipc=arguments.ipc, teacher_width=WIDTH).model_dump(), part)
    seconds = {"teacher and labels": time.perf_counter() - started}
    print("labelled", seconds, flush=True)
    sets: dict[str, list[ImageSet]] = {
        "random, hard labels": drawn,
        "random, soft labels": [one.images for one in soft],
    }
    settings: dict[str, Any] = {"random": dict(soft[0].origin.settings)}
    sizes = {"random": dict(soft[0].parts_in_bytes)}
    for name in arguments.methods:
        run, params = METHODS[name]
        started = time.perf_counter()
        with ctx.part(name, seed=0) as part:
            summary = run(data, params(ipc=arguments.ipc, teacher_width=WIDTH), part)
        seconds[name] = time.perf_counter() - started
        settings[name] = dict(summary.origin.settings)
        sets[f"{name}, soft labels"] = [summary.images] * arguments.seeds
        sets[f"{name}, hard labels"] = [hard(summary)] * arguments.seeds
        sizes[name] = dict(summary.parts_in_bytes)
        print(name, settings[name], flush=True)
    found: dict[str, np.ndarray] = {}
    for name, images in sets.items():
        found[name] = np.stack([right(one, test, seed) for seed, one in enumerate(images)])
        print(name, (100 * found[name].mean(axis=1)).round(2), flush=True)
    accuracy = {
        name: {"mean": 100 * float(one.mean()), "seeds": (100 * one.mean(axis=1)).round(2).tolist()}
        for name, one in found.items()
    }
    apart = {
        f"{name} less {other}": difference(one, found[other], RESAMPLES, 0)
        for name, one in found.items()
        for other in ("random, hard labels", "random, soft labels")
        if name != other
    }
    goals = {
        f"{name} at least 5 points above random with hard labels": apart[f"{name} less random, hard labels"][0] >= 5
        for name in ("random, soft labels", "rded, soft labels")
        if name in found
    }
    figures = {
        "dataset": "fashion-mnist (own split: 45,000 train, 5,000 validation, 5,000 test)",
        "ipc": arguments.ipc,
        "threads": arguments.threads,
        "student": f"ConvNet, width {WIDTH}, {STEPS} steps, no augmentation",
        "accuracy": accuracy,
        "differences": {name: dict(zip(("mean", "low", "high"), one, strict=True)) for name, one in apart.items()},
        "goals": goals,
        "seconds": {name: round(one, 1) for name, one in seconds.items()},
        "bytes": sizes,
        "settings": settings,
    }
    write("image_teachers", figures, ("torch", "numpy"))


if __name__ == "__main__":
    main()
