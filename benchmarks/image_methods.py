"""What every method of kind `images` keeps on scikit-learn's digits, beside random images: one line a method and size.

    python -m benchmarks.image_methods --ipc 1 10 --out image_methods.json

ConvNets of width 16 and ridge regression with the tangent kernel, judged as any job is; one run of a method, as many
seeds of networks as `--seeds` says. On two shared cores it takes about a quarter of an hour a size.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from worker.contract.context import Context
from worker.contract.product import Product
from worker.kinds.images import KIND
from worker.runtime.registry import discover


def digits(folder: Path) -> Any:
    """All 1,797 of them, a fifth for testing."""
    found = load_digits()
    np.savez(folder / "digits.npz", x=np.rint(found.images * (255 / 16)).astype(np.uint8), y=found.target)
    KIND.ingest.run([("digits.npz", folder / "digits.npz")], {}, folder / "canonical", Context(), {})
    return KIND.load(folder / "canonical")


def measured(summary: Product, data: Any, seeds: int, ctx: Context) -> dict[str, float]:
    """Test accuracy by "learner set", mean over draws and seeds."""
    params = KIND.judging.params()(
        learners=["convnet", "ntk"], seeds=seeds, width=16, steps=300, draws=3, bootstrap=100
    )
    found: dict[str, list[float]] = {}
    for one in summary.judge(data, params, ctx).results:
        name = f"{one.learner} {one.set}"
        found.setdefault(name, []).append(100 * float(np.mean(np.asarray(one.scores["test"]["accuracy"]))))
    return {name: round(float(np.mean(values)), 2) for name, values in found.items()}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ipc", type=int, nargs="+", default=[1, 10])
    options.add_argument("--methods", nargs="*", default=[])
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--out", type=Path, default=Path("image_methods.json"))
    given = options.parse_args()
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = digits(Path(folder))
        judging = Context(seed=1)  # remembers what was trained on the full data
        for ipc in given.ipc:
            for (kind, name), method in discover().items():
                if kind != "images" or method.task not in ("distil", "select"):
                    continue
                if given.methods and name not in given.methods:
                    continue
                started = time.process_time()
                summary = method.run(data, method.params(ipc=ipc), Context(seed=1))
                seconds = time.process_time() - started
                record = {"method": name, "ipc": ipc, "cpu_s": round(seconds, 1)}
                records.append(record | measured(summary, data, given.seeds, judging))
                given.out.write_text(json.dumps(records, indent=1) + "\n")
                print(json.dumps(records[-1]), flush=True)


if __name__ == "__main__":
    main()
