"""Farzi's figures: the same learner on synthetic sequences and on all real ones, tested once.

Run: `python -m benchmarks.farzi_figures [--only magazine-25x20 ...]`. Every dataset is split leave-one-out; the steps
of training (and dropout, on full data) are chosen on validation for every set, then the test part is opened once; means
of three seeds of the learner, one teacher and one run of the method. Real datasets lie beside the clone and may not be
redistributed; `made-1m` is made by code at the size of ML-1M, where a summary is smaller than its source. Results of a
configuration are added to the file as it ends.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.record import RESULTS, write
from benchmarks.sequence_world import World
from tests.kinds.sequences.real_data import magazine, ml_100k
from worker.contract.context import Context
from worker.kinds.sequences import sizes
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.farzi.students import STUDENTS
from worker.kinds.sequences.fitting import Fitting
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.learners.markov import Markov
from worker.kinds.sequences.learners.markov import markov as markov_of
from worker.kinds.sequences.learners.popularity import popularity as popularity_of
from worker.kinds.sequences.methods.farzi import FarziParams, farzi
from worker.kinds.sequences.ranking import Ranking
from worker.kinds.sequences.summary import SequenceSummary
from worker.kinds.sequences.teacher import DROPOUT
from worker.numerics.npz import npz_bytes

STEPS, SEEDS, KS = (160, 240, 320, 400), 3, (10, 100)
SHORT = (40, 80, 120, 160)
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any], Sequence[int]]] = {
    "magazine-25x20": ("magazine", {"n_sequences": 25, "sequence_length": 20, "outer_steps": 0}, STEPS),
    "magazine-5x5": ("magazine", {"n_sequences": 5, "sequence_length": 5, "outer_steps": 500, "window": 10}, SHORT),
    "magazine-10x10": (
        "magazine",
        {"n_sequences": 10, "sequence_length": 10, "outer_steps": 500, "window": 10, "patience": 1000},
        SHORT,
    ),
    "ml-100k-50x50": ("ml-100k", {"n_sequences": 50, "sequence_length": 50, "outer_steps": 0, "inputs": "real"}, STEPS),
    "made-1m-200x50": (
        "made-1m",
        {
            "n_sequences": 200,
            "sequence_length": 50,
            "outer_steps": 0,
            "inputs": "real",
            "delivery": ["soft", "topk"],
            "top_k": 16,
        },
        STEPS,
    ),
    "magazine-tied": (
        "magazine",
        {
            "n_sequences": 25,
            "sequence_length": 20,
            "labels": "tied",
            "init": "real",
            "outer_steps": 1500,
            "patience": 1000,
            "validate_every": 50,
        },
        SHORT,
    ),
}


@dataclass(frozen=True)
class Source:
    """A dataset, and what is trained on all of it, among which settings; one dropout alone where data are plenty."""

    make: Callable[[], Sequences]
    learners: Sequence[str] = ("sasrec", "gru4rec")
    dropouts: Sequence[float] = DROPOUT
    steps: Sequence[int] = STEPS


DATASETS = {
    "magazine": Source(magazine),
    "ml-100k": Source(ml_100k),
    "made-1m": Source(World().sequences, ("sasrec",), (0.2,), (40, 80, *STEPS)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(CONFIGURATIONS), default=list(CONFIGURATIONS))
    parser.add_argument("--budget-s", type=float, help="most seconds of one meta-stage")
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = RESULTS / "farzi_figures.json"
    figures: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    figures.pop("machine", None)
    for name in given.only:
        dataset, params, steps = CONFIGURATIONS[name]
        source = DATASETS[dataset]
        data = source.make()
        if dataset not in figures:
            figures[dataset] = on_all(data, source)
            write("farzi_figures", figures, ("torch", "numpy"))
        more = {} if given.budget_s is None else {"time_budget_s": given.budget_s}
        figures[name] = on_summary(data, FarziParams(**params, **more), steps, figures[dataset])
        write("farzi_figures", figures, ("torch", "numpy"))


def on_all(data: Sequences, source: Source) -> dict[str, Any]:
    """The full data: the learners and the floors."""
    train = data.training()
    full = TrainingSet.of(train.rows, data.n_items, data.max_len)
    stored = sizes.hard_arrays(train.rows, data.n_items)
    test = Ranking(data.cases("test"), KS, data.n_items)
    floors = {}
    for name, make in (("popularity", popularity_of), ("markov", markov_of)):
        model: Markov = make(full, None, Context()).fit({}, Context())
        floors[name] = means([test(model)])
    return {
        "sequences": len(train),
        "events": len(train.items),
        "items": data.n_items,
        "bytes": sizes.plain_bytes(stored),
        "compressed": len(npz_bytes(stored)),
        **{name: tuned(data, full, name, source.steps, source.dropouts) for name in source.learners},
        **floors,
    }


def on_summary(data: Sequences, params: FarziParams, steps: Sequence[int], full: Mapping[str, Any]) -> dict[str, Any]:
    """Every form of one summary, and what each keeps of the full data's nDCG@10."""
    started = time.perf_counter()
    summary = farzi(data, params, Context(seed=1))
    return of_forms(data, params, summary, steps, full, time.perf_counter() - started)


def of_forms(
    data: Sequences,
    params: FarziParams,
    summary: SequenceSummary,
    steps: Sequence[int],
    full: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """Every form of a summary that took so many seconds; the other learner on the primary one."""
    found: dict[str, Any] = {
        "params": params.model_dump(exclude_defaults=True, mode="json"),
        "seconds": round(seconds, 1),
        "outer_steps_done": summary.origin.settings["outer_steps_done"],
        "delivered_step": summary.origin.best_step,
        "teacher": summary.origin.settings["teacher"],
        "rows_that_repeat_another": summary.origin.settings["rows_that_repeat_another"],
        "curve": [{k: round(v, 3) for k, v in point.items()} for point in summary.origin.curve],
        "forms": {},
    }
    for form, one in summary.delivered().items():
        arrays = summary.arrays(form)
        measured = tuned(data, one, "sasrec", steps, (0.0,))
        found["forms"][form] = {
            "bytes": sizes.plain_bytes(arrays),
            "compressed": len(npz_bytes(arrays)),
            "sasrec": measured,
            "percent_of_full_ndcg@10": percent(measured, full["sasrec"]),
        }
        if form == summary.form and "gru4rec" in full:
            other = tuned(data, one, "gru4rec", steps, (0.0,))
            found["forms"][form] |= {"gru4rec": other, "percent_of_full_gru4rec": percent(other, full["gru4rec"])}
    saved = full["sasrec"]["train_s"] - found["forms"][next(iter(found["forms"]))]["sasrec"]["train_s"]
    found["trainings_until_it_pays"] = round(seconds / saved) if saved > 0 else None
    return found


def percent(one: Mapping[str, Any], full: Mapping[str, Any]) -> float:
    return round(100 * one["test"]["ndcg@10"] / full["test"]["ndcg@10"], 1)


def tuned(
    data: Sequences, train: TrainingSet, learner: str, steps: Sequence[int], dropouts: Sequence[float]
) -> dict[str, Any]:
    """Dropout and steps chosen on validation (mean of the seeds), then tested: once. Steps go on beyond the last of
    `steps` as long as validation rises."""
    validation = Ranking(data.cases("validation"), (10,), data.n_items)
    test = Ranking(data.cases("test"), KS, data.n_items)
    best: tuple[float, float, int, list[Any]] = (-1.0, 0.0, 0, [])
    for dropout in dropouts:
        fits, top = [Fitting(STUDENTS[learner], train, seed) for seed in range(SEEDS)], -1.0
        for count in ladder(steps):
            models = [fit.fit({"dropout": dropout, "steps": count}, Context()) for fit in fits]
            value = 100 * float(np.mean([validation(model)["ndcg@10"].mean() for model in models]))
            if value > best[0]:
                best = (value, dropout, count, models)
            if count >= steps[-1] and value <= top:
                break
            top = max(top, value)
    value, dropout, count, models = best
    found = {
        "validation_ndcg@10": round(value, 2),
        "dropout": dropout,
        "steps": count,
        "train_s": round(float(np.mean([model.trained_s for model in models])), 2),
        "test": means([test(model) for model in models]),
        "test_ndcg@10_by_seed": [round(100 * float(test(model)["ndcg@10"].mean()), 2) for model in models],
    }
    sys.stderr.write(f"{learner}: {json.dumps(found)}\n")
    return found


def ladder(steps: Sequence[int]) -> Iterator[int]:
    """These numbers of steps, and then a quarter more each time, up to ten times the last."""
    yield from steps
    count = steps[-1]
    while count < 10 * steps[-1]:
        count = int(1.25 * count)
        yield count


def means(measured: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Per cent, over seeds and cases."""
    return {name: round(100 * float(np.mean([one[name].mean() for one in measured])), 2) for name in measured[0]}


if __name__ == "__main__":
    main()
