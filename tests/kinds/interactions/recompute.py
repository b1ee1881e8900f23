"""What a user can compute who has the files of a version and of a report, with numpy alone (pyarrow reads parquet).

Nothing of the service is imported here; the rules are those that the report itself states.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True)
class Version:
    """Canonical files: 0/1 tables (users, items) of each part, and ids."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    users: list[str]

    @classmethod
    def read(cls, folder: Path) -> Version:
        events = parquet.read_table(folder / "interactions.parquet").to_pydict()
        users = parquet.read_table(folder / "users.parquet")["user_id"].to_pylist()
        items = parquet.read_table(folder / "items.parquet")["item_id"].to_pylist()
        user, item, split = (np.array(events[name]) for name in ("user", "item", "split"))
        parts = []
        for code in (TRAIN, VALIDATION, TEST):
            table = np.zeros((len(users), len(items)))
            table[user[split == code], item[split == code]] = 1
            parts.append(table)
        return cls(*parts, users)


@dataclass(frozen=True)
class Stored:
    """`measurements.npz`."""

    arrays: dict[str, np.ndarray]
    index: dict[str, Any]

    @classmethod
    def read(cls, file: Path) -> Stored:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return cls(arrays, json.loads(str(arrays["index"])))

    def results(self, learner: str, name: str) -> list[dict[str, Any]]:
        return [one for one in self.index["results"] if (one["learner"], one["set"]) == (learner, name)]

    def scores(self, result: dict[str, Any], metric: str) -> np.ndarray:
        return self.arrays[result["scores"]["test"][metric]["array"]]


def draw(version: Version, seeds: np.ndarray, count: int) -> np.ndarray:
    """The training rows of a draw of random users."""
    users = np.flatnonzero(version.train.sum(axis=1))
    return version.train[np.random.default_rng(seeds.tolist()).permutation(users)[:count]]


def popularity(rows: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    return np.tile(rows.sum(axis=0), (len(inputs), 1))


def ease(rows: np.ndarray, inputs: np.ndarray, ridge: float) -> np.ndarray:
    """Steck 2019: B = I - P diag(1 / P_jj), P = (X^T X + ridge I)^-1, scores Q B."""
    inverse = np.linalg.inv(rows.T @ rows + ridge * np.eye(rows.shape[1]))
    weights = -inverse / np.diagonal(inverse)
    np.fill_diagonal(weights, 0)
    return inputs @ weights


def ranked(scores: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Items best first, what was fed left out (at the end, score -inf), equal scores by lower item; and the scores."""
    scores = np.where(inputs > 0, -np.inf, scores)
    order = np.argsort(-scores, axis=1, kind="stable")
    return order, np.take_along_axis(scores, order, 1)


def metrics(scores: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    """nDCG@10 and HR@100 of every user, and whether two scores lie so near that rounding may swap them."""
    order, values = ranked(scores, inputs)
    hits = np.take_along_axis(targets, order, 1) * np.isfinite(values)
    sizes = targets.sum(axis=1).astype(int)
    discount = 1 / np.log2(np.arange(2, 12))
    ideal = np.concatenate(([0.0], np.cumsum(discount)))[np.minimum(sizes, 10)]
    with np.errstate(invalid="ignore"):
        gaps = np.abs(np.diff(values, axis=1))
    return {
        "ndcg@10": hits[:, :10] @ discount / ideal,
        "hr@100": hits[:, :100].sum(axis=1) / np.minimum(sizes, 100),
        "near": (gaps < 1e-5 * np.abs(scores).max()).any(axis=1),
    }


def auc(scores: np.ndarray, inputs: np.ndarray, targets: np.ndarray, seed: int) -> np.ndarray:
    """Share of pairs of a target and one of 50 drawn negatives that are in the right order, of every user."""
    drawn = np.random.default_rng(seed).random((len(scores), 50))
    found = []
    for row, fed, wanted, uniform in zip(scores, inputs, targets, drawn, strict=True):
        unused = np.flatnonzero((fed == 0) & (wanted == 0))
        negative = row[unused[(uniform * len(unused)).astype(int)]]
        positive = row[wanted > 0][:, None]
        found.append(((positive > negative) + 0.5 * (positive == negative)).mean())
    return np.array(found)


def resampled(stored: Stored, learner: str, name: str, metric: str) -> tuple[float, np.ndarray]:
    """The mean over draws and users, and the same under every resample, by the rule that the archive states."""
    about = stored.index["bootstrap"]
    seed, resamples = about["seed"], about["resamples"]
    runs = stored.results(learner, name)
    values = np.stack([stored.scores(run, metric) for run in runs], axis=1)
    n = len(values)
    rng = np.random.default_rng([seed, 0])
    weights = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(resamples)])
    of_each = weights @ values / n
    ids = [run["draw"] for run in runs]
    streams = [np.random.default_rng([seed, 2, zlib.crc32(name.encode()), one]) for one in ids]
    lowest = np.stack([stream.random((len(ids), resamples)) for stream in streams]).argmin(axis=0)
    picks = np.stack([(lowest == place).sum(axis=0) for place in range(len(ids))], axis=1)
    return float(values.mean(axis=0).mean()), (of_each * picks).sum(axis=1) / picks.sum(axis=1)


def interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
