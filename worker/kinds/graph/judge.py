"""Judge condensed graphs: train networks on them, on the whole graph and on cheap reductions; predict the original.

Every learner is trained on one set alone and then predicts the test nodes of the ORIGINAL graph with all its edges. Two
protocols, `gc4nc` and `tuned` (`worker.kinds.graph.trials`), whose figures never share a table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.choices import with_choices
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Learner, and_floors, learners_of
from worker.evidence.measurements import Measurements, Metric, Pooled, Protocol, Scores, TestSet
from worker.evidence.training import Contender, Plan, code_hash, train_all
from worker.evidence.wording import number
from worker.kinds.graph import description, large
from worker.kinds.graph.baselines import PICKS, contenders
from worker.kinds.graph.dataset import TEST, VALIDATION, Graph
from worker.kinds.graph.held import HOPS, Held, held_out
from worker.kinds.graph.needs import TEST_NODES
from worker.kinds.graph.start import Start
from worker.kinds.graph.summary import CondensedGraph
from worker.kinds.graph.trials import EPOCHS, GC4NC, Bench

KIND = "graph"
UNUSED = 9  # a part that no node is in
REACH = {"appnp": 10}  # steps that a network looks, where they are more than two
ACCURACY, MACRO_F1 = Metric("accuracy", "accuracy"), Metric("macro_f1", "macro F1")


class EvaluateParams(BaseModel):
    """How a condensed graph is judged."""

    model_config = ConfigDict(extra="forbid")

    learners: list[str] = Field(
        [], min_length=1, description="Networks trained on every set; the floors that they have to beat always are."
    )
    baselines: list[Start] = Field([], description="Cheap reductions of equal size to compare with.")
    protocol: Literal["gc4nc", "tuned"] = Field(
        "gc4nc",
        description="gc4nc: the fixed training of the benchmark GC4NC; tuned: dropout and weight decay chosen on "
        "validation nodes for every set anew.",
    )
    runs: int = Field(
        3, ge=1, le=20, description="Trainings of every network on every set, each with a seed of its own."
    )
    epochs: int = Field(EPOCHS, ge=3, le=5000, description="Epochs of a training; GC4NC has 300.")
    draws: int = Field(3, ge=1, le=20, description="How often random nodes are drawn, and k-means is run.")
    tune_nodes: int = Field(
        0,
        ge=0,
        description=f"Validation nodes that epochs and settings are chosen on; 0 takes all, {large.HELD:,} of a large "
        "graph.",
    )
    test_nodes: int = Field(
        0, ge=0, description=f"Test nodes to measure on; 0 takes all, {large.HELD:,} of a large graph."
    )
    early_choice: bool = Field(
        True,
        description="Keep the epoch that is best on validation; without, the last one, and no settings are chosen.",
    )
    bootstrap: int = Field(1000, ge=100, le=20_000, description="Resamples behind every interval.")


@cache
def evaluate_params() -> type[EvaluateParams]:
    """`EvaluateParams` with the learners and the cheap reductions there are."""
    known = learners_of(KIND)
    usual = [name for name, one in known.items() if one.usual]
    return with_choices(EvaluateParams, learners=(known, usual), baselines=(PICKS, PICKS))


def judge(data: Graph, summaries: Sequence[CondensedGraph], params: EvaluateParams, ctx: Context) -> Measurements:
    """Train every learner on every set, measure on the test nodes, and describe the first summary.

    Raises `JobError` `too_few_rows` when there are no test nodes, `Cancelled` when a stop was asked for, `TimeOver`
    when the time is over before anything was measured.
    """
    ctx.progress(0, 20, phase="prepare")
    hops = max(REACH.get(name, HOPS) for name in params.learners)
    test = large.held(data, TEST, params.test_nodes, ctx.seed, hops)
    validation = large.held(data, VALIDATION, params.tune_nodes, ctx.seed, hops)
    if params.early_choice and not len(validation):
        raise JobError(
            "invalid_input",
            "Epochs are to be chosen on validation nodes, and this graph has none.",
            hint="Say early_choice=false, or upload it again with validation nodes.",
            pointer="/evaluate/early_choice",
        )
    if not params.early_choice:
        validation = held_out(data, UNUSED)
    if not len(test):
        raise TEST_NODES.refusal()
    sets = contenders(data, summaries, params.baselines, draws=params.draws, seed=ctx.seed)
    ctx.progress(1, 20, phase="prepare")
    plan = plan_of(sets, validation, test, params, ctx)
    with ctx.part("train", 0, 1, seed=ctx.seed) as part:
        trained = train_all(plan, part)
    names = [one.record.name for one in sets if one.record.role == "summary"]
    known = [
        *large.said(data, sets[0].draws[0], len(validation), len(test)),
        *description.warnings(data, summaries[0]),
        *description.of_results(data, trained.results),
    ]
    return Measurements(
        kind=KIND,
        unit="node",
        units="nodes",
        event="edges",
        sets=tuple(one.record for one in sets),
        tests=(TestSet("test", "held-out nodes", "nodes", len(test), data.names(test.ids)),),
        learners=tuple(sorted(plan.learners, key=lambda one: one.floor)),
        metrics=(ACCURACY, MACRO_F1),
        primary="accuracy",
        results=trained.results,
        protocol=_protocol(data, validation, test, plan, params, ctx),
        origins={name: one.origin for name, one in zip(names, summaries, strict=True)},
        plots=description.plots(data, summaries[0]),
        tables=description.tables(data, summaries, test),
        warnings=tuple(dict.fromkeys([*(text for one in summaries for text in one.warnings), *ctx.warnings, *known])),
        unfinished=trained.unfinished,
        bootstrap=params.bootstrap,
        seed=ctx.seed,
    )


def plan_of(sets: Sequence[Contender], validation: Held, test: Held, params: EvaluateParams, ctx: Context) -> Plan:
    """What is trained on what, and how it is measured."""

    def validate(model: Any) -> Scores:
        return (model.predict(validation) == validation.y).astype(float)

    def measure(model: Any) -> Mapping[str, Mapping[str, Scores]]:
        predicted = model.predict(test)
        found = {"label": test.y, "predicted": predicted}
        return {"test": {"accuracy": (predicted == test.y).astype(float), "macro_f1": Pooled("macro_f1", found)}}

    bench = Bench(validation if len(validation) else None, params.protocol, params.epochs)
    return Plan(
        learners=learners(params),
        contenders=sets,
        metric=ACCURACY,
        params=bench,
        validator=(lambda _: validate) if len(validation) else None,
        measure=measure,
        digest=lambda graph: graph.digest(),
        basis={
            "protocol": params.protocol,
            "epochs": params.epochs,
            "seed": ctx.seed,
            "held out": [_digest(validation), _digest(test)],
        },
        code=_code(),
    )


def learners(params: EvaluateParams) -> list[Learner]:
    """The learners asked for, and the floors, with the settings and the seeds of the protocol."""
    known = learners_of(KIND)
    found: list[Learner] = []
    for name in and_floors(params.learners, known):
        one = known[name]
        fixed = params.protocol == "gc4nc" and GC4NC in one.settings
        settings = (GC4NC,) if fixed else one.settings
        found.append(replace(one, settings=settings, seeds=params.runs if one.seeds > 1 else 1))
    return found


def _digest(held: Held) -> str:
    digest = hashlib.sha256()
    for array in (held.ids, held.y, held.operator.indptr, held.operator.indices):
        digest.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
    return digest.hexdigest()


@cache
def _code() -> str:
    return code_hash(Path(__file__).parent)


def _protocol(data: Graph, validation: Held, test: Held, plan: Plan, params: EvaluateParams, ctx: Context) -> Protocol:
    fields = {
        "split": {"content": ctx.content, "name": str(data.options.get("split", "given")), "setting": data.setting},
        "metric": "accuracy",
        "learners": {one.name: one.version for one in plan.learners},
        "tuning": {
            "protocol": params.protocol,
            "epochs": params.epochs,
            "nodes": len(validation),
            "early_choice": params.early_choice,
            "settings": {one.name: list(one.settings) for one in plan.learners},
        },
        "seeds": {"job": ctx.seed, "draws": params.draws, "runs": params.runs},
        "tests": {"nodes": len(test)},
    }
    sees = (
        "The setting is transductive: networks predict on the whole graph, whose features and edges, held-out ones "
        "included, are there in training, and whose held-out labels are not. "
        if data.setting == "transductive"
        else "The setting is inductive: condensing and training on the whole see the subgraph of the train nodes "
        "alone, and held-out nodes are predicted on the subgraph of their own part. "
    )
    named = {
        "gc4nc": "Protocol gc4nc: Adam 0.01 (0.001 from half-time on), weight decay 5e-4 (SGC: both chosen "
        "on validation), hidden 256, no dropout",
        "tuned": "Protocol tuned: Adam 0.01 (0.001 from half-time on), hidden 256, dropout and weight "
        "decay chosen on validation for every set",
    }
    text = (
        f"{sees}{named[params.protocol]}, {params.epochs} epochs, the accuracy on {number(len(validation))} validation "
        "nodes measured at every third epoch and the best epoch kept. Every network is trained on each set alone and "
        "predicts the original graph with its own edges, whatever edges it was trained with; a set without edges is "
        f"trained with the identity. Accuracy is the share of {number(len(test))} test nodes whose class is predicted; "
        "macro F1 is the mean over classes of 2TP/(2TP+FP+FN). Random nodes are drawn from the train nodes of each "
        "class in its share; cheap reductions of equal nodes carry features propagated over two hops and no edges."
    )
    return Protocol(fields, text)
