"""`measurements.npz`: every score behind a report, so that each of its figures can be computed again from it alone.

The array `index` holds a JSON text: bootstrap seed and number of resamples, test sets, training sets, and for every
result which arrays its scores are. Names are `scores/<number>` for scores on test data, `validation/<number>` for those
of configurations that tuning tried, `ids/<test set>` for ids of test units, and the kind's own.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from worker.evidence.measurements import (
    Measurements,
    Pooled,
    Ratio,
    Scores,
    TestSet,
    TrainedResult,
    TrainingSet,
    columns_of,
)
from worker.numerics.npz import npz_bytes

NAME = "measurements.npz"
BOOTSTRAP = (
    "Units: rng = numpy.random.default_rng([seed, 0]); for each resample, numpy.bincount(rng.integers(0, n, n), "
    "minlength=n) is the weight of every test unit. Draws of a training set: id i has the numbers "
    "numpy.random.default_rng([seed, 2, crc32(name of the set), i]).random((ids, resamples)); in every row and "
    "resample the id with the lowest number is picked. Learner seeds: the same with default_rng([seed, 1, i]). A "
    "result weighs the picks of its draw times the picks of its seed. Intervals are the "
    "percentiles 2.5 and 97.5, everything in double precision."
)


def archive(m: Measurements) -> bytes:
    """The file; equal measurements give equal bytes."""
    arrays = _Arrays()
    index = {
        "bootstrap": {"resamples": m.bootstrap, "seed": m.seed, "how": BOOTSTRAP},
        "protocol": m.protocol.hash,
        "primary": {"metric": m.primary, "test": m.test.name},
        "metrics": [vars(metric) for metric in m.metrics],
        "tests": [_test(test, arrays) for test in m.tests],
        "sets": [_set(one) for one in m.sets],
        "results": [_result(result, arrays) for result in _in_order(m)],
    }
    if taken := arrays.named.keys() & m.arrays.keys() | {"index"} & m.arrays.keys():
        raise ValueError(f"arrays of a kind cannot be called {', '.join(sorted(taken))}")
    return npz_bytes(arrays.named | dict(m.arrays) | {"index": np.array(json.dumps(index, sort_keys=True))})


class _Arrays:
    """Arrays under numbered names."""

    def __init__(self) -> None:
        self.named: dict[str, np.ndarray] = {}

    def add(self, folder: str, scores: Scores) -> dict[str, Any]:
        """Store scores and return what the index says of them."""
        match scores:
            case Ratio():
                exponential = "e to the ratio of sums" if scores.exponential else "ratio of sums"
                said: dict[str, Any] = {"statistic": exponential}
            case Pooled():
                said = {"statistic": scores.statistic}
            case np.ndarray():
                said = {"statistic": "mean"}
            case _:
                return {"statistic": "value", "value": float(scores)}
        for name, column in columns_of(scores).items():
            key = f"{folder}/{len(self.named):05d}"
            self.named[key] = column
            said[name or "array"] = key
        return said


def _in_order(m: Measurements) -> list[TrainedResult]:
    return [result for learner in m.learners for one in m.sets for result in m.of(learner.name, one.name)]


def _test(test: TestSet, arrays: _Arrays) -> dict[str, Any]:
    said = {"name": test.name, "label": test.label, "units": test.units, "n": test.n}
    if test.ids is None:
        return said
    key = f"ids/{test.name}"
    # Object arrays would need pickle, which nobody should have to load.
    arrays.named[key] = np.asarray(test.ids).astype(np.str_) if test.ids.dtype == object else test.ids
    return said | {"ids": key}


def _set(one: TrainingSet) -> dict[str, Any]:
    names = ("name", "label", "role", "rows", "events", "bytes", "compressed", "encoding", "method", "equal", "of")
    return {name: getattr(one, name) for name in names}


def _result(result: TrainedResult, arrays: _Arrays) -> dict[str, Any]:
    return {
        "learner": result.learner,
        "set": result.set,
        "draw": result.draw,
        "seed": result.seed,
        "chosen": dict(result.chosen),
        "validation": result.validation,
        "job": result.job,
        "scores": {
            test: {metric: arrays.add("scores", scores) for metric, scores in found.items()}
            for test, found in result.scores.items()
        },
        "tried": [
            {"settings": dict(one.settings), "validation": arrays.add("validation", one.validation)}
            for one in result.tried
        ],
    }
