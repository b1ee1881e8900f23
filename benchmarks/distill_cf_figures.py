"""Distill-CF on the published splits: quality and time of its default settings, per seed and against the goals.

    python -m benchmarks.distill_cf_figures [--only magazine-50 ...] [--seeds 3] [--threads 2]

Needs `ml-1m` and `amazon-magazine` beside the clone (or in $DISTILLERY_SHARED_DATA). Checkpoint, ridge and every
learner's hyper-parameter are chosen on validation users; test users are touched once, for the figures printed.
Duplicates are kept as published (`dedup=False`), so test items that are also in training count as missed.
Writes JSON to standard output and to benchmarks/results/distill_cf_figures.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import machine
from tests.official_splits import official
from worker.contract.context import Context
from worker.evidence.measurements import TrainingSet
from worker.evidence.statistics import value_of
from worker.evidence.training import Contender, train_all
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import arrays, file_bytes
from worker.kinds.interactions.judge import evaluate_params, hold_out, plan_of
from worker.kinds.interactions.methods.distill_cf import DistillCFParams, distill_cf
from worker.kinds.interactions.rows import UserRows

RESULTS = Path(__file__).parent / "results" / "distill_cf_figures.json"
METRICS = ("hr@10", "ndcg@10", "hr@100", "ndcg@100")
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "magazine-50": ("amazon-magazine", {"budget": 50}),
    "magazine-500": ("amazon-magazine", {"budget": 500}),
    "ml-1m-100": ("ml-1m", {"budget": 100, "hard_events": 200}),
    "ml-1m-500": ("ml-1m", {"budget": 500, "hard_events": 200}),
}
# run -> (form, learner, metric or seconds, goal): medians over seeds, percent; seconds are the slowest seed's
GOALS: dict[str, list[tuple[str, str, float]]] = {
    "magazine-50": [
        ("soft8.infinite-ae.ndcg@10", ">=", 20.5),
        ("soft8.infinite-ae.hr@10", ">=", 24.5),
        ("soft8.ease.ndcg@10", ">=", 20.5),
        ("seconds", "<=", 60),
    ],
    "magazine-500": [("soft8.infinite-ae.ndcg@10", ">=", 21.5), ("soft8.infinite-ae.hr@10", ">=", 25.5)],
    "ml-1m-100": [("soft8.infinite-ae.ndcg@10", ">=", 29.5), ("seconds", "<=", 240)],
    "ml-1m-500": [
        ("soft8.infinite-ae.ndcg@10", ">=", 32.0),
        ("hard.infinite-ae.ndcg@10", ">=", 29.0),
        ("seconds", "<=", 240),
    ],
}


def judged(data: Interactions, rows: UserRows, learner: str) -> dict[str, float]:
    """Test metrics in percent of a learner trained on rows, tuned on validation; and the value chosen."""
    ctx, params = Context(), evaluate_params()(learners=[learner], tune_users=0)
    one = Contender(TrainingSet("full", "rows", "full", len(rows), float(rows.matrix.sum()), 0), (rows,))
    (result,) = train_all(plan_of(data, hold_out(data, params, ctx), [one], params, ctx), ctx).results
    means = {name: round(100 * value_of(result.scores["test"][name]), 2) for name in METRICS}
    return means | {name: float(value) for name, value in result.chosen.items()}


def one_run(data: Interactions, params: dict[str, Any], seed: int) -> dict[str, Any]:
    """Distil with one seed and judge every delivered form."""
    started = time.perf_counter()
    summary = distill_cf(data, DistillCFParams(**params), Context(seed=seed))
    seconds = time.perf_counter() - started
    found: dict[str, Any] = {
        "seed": seed,
        "seconds": round(seconds, 1),
        "best_step": summary.origin.best_step,
        "steps": summary.origin.settings["steps_done"],
        "bytes": {form: file_bytes(arrays(rows, form)) for form, rows in summary.delivered().items()},
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    for form, rows in summary.delivered().items():
        learners = ("infinite-ae", "ease") if form == summary.form else ("infinite-ae",)
        found[form] = {learner: judged(data, rows, learner) for learner in learners}
    return found


def median_of(runs: list[dict[str, Any]], path: str) -> float:
    """Median over seeds of a nested value; of seconds, the largest."""
    values = []
    for run in runs:
        value: Any = run
        for key in path.split("."):
            value = value[key]
        values.append(float(value))
    return max(values) if path == "seconds" else statistics.median(values)


def verdicts(name: str, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each goal of a run with what was measured and whether it was met."""
    found = []
    for path, sign, goal in GOALS[name]:
        value = median_of(runs, path)
        found.append(
            {"figure": path, "measured": value, "goal": f"{sign} {goal}", "met": (value >= goal) == (sign == ">=")}
        )
    gap = statistics.median(
        run["soft8"]["infinite-ae"]["ndcg@10"] - run["soft"]["infinite-ae"]["ndcg@10"] for run in runs
    )
    found.append({"figure": "soft8 - soft", "measured": round(gap, 2), "goal": ">= -0.2", "met": gap >= -0.2})
    return found


def main() -> None:
    """Run what was asked for and write the results; results of other runs in the file are kept."""
    parser = argparse.ArgumentParser(description="Figures of Distill-CF's defaults on the published splits.")
    parser.add_argument("--only", nargs="*", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.only:
        dataset, params = RUNS[name]
        data = official(dataset, dedup=False)
        runs = [one_run(data, params, seed) for seed in range(arguments.seeds)]
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[name] = {
            "dataset": dataset,
            "params": params,
            "machine": machine("torch", "numpy", "scipy") | {"threads": torch.get_num_threads()},
            "goals": verdicts(name, runs),
            "runs": runs,
        }
        print(json.dumps({name: results[name]}, indent=1), flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
