"""One step of dm, dc, dsa and mtt on the images, beside the official code's step: CPU seconds on one thread, memory.

    python -m benchmarks.image_step [--official CLONE] [--trajectories CLONE] [--methods dm dc dsa mtt] [--rounds 3]

Clones of VICO-UoE/DatasetCondensation (dm, dc, dsa) and of GeorgeCazenavette/mtt-distillation (mtt); without them the
peer is left out and the result says so. MNIST, the ConvNet of three blocks. Ours and theirs take turns, each time in a
process of its own; a round's figure is its least step after a first one, and the ratio is the median of the rounds'
ratios. Both sides draw the same numbers of images through the same architecture and augmentation; ours keeps one
class's graph at a time in dc and dsa, and one student step's in mtt. Memory is what a process grows by over all steps.
Of mtt, the first step has no augmentation on either side, and what both find there is compared. Ten images a class: of
one, the official augmentation stops with an error in the torch of today. Needs `mnist` beside the clone. Writes
benchmarks/results/image_step.json after each method; of methods that are not asked for, it keeps what it had.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peak import Peak
from benchmarks.record import RESULTS, write

if TYPE_CHECKING:
    from worker.kinds.images.dataset import Images
    from worker.kinds.images.distillation.trajectory_matching import TrajectoryMatching

METHODS, IPC, STRATEGY = ("dm", "dc", "dsa", "mtt"), 10, "color_crop_cutout_scale_rotate"
IMAGES, STUDENT_STEPS, EXPERT_EPOCHS = 6_000, 30, 2


def main() -> None:
    """Every method, ours and theirs."""
    parser = argparse.ArgumentParser(description="A step of dm, dc, dsa and mtt.")
    parser.add_argument("--official", type=Path)
    parser.add_argument("--trajectories", type=Path)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cell", nargs=2, help="used for the child processes: pixels file and method")
    given = parser.parse_args()
    if given.cell:
        sys.stdout.write(json.dumps(cell(Path(given.cell[0]), given.cell[1], given.batch, given.steps)) + "\n")
        return
    from benchmarks.image_data import mnist

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pixels.npz"
        prepare(mnist(), file, given.width, "mtt" in given.methods)
        for name in given.methods:
            mine, theirs = commands(name, file, given)
            row = in_turn(mine, theirs, given.rounds)
            if name == "mtt" and theirs:
                row["same_step"] = apart(file)
            keep(name, row, given)


def keep(name: str, row: dict[str, Any], given: argparse.Namespace) -> None:
    """Write a method's figures beside those of the others."""
    settings = {
        "dataset": "MNIST", "ipc": IPC, "width": given.width, "batch_real": given.batch, "student_steps": STUDENT_STEPS,
        "augmentation": STRATEGY, "threads": 1,
    }  # fmt: skip
    try:
        before = json.loads((RESULTS / "image_step.json").read_text())
    except FileNotFoundError:
        before = {}
    same = all(before.get(key) == value for key, value in settings.items())
    known = before["methods"] if same else {}
    asked = {"steps": given.steps, "rounds": given.rounds}
    methods = {key: asked | row if key == name else known[key] for key in METHODS if key == name or key in known}
    write("image_step", settings | {"methods": methods}, ("torch", "numpy"))


def prepare(data: Images, file: Path, width: int, expert: bool) -> None:
    """Some training images, encoded, and an expert's parameters (P,) at its start and some epochs later."""
    train = data.train
    rows = np.sort(np.random.default_rng(0).permutation(len(train))[:IMAGES])
    found = {"x": train.batch(rows), "y": train.y[rows], "width": width}
    if expert:
        from worker.contract.context import Context
        from worker.kinds.images.distillation.experts import ExpertTraining, train_expert
        from worker.kinds.images.distillation.real import RealImages
        from worker.kinds.images.networks import build

        network = build("convnet", train.shape[0], train.shape[1:], train.classes, seed=0, width=width)
        real = RealImages(train.take(rows), "cpu")
        path = train_expert(network, real, ExpertTraining(EXPERT_EPOCHS), 0, Context())
        found |= {"start": path[0], "target": path[-1]}
    np.savez(file, **found)


def commands(name: str, file: Path, given: argparse.Namespace) -> tuple[list[Any], list[Any]]:
    """What runs a method's cell, ours and theirs; of theirs nothing where the clone is missing."""
    mine = [sys.executable, "-m", "benchmarks.image_step", "--cell", file, name]
    mine += ["--width", given.width, "--batch", given.batch, "--steps", given.steps]
    peer = [sys.executable, "-m", "benchmarks.peers"]
    if name == "mtt":
        peer[-1] += ".trajectory_step"
        words = [given.trajectories, file, IPC, STUDENT_STEPS, given.steps, theirs_of(file)]
        return mine, peer + words if given.trajectories else []
    peer[-1] += ".condensation_step"
    words = [given.official, file, name, IPC, given.batch, given.steps]
    return mine, peer + words if given.official else []


def in_turn(mine: list[Any], theirs: list[Any], rounds: int) -> dict[str, Any]:
    """Medians over rounds of ours and theirs, and of the ratios of the pairs."""
    ours, others = list[dict[str, float]](), list[dict[str, float]]()
    for _ in range(rounds):
        ours.append(child(mine))
        if theirs:
            others.append(child(theirs))
    found: dict[str, Any] = {"ours": medians(ours)}
    if not others:
        found["official"] = "left out: no clone"
    else:
        found["official"] = medians(others)
        for key, words in (("step_s", "official_over_ours"), ("peak_mb", "memory_official_over_ours")):
            found[words] = round(median(b[key] / a[key] for a, b in zip(ours, others, strict=True)), 2)
    return found


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure."""
    return {key: round(median(one[key] for one in found), 4) for key in found[0]}


def child(command: list[Any]) -> dict[str, float]:
    """Run one cell in a process of its own and read its JSON."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def ours_of(file: Path) -> Path:
    """Where our first step of mtt is kept."""
    return file.with_name("ours.npz")


def theirs_of(file: Path) -> Path:
    """Where theirs is."""
    return file.with_name("theirs.npz")


def apart(file: Path) -> dict[str, float]:
    """Relative distance of loss and gradients of the first step, without augmentation, of ours to theirs."""
    with np.load(ours_of(file)) as mine, np.load(theirs_of(file)) as theirs:
        distances = {key: np.linalg.norm(mine[key] - theirs[key]) / np.linalg.norm(theirs[key]) for key in theirs}
    return {key: float(f"{one:.1e}") for key, one in distances.items()}


def cell(file: Path, name: str, batch: int, steps: int) -> dict[str, float]:
    """Our step."""
    import torch

    from worker.kinds.images.distillation.distribution_matching import DistributionMatching, Matching
    from worker.kinds.images.distillation.gradient_matching import GradientMatching, GradientSettings
    from worker.kinds.images.distillation.optimisers import Optimiser
    from worker.kinds.images.distillation.real import RealImages
    from worker.kinds.images.distillation.synthetic import Synthetic
    from worker.kinds.images.distillation.trajectory_matching import TrajectoryMatching, TrajectorySettings
    from worker.kinds.images.encoding import Encoding
    from worker.kinds.images.image_set import ImageSet
    from worker.kinds.images.networks import Network, build
    from worker.kinds.images.parameterisation import Pixels

    torch.set_num_threads(1)
    with np.load(file) as stored:
        x, y, width = stored["x"], stored["y"], int(stored["width"])
        path = np.stack([stored["start"], stored["target"]]) if name == "mtt" else np.empty(0)
    channels, height, wide = x.shape[1:]
    plain = Encoding(np.zeros(channels, np.float32), np.ones(channels, np.float32))
    real = RealImages(ImageSet(x, y, plain, int(y.max()) + 1), "cpu")
    rows = np.concatenate([one[:IPC] for one in real.by_class])

    def synthetic() -> Synthetic:
        return Synthetic(Pixels(), {"x": real.batch(rows)}, real.y[torch.from_numpy(rows)])

    def network(seed: int) -> Network:
        return build("convnet", channels, (height, wide), real.classes, seed=seed, width=width)

    def trajectory(strategy: str) -> TrajectoryMatching:
        settings = TrajectorySettings(STUDENT_STEPS, 1, 0, 1, 1, 0, strategy, "exact", 0.01)
        return TrajectoryMatching(synthetic(), [path], network(0), settings, {"x": 100.0, "rate": 0.01}, 0.5, 0)

    strategy = "none" if name == "dc" else STRATEGY
    peak = Peak()
    if name == "mtt":
        keep_first(trajectory("none"), ours_of(file))
        problem = trajectory(strategy)
    else:
        images = synthetic()
        optimiser = Optimiser(images.variables, 0.1, "sgd", momentum=0.5)
        problem = (
            DistributionMatching(images, real, network, Matching("mean", batch, strategy), optimiser, 0)
            if name == "dm"
            else GradientMatching(images, real, network, GradientSettings(1, 1, batch, strategy), optimiser, 0)
        )
        problem.step(0, lambda: None)
    seconds: list[float] = []
    loss = 0.0
    for number in range(1, steps + 1):
        started = time.process_time()
        loss = problem.step(number, lambda: None)
        seconds.append(time.process_time() - started)
    return {"step_s": min(seconds), "loss": loss, "peak_mb": peak.mb()}


def keep_first(problem: TrajectoryMatching, file: Path) -> None:
    """The loss and gradients of a first step: momentum's first velocity is the gradient itself."""
    loss, first = problem.step(1, lambda: None), problem.optimiser.first
    np.savez(file, loss=loss, images=first["x"].numpy(), log_rate=first["rate"].numpy())


if __name__ == "__main__":
    main()
