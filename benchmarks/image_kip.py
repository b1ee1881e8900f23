"""kip-fc on MNIST: test accuracy of its own ridge prediction at 1 and 10 images a class, and what it takes.

    python -m benchmarks.image_kip [--seeds 3] [--ipc 1 10] [--threads 1]

Needs `mnist` beside the clone (or in $DISTILLERY_SHARED_DATA). The official 60,000 training images, a tenth of which
validate and choose the state that is delivered; the 10,000 test images are asked about once, through the float16 pixels
that a summary delivers. Labels fixed and learned; beside them the random images that each run starts from, under the
same kernel and ridge. Writes benchmarks/results/image_kip.json.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from benchmarks.image_data import mnist
from benchmarks.record import write
from worker.contract.context import Context
from worker.kinds.images.dataset import TEST, Images
from worker.kinds.images.distillation.inducing_points import KernelSettings, scores
from worker.kinds.images.distillation.ridge import centred
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.methods.kip_fc import KipParams, kip_fc
from worker.kinds.images.methods.random_images import RandomParams, random_images

STEPS, GOALS = 800, {1: 88.5, 10: 93.7}
_AHEAD = 1_000


def by_regression(images: ImageSet, test: ImageSet) -> float:
    """Accuracy in percent of the ridge regression on a set, in the tangent kernel."""
    support = torch.from_numpy(images.all())
    labels = centred(torch.from_numpy(images.y), images.classes) if images.soft is None else (
        torch.from_numpy(images.soft))  # fmt: skip
    right = 0
    for start in range(0, len(test), _AHEAD):
        rows = np.arange(start, min(start + _AHEAD, len(test)))
        said = scores(KernelSettings(), support, labels, torch.from_numpy(test.batch(rows)))
        right += int((said.argmax(1).numpy() == test.y[rows]).sum())
    return 100 * right / len(test)


def row(data: Images, ipc: int, seeds: int, **params: Any) -> dict[str, Any]:
    """Accuracies and seconds of every seed."""
    test, found = data.part(TEST), list[dict[str, float]]()
    for seed in range(seeds):
        started = time.perf_counter(), time.process_time()
        asked = KipParams(ipc=ipc, iterations=STEPS, looks=8, **params)
        summary = kip_fc(data, asked, Context(seed=seed))
        wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
        start = random_images(data, RandomParams(ipc=ipc), Context(seed=seed))
        found.append(
            {
                "accuracy": by_regression(summary.images, test),
                "random": by_regression(start.images, test),
                "seconds": wall,
                "cpu_seconds": cpu,
                "best_step": float(summary.origin.best_step or 0),
            }
        )
        print(ipc, params, found[-1], flush=True)
    return {
        name: {"mean": round(float(np.mean(values)), 2), "std": round(float(np.std(values)), 2), "seeds": values}
        for name in found[0]
        if (values := [round(one[name], 2) for one in found])
    }


def main() -> None:
    """Run, say what was found, and write it."""
    parser = argparse.ArgumentParser(description="kip-fc on MNIST.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ipc", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data = mnist()
    table = {
        f"ipc {ipc}, labels {said}": row(data, ipc, arguments.seeds, learn_labels=learned)
        for ipc in arguments.ipc
        for said, learned in (("fixed", False), ("learned", True))
    }
    goals = {
        f"ipc {ipc}: at least {goal} %": table[f"ipc {ipc}, labels fixed"]["accuracy"]["mean"] >= goal
        for ipc, goal in GOALS.items()
        if ipc in arguments.ipc
    }
    figures = {
        "dataset": "MNIST, official split (54,000 train, 6,000 validation, 10,000 test)",
        "steps": STEPS,
        "kernel": "NTK, one hidden layer, ridge 1e-6",
        "table": table,
        "goals": goals,
    }
    write("image_kip", figures, ("torch", "numpy"))


if __name__ == "__main__":
    main()
