"""Judge summaries of sequences: train learners on them, on the full data and on cheap sets; measure on held-out events.

Every learner sees one training set alone, with its settings (steps of training among them) chosen on validation data
for every set anew. Events are ranked among all items (`ranking`); text is measured by its perplexity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Learner, learners_of
from worker.evidence.measurements import Measurements, Protocol, TestSet, TrainedResult
from worker.evidence.statistics import value_of
from worker.evidence.training import Contender, Plan, train_all
from worker.evidence.wording import number
from worker.kinds.sequences import description, privacy
from worker.kinds.sequences.baselines import contenders
from worker.kinds.sequences.dataset import Cases, Sequences
from worker.kinds.sequences.evaluate_params import KIND, EvaluateParams, evaluate_params
from worker.kinds.sequences.held_out import FEW_CASES, Events, Text, code, held_out
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.summary import SequenceSummary
from worker.kinds.sequences.teacher import teach

__all__ = ["EvaluateParams", "evaluate_params", "judge"]


def judge(data: Sequences, summaries: Sequence[SequenceSummary], params: EvaluateParams, ctx: Context) -> Measurements:
    """Train every learner on every set, measure on the test cases, and describe the first summary.

    Raises `JobError` `too_few_rows` when there are no test events, `Cancelled` when a stop was asked for, `TimeOver`
    when the time is over before anything was measured.
    """
    params = params.of(text=data.is_text)
    held = held_out(data, params, ctx.seed, ctx)
    teacher = None
    if "teacher-labels" in params.baselines and not data.is_text:
        with ctx.part("teacher", 0, 10, seed=ctx.seed) as part:
            teacher = teach(data, part)
    with ctx.part("picks", 1, 10, seed=ctx.seed) as part:
        sets = contenders(
            data, summaries, params.baselines, draws=params.draws, seed=ctx.seed, ctx=part, teacher=teacher
        )
    plan = plan_of(held, sets, params, ctx)
    with ctx.part("train", 1, 2, seed=ctx.seed) as part:
        trained = train_all(plan, part)
    summary = summaries[0]
    names = [one.record.name for one in sets if one.record.role == "summary"]
    ids = data.ids[held.test.rows] if isinstance(held, Events) else None
    units = "windows" if data.is_text else "sequences"
    return Measurements(
        kind=KIND,
        unit="sequence",
        units="sequences",
        event="events",
        sets=tuple(one.record for one in sets),
        tests=(TestSet("test", "held-out events", units, held.size, ids),),
        learners=tuple(sorted(plan.learners, key=lambda one: one.floor)),
        metrics=held.metrics(),
        primary=params.metric,
        results=trained.results,
        protocol=_protocol(data, held, plan, params, ctx),
        origins={name: one.origin for name, one in zip(names, summaries, strict=True)},
        plots=(
            *description.plots(data, sets, summary),
            *description.step_curves(trained.results, plan.learners, sets, held.metrics()[0]),
        ),
        tables=(
            description.data_card(data, sets),
            *description.breakdown(data, held, trained.results, plan.learners, sets),
            *description.top_rows(data, summary),
        ),
        privacy=privacy.nearest_rows(data, summary, seed=ctx.seed),
        warnings=tuple(
            dict.fromkeys(
                [
                    *(text for one in summaries for text in one.warnings),
                    *ctx.warnings,
                    *_warnings(data, sets, held, trained.results, plan.learners),
                ]
            )
        ),
        unfinished=trained.unfinished,
        bootstrap=params.bootstrap,
        seed=ctx.seed,
    )


def plan_of(held: Events | Text, sets: Sequence[Contender], params: EvaluateParams, ctx: Context) -> Plan:
    """What is trained on what, and how it is measured."""
    known = learners_of(KIND)
    tested = [held.test, held.validation]
    return Plan(
        learners=[params.tuned(known[name]) for name in dict.fromkeys(params.learners)],
        contenders=sets,
        metric=held.metrics()[0],
        params=params,
        validator=(lambda _: held.validate) if len(held.validation) else None,
        measure=held.measure,
        digest=lambda rows: rows.digest(),
        basis=params.model_dump(exclude={"learners", "baselines", "draws", "bootstrap", "seeds"})
        | {"held out": [_digest(one) for one in tested], "seed": ctx.seed},
        code=code(),
    )


def _digest(held: Cases | Rows) -> str:
    rows = held.contexts if isinstance(held, Cases) else held
    parts = [rows.indptr, rows.items] + ([held.targets] if isinstance(held, Cases) else [])
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


def _protocol(data: Sequences, held: Events | Text, plan: Plan, params: EvaluateParams, ctx: Context) -> Protocol:
    split = str(data.options.get("split", "given"))
    fields = {
        "split": {"content": ctx.content, "name": split},
        "metric": params.metric,
        "learners": {one.name: one.version for one in plan.learners},
        "tuning": {
            "cases": len(held.validation),
            "settings": {one.name: [dict(settings) for settings in one.settings] for one in plan.learners},
        },
        "seeds": {"job": ctx.seed, "draws": params.draws, "learners": params.seeds},
        "tests": {"cases": held.size, "k": params.k, "seen_items": params.seen_items},
        "reading": {"max_len": data.max_len},
    }
    tuned, tested = number(len(held.validation)), number(held.size)
    if isinstance(held, Text):
        text = (
            "Perplexity is exp(mean -log probability of a token), over every token of the test windows but the first "
            f"one of each, which was the last of the window before. Windows are of {data.max_len} tokens and do not "
            f"overlap; nothing is carried from one to the next. The vocabulary has {number(data.n_items)} tokens, all "
            "others are <unk>: perplexities over other vocabularies cannot be compared with this one. Settings are "
            f"chosen for every set anew on {tuned} validation windows, and {tested} are tested on."
        )
        return Protocol(fields, text)
    seen = "may be recommended again" if params.seen_items else "are left out, but for the one that was right"
    text = (
        "Every learner is trained on each set alone and then ranks all items after what a sequence has before its "
        f"held-out event (for test events the validation event included), of which it reads the last {data.max_len}; "
        f"items of that context {seen}. rank = 1 + items with a higher score + half of the other items with an equal "
        "one. HR@k is the share of cases with rank <= k, nDCG@k the mean of 1 / log2(1 + rank) where rank <= k and 0 "
        "elsewhere, MRR the mean of 1 / rank. There are no sampled negatives. Settings, the number of training steps "
        f"among them, are chosen for every set anew on {tuned} validation cases; {tested} are tested on. Random "
        "sequences are drawn from training sequences of two events or more with numpy's default generator under the "
        "job's seed plus the number of the draw."
    )
    return Protocol(fields, text)


def _warnings(
    data: Sequences,
    sets: Sequence[Contender],
    held: Events | Text,
    results: Sequence[TrainedResult],
    learners: Sequence[Learner],
) -> list[str]:
    said: list[str] = []
    metric = held.metrics()[0]
    sign = 1.0 if metric.higher_is_better else -1.0

    def mean(name: str, role: str) -> float:
        named = {one.record.name for one in sets if one.record.role == role}
        values = [value_of(r.scores["test"][metric.name]) for r in results if r.learner == name and r.set in named]
        return float(np.mean(values)) if values else np.nan

    floors = {one.label: sign * mean(one.name, "full") for one in learners if one.floor}
    best = max(((sign * mean(one.name, "summary"), one.label) for one in learners if not one.floor), default=None)
    if best is not None and np.isfinite(best[0]):
        for label, value in floors.items():
            if value >= best[0]:
                said.append(
                    f"{label} on the full data is not worse than the best learner on this summary ({best[1]}): "
                    f"{abs(value) * metric.scale:.1f} against {abs(best[0]) * metric.scale:.1f} {metric.label}."
                )
    whole = next(one.record for one in sets if one.record.role == "full")
    large = [
        one.record.label for one in sets if one.record.role in ("summary", "form") and one.record.bytes >= whole.bytes
    ]
    if large:
        said.append(
            f"Larger in bytes than the training data itself: {', '.join(large)}. It saves sequences, not bytes."
        )
    trivial = [] if isinstance(held, Text) else [k for k in held.params.k if k >= data.n_items]
    if trivial:
        said.append(
            f"There are {number(data.n_items)} items, so that HR@{trivial[0]} is 100 % whatever a learner says."
        )
    if held.size < FEW_CASES:
        said.append(f"Only {held.size} test units: every interval here is wide.")
    unknown = int(data.options.get("unknown_test_items", 0))
    if unknown:
        said.append(
            f"{number(unknown)} test events are of items that no training event has: no learner can be right there."
        )
    return said
