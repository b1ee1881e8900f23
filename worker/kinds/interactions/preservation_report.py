"""What a comparison of samplers says: the verdict, tables and plots of `worker.kinds.interactions.preservation`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worker.contract.learner import learners_of
from worker.evidence.columns import with_interval
from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.looks import HEAD, RANDOM
from worker.evidence.plot import Plot, Series
from worker.evidence.statistics import LEVEL, interval
from worker.evidence.table import Cell, Column, Table
from worker.evidence.verdict import Verdict, beside_cheap
from worker.evidence.wording import number
from worker.kinds.interactions.judge import KIND
from worker.kinds.interactions.preservation import FULL, Zoo
from worker.kinds.interactions.sampling.samplers import SAMPLERS

CHEAP = ("random-users", "random-interactions")
GOOD, FEW = 0.8, 6  # a tau that most would call the same ranking; learners below which tau is coarse


@dataclass(frozen=True)
class Tau:
    """A tau with its 95 % interval. `drawn`: under every resample (R,)."""

    value: float
    drawn: np.ndarray

    @property
    def ends(self) -> tuple[float, float]:
        """The interval, the value itself included: resampled test users shuffle near ties, which lowers every tau."""
        low, high = interval(self.drawn)
        return float(np.fmin(low, self.value)), float(np.fmax(high, self.value))

    def cells(self, key: str) -> dict[str, Cell]:
        """The cells of `with_interval`."""
        low, high = self.ends
        return {key: self.value, f"{key}_low": low, f"{key}_high": high}


@dataclass(frozen=True)
class Compared:
    """The taus of a zoo on the primary metric."""

    zoo: Zoo
    metric: str
    drawn: np.ndarray

    @cached_property
    def _values(self) -> np.ndarray:
        return np.array([self.zoo.tau(sample, self.metric) for sample in self.zoo.samples])

    def of(self, samples: list[int]) -> Tau:
        """The mean tau of some samples, by their positions; those without one are left out."""
        values = self._values[samples]
        known = [at for at, value in zip(samples, values, strict=True) if np.isfinite(value)]
        if not known:
            return Tau(float("nan"), np.full(len(self.drawn), np.nan))
        return Tau(float(np.nanmean(values)), self.drawn[:, known].mean(axis=1))

    def positions(self, sampler: str, percent: float | None = None) -> list[int]:
        """Where samples of a sampler, and of a size, stand."""
        return [
            at
            for at, one in enumerate(self.zoo.samples)
            if one.sampler == sampler and percent in (None, one.percent)
        ]  # fmt: skip

    @cached_property
    def samplers(self) -> list[str]:
        """Samplers by mean tau over all sizes, the best first."""
        names = list(dict.fromkeys(one.sampler for one in self.zoo.samples))
        return sorted(names, key=lambda name: -np.nan_to_num(self.of(self.positions(name)).value, nan=-2.0))

    @property
    def percents(self) -> list[float]:
        """Sizes, the largest first."""
        return sorted({one.percent for one in self.zoo.samples}, reverse=True)


def findings(zoo: Zoo, metric: str, grid: int, warnings: tuple[str, ...], *, resamples: int, seed: int) -> Findings:
    """Lay out what was found. `grid`: settings tried of each learner, 0 for all."""
    compared = Compared(zoo, metric, zoo.taus(metric, resamples=resamples, seed=seed))
    verdict = _verdict(compared)
    label = _metric(metric)
    return Findings(
        kind=KIND,
        unit="user",
        units="users",
        test_units="users",
        n_test=zoo.test_users,
        verdict=verdict,
        headline=_headline(compared, verdict),
        key_figures=_key_figures(compared),
        tables=(_by_sampler(compared), _ranking(compared), _samples(compared)),
        plots=tuple(plot for plot in (_lines(compared), _heat(compared), _means(compared)) if plot.series),
        warnings=(*warnings, *_warnings(zoo)),
        protocol=_protocol(zoo, label, grid),
        lead="tau",
        families={SAMPLERS[name].label: _family(name) for name in compared.samplers},
        metric={"name": metric, "label": label, "unit": "tau", "scale": 1},
        unfinished=zoo.unfinished,
    )


def _verdict(compared: Compared) -> Verdict:
    """Is the best sampler ahead of the best random one? Its mean tau over all sizes is compared, paired."""
    names = compared.samplers
    if not names or not np.isfinite(compared.of(compared.positions(names[0])).value):
        reason = "the learners of the zoo score the same on the full data, so there is no ranking to keep"
        return Verdict("undetermined", f"Undetermined: {reason}.", reasons=(reason,))
    best = names[0]
    mean = compared.of(compared.positions(best))
    low, high = mean.ends
    cheap = next((name for name in names if name in CHEAP), None)
    sizes = compared.percents
    over = f"{sizes[0]:g} %" if len(sizes) == 1 else f"{sizes[-1]:g} to {sizes[0]:g} %"
    said = (
        f"With {over} of the training events, the sampler that keeps the ranking of {len(compared.zoo.learners)} "
        f"recommenders by {_metric(compared.metric)} best is {SAMPLERS[best].label}: "
        f"mean tau {number(mean.value)} [{number(low)}, {number(high)}]"
    )
    details = {"sampler": best, "taus": {name: compared.of(compared.positions(name)).value for name in names}}
    rest: dict[str, object] = {"value": mean.value, "low": low, "high": high, "unit": "tau", "details": details}
    if cheap is None:
        return Verdict("measured", f"{said}; no random sampler was measured beside it.", **rest)
    if cheap == best:
        return Verdict("cheap_pick", f"{said}: no sampler beats a random one here.", **rest)
    other = compared.of(compared.positions(cheap))
    # The best of many flatters itself: all differences together hold at 95 % (Bonferroni).
    level = 1 - (1 - LEVEL) / max(1, len(names) - 1)
    ends = interval(mean.drawn - other.drawn, level)
    status = beside_cheap(*ends)
    between = f"{number(mean.value - other.value)} [{number(ends[0])}, {number(ends[1])}]"
    words = {
        "ahead": f"; {SAMPLERS[cheap].label} have {number(other.value)}, and the difference of {between} is no chance",
        "cheap_would_do": f"; {SAMPLERS[cheap].label} have {number(other.value)}, a difference of {between} that may "
        "be chance: they would do",
    }
    if status not in words:
        status = "cheap_would_do"
    return Verdict(status, f"{said}{words[status]}.", **rest)


def _headline(compared: Compared, verdict: Verdict) -> str:
    if verdict.status == "undetermined":
        return "No ranking to keep"
    smallest = _smallest(compared)
    if smallest is None:
        return f"No sample keeps the ranking (tau below {GOOD:g} even at {compared.percents[0]:g} %)"
    label = SAMPLERS[compared.samplers[0]].label
    if (shown := _smallest(compared, sure=True)) is not None:
        return f"{shown:g} % of the events keep the ranking (tau {GOOD:g} or more, {label})"
    tau = compared.of(compared.positions(compared.samplers[0], smallest))
    low, high = tau.ends
    ends = f"tau {number(tau.value)} [{number(low)}, {number(high)}]"
    return f"{smallest:g} % of the events may keep the ranking, which is not shown ({ends}, {label})"


def _smallest(compared: Compared, *, sure: bool = False) -> float | None:
    """The smallest size in per cent down to which the best sampler's tau, averaged over draws, stays good; `sure`: its
    whole interval does. None if that of no size does.

    Of the best sampler alone: the luckiest of many would look good at any size.
    """
    found = None
    for percent in compared.percents:
        tau = compared.of(compared.positions(compared.samplers[0], percent))
        if (tau.ends[0] if sure else tau.value) < GOOD:
            break
        found = percent
    return found


def _key_figures(compared: Compared) -> tuple[KeyFigure, ...]:
    shown = []
    for name in [*compared.samplers[:1], *(name for name in CHEAP if name in compared.samplers[1:])]:
        mean = compared.of(compared.positions(name))
        low, high = mean.ends
        shown.append(
            KeyFigure(f"mean tau, {SAMPLERS[name].label}", number(mean.value), f"[{number(low)}, {number(high)}]")
        )
    shown.append(KeyFigure("recommenders ranked", number(len(compared.zoo.learners))))
    return tuple(shown)


def _by_sampler(compared: Compared) -> Table:
    """The table of the paper: samplers against sizes, and the mean over sizes of each metric."""
    sizes = compared.percents
    others = [name for name in compared.zoo.metrics if name != compared.metric]
    rows: list[dict[str, Cell]] = []
    for name in compared.samplers:
        row: dict[str, Cell] = {"sampler": SAMPLERS[name].label, "name": name}
        row |= compared.of(compared.positions(name)).cells("mean")
        for percent in sizes:
            row |= compared.of(compared.positions(name, percent)).cells(f"at_{percent:g}")
        taus = {m: [compared.zoo.tau(compared.zoo.samples[at], m) for at in compared.positions(name)] for m in others}
        row |= {f"by_{metric}": float(np.mean(values)) for metric, values in taus.items()}
        rows.append(row)
    return Table(
        "tau",
        f"Kendall's tau between the rankings on a sample and on the full data, by {_metric(compared.metric)}",
        (
            Column("sampler", "Sampler", "text"),
            Column("name", "Name", "text", shown=False),
            *(Column(one.key, one.label, one.kind, one.unit, 2, one.interval, not one.key.startswith("mean_"))
              for one in with_interval("mean", "Mean", "")),
            *(Column(one.key, one.label, one.kind, one.unit, 2, one.interval, one.key == f"at_{percent:g}")
              for percent in sizes for one in with_interval(f"at_{percent:g}", f"{percent:g} %", "")),
            *(Column(f"by_{metric}", f"Mean by {_metric(metric)}", decimals=2, shown=False) for metric in others),
        ),
        tuple(rows),
        note="1: the same order; 0: no relation; -1: the reverse. Means are over all sizes and draws. A learner that "
        "cannot be trained on a sample stands last there.",
        heading="How well samples keep the ranking",
        highlight=(0,) if rows else (),
    )  # fmt: skip


def _ranking(compared: Compared) -> Table:
    zoo = compared.zoo
    values = {metric: zoo.values(FULL, metric) for metric in zoo.metrics}
    order = np.argsort(-np.nan_to_num(values[compared.metric], nan=-1.0), kind="stable")
    rows: list[dict[str, Cell]] = [
        {"rank": rank + 1, "learner": zoo.labels[at]}
        | {metric: 100 * float(values[metric][at]) for metric in zoo.metrics}
        for rank, at in enumerate(order.tolist())
    ]
    return Table(
        "ranking",
        "The zoo on the full data",
        (
            Column("rank", "Rank", decimals=0),
            Column("learner", "Learner", "text"),
            *(Column(metric, _metric(metric), unit="points", shown=at < 4) for at, metric in enumerate(zoo.metrics)),
        ),
        tuple(rows),
        heading="The ranking to keep",
    )


def _samples(compared: Compared) -> Table:
    zoo = compared.zoo
    rows: list[dict[str, Cell]] = []
    for at, sample in enumerate(zoo.samples):
        values = zoo.values(sample.name, compared.metric)
        rows.append(
            {
                "sampler": SAMPLERS[sample.sampler].label,
                "percent": sample.percent,
                "draw": sample.draw,
                "events": sample.events,
                "kept": 100 * sample.events / zoo.events,
                "users": sample.users,
                **compared.of([at]).cells("tau"),
                **{f"of_{name}": 100 * float(value) for name, value in zip(zoo.learners, values, strict=True)},
            }
        )
    return Table(
        "samples",
        "Every sample",
        (
            Column("sampler", "Sampler", "text"),
            Column("percent", "Asked for", unit="% of events", decimals=1),
            Column("draw", "Draw", decimals=0, shown=False),
            Column("events", "Events", unit="events", decimals=0),
            Column("kept", "Kept", unit="% of events", decimals=2, shown=False),
            Column("users", "Users", unit="users", decimals=0),
            Column("tau", "tau", decimals=2, interval=("tau_low", "tau_high")),
            Column("tau_low", "tau, low", decimals=2, shown=False),
            Column("tau_high", "tau, high", decimals=2, shown=False),
            *(
                Column(f"of_{name}", label, unit="points", shown=False)
                for name, label in zip(zoo.learners, zoo.labels, strict=True)
            ),
        ),
        tuple(rows),
        heading="Samples",
        folded=True,
    )


def _lines(compared: Compared) -> Plot:
    shown = list(dict.fromkeys([*compared.samplers[:6], *(name for name in CHEAP if name in compared.samplers)]))
    series = []
    for name in shown:
        taus = [(percent, compared.of(compared.positions(name, percent))) for percent in reversed(compared.percents)]
        taus = [(percent, tau) for percent, tau in taus if np.isfinite(tau.value)]
        series.append(
            Series(
                SAMPLERS[name].label,
                tuple(percent for percent, _ in taus),
                tuple(tau.value for _, tau in taus),
                tuple(tau.ends[0] for _, tau in taus),
                tuple(tau.ends[1] for _, tau in taus),
                (SAMPLERS[name].label,) if name == compared.samplers[0] else (),
            )
        )
    return Plot(
        "tau",
        "How much of the data keeps the ranking",
        "Kendall's tau between the rankings on a sample and on the full data, against the share of events kept; the "
        "six best samplers and the random ones.",
        "line",
        "% of the training events (log scale)",
        "tau",
        tuple(one for one in series if one.x),
        log_x=True,
        n=compared.zoo.test_users,
    )


def _heat(compared: Compared) -> Plot:
    labels = tuple(f"{percent:g} %" for percent in compared.percents)
    return Plot(
        "heat",
        "tau by sampler and size",
        "Kendall's tau of every sampler (rows, the best first) at every size (columns).",
        "heatmap",
        "share of the training events",
        "sampler",
        tuple(
            Series(
                SAMPLERS[name].label,
                labels,
                tuple(compared.of(compared.positions(name, percent)).value for percent in compared.percents),
            )
            for name in compared.samplers
        ),
        n=compared.zoo.test_users,
    )


def _means(compared: Compared) -> Plot:
    names = compared.samplers
    taus = [compared.of(compared.positions(name)) for name in names]
    labels = tuple(SAMPLERS[name].label for name in names)
    return Plot(
        "means",
        "Mean tau of each sampler",
        "Kendall's tau averaged over all sizes, with intervals over test users; random samplers are stressed.",
        "interval",
        "tau",
        "",
        (
            Series(
                "mean over sizes",
                labels,
                tuple(tau.value for tau in taus),
                tuple(tau.ends[0] for tau in taus),
                tuple(tau.ends[1] for tau in taus),
                tuple(SAMPLERS[name].label for name in names if name in CHEAP),
            ),
        ),
        n=compared.zoo.test_users,
    )


def _warnings(zoo: Zoo) -> list[str]:
    said = []
    if len(zoo.learners) < FEW:
        pairs = len(zoo.learners) * (len(zoo.learners) - 1) // 2
        known = ", ".join(learners_of(KIND))
        said.append(
            f"A ranking of {len(zoo.learners)} recommenders has {pairs} pair{'s' * (pairs > 1)}, so tau moves in steps "
            f"of {2 / pairs:.2f}: name more in evaluate.learners ({known})."
        )
    if any(one.events == 0 for one in zoo.samples):
        said.append("Some samples have no events at all.")
    return said


def _protocol(zoo: Zoo, label: str, grid: int) -> str:
    tried = "all of its settings" if not grid else f"at most {grid} of its settings, spread evenly"
    return (
        f"Each of {len(zoo.learners)} learners is tuned on validation users over {tried}, on the full training data "
        f"({number(zoo.events)} events) and on every sample of it, and tested on the same {number(zoo.test_users)} "
        f"users, who are fed their whole histories. tau-b compares the mean {label} of the learners on a sample with "
        "that on the full data. Intervals resample test users, the same for all; a sampler's luck shows only with "
        "several draws. The best sampler is compared with the best random one at a level that holds for all "
        "comparisons together (Bonferroni)."
    )


def _family(name: str) -> str:
    return {"random-users": RANDOM, "random-interactions": RANDOM, "head-users": HEAD}.get(name, f"sampler {name}")


def _metric(name: str) -> str:
    base, _, k = name.partition("@")
    label = {"ndcg": "nDCG", "hr": "HR", "psp": "PSP", "auc_user": "AUC"}.get(base, base)
    return f"{label}@{k}" if k else label
