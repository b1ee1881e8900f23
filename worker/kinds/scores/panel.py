"""The scores of the runs that two stages share, as matrices of runs by benchmarks: what all statistics are over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.scores.attenuation import binomial_variance
from worker.kinds.scores.checks import FEWEST_RUNS
from worker.kinds.scores.clusters import copies
from worker.kinds.scores.dataset import ACCURACY, CONFIDENCE, ScoreTable

MOST_RUNS, MOST_BENCHMARKS = 500, 1000
SHARES = (ACCURACY, "acc_norm", "exact_match", "em", "pass@1")
"""Metrics that are shares of examples, whose noise follows from how many there were; of others a standard error says
it."""


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
    if len(set(pair)) != 2:
        raise JobError(
            "invalid_params",
            f"stage_pair names {pair[0][:80]!r} alone.",
            hint=f"Name two stages, of {listed}.",
            pointer="/params/stage_pair",
        )
    return pair[0], pair[1]


def panels(table: ScoreTable, stages: tuple[str, str], metric: str, ctx: Context) -> list[Panel]:
    """A panel for each scale with at least 3 common runs; raises `JobError` when there is none.

    `metric`: what runs are compared by; "" for accuracy, and of benchmarks without it their only metric, or the first
    by name. Seeds of a run are averaged.
    """
    copied: list[int] = []
    made = [_panel(table, scale, stages, metric, copied, ctx) for scale in table.distinct("scale")]
    found = [one for one in made if one is not None]
    if found:
        return found
    of = f" by {metric!r}" if metric else ""
    less = f"; {sum(copied):,} runs have the very scores of another and are no further runs" if any(copied) else ""
    raise JobError(
        "too_few_rows",
        f"No benchmark has scores{of} of {FEWEST_RUNS} runs at both {stages[0]!r} and {stages[1]!r}{less}.",
        hint="Upload the scores of runs that differ."
        if less
        else f"The metrics are {', '.join(table.distinct('metric')[:20])}; give a run the same name at both stages.",
        pointer="/params/metric" if metric else "/params/stage_pair",
    )


def _panel(
    table: ScoreTable, scale: str, stages: tuple[str, str], metric: str, copied: list[int], ctx: Context
) -> Panel | None:
    """The panel of a scale, None where no benchmark has enough runs; `copied` gets the number of runs left out."""
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
    is_share = np.array([name.partition(",")[0] in SHARES for name in w["metric"]], bool)
    counted = np.where(is_share, table.n_examples, np.nan)
    variance = np.where(np.isfinite(table.stderr), table.stderr**2, binomial_variance(table.value, counted))
    first, second = (_means(table, rows, runs, benchmarks, stage, table.value) for stage in stages)
    noises = [_means(table, rows, runs, benchmarks, stage, variance, of_mean=True) for stage in stages]
    sure = np.flatnonzero(here & (w["metric"] == CONFIDENCE))
    trust = [_means(table, sure, runs, benchmarks, stage, table.value) for stage in stages]
    runs, again = _told_apart(runs, first, second, ctx)
    copied.append(int(again.sum()))
    first, second, *noises = (one[~again] for one in (first, second, *noises))
    trust = [one[~again] for one in trust]
    both = np.isfinite(first) & np.isfinite(second)
    kept = np.greater_equal(both.sum(axis=0), FEWEST_RUNS)
    if left := [name for name, keep in zip(benchmarks, kept, strict=True) if not keep]:
        ctx.warn(
            f"Fewer than {FEWEST_RUNS} runs have both scores of {', '.join(left[:5])}"
            f"{f' and {len(left) - 5} more' if len(left) > 5 else ''}{f' at {scale}' if scale else ''}: left out."
        )
    if not kept.any():
        return None
    if kept.sum() > MOST_BENCHMARKS:
        raise JobError(
            "decoded_too_large",
            f"{int(kept.sum()):,} benchmarks are more than the {MOST_BENCHMARKS:,} that can be compared.",
            hint="Upload means over groups of them, or fewer.",
            pointer="/dataset",
        )
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


def _told_apart(runs: list[str], first: np.ndarray, second: np.ndarray, ctx: Context) -> tuple[list[str], np.ndarray]:
    """The runs that are no copies, and which (M,) are: of the same scores on two benchmarks at least, at both stages.

    On a single benchmark equal scores may be chance: they are said and stay.
    """
    both = np.isfinite(first) & np.isfinite(second)
    again = copies(first, second) & (both.sum(axis=1) > 0)
    if not again.any():
        return runs, again
    named = ", ".join([run for run, copy in zip(runs, again, strict=True) if copy][:5])
    certain = again & (both.sum(axis=1) > 1)
    if certain.any():
        ctx.warn(
            f"{int(certain.sum())} runs have the very scores of another run at both stages and were left out, since a "
            f"copy is no further run: {named}."
        )
    else:
        ctx.warn(
            f"{int(again.sum())} runs have the very scores of another run ({named}): if they are copies of it, the "
            "words are too sure."
        )
    return [run for run, copy in zip(runs, certain, strict=True) if not copy], certain


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
