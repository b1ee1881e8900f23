"""What a report shows of the sequences themselves: before and after, popularity, entropy, who is served how well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.contract.learner import Learner
from worker.evidence.measurements import Metric, TrainedResult
from worker.evidence.plot import Plot, Series
from worker.evidence.set_plots import line_of, popularity
from worker.evidence.statistics import value_of
from worker.evidence.table import Cell, Column, Table
from worker.evidence.training import Contender
from worker.evidence.wording import number
from worker.kinds.sequences.counting import counts
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.forms import Ids, TrainingSet
from worker.kinds.sequences.held_out import Events, Text
from worker.kinds.sequences.summary import SequenceSummary

_SHOWN_ROWS, _SHOWN_EVENTS, _PLACES = 10, 12, 2000


def plots(data: Sequences, sets: Sequence[Contender], summary: SequenceSummary) -> tuple[Plot, ...]:
    """Popularity before and after, lengths of rows, entropy of soft labels, and what a method kept of its making."""
    pair = [one for one in sets if one.record.role in ("full", "summary", "form")]
    cheap = [one for one in sets if one.record.role == "baseline" and one.record.equal != "bytes"]
    found = [popularity([*pair, *cheap], counts), row_lengths(pair), *entropies(sets), *training_curves(summary)]
    return tuple(found)


def row_lengths(sets: Sequence[Contender]) -> Plot:
    """Histogram of the events to be predicted per row."""
    lengths = [one.draws[0].lengths for one in sets]
    largest = max((int(values.max(initial=1)) for values in lengths), default=1)
    edges = np.unique(np.concatenate(([0.5], np.floor(np.geomspace(1, largest, 25)) + 0.5)))
    series = [
        line_of(one, edges, 100 * np.histogram(values, edges)[0] / max(1, len(values)))
        for one, values in zip(sets, lengths, strict=True)
    ]
    typical = ", ".join(
        f"{one.record.label} {np.median(v):.0f}" for one, v in zip(sets, lengths, strict=True) if len(v)
    )
    return Plot(
        "row-lengths",
        "Events to predict per row",
        f"Per cent of rows by how many events they have a learner predict. Median: {typical}.",
        "histogram",
        "events to predict (log scale)",
        "% of rows",
        tuple(series),
        log_x=True,
    )


def entropies(sets: Sequence[Contender]) -> list[Plot]:
    """Histogram of the entropy of soft labels: near log V they say nothing, near 0 they are hard."""
    soft = [one for one in sets if one.record.role in ("summary", "form") and not isinstance(one.draws[0].targets, Ids)]
    if not soft:
        return []
    top = float(np.log(soft[0].draws[0].items))
    edges = np.linspace(0, top, 25)
    values = [entropy(one.draws[0]) for one in soft]
    typical = ", ".join(f"{one.record.label} {v.mean():.2f}" for one, v in zip(soft, values, strict=True))
    return [
        Plot(
            "entropy",
            "How sure the labels are",
            f"Per cent of places by the entropy of what comes next, at most {top:.2f} nats. Mean: {typical}.",
            "histogram",
            "entropy (nats)",
            "% of places",
            tuple(
                line_of(one, edges, 100 * np.histogram(v.clip(0, top), edges)[0] / max(1, len(v)))
                for one, v in zip(soft, values, strict=True)
            ),
        )
    ]


def entropy(data: TrainingSet) -> np.ndarray:
    """Entropy in nats of the targets at up to 2,000 places spread over the set, float64."""
    at = np.unique(np.linspace(0, data.places - 1, min(data.places, _PLACES)).astype(int))
    found = data.targets.probabilities(at, data.items).astype(np.float64)
    return -(found * np.log(np.maximum(found, 1e-30))).sum(axis=1)


def training_curves(summary: SequenceSummary) -> list[Plot]:
    """Every quantity that the method measured on its way, by step."""
    curve, best = summary.origin.curve, summary.origin.best_step
    keys = [key for key in dict.fromkeys(key for point in curve for key in point) if key != "step"]
    made: list[Plot] = []
    for key in keys:
        points = [(float(p["step"]), float(p[key])) for p in curve if "step" in p and p.get(key) is not None]
        if len(points) < 2:
            continue
        x, y = zip(*points, strict=True)
        name = key.replace("_", " ")
        made.append(
            Plot(
                f"making-{key.replace('_', '-')}",
                f"{name.capitalize()} while the summary was made",
                f"{name} from {y[0]:.4g} to {y[-1]:.4g}; the dashed line marks the delivered step.",
                "line",
                "step",
                name,
                (Series(name, x, y, stress=(name,)),),
                mark_x=None if best is None else float(best),
                mark_label="delivered step",
            )
        )
    return made


def step_curves(
    results: Sequence[TrainedResult], learners: Sequence[Learner], sets: Sequence[Contender], metric: Metric
) -> list[Plot]:
    """The validation metric by training steps on the full data and on the summary, at the settings that were chosen."""
    made: list[Plot] = []
    shown = {one.record.name: one for one in sets if one.record.role in ("full", "summary", "form")}
    for learner in learners:
        series: list[Series] = []
        for name, one in shown.items():
            found = [r for r in results if (r.learner, r.set, r.draw, r.seed) == (learner.name, name, 0, 0)]
            chosen = {**found[0].chosen, "steps": 0} if found else {}
            points = [
                (float(tried.settings["steps"]), metric.scale * value_of(tried.validation))
                for tried in (found[0].tried if found else ())
                if "steps" in tried.settings and {**tried.settings, "steps": 0} == chosen
            ]
            if len(points) > 1:
                x, y = zip(*sorted(points), strict=True)
                series.append(line_of(one, np.array(x), np.array(y)))
        if series:
            best = "; ".join(
                f"{one.label} {max(one.y) if metric.higher_is_better else min(one.y):.2f}" for one in series
            )
            made.append(
                Plot(
                    f"steps-{learner.name}",
                    f"{learner.label} by training steps",
                    f"Validation {metric.label} against training steps, first seed; best: {best}.",
                    "line",
                    "training steps (log scale)",
                    f"validation {metric.label}",
                    tuple(series),
                    log_x=True,
                )
            )
    return made


def data_card(data: Sequences, sets: Sequence[Contender]) -> Table:
    """The full data and the summary's forms side by side, in numbers that need no learner."""
    shown = [one for one in sets if one.record.role in ("full", "summary", "form")]
    cards = [_card(one.draws[0]) for one in shown]
    keys = [f"set{number}" for number in range(len(shown))]
    rows: list[dict[str, Cell]] = []
    for name, (_, unit) in cards[0].items():
        row: dict[str, Cell] = {"measure": name, "unit": unit}
        rows.append(row | {key: card[name][0] for key, card in zip(keys, cards, strict=True)})
    columns = [Column(key, one.record.label) for key, one in zip(keys, shown, strict=True)]
    return Table(
        "data_card",
        f"The data before and after, over {number(data.n_items)} items",
        (Column("measure", "Measure", "text"), *columns, Column("unit", "Unit", "text")),
        tuple(rows),
        heading="Before and after",
    )


def _card(data: TrainingSet) -> dict[str, tuple[float | int | None, str]]:
    found = counts(data)
    per_item = np.sort(found)[::-1]
    head, total = max(1, round(len(per_item) / 100)), max(float(per_item.sum()), 1e-12)
    lengths = data.lengths
    return {
        "Rows": (int(data.units), "sequences"),
        "Events to predict": (int(data.places), "events"),
        "Items with any event": (100 * float((found >= 0.5).sum()) / max(1, len(found)), "% of items"),
        "Longest row": (int(lengths.max(initial=0)), "events to predict"),
        "Most popular 1 % of items": (100 * float(per_item[:head].sum()) / total, "% of events"),
        "Mean entropy of what comes next": (float(entropy(data).mean()) if data.places else None, "nats"),
    }


def breakdown(
    data: Sequences,
    held: Events | Text,
    results: Sequence[TrainedResult],
    learners: Sequence[Learner],
    sets: Sequence[Contender],
) -> list[Table]:
    """The metric of the verdict by how long the history is and how popular the item that was right is."""
    if isinstance(held, Text):
        return []
    metric = held.metrics()[0]
    groups = cases_by(data, held)
    labels = {one.record.name: one.record.label for one in sets}
    rows: list[dict[str, Cell]] = []
    for learner in sorted(learners, key=lambda one: one.floor):
        for name, label in labels.items():
            scores = [r.scores["test"][metric.name] for r in results if r.learner == learner.name and r.set == name]
            if not scores:
                continue
            values = np.mean([np.asarray(one) for one in scores], axis=0)
            row: dict[str, Cell] = {"learner": learner.label, "set": label}
            rows.append(row | {key: _mean(metric.scale * values[inside]) for key, (_, inside) in groups.items()})
    columns = [
        Column(key, f"{label} ({number(int(inside.sum()))})", unit=metric.unit)
        for key, (label, inside) in groups.items()
    ]
    return [
        Table(
            "breakdown",
            f"{metric.label} by history and by popularity of the item that was right",
            (Column("learner", "Learner", "text"), Column("set", "Trained on", "text"), *columns),
            tuple(rows),
            note="In brackets: test cases. Short histories are those of at most two events before the held-out one; "
            "the long tail is all items but the most popular ones that make up 80 % of training events. Without "
            "intervals: means over seeds and draws.",
            group="learner",
            heading="Who is served",
        )
    ]


def cases_by(data: Sequences, held: Events) -> dict[str, tuple[str, np.ndarray]]:
    """Masks over the test cases by group: key to (label, bool (q,))."""
    history = held.test.contexts.lengths
    train = np.bincount(data.training().items, minlength=data.n_items)
    order = np.argsort(-train, kind="stable")
    head = np.zeros(data.n_items, bool)
    head[order[: int(np.searchsorted(np.cumsum(train[order]), 0.8 * train.sum())) + 1]] = True
    popular = head[held.test.targets]
    return {
        "cold": ("short history", history <= 2),
        "warm": ("longer history", history > 2),
        "head": ("popular item", popular),
        "tail": ("long tail", ~popular & (train[held.test.targets] > 0)),
        "new": ("item not in training", train[held.test.targets] == 0),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def top_rows(data: Sequences, summary: SequenceSummary) -> list[Table]:
    """The first rows of the summary as a reader would see them."""
    names = data.vocabulary if data.titles is None else data.titles
    between = ("" if data.options.get("tokeniser") == "char" else " ") if data.is_text else " → "
    rows: list[dict[str, Cell]] = []
    for at in range(min(_SHOWN_ROWS, summary.n_rows)):
        items = summary.rows.row(at)
        said = between.join(str(names[item])[:60] for item in items[: _SHOWN_EVENTS * (4 if data.is_text else 1)])
        rows.append({"row": at + 1, "events": len(items), "said": said})
    return [
        Table(
            "rows",
            "The first rows of the summary",
            (Column("row", "Row", decimals=0), Column("events", "Events", decimals=0), Column("said", "Items", "text")),
            tuple(rows),
            heading="What is in it",
            folded=True,
        )
    ]
