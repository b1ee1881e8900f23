"""Whoever has `measurements.npz` and numpy computes every figure of the report again, to the last digit it prints."""

from __future__ import annotations

import io
import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.evidence.made_up import JOB, measurements, per_user, result
from worker.evidence.archive import NAME, archive
from worker.evidence.conclude import conclude
from worker.evidence.measurements import Measurements, Pooled, Ratio, TestSet, Tried
from worker.evidence.report import document

USERS = 300


def measured() -> Measurements:
    """A learner with two seeds, a floor, three draws of a baseline; users have ids."""
    m = measurements({"popularity": {"full": 0.15}, "ease": {}, "ae": {}}, users=USERS)
    levels = {"full": [0.33], "summary": [0.31], "random-users": [0.25, 0.27, 0.29], "head-users": [0.22]}
    results = [
        result(learner, name, per_user(level + shift, USERS, seed=seed), draw=draw, seed=seed, validation=level)
        for learner, shift in (("ease", 0.02), ("ae", 0.0))
        for name, draws in levels.items()
        for draw, level in enumerate(draws)
        for seed in (4, 8)
    ]
    tests = (TestSet("test", "test users", "users", USERS, np.array([f"u{i}" for i in range(USERS)])),)
    seeds = np.array([11, 12, 13])
    return replace(m, tests=tests, results=(*m.results, *results), arrays={"draws/random-users": seeds})


class Recomputed:
    """The figures of a report, from the archive alone. Nothing of the service is used below this line."""

    def __init__(self, content: bytes) -> None:
        self.arrays = np.load(io.BytesIO(content))
        self.index = json.loads(str(self.arrays["index"]))
        seed, resamples = self.index["bootstrap"]["seed"], self.index["bootstrap"]["resamples"]
        n = self.index["tests"][0]["n"]
        rng = np.random.default_rng([seed, 0])
        self.weights = np.array([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(resamples)])
        self.seed, self.resamples, self.n = seed, resamples, n

    def picks(self, ids: list[int], stream: list[int]) -> dict[int, np.ndarray]:
        numbers = np.array([np.random.default_rng([*stream, i]).random((len(ids), self.resamples)) for i in ids])
        first = numbers.argmin(axis=0)
        return {i: (first == k).sum(axis=0) for k, i in enumerate(ids)}

    def mean(self, learner: str, of: str) -> np.ndarray:
        """The metric (first) and its resamples (rest)."""
        runs = [r for r in self.index["results"] if (r["learner"], r["set"]) == (learner, of)]
        draws = self.picks(sorted({r["draw"] for r in runs}), [self.seed, 2, zlib.crc32(of.encode())])
        seeds = self.picks(sorted({r["seed"] for r in runs}), [self.seed, 1])
        scores = [self.arrays[r["scores"]["test"]["ndcg@10"]["array"]] for r in runs]
        weights = np.array([draws[r["draw"]] * seeds[r["seed"]] for r in runs])
        drawn = np.array([self.weights @ one / self.n for one in scores])
        return np.r_[np.mean([one.mean() for one in scores]), (weights * drawn).sum(axis=0) / weights.sum(axis=0)]


def printed(values: np.ndarray, scale: float = 1.0) -> tuple[float, float, float]:
    """Value, low and high as the report prints them: ten significant digits."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    value, low, high = (float(f"{scale * x:.10g}") for x in (values[0], low, high))
    return value, low, high


def cells(row: dict[str, Any], key: str) -> tuple[float, float, float]:
    return row[key], row[f"{key}_low"], row[f"{key}_high"]


def test_every_figure_of_the_report_is_recomputed_from_the_archive_to_the_last_digit() -> None:
    found = conclude(measured(), JOB)
    report = document(found, JOB)
    again = Recomputed(found.files[NAME])
    names = {one["label"]: one["name"] for one in again.index["sets"]}
    learners = {"EASE": "ease", "∞-AE": "ae", "popularity": "popularity"}
    rows = next(t for t in report["tables"] if t["name"] == "fidelity")["rows"]
    assert len(rows) == 9
    for row in rows:
        learner, of = learners[row["learner"]], names[row["set"]]
        mean, full = again.mean(learner, of), again.mean(learner, "full")
        assert cells(row, "metric") == printed(mean, 100)
        assert cells(row, "kept") == printed(mean / full, 100)
        if row["role"] == "baseline":
            assert cells(row, "lead") == printed(again.mean(learner, "summary") - mean, 100)
            assert row["lead_low"] < row["lead_high"]
    verdict = report["verdict"]
    share = again.mean("ae", "summary") / again.mean("ae", "full")
    assert (verdict["value"], verdict["low"], verdict["high"]) == printed(share)
    baseline = verdict["baseline"]
    ahead = share - again.mean("ae", baseline["name"]) / again.mean("ae", "full")
    assert (baseline["ahead"], baseline["ahead_low"], baseline["ahead_high"]) == printed(ahead)
    best = verdict["best_against_best"]
    at_best = again.mean(best["summary_learner"], "summary") / again.mean(best["full_learner"], "full")
    assert (best["value"], best["low"], best["high"]) == printed(at_best)


def test_archive_holds_ids_settings_validation_scores_and_the_arrays_of_the_kind() -> None:
    m = measured()
    rich = replace(m.results[0], tried=(Tried({"lambda": 3.0}, np.arange(5.0)), Tried({"lambda": 4.0}, 0.5)), job="j1")
    stored = np.load(io.BytesIO(archive(replace(m, results=(rich, *m.results[1:])))))
    index = json.loads(str(stored["index"]))
    assert list(stored[index["tests"][0]["ids"]][:2]) == ["u0", "u1"]
    assert list(stored["draws/random-users"]) == [11, 12, 13]
    first = index["results"][0]
    assert (first["learner"], first["set"], first["job"]) == ("popularity", "full", "j1")
    assert first["tried"][0]["settings"] == {"lambda": 3.0}
    assert list(stored[first["tried"][0]["validation"]["array"]]) == [0, 1, 2, 3, 4]
    assert first["tried"][1]["validation"] == {"statistic": "value", "value": 0.5}
    assert index["protocol"] == m.protocol.hash


def test_archive_stores_ratios_and_pooled_metrics_by_their_columns() -> None:
    ones = np.ones(USERS)
    m = measurements({"ae": {}}, users=USERS, results=(
        result("ae", "full", Ratio(2 * ones, ones)),
        result("ae", "summary", Pooled("auc", {"label": np.arange(USERS) % 2, "score": ones})),
    ))  # fmt: skip
    stored = np.load(io.BytesIO(archive(m)))
    ratio, pooled = (r["scores"]["test"]["ndcg@10"] for r in json.loads(str(stored["index"]))["results"])
    assert stored[ratio["numerator"]].sum() / stored[ratio["denominator"]].sum() == 2
    assert pooled["statistic"] == "auc"
    assert stored[pooled["label"]].sum() == USERS // 2


def test_archive_has_the_same_bytes_each_time_and_in_whatever_order_results_come() -> None:
    m = measured()
    assert archive(m) == archive(measured())
    assert archive(replace(m, results=m.results[::-1])) == archive(m)


def test_array_of_a_kind_under_a_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be called index"):
        archive(replace(measured(), arrays={"index": np.ones(1)}))


def test_ids_of_python_objects_need_no_pickle() -> None:
    m = replace(
        measured(), tests=(replace(measured().tests[0], ids=np.array([f"ü{i}" for i in range(USERS)], object)),)
    )
    stored = np.load(io.BytesIO(archive(m)), allow_pickle=False)
    assert stored["ids/test"][7] == "ü7"
