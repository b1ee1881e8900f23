"""Data-Genie's model: from what a dataset and a sample of it look like to the tau that the sample will have.

x = [features of the dataset, features of the sample less those, log of the percent kept] -> Linear 32 -> dropout 0.2 ->
ReLU -> Linear, an output for every sampler and metric; Adam (arXiv:2201.04768, section 5 and official code). Two forms:

    regression   tanh(f) is the tau; squared error
    bpr          -log sigmoid(f(better) - f(worse)) over pairs of samplers of one dataset, size and metric

Differences from the official code: it knows which sampler made the sample, and of the sample only how it differs from
the whole; metrics are outputs instead of inputs; the hidden layer is half as wide, Adam's steps three times as large
and fixed in number beforehand (the official epoch is the best on test data). Five trainings from different starts vote;
what they leave open, and how far predictions were off on datasets that were left out, make the interval. Prediction
needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from worker.numerics.npz import write_npz

FILE = Path(__file__).with_name("model.npz")
METRICS = ("ndcg@10", "hr@10", "psp@10", "auc_user")
MODES = ("regression", "bpr")
MEMBERS, HIDDEN, DROPOUT = 5, 32, 0.2
LEARNING_RATE, BETAS, DECAY = 3e-3, (0.9, 0.98), 1e-6
STEPS = 400
COVERED = 0.8  # share of left-out taus that lie in the interval
_CLIP, _LEAST_STD = 4.0, 1e-6
Mode = Literal["regression", "bpr"]
Layers = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Of all M members: (M, inputs, 32), (M, 32), (M, samplers, 32, metrics), (M, samplers, metrics)."""


@dataclass(frozen=True)
class Corpus:
    """Samples whose tau is known. `full` (D, 55): features of the datasets, of which each sample (n,) has one in
    `dataset`; `sampler` (n,): into `samplers`; `percent` (n,), `sample` (n, 55) its features, `tau` (n, metrics)."""

    names: tuple[str, ...]
    samplers: tuple[str, ...]
    full: np.ndarray
    dataset: np.ndarray
    sampler: np.ndarray
    percent: np.ndarray
    sample: np.ndarray
    tau: np.ndarray

    def of(self, datasets: Sequence[int]) -> Corpus:
        """Only the samples of these datasets, which keep their numbers."""
        rows = np.isin(self.dataset, datasets)
        columns = {name: getattr(self, name)[rows] for name in ("dataset", "sampler", "percent", "sample", "tau")}
        return replace(self, **columns)


@dataclass(frozen=True)
class Scale:
    """How features are centred and scaled: by all training samples, and the difference to the whole by itself."""

    mean: np.ndarray
    std: np.ndarray
    shift_mean: np.ndarray
    shift_std: np.ndarray

    @classmethod
    def of(cls, corpus: Corpus) -> Scale:
        """From training samples: their features then have mean 0 and standard deviation 1 (0 where all are equal)."""
        shift = corpus.sample - corpus.full[corpus.dataset]
        return cls(corpus.sample.mean(0), _std(corpus.sample), shift.mean(0), _std(shift))

    def scaled(self, features: np.ndarray) -> np.ndarray:
        """Features (n, 55) of datasets or samples in standard deviations."""
        return (features - self.mean) / self.std

    def inputs(self, full: np.ndarray, sample: np.ndarray, percent: np.ndarray) -> np.ndarray:
        """What the network sees (n, 55 + 55 + 1) float32; features are cut off at 4 standard deviations."""
        shift = (sample - full - self.shift_mean) / self.shift_std
        size = np.log10(np.asarray(percent, np.float64) / 10)[:, None]
        whole = np.clip(self.scaled(full), -_CLIP, _CLIP)
        return np.concatenate((whole, np.clip(shift, -_CLIP, _CLIP), size), axis=1).astype(np.float32)


def _std(values: np.ndarray) -> np.ndarray:
    std = values.std(axis=0)
    return np.where(std > _LEAST_STD, std, np.inf)  # what never varies says nothing


@dataclass(frozen=True)
class Genie:
    """A trained model. `weights`: by mode; `homes` (D, 55): scaled features of
    the datasets it has seen, and `reach`, the distance to the nearest of them beyond which a dataset is unlike all.

    `percents` (P,) rising and `spread` (P,): at samples of that size, 80 % of the taus of left-out datasets lay that
    near to the prediction. `zoo`, `names`: learners and datasets of the corpus.
    """

    samplers: tuple[str, ...]
    scale: Scale
    weights: dict[Mode, Layers]
    homes: np.ndarray
    reach: float
    percents: np.ndarray
    spread: np.ndarray
    zoo: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def scores(
        self, mode: Mode, full: np.ndarray, sample: np.ndarray, sampler: np.ndarray, percent: np.ndarray
    ) -> np.ndarray:
        """Each member's output before tanh, (members, n, metrics), for samples of datasets `full` (n, 55) or (55,)."""
        x = self.scale.inputs(np.broadcast_to(full, sample.shape), sample, percent)
        first, bias, second, last = self.weights[mode]
        hidden = np.maximum(np.einsum("nx,mxh->mnh", x, first) + bias[:, None], 0)
        return np.einsum("mnh,mnho->mno", hidden, second[:, sampler]) + last[:, sampler]

    def tau(self, full: np.ndarray, sample: np.ndarray, sampler: np.ndarray, percent: np.ndarray) -> np.ndarray:
        """Predicted tau (n, metrics) in [-1, 1]: the mean over members."""
        return np.tanh(self.scores("regression", full, sample, sampler, percent)).mean(axis=0)

    def disagreement(
        self, full: np.ndarray, sample: np.ndarray, sampler: np.ndarray, percent: np.ndarray
    ) -> np.ndarray:
        """Standard deviation (n, metrics) of the members' taus."""
        return np.tanh(self.scores("regression", full, sample, sampler, percent)).std(axis=0)

    def half_width(self, percent: np.ndarray) -> np.ndarray:
        """Half of the 80 % interval (n,) at samples of these sizes."""
        return np.interp(np.log(percent), np.log(self.percents), self.spread)

    def distance(self, full: np.ndarray) -> float:
        """How far a dataset's features (55,) are from those of the nearest dataset that the model has seen."""
        return float(distances(self.scale.scaled(full)[None], self.homes).min())

    def unlike(self, full: np.ndarray) -> bool:
        """Whether a dataset is farther from all that was seen than any of those from the others."""
        return self.distance(full) > self.reach

    def write(self, file: Path) -> None:
        """Write it as npz; equal models give equal bytes."""
        arrays: dict[str, np.ndarray] = {
            name: getattr(self.scale, name) for name in ("mean", "std", "shift_mean", "shift_std")
        }
        for mode, layers in self.weights.items():
            arrays |= {f"{mode}_{number}": layer.astype(np.float32) for number, layer in enumerate(layers)}
        for name in ("homes", "percents", "spread"):
            arrays[name] = getattr(self, name)
        arrays["reach"] = np.array(self.reach)
        arrays |= {name: np.array(getattr(self, name), dtype=str) for name in ("samplers", "zoo", "names")}
        write_npz(file, arrays)

    @classmethod
    def read(cls, file: Path = FILE) -> Genie:
        """The model back from its file."""
        with np.load(file, allow_pickle=False) as stored:
            scale = Scale(*(stored[name] for name in ("mean", "std", "shift_mean", "shift_std")))
            weights = {mode: tuple(stored[f"{mode}_{number}"] for number in range(4)) for mode in MODES}
            texts = {name: tuple(stored[name].tolist()) for name in ("samplers", "zoo", "names")}
            return cls(
                texts["samplers"], scale, weights, stored["homes"], float(stored["reach"]), stored["percents"],
                stored["spread"], texts["zoo"], texts["names"],
            )  # fmt: skip


@cache
def shipped() -> Genie:
    """The model that comes with the package."""
    return Genie.read()


def distances(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Root mean square difference of features (n, m)."""
    return np.sqrt(np.square(np.clip(one, -10, 10)[:, None] - np.clip(others, -10, 10)[None]).mean(axis=2))
