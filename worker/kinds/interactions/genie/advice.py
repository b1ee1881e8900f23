"""What Data-Genie answers: samplers ranked at every size with the tau that it expects, and whether to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.evidence.columns import with_interval
from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.looks import HEAD, RANDOM
from worker.evidence.plot import Plot, Series
from worker.evidence.table import Cell, Column, Table
from worker.evidence.verdict import Verdict
from worker.evidence.wording import number
from worker.kinds.interactions.genie.model import METRICS, Genie, Mode
from worker.kinds.interactions.sampling.samplers import SAMPLERS

GOOD = 0.8
EPOCHS = 50  # of SVP-CF's proxies where a job names none
PAIRS = (
    " The rank comes from a model of which of two samplers is better, the tau from another one: where a lower rank has "
    "the higher tau the two disagree, and neither is sure."
)
RANDOM_EVENTS = "random-interactions"
LABELS = {"ndcg@10": "nDCG@10", "hr@10": "HR@10", "psp@10": "PSP@10", "auc_user": "AUC, per user"}


@dataclass(frozen=True)
class Candidate:
    """A sample that was looked at: what of, how large, its `features` (55,)."""

    sampler: str
    percent: float
    events: int
    features: np.ndarray


@dataclass(frozen=True)
class Expected:
    """What the model says of a candidate: tau in the middle of an 80 % interval; `score` is what ranks it; `beats`: the
    probability that it is better than random events at its size, None where those were not looked at."""

    candidate: Candidate
    tau: float
    low: float
    high: float
    score: float
    beats: float | None


def expectations(
    model: Genie, whole: np.ndarray, looked: Sequence[Candidate], metric: str, mode: Mode
) -> list[Expected]:
    """Candidates with their predictions, larger sizes first, within a size the best first."""
    column = METRICS.index(metric)
    sample = np.stack([one.features for one in looked])
    sampler = np.array([model.samplers.index(one.sampler) for one in looked])
    percent = np.array([one.percent for one in looked])
    tau = model.tau(whole, sample, sampler, percent)[:, column]
    doubt = model.disagreement(whole, sample, sampler, percent)[:, column]
    half = np.maximum(
        model.half_width(percent), 1.3 * doubt
    )  # 80 % of a normal distribution lies within 1.3 deviations
    duel = model.scores("bpr", whole, sample, sampler, percent)[:, :, column]
    score = tau if mode == "regression" else duel.mean(axis=0)
    found = []
    for at, one in enumerate(looked):
        rival = [b for b, other in enumerate(looked) if (other.sampler, other.percent) == (RANDOM_EVENTS, one.percent)]
        beats = float((1 / (1 + np.exp(duel[:, rival[0]] - duel[:, at]))).mean()) if rival else None
        low, high = max(-1.0, tau[at] - half[at]), min(1.0, tau[at] + half[at])
        found.append(Expected(one, float(tau[at]), float(low), float(high), float(score[at]), beats))
    return sorted(found, key=lambda one: (-one.candidate.percent, -one.score, one.candidate.sampler))


def findings(
    model: Genie,
    whole: np.ndarray,
    looked: Sequence[Candidate],
    metric: str,
    mode: Mode,
    *,
    events: int,
    epochs: int = EPOCHS,
    warnings: tuple[str, ...] = (),
) -> Findings:
    """Lay out the advice. `epochs`: of the proxies of SVP-CF, with which the samples were drawn."""
    found = expectations(model, whole, looked, metric, mode)
    unlike = model.unlike(whole)
    first = {one.candidate.percent: one for one in reversed(found)}
    best = [first[percent] for percent in sorted(first, reverse=True)]
    said = list(warnings)
    if unlike:
        said.append(
            f"This dataset is unlike all {len(model.names)} that the model has learned from (distance "
            f"{model.distance(whole):.2f}, beyond {model.reach:.2f}): what it predicts here is a guess."
        )
    return Findings(
        kind="interactions",
        unit="user",
        units="users",
        test_units="samples looked at",
        n_test=len(looked),
        verdict=_verdict(model, best, metric, unlike),
        headline=_headline(best, unlike),
        because="Predicted from the shape of the data by a model trained on other datasets; nothing was measured here.",
        key_figures=tuple(_key_figure(one) for one in best),
        tables=(_ranked(found, metric, mode, epochs),),
        plots=(_curves(found, best, metric),),
        warnings=tuple(said),
        protocol=_protocol(model, mode),
        lead="expected",
        families={
            SAMPLERS[name].label: _family(name) for name in dict.fromkeys(one.candidate.sampler for one in found)
        },
        metric={"name": metric, "label": LABELS[metric], "unit": "tau", "scale": 1},
        footnote="Predictions, not measurements. Square brackets are 80\u202f% intervals, from datasets left out.",
        more={
            "advice": {
                "unlike": unlike,
                "distance": model.distance(whole),
                "reach": model.reach,
                "events": events,
                "best": [_job(one, epochs) for one in best],
            }
        },
    )


def _key_figure(one: Expected) -> KeyFigure:
    tau = f"tau {number(one.tau)} [{number(one.low)}, {number(one.high)}]"
    return KeyFigure(f"at {one.candidate.percent:g} % of the events", SAMPLERS[one.candidate.sampler].label, tau)


def _job(one: Expected, epochs: int) -> dict[str, Any]:
    """The job that makes the sample, for programs: the one that was looked at, with the same seed."""
    sampler, percent = SAMPLERS[one.candidate.sampler], one.candidate.percent
    proxy = {"epochs": epochs} if "proxy" in sampler.params and epochs != EPOCHS else {}
    params = {**sampler.params, **proxy, "keep_percent": percent}
    return {"percent": percent, "sampler": sampler.name, "tau": one.tau, "method": sampler.method, "params": params}


def _verdict(model: Genie, best: Sequence[Expected], metric: str, unlike: bool) -> Verdict:
    parts = [
        f"{SAMPLERS[one.candidate.sampler].label} at {one.candidate.percent:g} % "
        f"(tau {number(one.tau)} [{number(one.low)}, {number(one.high)}])"
        for one in best
    ]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    sentence = f"To rank recommenders by {LABELS[metric]} on a sample, Data-Genie would take {listed}."
    settled = ("Run rank-preservation with these samplers: it trains the recommenders and measures tau.",)
    details = {"samplers": {f"{one.candidate.percent:g}": one.candidate.sampler for one in best}}
    if unlike:
        reason = f"the dataset is unlike all {len(model.names)} that the model has learned from"
        return Verdict("undetermined", f"Undetermined: {reason}. {sentence}", reasons=(reason,), settled_by=settled,
                       details=details)  # fmt: skip
    return Verdict("predicted", sentence, settled_by=settled, details=details)


def _headline(best: Sequence[Expected], unlike: bool) -> str:
    if unlike:
        return "Unlike any dataset that the model has seen"
    good = None
    for one in best:
        if one.tau < GOOD:
            break
        good = one
    if good is None:
        return f"No sample is expected to keep the ranking (tau {GOOD:g})"
    label = SAMPLERS[good.candidate.sampler].label
    tau = f"{number(good.tau)} [{number(good.low)}, {number(good.high)}]"
    return f"{good.candidate.percent:g} % of the events may do ({label}, expected tau {tau})"


def _ranked(found: Sequence[Expected], metric: str, mode: Mode, epochs: int) -> Table:
    rows: list[dict[str, Cell]] = []
    firsts: list[int] = []
    rank, size = 0, -1.0
    for one in found:
        rank = rank + 1 if one.candidate.percent == size else 1
        size = one.candidate.percent
        if rank == 1:
            firsts.append(len(rows))
        sampler = SAMPLERS[one.candidate.sampler]
        job = _job(one, epochs)
        given = " ".join(
            f"{key}={value:g}" if key == "keep_percent" else f"{key}={value}" for key, value in job["params"].items()
        )
        rows.append(
            {
                "size": f"{size:g} % of the events",
                "percent": size,
                "rank": rank,
                "sampler": sampler.label,
                "name": sampler.name,
                "tau": one.tau,
                "tau_low": one.low,
                "tau_high": one.high,
                "beats": None if one.beats is None else 100 * one.beats,
                "events": one.candidate.events,
                "job": f"{job['method']} {given}",
            }
        )
    tau = with_interval("tau", "Expected tau", "")
    return Table(
        "advice",
        f"Samplers by the tau expected between rankings by {LABELS[metric]} on the sample and on all data",
        (
            Column("size", "Size", "text"),
            Column("percent", "Percent", unit="%", shown=False),
            Column("rank", "Rank", decimals=0),
            Column("sampler", "Sampler", "text"),
            Column("name", "Name", "text", shown=False),
            Column(tau[0].key, tau[0].label, decimals=2, interval=tau[0].interval),
            *(Column(one.key, one.label, decimals=2, shown=False) for one in tau[1:]),
            Column("beats", "Better than random events", unit="%", decimals=0),
            Column("events", "Events", unit="events", decimals=0),
            Column("job", "Job", "text"),
        ),
        tuple(rows),
        note="Intervals hold 80 % of the taus of datasets that were left out when the model was trained on the others."
        + (PAIRS if mode == "bpr" else ""),
        heading="Advice",
        group="size",
        highlight=tuple(firsts),
    )


def _curves(found: Sequence[Expected], best: Sequence[Expected], metric: str) -> Plot:
    shown = dict.fromkeys([*(one.candidate.sampler for one in best), RANDOM_EVENTS, "random-users"])
    series = []
    for name in shown:
        own = sorted((one for one in found if one.candidate.sampler == name), key=lambda one: one.candidate.percent)
        if own:
            series.append(
                Series(
                    SAMPLERS[name].label,
                    tuple(one.candidate.percent for one in own),
                    tuple(one.tau for one in own),
                    tuple(one.low for one in own),
                    tuple(one.high for one in own),
                )
            )
    return Plot(
        "expected",
        "Expected agreement with the ranking on all data",
        f"Expected Kendall's tau by {LABELS[metric]} against the share of events kept, for the samplers advised and "
        "for random ones, with 80 % intervals.",
        "line",
        "% of the training events (log scale)",
        "expected tau",
        tuple(series),
        log_x=True,
    )


def _protocol(model: Genie, mode: Mode) -> str:
    ranked = "the predicted tau" if mode == "regression" else "a model of which of two samplers is better"
    zoo = f"{len(model.zoo)} recommenders ({', '.join(model.zoo)})"
    return (
        f"A model trained on samples of {len(model.names)} other datasets, on each of which {zoo} were ranked, "
        "predicts Kendall's tau from 55 features of this dataset and of each sample; samplers are ranked by "
        f"{ranked}. The interval is as wide as it must be to hold 80 % of the taus of datasets that were left out, or "
        "wider where five models trained alike disagree. The dataset counts as unlike those learned from when its "
        "features are farther from the nearest of them than any of those is from another."
    )


def _family(name: str) -> str:
    return {"random-users": RANDOM, RANDOM_EVENTS: RANDOM, "head-users": HEAD}.get(name, f"sampler {name}")
