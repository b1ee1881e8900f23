"""All that is computed of two stages: every benchmark, every suite, every mixture and every run, at every scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from worker.contract.context import Context
from worker.kinds.scores import alignment
from worker.kinds.scores.attenuation import Attenuation, correct, reliability
from worker.kinds.scores.clusters import inflation
from worker.kinds.scores.correlation import STATISTICS, midranks, pearson, plain
from worker.kinds.scores.decisions import Decision, decide
from worker.kinds.scores.intervals import Interval, interval, resamples_of
from worker.kinds.scores.panel import Panel
from worker.kinds.scores.permutation import p_value
from worker.kinds.scores.suites import Estimate, Suite, suite
from worker.kinds.scores.words import Judged, Rule, judge


@dataclass(frozen=True)
class Transfer:
    """A benchmark at a scale: scores (m,) of the runs with both, correlations by name, that of confidence, p-value of
    no relation, what noise hides, and the decision it would lead to. `judged` is known once all of a table are there.
    """

    scale: str
    benchmark: str
    metric: str
    category: str
    runs: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    noise: tuple[np.ndarray, np.ndarray]
    correlations: dict[str, Interval]
    confidence: Interval | None
    p: float
    attenuation: Attenuation
    decision: Decision | None
    judged: Judged


@dataclass(frozen=True)
class Mixture:
    """Runs of one mixture at a scale: mean of Pearson's r over benchmarks, among these runs alone."""

    scale: str
    mixture: str
    runs: int
    benchmarks: int
    transfer: Estimate


@dataclass(frozen=True)
class Run:
    """A run at a scale: its mean rank over benchmarks at both stages, 1 the best, and its alignment."""

    scale: str
    run: str
    mixture: str
    rank_first: float
    rank_second: float
    aligned_first: float
    aligned_second: float


@dataclass(frozen=True)
class Found:
    """Everything, in the order of scales and benchmarks."""

    panels: tuple[Panel, ...]
    transfers: tuple[Transfer, ...]
    suites: tuple[Suite, ...]
    mixtures: tuple[Mixture, ...]
    runs: tuple[Run, ...]


def compare(
    panels: Sequence[Panel], rule: Rule, ctx: Context, *, lower_is_better: Sequence[str], resamples: int,
    permutations: int,
) -> Found:  # fmt: skip
    """Compare the two stages of some panels. Words are given over all scales together."""
    transfers: list[Transfer] = []
    suites: list[Suite] = []
    mixtures: list[Mixture] = []
    runs: list[Run] = []
    for at, panel in enumerate(panels):
        with ctx.part(f"scale {panel.scale}", at, len(panels), label=panel.scale or "correlations") as part:
            weights = resamples_of(len(panel.runs), resamples, part.rng)
            found = [
                _transfer(panel, k, weights, part, lower_is_better, permutations) for k in range(len(panel.benchmarks))
            ]
            transfers += found
            suites += _suites(panel, found, weights, part)
            mixtures += _mixtures(panel, weights)
            runs += _runs(panel, lower_is_better)
    of = {name: [one.correlations[name] for one in transfers] for name in STATISTICS}
    words = judge(of["pearson"], of["spearman"], [one.p for one in transfers], rule)
    judged = [replace(one, judged=word) for one, word in zip(transfers, words, strict=True)]
    return Found(tuple(panels), tuple(judged), tuple(suites), tuple(mixtures), tuple(runs))


def _transfer(
    panel: Panel, k: int, weights: np.ndarray, ctx: Context, lower_is_better: Sequence[str], permutations: int
) -> Transfer:
    rows = panel.common(k)
    first, second = panel.first[rows, k], panel.second[rows, k]
    correlations: dict[str, Interval] = {}

    def tick() -> None:
        ctx.progress(k, len(panel.benchmarks), phase="correlations")

    groups = [panel.mixtures[row] for row in rows]
    for name in STATISTICS:
        compared = (first, second) if name == "pearson" else (midranks(first), midranks(second))
        correlations[name] = interval(name, first, second, weights[:, rows], tick, inflation(*compared, groups))
    noise = panel.noise_first[rows, k], panel.noise_second[rows, k]
    sure = np.isfinite(panel.confidence_first[:, k]) & np.isfinite(panel.confidence_second[:, k])
    confidence = None
    if sure.sum() > 2:
        trust = panel.confidence_first[sure, k], panel.confidence_second[sure, k]
        groups = [panel.mixtures[row] for row in np.flatnonzero(sure)]
        confidence = interval("pearson", *trust, weights[:, sure], tick, inflation(*trust, groups))
    return Transfer(
        panel.scale,
        panel.benchmarks[k],
        panel.metrics[k],
        panel.categories[k],
        tuple(panel.runs[row] for row in rows),
        first,
        second,
        noise,
        correlations,
        confidence,
        p_value(first, second, permutations, ctx.seed, tick),
        correct(correlations["pearson"].value, reliability(first, noise[0]), reliability(second, noise[1])),
        decide(first, second, higher_is_better=panel.metrics[k] not in lower_is_better),
        Judged("undetermined", math.nan, math.nan),
    )


def _suites(panel: Panel, found: Sequence[Transfer], weights: np.ndarray, ctx: Context) -> list[Suite]:
    accuracy = np.array([one.correlations["pearson"].value for one in found])
    drawn = np.stack([one.correlations["pearson"].drawn for one in found], axis=1)
    trust = np.array([np.nan if one.confidence is None else one.confidence.value for one in found])
    unknown = np.full(len(weights), np.nan)
    drawn_trust = np.stack([unknown if one.confidence is None else one.confidence.drawn for one in found], axis=1)
    categories = sorted(set(panel.categories) - {""})
    names = ["", *categories] if len(categories) > 1 or (categories and "" in panel.categories) else [""]
    return [suite(panel, name, drawn, drawn_trust, accuracy, trust, weights, ctx) for name in names]


def _mixtures(panel: Panel, weights: np.ndarray) -> list[Mixture]:
    out: list[Mixture] = []
    for mixture in sorted(set(panel.mixtures) - {""}):
        members = np.array([one == mixture for one in panel.mixtures])
        values: list[float] = []
        drawn: list[np.ndarray] = []
        for k in range(len(panel.benchmarks)):
            rows = np.flatnonzero(members & np.isfinite(panel.first[:, k]) & np.isfinite(panel.second[:, k]))
            if len(rows) < 3:
                continue
            values.append(plain(pearson, panel.first[rows, k], panel.second[rows, k]))
            drawn.append(pearson(panel.first[rows, k], panel.second[rows, k], weights[:, rows]))
        known = [at for at, value in enumerate(values) if math.isfinite(value)]
        runs = int(members.sum())
        transfer = Estimate(math.nan, reason="fewer than 3 runs, or their scores are constant")
        if known:
            of_draws = np.stack([drawn[at] for at in known]).mean(axis=0)
            transfer = Estimate.of(float(np.mean([values[at] for at in known])), of_draws, runs)
        out.append(Mixture(panel.scale, mixture, runs, len(known), transfer))
    return out


def _runs(panel: Panel, lower_is_better: Sequence[str]) -> list[Run]:
    ranks = [_mean_ranks(panel, scores, lower_is_better) for scores in (panel.first, panel.second)]
    aligned = (
        alignment.alignment(panel.first, panel.confidence_first),
        alignment.alignment(panel.second, panel.confidence_second),
    )
    return [
        Run(panel.scale, name, panel.mixtures[at], *(float(one[at]) for one in (*ranks, *aligned)))
        for at, name in enumerate(panel.runs)
    ]


def _mean_ranks(panel: Panel, scores: np.ndarray, lower_is_better: Sequence[str]) -> np.ndarray:
    """Mean rank of every run (M,) over benchmarks on which all runs have a score; NaN where there is none."""
    ranks = [
        midranks(scores[:, k] if metric in lower_is_better else -scores[:, k])
        for k, metric in enumerate(panel.metrics)
        if len(panel.common(k)) == len(panel.runs)
    ]
    return np.mean(ranks, axis=0) if ranks else np.full(len(panel.runs), np.nan)
