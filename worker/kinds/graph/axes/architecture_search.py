"""Does the condensed graph choose the same architecture as the whole one? A grid of APPNP, as in GC4NC, smaller.

Every architecture is trained on both; they are ranked by validation accuracy on the original graph. What counts is the
test accuracy, after training on the WHOLE graph, of the one that the condensed graph chose.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.stats import kendalltau, pearsonr

from worker.contract.context import Context
from worker.evidence.table import Column, Table
from worker.kinds.graph.held import Held
from worker.kinds.graph.networks.appnp import APPNP
from worker.kinds.graph.networks.fitting import Schedule, fit, seeded
from worker.kinds.graph.training_graph import TrainingGraph

STEPS, HIDDEN, ALPHA = (2, 4, 10), (16, 64, 256), (0.1, 0.2)


@dataclass(frozen=True)
class Architecture:
    """`steps` of propagation, `hidden` features, `alpha` of the restart."""

    steps: int
    hidden: int
    alpha: float


@dataclass(frozen=True)
class Tried:
    """Accuracy on validation and test nodes, and the seconds of one training."""

    validation: float
    test: float
    seconds: float


GRID = tuple(Architecture(*one) for one in product(STEPS, HIDDEN, ALPHA))


def search(
    graph: TrainingGraph, grid: Sequence[Architecture], validation: Held, test: Held, epochs: int, ctx: Context
) -> list[Tried]:
    """Every architecture trained once on a graph."""
    found = []
    for number, one in enumerate(grid):
        with ctx.part(f"architecture {number}", number, len(grid), seed=ctx.seed) as part:
            point = part.restore()
            if point is not None and point.done:
                found.append(Tried(**point.state))
                continue
            started = time.perf_counter()
            with seeded(part.seed, ctx.device):
                network = APPNP(
                    int(graph.x.shape[1]), graph.n_classes, one.hidden, 0.0, steps=one.steps, alpha=one.alpha
                )
                model = fit(network, graph, Schedule(epochs), validation, part)
            seconds = time.perf_counter() - started
            scores = [float((model.predict(held) == held.y).mean()) for held in (validation, test)]
            found.append(Tried(scores[0], scores[1], seconds))
            part.finish({}, {"validation": scores[0], "test": scores[1], "seconds": seconds})
    return found


def table(grid: Sequence[Architecture], whole: Sequence[Tried], made: Sequence[Tried]) -> Table:
    """Every architecture with its accuracies, and in the note what the search comes to."""
    v_whole, v_made = np.array([t.validation for t in whole]), np.array([t.validation for t in made])
    tau, rho = _correlation(v_whole, v_made)
    chosen, best = int(v_made.argmax()), int(v_whole.argmax())
    ratio = sum(t.seconds for t in whole) / max(1e-9, sum(t.seconds for t in made))
    rows = tuple(
        {
            "steps": one.steps, "hidden": one.hidden, "alpha": one.alpha,
            "whole": 100 * a.validation, "condensed": 100 * b.validation, "test": 100 * a.test,
        }
        for one, a, b in zip(grid, whole, made, strict=True)
    )  # fmt: skip
    return Table(
        "architectures",
        "Architectures (APPNP) by validation accuracy when trained on the whole graph and on the condensed one",
        (
            Column("steps", "Steps", decimals=0),
            Column("hidden", "Hidden", decimals=0),
            Column("alpha", "Restart", decimals=1),
            Column("whole", "Validation, whole graph", unit="points"),
            Column("condensed", "Validation, condensed", unit="points"),
            Column("test", "Test, whole graph", unit="points"),
        ),
        rows,
        note=f"Kendall's tau-b of the two validation columns {tau}, Pearson's correlation {rho}, one training each. "
        f"The condensed graph chooses {_name(grid[chosen])}, which reaches {100 * whole[chosen].test:.1f} points on "
        f"test after training on the whole graph; the whole graph chooses {_name(grid[best])}, "
        f"{100 * whole[best].test:.1f}. Searching on the whole graph took {ratio:.1f} times as long here.",
        heading="Architecture search",
        highlight=tuple(dict.fromkeys((chosen, best))),
    )


def _correlation(first: np.ndarray, second: np.ndarray) -> tuple[str, str]:
    if len(first) < 3 or not first.std() or not second.std():
        return "undefined", "undefined"
    return f"{kendalltau(first, second).statistic:.2f}", f"{pearsonr(first, second).statistic:.2f}"


def _name(one: Architecture) -> str:
    return f"{one.steps} steps, {one.hidden} hidden, restart {one.alpha}"
