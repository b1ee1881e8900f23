"""Learners that write tokens of items beside learners that rank items: training all of them, and what is said of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Learner, learners_of
from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.measurements import Scores, TrainedResult
from worker.evidence.measurements import TrainingSet as Record
from worker.evidence.table import Column, Table
from worker.evidence.training import Contender, Plan, train_all
from worker.evidence.verdict import Verdict, beside_cheap
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.evaluate_params import KIND, evaluate_params
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.held_out import Events, code, held_out
from worker.kinds.sequences.networks.t5 import Shape
from worker.kinds.sequences.pieces import encoding
from worker.kinds.sequences.pieces.encoding import Encoder
from worker.kinds.sequences.pieces.generative import GenerativeFit, GenerativeModel, Training, item_encoder
from worker.kinds.sequences.ranking import Ranking
from worker.kinds.sequences.tokeniser import Tokeniser
from worker.numerics.compiled import ready

TOKENS, ITEMS, ONE = "t5-actionpiece", "t5-items", "one reading"
LABELS = {TOKENS: "T5 on ActionPiece tokens", ITEMS: "T5 on item ids"}


def compare(data: Sequences, tokeniser: Tokeniser, params: Any, evaluate: Any, ctx: Context) -> Findings:
    """Train everything on the full data, measure on the test cases, say whether tokens help."""
    evaluate = (evaluate or evaluate_params()()).of(text=data.is_text)
    held = held_out(data, evaluate, ctx.seed, ctx)
    assert isinstance(held, Events)  # noqa: S101 - the tokeniser refused texts
    ks = [k for k in evaluate.k if k <= params.beams]
    if not ks or int(evaluate.metric.rpartition("@")[2] or 0) not in ks:
        raise JobError(
            "invalid_input",
            f"{evaluate.metric} needs a list longer than the {params.beams} items that beam search gives.",
            hint=f"Raise beams, or measure ndcg@k with k up to {params.beams}.",
            pointer="/params/beams",
        )
    held = replace(held, params=evaluate.model_copy(update={"k": ks}))
    ready(encoding.warm_up, lambda: ctx.progress(0, 1, phase="compile"))
    encoders = {
        TOKENS: Encoder.of(tokeniser.vocabulary, tokeniser.item_features),
        ITEMS: item_encoder(data.n_items),
    }
    known = learners_of(KIND)
    learners = [replace(evaluate.tuned(known[name]), seeds=1) for name in evaluate.learners]
    learners += [_writer(name, encoder, data, params, held, ctx.seed) for name, encoder in encoders.items()]
    rows = data.training().rows
    whole = TrainingSet.of(rows, data.n_items, data.max_len)
    record = Record(name="full", label="full data", role="full", rows=len(rows), events=float(len(rows.items)), bytes=0)
    plan = Plan(
        learners=learners,
        contenders=[Contender(record, (whole,))],
        metric=held.metrics()[0],
        params=evaluate,
        validator=(lambda _: held.validate) if len(held.validation) else None,
        measure=lambda model: _measured(model, held, params.readings),
        digest=lambda given: given.digest(),
        basis=evaluate.model_dump() | params.model_dump() | {"tokens": _digest(tokeniser), "seed": ctx.seed},
        code=code(),
        timings=0,
    )
    trained = train_all(plan, ctx)
    return _findings(trained.results, trained.unfinished, learners, held, encoders, tokeniser, params, ctx)


def _writer(name: str, encoder: Encoder, data: Sequences, params: Any, held: Events, seed: int) -> Learner:
    """The generative learner on one way of writing items."""
    shape = Shape(params.layers, params.width, params.inner, params.heads, params.head_width, params.dropout)
    training = Training(
        shape, params.epochs, params.actions, params.batch, params.rate, params.decay, 1.0, params.warmup,
        params.validate_every, params.patience, params.beams, params.readings,
    )  # fmt: skip
    some = held.validation.some(params.validation_cases, seed)
    metric = held.params.metric

    def validate(model: GenerativeModel) -> float:
        found = Ranking(some, tuple(held.params.k), held.items, held.params.seen_items)(model)
        return float(found[metric].mean())

    def prepare(_: TrainingSet, __: Any, ctx: Context) -> GenerativeFit:
        able = validate if len(some) else None
        return GenerativeFit(encoder, data.training().rows, training, ctx.seed, ctx.device, able)

    return Learner(name, LABELS[name], KIND, prepare=prepare, settings=({"epochs": params.epochs},))


def _measured(model: Any, held: Events, readings: int) -> Mapping[str, Mapping[str, Scores]]:
    if not isinstance(model, GenerativeModel):
        return held.measure(model)
    one = held.measure(model)["test"]
    if readings == 1 or model.encoder.item_tokens.shape[1] == 1:  # a single feature has one order alone
        return {"test": one, ONE: one}
    return held.measure(replace(model, readings=readings)) | {ONE: one}


def _digest(tokeniser: Tokeniser) -> str:
    arrays = (tokeniser.vocabulary.rules, tokeniser.vocabulary.features, tokeniser.item_features)
    return hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in arrays)).hexdigest()


def _findings(
    results: Sequence[TrainedResult], unfinished: str, learners: Sequence[Learner], held: Events,
    encoders: Mapping[str, Encoder], tokeniser: Tokeniser, params: Any, ctx: Context,
) -> Findings:  # fmt: skip
    metric = held.metrics()[0]
    scores = {one.learner: np.asarray(one.scores["test"][metric.name]) for one in results}
    if TOKENS not in scores:
        return Findings.unmeasured(
            kind=KIND, unit="sequence", units="sequences", reason=unfinished or "the generative learner diverged",
            warnings=tuple(ctx.warnings),
        )  # fmt: skip
    by_name = {one.name: one for one in learners}
    rivals = {name: one for name, one in scores.items() if name != TOKENS}
    verdict = verdict_of(scores[TOKENS], rivals, by_name, metric.label, held.params.bootstrap, ctx.seed)
    label = metric.label
    floors = [one for one in scores if by_name[one].floor and scores[one].mean() >= scores[TOKENS].mean()]
    said = [
        f"{by_name[one].label} is not worse than {LABELS[TOKENS]}: it is under-trained, or useless here."
        for one in floors
    ]
    return Findings(
        kind=KIND,
        unit="sequence",
        units="sequences",
        test_units="sequences",
        n_test=held.size,
        verdict=verdict,
        key_figures=tuple(
            KeyFigure(by_name[name].label, f"{100 * one.mean():.2f}", label) for name, one in scores.items()
        ),
        tables=(
            _learners_table(results, by_name, held),
            _differences(scores, by_name, held, ctx.seed),
            _built(encoders),
        ),
        warnings=tuple(dict.fromkeys([*tokeniser.warnings, *ctx.warnings, *said])),
        protocol=_protocol(held, params),
        metric={"name": metric.name, "higher_is_better": True},
        unfinished=unfinished,
        more={"training": params.model_dump()},
    )


def verdict_of(
    own: np.ndarray, others: Mapping[str, np.ndarray], by_name: Mapping[str, Learner], metric: str, resamples: int,
    seed: int,
) -> Verdict:  # fmt: skip
    """Tokens beside the best other learner, by the paired difference over test cases, scores (q,) each; undetermined
    where they do not beat a floor, unless that other one is better anyway."""
    floors = {name: one for name, one in others.items() if by_name[name].floor}
    unbeaten = [name for name, one in floors.items() if _interval(own - one, resamples, seed)[0] <= 0]
    reasons = tuple(
        f"{LABELS[TOKENS]} does not beat its floor, {by_name[name].label} ({100 * floors[name].mean():.2f} {metric})"
        for name in unbeaten
    )
    settled_by = ("more epochs or a larger network, or data with more to learn than the floor knows",) * bool(reasons)
    rivals = {name: one for name, one in others.items() if name not in floors}
    if not rivals:
        reached = f"{LABELS[TOKENS]} reaches {100 * own.mean():.2f} {metric}."
        status = "undetermined" if reasons else "measured"
        value = 100 * float(own.mean())
        return Verdict(status, _with_reasons(reached, reasons), value, reasons=reasons, settled_by=settled_by)
    best = max(rivals, key=lambda name: rivals[name].mean())
    low, high = _interval(own - rivals[best], resamples, seed)
    status = beside_cheap(low, high)
    status = "undetermined" if reasons and status != "cheap_is_better" else status
    best_mean = 100 * rivals[best].mean()
    sentence = f"{LABELS[TOKENS]} reaches {100 * own.mean():.2f} {metric}, {by_name[best].label} {best_mean:.2f}"
    if ITEMS in rivals and best != ITEMS:
        sentence += f", the same network on item ids {100 * rivals[ITEMS].mean():.2f}"
    sentence += f": {100 * (own - rivals[best]).mean():+.2f} [{100 * low:+.2f}, {100 * high:+.2f}] points."
    value = 100 * float((own - rivals[best]).mean())
    return Verdict(
        status, _with_reasons(sentence, reasons), value, 100 * low, 100 * high, "points", reasons, settled_by
    )


def _with_reasons(sentence: str, reasons: tuple[str, ...]) -> str:
    return f"{sentence} {'; '.join(reasons)}." if reasons else sentence


def _interval(values: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng([seed, 12])
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def _learners_table(results: Sequence[TrainedResult], by_name: Mapping[str, Learner], held: Events) -> Table:
    metrics = held.metrics()
    rows: list[dict[str, Any]] = []
    for one in results:
        for test, shown in one.scores.items():
            if test == ONE and one.learner == ITEMS:
                continue
            readings = f", {ONE}" if test == ONE else ""
            means = {metric.name: 100 * float(np.mean(shown[metric.name])) for metric in metrics}
            rows.append({"name": by_name[one.learner].label + readings, **means})
    columns = tuple(Column(metric.name, metric.label, decimals=2) for metric in metrics)
    return Table(
        "learners", "Learners trained on the full data, percent", (Column("name", "learner", "text"), *columns),
        tuple(rows), heading="Learners",
    )  # fmt: skip


def _differences(scores: Mapping[str, np.ndarray], by_name: Mapping[str, Learner], held: Events, seed: int) -> Table:
    rows = []
    for name, one in scores.items():
        if name != TOKENS:
            low, high = _interval(scores[TOKENS] - one, held.params.bootstrap, seed)
            mean = float((scores[TOKENS] - one).mean())
            rows.append({"name": by_name[name].label, "mean": 100 * mean, "low": 100 * low, "high": 100 * high})
    columns = (
        Column("name", "against", "text"),
        Column("mean", held.metrics()[0].label, unit="points", decimals=2, interval=("low", "high")),
        Column("low", "from", unit="points", decimals=2, shown=False),
        Column("high", "to", unit="points", decimals=2, shown=False),
    )
    caption = f"{LABELS[TOKENS]} less the other, over the same test cases"
    return Table("differences", caption, columns, tuple(rows), heading="Paired differences")


def _built(encoders: Mapping[str, Encoder]) -> Table:
    rows = tuple(
        {"name": LABELS[name], "tokens": len(one.vocabulary), "label": float(one.labels.lengths.mean())}
        for name, one in encoders.items()
    )
    columns = (
        Column("name", "learner", "text"),
        Column("tokens", "tokens", decimals=0),
        Column("label", "tokens of an item", decimals=2),
    )
    return Table("vocabularies", "What is read and written", columns, rows, heading="Vocabularies")


def _protocol(held: Events, params: Any) -> str:
    shape = json.dumps(asdict(Shape(params.layers, params.width, params.inner, params.heads, params.head_width)))
    return (
        "Every learner is trained on all training sequences and ranks what follows the context of each test case among "
        "all items; items of the context are left out but for the one that was right. The generative learners read the "
        f"last {params.actions} actions and write items by beam search with {params.beams} beams along the trie of all "
        "items, so that nothing else can be written; items that are not in the list tie behind it. Fused lists are of "
        f"{params.readings} random orders of the history's features; one reading stands beside. Their state is chosen "
        f"on {min(params.validation_cases, len(held.validation))} validation cases, the settings of other learners on "
        f"{len(held.validation)}; each is trained once. Network: {shape}."
    )
