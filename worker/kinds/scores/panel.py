"""The scores of the runs that two stages share, as matrices of runs by benchmarks: what all statistics are over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.scores.attenuation import binomial_variance
from worker.kinds.scores.checks import FEWEST_RUNS
from worker.kinds.scores.dataset import ACCURACY, CONFIDENCE, ScoreTable

MOST_RUNS = 500


@dataclass(frozen=True)
class Panel:
    """One scale of models. `runs` (M), `benchmarks` (K); `first`, `second`: scores (M, K) at the two stages, NaN where
    one is missing; `noise_first`, `noise_second`: variances of their measurement, NaN where unknown;
    `confidence_first`, `confidence_second`: mean confidence (M, K), NaN where unknown; by benchmark the `metrics` and
    `categories`, by run the `mixtures`, "" where not said.
    """

    scale: str
    runs: tuple[str, ...]
    benchmarks: tuple[str, ...]
    metrics: tuple[str, ...]
    categories: tuple[str, ...]
    mixtures: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    noise_first: np.ndarray
    noise_second: np.ndarray
    confidence_first: np.ndarray
    confidence_second: np.ndarray

    def common(self, benchmark: int) -> np.ndarray:
        """Runs with both scores of a benchmark."""
        return np.flatnonzero(np.isfinite(self.first[:, benchmark]) & np.isfinite(self.second[:, benchmark]))

    def suite(self, category: str) -> np.ndarray:
        """Benchmarks of a category; all for ""."""
        return np.array([at for at, one in enumerate(self.categories) if category in ("", one)], np.int64)


def stages_of(table: ScoreTable, pair: Sequence[str]) -> tuple[str, str]:
    """The two stages to compare; raises `JobError` when the table has more and none were named, or lacks one."""
    listed = ", ".join(repr(stage) for stage in table.stages[:20])
    if not pair:
        if len(table.stages) == 2:
            return table.stages[0], table.stages[1]
        raise JobError(
            "invalid_params",
            f"The table has {len(table.stages)} stages ({listed}), and the job does not say which two to compare.",
            hint=f'Name two of them, as in stage_pair=["{table.stages[0]}", "{table.stages[-1]}"].',
            pointer="/params/stage_pair",
        )
    for stage in pair:
        if stage not in table.stages:
            raise JobError(
                "invalid_params",
                f"The table has no stage {stage[:80]!r}; its stages are {listed}.",
                hint="Name two of these.",
                pointer="/params/stage_pair",
            )
    if pair[0] == pair[1]:
        raise JobError(
            "invalid_params", "Both stages of stage_pair are the same.", hint="Name two.", pointer="/params/stage_pair"
        )
    return pair[0], pair[1]


def panels(table: ScoreTable, stages: tuple[str, str], metric: str, ctx: Context) -> list[Panel]:
    """A panel for each scale with at least 3 common runs; raises `JobError` when there is none.

    `metric`: what runs are compared by; "" for accuracy, and of benchmarks without it their only metric, or the first
    by name. Seeds of a run are averaged.
    """
    found = [one for scale in table.distinct("scale") if (one := _panel(table, scale, stages, metric, ctx)) is not None]
    if found:
        return found
    of = f" by {metric!r}" if metric else ""
    raise JobError(
        "too_few_rows",
        f"No benchmark has scores{of} of {FEWEST_RUNS} runs at both {stages[0]!r} and {stages[1]!r}.",
        hint=f"The metrics are {', '.join(table.distinct('metric')[:20])}; give a run the same name at both stages.",
        pointer="/params/metric" if metric else "/params/stage_pair",
    )


def _panel(table: ScoreTable, scale: str, stages: tuple[str, str], metric: str, ctx: Context) -> Panel | None:
    w = table.words
    here = (w["scale"] == scale) & np.isin(w["stage"], stages)
    chosen = _metrics(table, here, metric, ctx)
    wanted = np.array([chosen.get(name) for name in w["benchmark"]], object) == w["metric"]
    rows = np.flatnonzero(here & wanted)
    runs = sorted(set(w["run"][rows].tolist()))
    if len(runs) > MOST_RUNS:
        raise JobError(
            "decoded_too_large",
            f"{len(runs):,} runs are more than the {MOST_RUNS:,} that can be compared.",
            hint="Average repeated runs, or upload fewer.",
            pointer="/dataset",
        )
    benchmarks = sorted(chosen)
    variance = np.where(np.isfinite(table.stderr), table.stderr**2, binomial_variance(table.value, table.n_examples))
    first, second = (_means(table, rows, runs, benchmarks, stage, table.value) for stage in stages)
    noises = [_means(table, rows, runs, benchmarks, stage, variance, of_mean=True) for stage in stages]
    sure = np.flatnonzero(here & (w["metric"] == CONFIDENCE))
    trust = [_means(table, sure, runs, benchmarks, stage, table.value) for stage in stages]
    both = np.isfinite(first) & np.isfinite(second)
    kept = np.greater_equal(both.sum(axis=0), FEWEST_RUNS)
    if left := [name for name, keep in zip(benchmarks, kept, strict=True) if not keep]:
        ctx.warn(
            f"Fewer than {FEWEST_RUNS} runs have both scores of {', '.join(left[:5])}"
            f"{f' and {len(left) - 5} more' if len(left) > 5 else ''}{f' at {scale}' if scale else ''}: left out."
        )
    if not kept.any():
        return None
    there = np.any(both[:, kept], axis=1)
    if missing := [run for run, keep in zip(runs, there, strict=True) if not keep]:
        ctx.warn(f"{len(missing)} runs have scores at one stage alone and were left out: {', '.join(missing[:5])}.")
    category = dict(zip(w["benchmark"], w["category"], strict=True))
    mixture = dict(zip(w["run"], w["mixture"], strict=True))
    at = np.ix_(there, kept)
    names = [name for name, keep in zip(benchmarks, kept, strict=True) if keep]
    left_runs = [run for run, keep in zip(runs, there, strict=True) if keep]
    return Panel(
        scale,
        tuple(left_runs),
        tuple(names),
        tuple(chosen[name] for name in names),
        tuple(category[name] for name in names),
        tuple(mixture[run] for run in left_runs),
        *(one[at] for one in (first, second, *noises, *trust)),
    )


def _metrics(table: ScoreTable, here: np.ndarray, metric: str, ctx: Context) -> dict[str, str]:
    """The metric of each benchmark that is judged."""
    of: dict[str, set[str]] = {}
    for benchmark, name in zip(table.words["benchmark"][here], table.words["metric"][here], strict=True):
        of.setdefault(benchmark, set()).add(name)
    if metric:
        return {benchmark: metric for benchmark, names in of.items() if metric in names}
    chosen: dict[str, str] = {}
    for benchmark, names in sorted(of.items()):
        others = sorted(names - {CONFIDENCE})
        if not others:
            continue
        chosen[benchmark] = ACCURACY if ACCURACY in others else others[0]
        if ACCURACY not in others and len(others) > 1:
            ctx.warn(f"{benchmark} has no accuracy and was judged by {others[0]} (of {', '.join(others[:5])}).")
    return chosen


def _means(
    table: ScoreTable, rows: np.ndarray, runs: Sequence[str], benchmarks: Sequence[str], stage: str,
    values: np.ndarray, *, of_mean: bool = False,
) -> np.ndarray:  # fmt: skip
    """Means over seeds (M, K); `of_mean`: `values` are variances, and what is wanted is that of the mean."""
    at_run = {name: at for at, name in enumerate(runs)}
    at_benchmark = {name: at for at, name in enumerate(benchmarks)}
    total, count = np.zeros((len(runs), len(benchmarks))), np.zeros((len(runs), len(benchmarks)))
    w = table.words
    for row in rows:
        place = at_run.get(str(w["run"][row])), at_benchmark.get(str(w["benchmark"][row]))
        if w["stage"][row] == stage and place[0] is not None and place[1] is not None:
            total[place] += values[row]
            count[place] += 1
    with np.errstate(divide="ignore", invalid="ignore"):
        return total / (count * count if of_mean else count)
