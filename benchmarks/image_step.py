"""One step of dm, dc and dsa on the images, beside the official code's step: CPU seconds on one thread.

    python -m benchmarks.image_step [--official CLONE] [--width 32] [--batch 64] [--steps 5]

`CLONE`: a clone of VICO-UoE/DatasetCondensation; without it the peer is left out and the result says so. MNIST, the
ConvNet of three blocks; the least of some steps, each cell in a process of its own. Both sides draw the same numbers of
images through the same architecture and augmentation; ours keeps one class's graph at a time in dc and dsa. Ten images
a class: of one, the official augmentation stops with an error in the torch of today. Needs `mnist` beside the clone.
Writes benchmarks/results/image_step.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import write

PEER = Path(__file__).parent / "peers" / "condensation_step.py"
METHODS, IPC, STRATEGY = ("dm", "dc", "dsa"), 10, "color_crop_cutout_scale_rotate"


def main() -> None:
    """Every method, ours and theirs."""
    parser = argparse.ArgumentParser(description="A step of dm, dc and dsa.")
    parser.add_argument("--official", type=Path)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--cell", nargs=2, help="used for the child processes: pixels file and method")
    given = parser.parse_args()
    if given.cell:
        sys.stdout.write(json.dumps(cell(Path(given.cell[0]), given.cell[1], given.batch, given.steps)) + "\n")
        return
    from benchmarks.image_data import mnist

    with tempfile.TemporaryDirectory() as folder:
        file, train = Path(folder) / "pixels.npz", mnist().train
        rows = np.sort(np.random.default_rng(0).permutation(len(train))[:6_000])
        np.savez(file, x=train.batch(rows), y=train.y[rows], width=given.width)
        common = ["--width", given.width, "--batch", given.batch, "--steps", given.steps]
        table: dict[str, Any] = {}
        for name in METHODS:
            table[name] = {
                "ours": child([sys.executable, "-m", "benchmarks.image_step", "--cell", file, name, *common])
            }
            if given.official:
                theirs = child([sys.executable, PEER, given.official, file, name, IPC, given.batch, given.steps])
                table[name] |= {
                    "official": theirs,
                    "official_over_ours": round(theirs["step_s"] / table[name]["ours"]["step_s"], 2),
                }
            print(name, table[name], flush=True)
    settings = {"ipc": IPC, "width": given.width, "batch_real": given.batch, "augmentation": STRATEGY, "threads": 1}
    peer = "compared" if given.official else "left out: no --official"
    write("image_step", {"dataset": "MNIST", **settings, "peer": peer, "methods": table}, ("torch", "numpy"))


def child(command: list[Any]) -> dict[str, Any]:
    """Run one cell in a process of its own and read its JSON."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def cell(file: Path, name: str, batch: int, steps: int) -> dict[str, float]:
    """Our step."""
    import torch

    from worker.kinds.images.distillation.distribution_matching import DistributionMatching, Matching
    from worker.kinds.images.distillation.gradient_matching import GradientMatching, GradientSettings
    from worker.kinds.images.distillation.optimisers import Optimiser
    from worker.kinds.images.distillation.real import RealImages
    from worker.kinds.images.distillation.synthetic import Synthetic
    from worker.kinds.images.encoding import Encoding
    from worker.kinds.images.image_set import ImageSet
    from worker.kinds.images.networks import Network, build
    from worker.kinds.images.parameterisation import Pixels

    torch.set_num_threads(1)
    with np.load(file) as stored:
        x, y, width = stored["x"], stored["y"], int(stored["width"])
    channels, height, wide = x.shape[1:]
    plain = Encoding(np.zeros(channels, np.float32), np.ones(channels, np.float32))
    real = RealImages(ImageSet(x, y, plain, int(y.max()) + 1), "cpu")
    rows = np.concatenate([one[:IPC] for one in real.by_class])
    synthetic = Synthetic(Pixels(), {"x": real.batch(rows)}, real.y[torch.from_numpy(rows)])
    optimiser = Optimiser(synthetic.variables, 0.1, "sgd", momentum=0.5)

    def network(seed: int) -> Network:
        return build("convnet", channels, (height, wide), real.classes, seed=seed, width=width)

    strategy = "none" if name == "dc" else STRATEGY
    problem = (
        DistributionMatching(synthetic, real, network, Matching("mean", batch, strategy), optimiser, 0)
        if name == "dm"
        else GradientMatching(synthetic, real, network, GradientSettings(1, 1, batch, strategy), optimiser, 0)
    )
    seconds: list[float] = []
    loss = 0.0
    for number in range(1, steps + 1):
        started = time.process_time()
        loss = problem.step(number, lambda: None)
        seconds.append(time.process_time() - started)
    return {"step_s": min(seconds), "loss": loss}


if __name__ == "__main__":
    main()
