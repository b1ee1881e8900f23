"""Parts of the kind `images` beside the library that has the same: a kernel, a greedy choice, two scores.

    python -m benchmarks.image_parts [--kernel-python PY] [--greedy-python PY] [--ranking CLONE] [--rounds 2]

* `kip-fc`'s tangent kernel beside `neural-tangents` (recipe of the environment in `peers/ntk.py`), in float64: the
  kernels of a step's batch with the summary, and of the summary.
* `craig`'s facility location beside `apricot-select` (`peers/facility_location.py`), on the gradients that craig takes
  of some images: of one class alone, as craig does, and of all at once.
* LRS and ARS beside DD-Ranking's own evaluators (a clone of NUS-HPC-AI-Lab/DD-Ranking), of the same accuracies; and LRS
  of the same images, each side with trainings of its own.

A part whose peer is not given is not run, and keeps the figures it had. MNIST; both sides on one core, in turn, CPU
seconds; ratios are medians over the rounds. Needs `mnist` beside the clone. Writes benchmarks/results/image_parts.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.image_data import mnist
from benchmarks.image_mnist import WIDTH, accuracy
from benchmarks.peak import Peak
from benchmarks.record import RESULTS, write
from worker.contract.context import Context
from worker.kinds.images.dataset import TEST, TRAIN, VALIDATION, Images
from worker.kinds.images.fitting import Recipe
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.methods.dm import DMParams, dm
from worker.kinds.images.methods.herding import HerdingParams, herding_images
from worker.kinds.images.methods.random_images import RandomParams, random_images
from worker.kinds.images.selection.facility_location import facility_location
from worker.kinds.images.selection.proxies import ProxyParams, errors, said_by_proxies
from worker.kinds.images.showing.ranking_scores import augmentation_robust_score, label_robust_score
from worker.numerics.ntk import ntk

PEERS = Path(__file__).parent / "peers"
CALLS = 5
SIZES = ((1_000, 100),)  # a batch of a step, and images of the summary
IMAGES, CHOSEN = 5_000, 100
SEEDS, TESTED, RATES = 3, 1_000, (0.001, 0.005, 0.01, 0.05, 0.1)
FULL = Recipe(steps=600, epochs=1)


def main() -> None:
    """What has a peer."""
    parser = argparse.ArgumentParser(description="Parts of the kind images beside libraries.")
    parser.add_argument("--kernel-python", type=Path)
    parser.add_argument("--greedy-python", type=Path)
    parser.add_argument("--ranking", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the peers', too: they begin with it
    file = RESULTS / "image_parts.json"
    figures: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    figures.pop("machine", None)
    with tempfile.TemporaryDirectory() as folder:
        if given.kernel_python:
            figures["kip_kernel"] = kernels(mnist(), given.kernel_python, given.rounds, Path(folder))
        if given.greedy_python:
            figures["facility_location"] = greedy(mnist(), given.greedy_python, given.rounds, Path(folder))
    if given.ranking:
        figures["ranking_scores"] = scores(given.ranking)
        figures["ranking_trainings"] = trainings(mnist(), given.ranking)
    write("image_parts", {"dataset": "MNIST", "threads": 1} | figures, ("torch", "numpy"))


def kernels(data: Images, python: Path, rounds: int, folder: Path) -> dict[str, Any]:
    """Both kernels of every size: seconds and the largest relative difference, the diagonal apart."""
    order = np.random.default_rng(0).permutation(len(data.train))
    found: dict[str, Any] = {}
    for batch, images in SIZES:
        x = data.train.batch(order[: batch + images]).reshape(batch + images, -1).astype(np.float64)
        size = f"batch {batch}, summary {images}"
        found[f"{size}: across"] = kernel(x[images:], x[:images], python, rounds, folder)
        found[f"{size}: within"] = kernel(x[:images], None, python, rounds, folder)
    return found


def kernel(x: np.ndarray, y: np.ndarray | None, python: Path, rounds: int, folder: Path) -> dict[str, Any]:
    """K(x, y), or K(x, x) where there is no y: ours beside theirs."""
    command = [python, PEERS / "ntk.py", folder / "x.npy", folder / "kernel.npy", 1, "--calls", CALLS]
    np.save(folder / "x.npy", x)
    if y is not None:
        np.save(folder / "y.npy", y)
        command += ["--other", folder / "y.npy"]
    rows, others = torch.from_numpy(x), None if y is None else torch.from_numpy(y)
    turns = [(least(lambda: ntk(rows, others)), child(command)) for _ in range(rounds)]
    row: dict[str, Any] = beside([(seconds, peer["cpu_s"]) for (_, seconds), peer in turns], "neural_tangents") | {
        "rounds": rounds
    }
    (mine, _), peer = turns[-1]
    theirs = np.load(folder / "kernel.npy")
    apart = np.abs(mine.numpy() - theirs) / np.abs(theirs)
    diagonal = np.eye(*apart.shape, dtype=bool) & (y is None)
    row["largest_relative_difference"] = float(apart[~diagonal].max())
    if y is None:
        row["largest_relative_difference_diagonal"] = float(apart[diagonal].max())
    print(apart.shape, row, flush=True)
    return row | {"versions": peer["versions"]}


def greedy(data: Images, python: Path, rounds: int, folder: Path) -> dict[str, Any]:
    """Both choices: seconds, memory, how many images are the same, and the values of the objective."""
    rows = np.random.default_rng(0).permutation(np.flatnonzero(data.split == TRAIN))[:IMAGES]
    some = Images(data.pixels[rows], data.label[rows], data.split[rows], data.schema)
    said = said_by_proxies(some, ProxyParams(budget=CHOSEN), Context(seed=0))
    gradients = np.concatenate([errors(one, some.label) for one in said], axis=1)
    of_class = gradients[some.label == 0]
    return {
        f"one class, {len(of_class)} images": choice(of_class, python, rounds, folder),
        f"all classes, {len(gradients)} images": choice(gradients, python, rounds, folder),
    }


def choice(g: np.ndarray, python: Path, rounds: int, folder: Path) -> dict[str, Any]:
    """A greedy choice of rows of g (n, D), ours beside theirs."""
    np.save(folder / "features.npy", g)
    command = [python, "-m", "benchmarks.peers.facility_location"]
    command += [folder / "features.npy", CHOSEN, folder / "chosen.npy"]
    turns = [(chosen(g), child(command)) for _ in range(rounds)]
    (mine, _, memory), peer = turns[-1]
    theirs = np.load(folder / "chosen.npy")
    row: dict[str, Any] = beside([(seconds, other["cpu_s"]) for (_, seconds, _), other in turns], "apricot")
    row |= {
        "rounds": rounds,
        "apricot_cpu_s_of_a_small_choice": peer["small_cpu_s"],
        "chosen": CHOSEN,
        "same": len(set(mine.tolist()) & set(theirs.tolist())),
        "value_ours": value(g, mine),
        "value_apricot": value(g, theirs),
        "peak_mb_ours": memory,
        "peak_mb_apricot": peer["peak_mb"],
        "versions": peer["versions"],
    }
    print(len(g), row, flush=True)
    return row


def chosen(g: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Our choice, CPU seconds and memory."""
    peak, started = Peak(), time.process_time()
    rows, _ = facility_location(g, CHOSEN)
    return rows, time.process_time() - started, peak.mb()


def value(g: np.ndarray, chosen: np.ndarray) -> float:
    """The objective in float64: over all points, the farthest distance of any two less that to the nearest chosen."""
    exact = g.astype(np.float64)
    nearest = np.full(len(g), np.inf)
    for row in chosen:
        nearest = np.minimum(nearest, np.linalg.norm(exact - exact[row], axis=1))
    return float(len(g) * 2 * np.linalg.norm(exact, axis=1).max() - nearest.sum())


def scores(clone: Path) -> dict[str, Any]:
    """Ours and theirs on random accuracies: the largest distances; and theirs where accuracies are percent."""
    views = [f"{whose}_{view}" for view in ("augmented", "plain") for whose in ("summary", "random")]
    names = ["full", "hard", "summary", "random", *views]
    drawn = np.random.default_rng(0).random((200, len(names)))
    rows = [dict(zip(names, one, strict=True)) for one in drawn.tolist()]
    percent = {"full": 85.0, "hard": 45.0, "summary": 65.0, "random": 45.0} | dict.fromkeys(views, 50.0)
    *theirs, of_percent = ranked([*rows, percent], clone)
    lrs = [label_robust_score(one["summary"] - one["random"], one["full"] - one["hard"]) for one in rows]
    ars = [
        augmentation_robust_score(
            one["summary_augmented"] - one["random_augmented"], one["summary_plain"] - one["random_plain"]
        )
        for one in rows
    ]
    return {
        "sets_of_accuracies": len(rows),
        "largest_difference_lrs": max(abs(a - b["lrs"]) for a, b in zip(lrs, theirs, strict=True)),
        "largest_difference_ars": max(abs(a - b["ars"]) for a, b in zip(ars, theirs, strict=True)),
        "lrs_of_the_peer_given_percent": {"accuracies": percent, "lrs": of_percent["lrs"]},
    }


def trainings(data: Images, clone: Path) -> dict[str, Any]:
    """LRS with hard labels of one image a class by `dm` and of ten real ones, of the same tensors on both sides.

    Ours is trained by the recipe of `fitting`, its step size chosen on validation images; theirs, step size and epoch,
    on the test images. The accuracy of full data is the same for both.
    """
    held, test = data.part(VALIDATION), data.part(TEST)
    test = test.take(np.sort(np.random.default_rng(0).permutation(len(test))[:TESTED]))
    held = held.take(np.arange(min(len(held), TESTED)))
    full = share([data.train], FULL, test)
    made = dm(data, DMParams(ipc=1, width=WIDTH, preset="quick"), Context(seed=0)).images
    chosen = herding_images(data, HerdingParams(ipc=10), Context(seed=0)).images
    found: dict[str, Any] = {"width": WIDTH, "tested": len(test), "seeds": SEEDS, "full_data": full}
    for name, images in (("dm, 1 image a class", made), ("herding, 10 images a class", chosen)):
        drawn = [random_images(data, RandomParams(ipc=len(images) // 10), Context(seed=s)).images for s in range(SEEDS)]
        summary, random = best_share([images] * SEEDS, held, test), best_share(drawn, held, test)
        ours = label_robust_score(summary - random, full - summary)
        theirs = trained_there(images, drawn, test, full, clone)
        found[name] = {
            "ours": {"summary": summary, "random": random, "lrs": ours},
            "theirs": theirs,
            "difference_lrs": ours - theirs["lrs"],
        }
        print(name, found[name], flush=True)
    return found


def best_share(sets: list[ImageSet], held: ImageSet, test: ImageSet) -> float:
    """Mean share of the test images that networks have right, one a set, at the step size that validates best."""
    recipes = [Recipe(steps=300, epochs=1, rate=rate) for rate in RATES]
    return share(sets, max(recipes, key=lambda recipe: share(sets, recipe, held)), test)


def share(sets: list[ImageSet], recipe: Recipe, asked: ImageSet) -> float:
    """Mean share of some images that networks have right, one trained on each set."""
    return float(np.mean([accuracy(one, recipe, seed, asked)[0] for seed, one in enumerate(sets)])) / 100


def trained_there(
    images: ImageSet, drawn: list[ImageSet], test: ImageSet, full: float, clone: Path
) -> dict[str, float]:
    """What DD-Ranking's trainings come to on the same images, as shares."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tensors.npz"
        asked = test.under(images.encoding)
        np.savez(
            file,
            x=images.all(),
            y=images.y.astype(np.int64),
            random=np.stack([one.under(images.encoding).all() for one in drawn]),
            test_x=asked.all(),
            test_y=asked.y.astype(np.int64),
        )
        found = child([sys.executable, "-m", "benchmarks.peers.ranking_trainings", clone, file, full, WIDTH])
    summary = full - found["hard_label_recovery_mean"]
    return {
        "summary": summary,
        "random": summary - found["improvement_over_random_mean"],
        "lrs": found["label_robust_score_mean"],
    }


def ranked(rows: list[dict[str, float]], clone: Path) -> list[dict[str, float]]:
    """LRS and ARS of each row by DD-Ranking."""
    command = [sys.executable, "-m", "benchmarks.peers.ranking_scores", str(clone)]
    done = subprocess.run(command, input=json.dumps(rows), stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def least(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the least CPU seconds of some calls after a first."""
    result, seconds = work(), list[float]()
    for _ in range(CALLS):
        started = time.process_time()
        result = work()
        seconds.append(time.process_time() - started)
    return result, min(seconds)


def beside(pairs: list[tuple[float, float]], peer: str) -> dict[str, float]:
    """Medians of ours and theirs, and of their ratio."""
    ours, theirs = (median(one[side] for one in pairs) for side in (0, 1))
    ratio = median(b / a for a, b in pairs)
    return {"ours_cpu_s": round(ours, 5), f"{peer}_cpu_s": round(theirs, 5), f"{peer}_over_ours": round(ratio, 2)}


def child(command: list[Any]) -> dict[str, Any]:
    """Run a peer in its own environment and read its JSON."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
