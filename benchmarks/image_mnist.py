"""What distillers make of MNIST at one image a class on a CPU, beside random images, with networks of width 32.

    python -m benchmarks.image_mnist [--methods dm dsa mtt frepo] [--seeds 3]

Needs `mnist` beside the clone (or in $DISTILLERY_SHARED_DATA). A method runs once, with `EFFORT`, a small part of what
was published; then ConvNets of width 32 are trained on what it delivers, and on random images, drawn anew for every
seed, in two ways: 300 steps as they are, 1,000 with siamese augmentation. The better one on 6,000 validation images is
asked about the 10,000 test images, once. CPU seconds on one thread. Writes benchmarks/results/image_mnist.json after
every method; what is there of others is kept.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.image_data import mnist
from benchmarks.record import RESULTS, write
from worker.contract.context import Context
from worker.kinds.images.dataset import TEST, VALIDATION, Images
from worker.kinds.images.fitting import Recipe, train
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.methods.random_images import RandomParams, random_images
from worker.kinds.images.networks import build
from worker.runtime.registry import discover

WIDTH = 32
EFFORT: dict[str, dict[str, Any]] = {
    "dm": {"preset": "quick", "iterations": 1000},
    "dc": {"preset": "standard", "iterations": 400, "batch_real": 64},
    "dsa": {"preset": "standard", "iterations": 400, "batch_real": 64},
    "frepo": {"preset": "quick", "iterations": 3000, "lr_img": 3e-3, "oldest": 100},
    "mtt": {
        "preset": "standard",
        "experts": 3,
        "expert_epochs": 5,
        "ahead": 1,
        "last_start": 4,
        "syn_steps": 40,
        "iterations": 400,
        "lr_img": 500.0,
        "lr_rate": 0.1,
        "looks": 8,
    },
}
RECIPES = {
    "plain, 300 steps": Recipe(steps=300, epochs=1),
    "augmented, 1,000 steps": Recipe(steps=1000, epochs=1, augmentation="color_crop_cutout_scale_rotate"),
}


def accuracy(images: ImageSet, recipe: Recipe, seed: int, *asked: ImageSet) -> list[float]:
    """Percent that a network trained on a set has right of each of the others."""
    channels, height, width = images.shape
    network = build("convnet", channels, (height, width), images.classes, seed=seed, width=WIDTH)
    recipe = recipe if images.rate is None else replace(recipe, rate=images.rate)  # of mtt, which learns it
    model = train(network, images, recipe, Context(seed=seed))
    return [100 * float((model.logits(one).argmax(axis=1) == one.y).mean()) for one in asked]


def measured(sets: list[ImageSet], data: Images) -> dict[str, Any]:
    """One set a seed, under both recipes; the test accuracy of the one that validates better."""
    validation, test = data.part(VALIDATION), data.part(TEST)
    both = {
        name: np.array([accuracy(one, recipe, seed, validation, test) for seed, one in enumerate(sets)])
        for name, recipe in RECIPES.items()
    }
    best = max(both, key=lambda name: both[name][:, 0].mean())
    found = both[best][:, 1]
    return {"recipe": best, "mean": round(float(found.mean()), 2), "seeds": found.round(2).tolist()}


def main() -> None:
    """Run, say what was found, and write it."""
    parser = argparse.ArgumentParser(description="Distillers on MNIST at one image a class.")
    parser.add_argument("--methods", nargs="+", default=["dm", "dsa", "mtt", "frepo"], choices=EFFORT)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data, file = mnist(), RESULTS / "image_mnist.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"methods": {}}
    drawn = [random_images(data, RandomParams(ipc=1), Context(seed=seed)).images for seed in range(2 * given.seeds)]
    found |= {"width": WIDTH, "random": measured(drawn, data)}
    print("random", found["random"], flush=True)
    for name in given.methods:
        method, used = discover()["images", name], time.process_time()
        summary = method.run(data, method.params(ipc=1, width=WIDTH, **EFFORT[name]), Context(seed=0))
        row = {"cpu_seconds": round(time.process_time() - used, 1), "params": EFFORT[name]}
        row |= {"best_step": summary.origin.best_step, "bytes": sum(summary.parts_in_bytes.values())}
        found["methods"][name] = row | measured([summary.images] * given.seeds, data)
        print(name, found["methods"][name], flush=True)
        write("image_mnist", found, ("torch", "numpy"))


if __name__ == "__main__":
    main()
