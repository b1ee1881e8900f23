"""ActionPiece to the end on Amazon Beauty: a T5-like network on tokens, the same on item ids, SASRec beside them.

Run: `python -m benchmarks.generative [--epochs 5] [--test-cases 5000] [--seeds 1] [--beside sasrec popularity]`. The
log is read as an upload is, with its items' attributes; vocabulary, training and comparison are the methods' own, at
the size that a CPU trains (`generative`'s defaults). States are chosen on validation, the test cases are asked once.
One thread; results are added as each seed ends. The dataset lies beside the clone and may not be redistributed.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import write
from tests.shared_data import shared
from worker.contract.context import Context
from worker.kinds.sequences import dataset, ingest
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.evaluate_params import evaluate_params
from worker.kinds.sequences.methods.actionpiece import ActionPieceParams, actionpiece
from worker.kinds.sequences.methods.generative import GenerativeParams, generative


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--test-cases", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--beside", nargs="+", default=["sasrec", "popularity"], help="learners that rank")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = beauty()
    figures: dict[str, Any] = {
        "sequences": len(data),
        "training_events": len(data.training().rows.items),
        "items": data.n_items,
        "params": {"epochs": given.epochs},
        "test_cases": given.test_cases,
        "seeds": [],
    }
    for seed in range(given.seeds):
        figures["seeds"].append(run(data, given.epochs, given.test_cases, seed, given.beside))
        write("generative", figures, ("torch", "numpy"))


def run(data: Sequences, epochs: int, cases: int, seed: int, beside: list[str]) -> dict[str, Any]:
    """One vocabulary, one training of each learner; percent over the test cases."""
    judged = evaluate_params()(learners=beside, k=[10], test_cases=cases, seeds=1)
    wall, cpu = time.perf_counter(), time.process_time()
    tokeniser = actionpiece(data, ActionPieceParams(), Context(seed=seed))
    learned = time.process_time() - cpu
    ctx = Context(seed=seed, evaluate=judged, inputs={"tokeniser": tokeniser})
    found = generative(data, GenerativeParams(epochs=epochs), ctx)
    tables = {table.name: list(table.rows) for table in found.tables}
    return {
        "verdict": found.verdict.sentence,
        "learners": tables["learners"],
        "tokens_less_the_other": tables["differences"],
        "vocabularies": tables["vocabularies"],
        "vocabulary_cpu_s": round(learned, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "wall_s": round(time.perf_counter() - wall, 1),
    }


def beauty() -> Sequences:
    """Amazon Beauty, 5-core, leave-one-out, with the items' attributes."""
    folder = shared("seq-amazon-beauty")
    with tempfile.TemporaryDirectory() as made:
        sources = []
        for name in ("Beauty.txt", "Beauty_item2attributes.json"):
            plain = Path(made) / name
            plain.write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
            sources.append((name, plain))
        out = Path(made) / "canonical"
        out.mkdir()
        ingest.ingest(sources, {"split": "leave_one_out"}, out, Context(), {})
        return dataset.load(out)


if __name__ == "__main__":
    main()
