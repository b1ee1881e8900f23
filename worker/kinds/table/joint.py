"""Rows as a teacher sees them: encoded features beside the leaves of boosted trees, and random features of both.

The teacher is gradient boosting, trained once on the training part. What every one of its trees says of a row is a
feature that knows the label; beside the encoding, each block at unit mean squared norm, it makes a space in which near
rows are alike both in what they are and in what follows from it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from worker.contract.context import Context, seed_of
from worker.kinds.table.dataset import Rows, Table
from worker.kinds.table.predictor import of_sklearn

TREES, FEATURES = 60, 300
_STEP = 10  # trees between two reports of progress


def joint(data: Table, ctx: Context) -> np.ndarray:
    """The training rows in the joint space (t, D + leaves) float32."""
    rows = data.train if data.classification else standardised(data.train, np.arange(len(data.train)))
    return space_of(rows.x, boosted(rows, data.classification, ctx))


def standardised(rows: Rows, by: np.ndarray) -> Rows:
    """Rows with numbers to predict at mean 0 and variance 1 over the rows `by`: what penalties and first
    guesses of proxies are made for, and what 32 bits hold of every tree."""
    mean, spread = float(rows.y[by].mean()), float(rows.y[by].std()) or 1.0
    return replace(rows, y=(rows.y - mean) / spread)


def space_of(x: np.ndarray, teacher: object) -> np.ndarray:
    """Encoded rows (n, D) beside what each of a teacher's trees says of them."""
    return np.column_stack([_unit(x), _unit(leaves(teacher, x))])


def opinion(teacher: object, x: np.ndarray, classes: int) -> np.ndarray:
    """What a teacher says of rows: probabilities (n, C), of the second class alone (n, 1) where there are two, or
    numbers (n, 1)."""
    said = of_sklearn(teacher, classes)(x)
    return said[:, None] if not classes else said[:, 1:] if classes == 2 else said


def boosted(rows: Rows, classification: bool, ctx: Context) -> object:
    """Gradient boosting of `TREES` trees a class, fitted in steps between which it can be stopped."""
    kind = HistGradientBoostingClassifier if classification else HistGradientBoostingRegressor
    model = kind(
        learning_rate=0.1,
        early_stopping=False,
        warm_start=True,
        max_bins=63,
        random_state=seed_of(ctx.seed, "teacher") % 2**32,
    )
    for done in range(_STEP, TREES + 1, _STEP):
        ctx.progress(done - _STEP, TREES, phase="teacher")
        model.set_params(max_iter=done).fit(rows.x, rows.y, sample_weight=rows.weight)
    return model


def leaves(model: object, x: np.ndarray) -> np.ndarray:
    """What every tree adds for every row (n, trees) float32; for several classes (n, trees x classes)."""
    staged = getattr(model, "staged_decision_function", None) or model.staged_predict
    stages = np.stack([np.asarray(stage, np.float32).reshape(len(x), -1) for stage in staged(x)], axis=1)
    return np.diff(stages, axis=1, prepend=stages[:, :1] * 0).reshape(len(x), -1)


def _unit(block: np.ndarray) -> np.ndarray:
    """A block of columns, centred, at unit mean squared norm."""
    centred = block - block.mean(axis=0)
    norm = float(np.sqrt(np.einsum("nd,nd->n", centred, centred).mean(dtype=np.float64)))
    return (centred / max(norm, 1e-12)).astype(np.float32)


def random_features(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random Fourier features (n, FEATURES) of a Gaussian kernel whose width is the median distance of rows (Rahimi
    and Recht 2007)."""
    some = points[rng.permutation(len(points))[:500]]
    square = np.einsum("nd,nd->n", some, some)
    distances = square[:, None] + square[None, :] - 2 * some @ some.T
    width = float(np.sqrt(max(np.median(distances), 1e-12)))
    frequencies = rng.standard_normal((points.shape[1], FEATURES)).astype(np.float32) / width
    phases = (rng.random(FEATURES) * 2 * np.pi).astype(np.float32)
    out = points @ frequencies
    out += phases
    np.cos(out, out=out)
    return out * np.float32(np.sqrt(2 / FEATURES))
