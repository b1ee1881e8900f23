"""Whether a teacher tuned as ReMem does makes better students than a plainly tuned one, shown on Fashion-MNIST.

    python -m benchmarks.image_remem [--slices balanced unequal] [--seeds 5] [--preset quick]

Needs `fashion-mnist` beside the clone (or in $DISTILLERY_SHARED_DATA). One job of the method `remem` a slice: a small
Vision Transformer is pretrained on half of the training images and fine-tuned on 2,000 others of equal classes, or on
1,000 of which the last class has a hundredth of the first, in four ways; students are ConvNets of width 32. The way
beside the plain one is chosen on validation images, test images are asked once. CPU seconds of one thread. Writes
benchmarks/results/image_remem.json after every slice; what is there of the other is kept.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch

from benchmarks.image_teachers import fashion_mnist
from benchmarks.record import RESULTS, write
from worker.contract.context import Context
from worker.kinds.images.methods.remem import ReMemParams, remem

SLICES: dict[str, dict[str, Any]] = {
    "balanced": {"tune_images": 2_000},
    "unequal": {"tune_images": 1_000, "imbalance": 100},
}


def main() -> None:
    """Run the job of each slice and write its tables."""
    parser = argparse.ArgumentParser(description="Teachers tuned as ReMem does, and their students.")
    parser.add_argument("--slices", nargs="+", default=list(SLICES), choices=SLICES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--preset", default="quick", choices=("quick", "standard", "paper"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    data, file = fashion_mnist(), RESULTS / "image_remem.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    found.pop("machine", None)
    for name in given.slices:
        params, used = SLICES[name] | {"preset": given.preset, "seeds": given.seeds}, time.process_time()
        job = remem(data, ReMemParams(**params), Context(seed=0))
        found[name] = {
            "params": params,
            "cpu_seconds": round(time.process_time() - used, 1),
            "verdict": job.verdict.status,
            "sentence": job.verdict.sentence,
            **{table.name: list(table.rows) for table in job.tables},
        }
        print(name, found[name]["sentence"], flush=True)
        write("image_remem", found, ("torch", "numpy"))


if __name__ == "__main__":
    main()
