"""Train the Data-Genie that ships, and measure it on datasets that it has never seen.

    python -m benchmarks.data_genie_corpus CORPUS      # once; about 45 minutes on one thread
    python -m benchmarks.data_genie CORPUS --train     # writes worker/kinds/interactions/genie/model.npz
    python -m benchmarks.data_genie CORPUS             # writes benchmarks/results/data_genie.json

The model that ships learns from MSWeb and made-up data alone. Leave-one-dataset-out: each real dataset is judged by a
model trained on all other datasets of the corpus (both copies of Magazine are left out together, and both parts of
MSWeb). A cell is a dataset, size and metric; the pick of a cell is a hit when its tau is within 0.05 of the best
sampler's. `best_single_hindsight` is the one sampler that hits most on these very cells, which nobody could have known;
`best_single` is the one that did on the other datasets. `random`: a sampler at random.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import write
from worker.kinds.interactions.genie.model import FILE, METRICS, Corpus, Genie
from worker.kinds.interactions.genie.training import fit, left_out
from worker.kinds.interactions.preservation import agreement
from worker.kinds.interactions.sampling.samplers import SAMPLERS

FREE = ("msweb", "made-up")
NEAR = 0.05


def load(folder: Path) -> tuple[Corpus, tuple[str, ...]]:
    """The corpus, and the zoo it was made with."""
    stored = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    names, samplers = tuple(one["name"] for one in stored), tuple(SAMPLERS)
    rows = [(number, sample) for number, one in enumerate(stored) for sample in one["samples"]]
    tau = [
        [agreement(_array(stored[number]["full"][m]), _array(sample["values"][m])) for m in METRICS]
        for number, sample in rows
    ]
    corpus = Corpus(
        names,
        samplers,
        np.array([one["features"] for one in stored]),
        np.array([number for number, _ in rows]),
        np.array([samplers.index(sample["sampler"]) for _, sample in rows]),
        np.array([float(sample["percent"]) for _, sample in rows]),
        np.array([sample["features"] for _, sample in rows]),
        np.array(tau),
    )
    return corpus, tuple(stored[0]["learners"])


def _array(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def family(name: str) -> str:
    """Datasets of one source are left out together."""
    return "magazine" if name.startswith("magazine") else "msweb" if name.startswith("msweb") else name


def is_free(name: str) -> bool:
    """Whether a dataset may go into the model that ships."""
    return name.startswith(FREE)


def groups(corpus: Corpus, wanted: Callable[[str], bool]) -> list[list[int]]:
    """The wanted datasets by source."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(corpus.names):
        if wanted(name):
            found.setdefault(family(name), []).append(number)
    return list(found.values())


def grid_of(corpus: Corpus, values: np.ndarray) -> np.ndarray:
    """Values (n, metrics) as (datasets, sizes, samplers, metrics), NaN where a sampler does not apply."""
    percents = np.unique(corpus.percent)
    found = np.full((len(corpus.names), len(percents), len(corpus.samplers), values.shape[1]), np.nan)
    found[corpus.dataset, np.searchsorted(percents, corpus.percent), corpus.sampler] = values
    return found


def hits_of(tau: np.ndarray) -> np.ndarray:
    """Which samplers are within 0.05 of the best of their cell."""
    best = np.nanmax(tau, axis=2, keepdims=True)
    return tau >= best - NEAR - 1e-12


def picked(tau: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """tau of the chosen samplers (datasets, sizes, metrics)."""
    return np.take_along_axis(tau, choice[:, :, None], axis=2)[:, :, 0]


def compare(corpus: Corpus, parts: list[list[int]], predicted: dict[str, np.ndarray]) -> dict[str, Any]:
    """Hit rates, mean taus and curves of every way to choose, over the datasets in `parts`."""
    whole = grid_of(corpus, corpus.tau)
    chosen = sorted(one for part in parts for one in part)
    tau = whole[chosen]
    hits = hits_of(tau)
    everywhere = np.isfinite(whole).all(axis=(0, 1, 3))  # `temporal` needs times, which not all have
    hindsight = int(np.argmax(np.where(everywhere, hits.mean(axis=(0, 1, 3)), -1)))
    fair = np.zeros((len(chosen), *tau.shape[1:2], tau.shape[3]), int)
    for part in parts:
        others = np.setdiff1d(np.arange(len(corpus.names)), part)
        rate = np.where(everywhere, hits_of(whole[others]).mean(axis=(0, 1, 3)), -1)
        fair[np.isin(chosen, part)] = int(np.argmax(rate))
    ways = {
        "best_single_hindsight": np.full_like(fair, hindsight),
        "best_single": fair,
        "random-interactions": np.full_like(fair, corpus.samplers.index("random-interactions")),
        "random-users": np.full_like(fair, corpus.samplers.index("random-users")),
    }
    for name, values in predicted.items():
        ways[name] = np.nanargmax(grid_of(corpus, values)[chosen], axis=2)
    percents = np.unique(corpus.percent)
    found: dict[str, Any] = {}
    for name, choice in ways.items():
        got = picked(tau, choice)
        hit = np.take_along_axis(hits, choice[:, :, None], axis=2)[:, :, 0]
        found[name] = {
            "within_0.05_of_best": _round(hit.mean()),
            "by_dataset": {corpus.names[one]: _round(hit[at].mean()) for at, one in enumerate(chosen)},
            "mean_tau": _round(got.mean()),
            "curve": {f"{p:g}": _round(got[:, at].mean()) for at, p in enumerate(percents)},
        }
    possible = np.isfinite(tau)
    found["random"] = {
        "within_0.05_of_best": _round((hits.sum(axis=2) / possible.sum(axis=2)).mean()),
        "mean_tau": _round(np.nanmean(tau, axis=2).mean()),
        "curve": {f"{p:g}": _round(np.nanmean(tau[:, at], axis=1).mean()) for at, p in enumerate(percents)},
    }
    found["oracle"] = {"mean_tau": _round(np.nanmax(tau, axis=2).mean())}
    found["best_single_hindsight"]["sampler"] = corpus.samplers[hindsight]
    found["best_single"]["samplers"] = sorted({corpus.samplers[one] for one in np.unique(fair)})
    found["cells"] = int(np.prod(hit.shape))
    for name in predicted:
        for single in ("best_single", "best_single_hindsight"):
            found[name][f"times_less_data_than_{single}"] = less_data(found[name]["curve"], found[single]["curve"])
    return found


def less_data(ours: dict[str, float], theirs: dict[str, float]) -> dict[str, float]:
    """At the mean tau that we have with each size, how many times as much data the other needs; on mean curves.

    Curves are made rising and interpolated in the log of the size. Only where the other curve reaches our tau at all.
    """
    sizes = np.array([float(one) for one in theirs])
    rising = np.maximum.accumulate(np.array(list(theirs.values())))
    found = {}
    for size, tau in ours.items():
        if rising[0] <= tau <= rising[-1]:
            needed = np.exp(np.interp(tau, rising + 1e-9 * np.arange(len(rising)), np.log(sizes)))
            found[size] = _round(needed / float(size))
    return found


def _round(value: Any) -> float:
    return round(float(value), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--train", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    corpus, zoo = load(given.corpus)
    free = [number for number, name in enumerate(corpus.names) if is_free(name)]
    if given.train:
        fit(corpus.of(free), zoo=zoo).write(FILE)
        return
    real = groups(corpus, lambda name: not name.startswith("made-up"))
    predicted = {f"data-genie {mode}": left_out(corpus, real, mode=mode) for mode in ("regression", "bpr")}
    figures: dict[str, Any] = {
        "datasets": corpus.names,
        "zoo": zoo,
        "samples": len(corpus.dataset),
        "leave_one_dataset_out": compare(corpus, real, predicted),
    }
    never = groups(corpus, lambda name: not is_free(name))
    if FILE.exists() and never:
        figures["shipped_model_on_unseen"] = shipped_on(corpus, never, Genie.read())
    write("data_genie", figures, ("torch", "numpy"))


def shipped_on(corpus: Corpus, parts: list[list[int]], model: Genie) -> dict[str, Any]:
    """The model that ships on datasets that are not in it: its picks, its errors, and what it says of itself."""
    asked = (corpus.full[corpus.dataset], corpus.sample, corpus.sampler, corpus.percent)
    predicted = {
        "data-genie regression": model.tau(*asked),
        "data-genie bpr": model.scores("bpr", *asked).mean(axis=0),
    }
    rows = np.isin(corpus.dataset, [one for part in parts for one in part])
    missed = (predicted["data-genie regression"] - corpus.tau)[rows]
    width = model.half_width(corpus.percent[rows])[:, None]
    return compare(corpus, parts, predicted) | {
        "mean_squared_error": _round(np.nanmean(np.square(missed))),
        "within_the_80_percent_interval": _round((np.abs(missed) <= width).mean()),
        "called_unlike": [corpus.names[one] for part in parts for one in part if model.unlike(corpus.full[one])],
    }


if __name__ == "__main__":
    main()
