"""Uploaded logs of decisions to a dataset version: every number checked before anything is estimated from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.ingest.limits import Limits, Meter
from worker.ingest.options import parse_options
from worker.ingest.run import Sources
from worker.ingest.sources import Source, expand
from worker.kinds.bandit import canonical, simulate
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import DenseTable, Policy, uniform
from worker.kinds.bandit.support import Support, support_from_pairs
from worker.kinds.bandit.truth import Truth
from worker.kinds.bandit.upload import actions as action_ids
from worker.kinds.bandit.upload import doubts, features, propensity, side, split
from worker.kinds.bandit.upload.find_log import LogFiles, find_log
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.policy import RawPolicy, Surroundings, as_policy, pairs, table_of
from worker.kinds.bandit.upload.raw import RawLog
from worker.kinds.bandit.upload.scores import from_scores
from worker.numerics.distinct import distinct_rows
from worker.contract.context import Context
from worker.contract.errors import JobError

__all__ = ["IngestOptions", "ingest"]
MIN_ROUNDS = 30
_KEPT_OPTIONS = (
    "split", "seed", "renormalise", "estimate_propensity", "reward_is_cost", "position", "only_position", "simulate",
    "multiclass_to_bandit",
)  # fmt: skip


@dataclass
class Told:
    """What the manifest and the detection say beside the log itself."""

    detection: dict[str, Any]
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])


def ingest(
    sources: Sources,
    options: Mapping[str, Any] | IngestOptions,
    out: Path,
    ctx: Context,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; returns statistics, preview, warnings, schema, detection.

    Raises `JobError`; the codes are those of `app.api.problem_codes`, the pointer names the column, option or file.
    """
    given = parse_options(IngestOptions, options)
    meter = Meter(limits or Limits())
    found = expand(sources, meter)
    report = _progress(found, meter, ctx)
    if given.simulate or given.multiclass_to_bandit:
        log, told = _simulated(sources, found, given, meter, ctx, report)
    else:
        log, told = _uploaded(found, given, meter, ctx, report)
    if log.n < MIN_ROUNDS:
        raise JobError(
            "too_few_rounds",
            f"The log has {log.n} rounds; at least {MIN_ROUNDS} are needed.",
            hint="Upload more rounds." if given.only_position is None else "Choose another only_position.",
            pointer="/options/only_position" if given.only_position is not None else "",
        )
    doubts.warn(log, ctx)
    ctx.progress(3, 4, phase="write")
    log = replace(log, warnings=tuple(ctx.warnings))
    told.manifest |= {"options": {name: getattr(given, name) for name in _KEPT_OPTIONS}}
    if log.truth is not None:
        told.manifest["true_values"] = canonical.true_values(log)
    canonical.write(log, out, told.manifest)
    ctx.progress(4, 4, phase="write")
    return canonical.describe(out) | {"schema": canonical.schema(out), "detection": told.detection}


def _progress(found: list[Source], meter: Meter, ctx: Context) -> Callable[[], None]:
    total = max(1, sum(source.packed_bytes for source in found))

    def report() -> None:
        ctx.progress(min(int(meter.packed_done), total), total, phase="read", rows=float(meter.rows))

    meter.tick = report
    return report


def _uploaded(
    found: list[Source], given: IngestOptions, meter: Meter, ctx: Context, report: Callable[[], None]
) -> tuple[BanditLog, Told]:
    sides = [told for source in found if (told := side.classify(source)) is not None]
    beside = {id(told.source) for told in sides}
    candidates = [source for source in found if id(source) not in beside and _wanted(source, given.file)]
    files: LogFiles = find_log(candidates, given, meter)
    every, sides = sides, side.nearest(sides, files.names[0])
    files.ignored += [
        {"file": other.source.name, "why": f"another file is nearer to the log as its {other.role}"}
        for other in every
        if other not in sides
    ]
    raw = files.read(given, meter, report)
    told = Told(files.detection() | {"side_tables": {s.source.name: f"{s.role} {s.name}".strip() for s in sides}})
    ctx.progress(0, 4, phase="check")
    log = _assemble(raw, sides, given, meter, ctx, told, report)
    ctx.progress(2, 4, phase="check")
    return log, told


def _wanted(source: Source, pattern: str) -> bool:
    return not pattern or fnmatch(source.name, pattern) or fnmatch(Path(source.name).name, pattern)


def _assemble(
    raw: RawLog,
    sides: list[side.Side],
    given: IngestOptions,
    meter: Meter,
    ctx: Context,
    told: Told,
    report: Callable[[], None],
) -> BanditLog:
    """The log with its policies: actions numbered, contexts encoded, probabilities checked."""
    tables = {s.role: side.read_actions(s, given, meter) for s in sides if s.role in {"embeddings", "hierarchy"}}
    policies = side.read_policies(
        [s for s in sides if s.role not in tables], meter, round_ids=raw.rounds is not None, report=report
    )
    actions = _number_actions(raw, tables, policies)
    told.manifest["first_action"] = actions.base
    told.detection["n_actions"] = actions.n
    action = actions.codes(raw.action, "The log")
    reward = _rewards(raw, given)
    contexts, index, names = _contexts(raw, given, ctx)
    told.manifest["context_features"] = names
    embeddings = tables["embeddings"].embeddings(actions, given) if "embeddings" in tables else raw.embeddings
    if embeddings is not None and len(embeddings) != actions.n:
        raise JobError(
            "embedding_missing_action",
            f"There are {len(embeddings):,} rows of action_context for {actions.n:,} actions.",
            pointer="/files",
        )
    around = Surroundings(raw.n, actions, raw.rounds, contexts, index, embeddings)
    rows = np.arange(raw.n, dtype=np.int32) if index is None else index
    weight = _weights(raw)
    logging, chance, source = _logging(raw, policies, around, action, rows, weight, given, ctx)
    told.manifest["propensity_source"] = source
    user = None if raw.user is None else raw.user.codes
    log = BanditLog(
        action=action,
        reward=reward,
        propensity=chance,
        n_actions=actions.n,
        contexts=contexts,
        context_index=index,
        logging=logging,
        targets=_targets(policies, around, given),
        embeddings=embeddings,
        hierarchy=tables["hierarchy"].hierarchy(actions) if "hierarchy" in tables else None,
        user=user,
        position=raw.position,
        timestamp=raw.timestamp,
        weight=weight,
        split=split.draw(
            given.split,
            raw.n,
            user=user,
            timestamp=raw.timestamp,
            part=raw.part,
            seed=given.seed,
            in_time=given.split_in_time,
        ),
        reward_range=_range(given),
        action_ids=None if actions.ids is None else np.asarray(actions.ids.to_pylist(), dtype=str),
        support=_support(policies, around, action),
        truth=_truth(raw),
    )
    return _at_position(log, given)


def _number_actions(
    raw: RawLog, tables: Mapping[str, side.ActionTable], policies: Mapping[tuple[str, str], RawPolicy]
) -> action_ids.Actions:
    widths = {name: table.rows for name, table in tables.items() if table.ids is None}
    widths |= {p.name: p.width for p in policies.values() if p.width is not None}
    for name, array in (("pi_b", raw.logging), ("expected_reward", raw.truth)):
        if array is not None:
            widths[name] = array.shape[1]
    if raw.embeddings is not None and "embeddings" not in tables:
        widths["action_context"] = len(raw.embeddings)
    named = {name: [table.ids] for name, table in tables.items() if table.ids is not None}
    named["policies"] = [ids for policy in policies.values() for ids in side.ids_of(policy)]
    return action_ids.resolve(raw, widths, named)


def _rewards(raw: RawLog, given: IngestOptions) -> NDArray[np.float64]:
    wrong = ~np.isfinite(raw.reward)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise JobError(
            "nan_reward",
            f"The reward in row {row + 1:,} is missing, NaN or infinite ({int(wrong.sum()):,} such rows).",
            hint="Remove these rounds, or say 0 where nothing happened.",
            pointer="/columns/reward",
        )
    return -raw.reward if given.reward_is_cost else raw.reward


def _weights(raw: RawLog) -> NDArray[np.float64] | None:
    if raw.weight is None:
        return None
    wrong = ~np.isfinite(raw.weight) | (raw.weight < 0)
    if wrong.any() or raw.weight.sum() <= 0:
        row = int(np.argmax(wrong)) + 1
        raise JobError(
            "invalid_input",
            f"The round weight in row {row:,} is {raw.weight[row - 1]:g}; weights are finite, not below 0, not all 0.",
            pointer="/columns/weight",
        )
    return raw.weight


def _contexts(
    raw: RawLog, given: IngestOptions, ctx: Context
) -> tuple[NDArray[np.float32], NDArray[np.int32] | None, list[str]]:
    """Distinct contexts (U, d), the row of every round where that is smaller, and the column names."""
    columns = list(raw.features)
    if given.position == "context" and raw.position is not None:
        places, codes = np.unique(raw.position, return_inverse=True)
        words = pa.array(places).cast(pa.string())
        columns.append(features.Feature("position", None, codes.astype(np.int32), words))
    if raw.contexts is not None:
        matrix, names = raw.contexts, [f"context_{d}" for d in range(raw.contexts.shape[1])]
        if columns:
            more, added = features.encode(columns, raw.n, given.max_categories, given.hash_columns, "/options/position")
            matrix, names = np.column_stack([matrix, more]), names + added
        first, index = distinct_rows(matrix)
        matrix = matrix if len(first) == raw.n else matrix[first]
    else:
        columns, missing = features.fill_missing(columns, "the log")
        if missing:
            ctx.warn(f"{missing:,} missing numbers of the contexts were replaced by their column's mean.")
        first, index = features.distinct_features(columns, raw.n)
        matrix, names = features.encode(
            [column.take(first) for column in columns],
            len(first), given.max_categories, given.hash_columns, "/options/max_categories",
        )  # fmt: skip
    width = matrix.shape[1]
    if len(first) * width + raw.n < raw.n * width or width == 0:
        return matrix, index, names
    return (matrix if len(first) == raw.n else matrix[index]), None, names


def _logging(
    raw: RawLog,
    policies: Mapping[tuple[str, str], RawPolicy],
    around: Surroundings,
    action: NDArray[np.int32],
    rows: NDArray[np.int32],
    weight: NDArray[np.float64] | None,
    given: IngestOptions,
    ctx: Context,
) -> tuple[Policy | None, NDArray[np.float64], str]:
    """The logging policy where it is known, the propensities, and where they come from."""
    chance = None if raw.propensity is None else propensity.check(raw.propensity)
    uploaded = policies.get(("logging", "logging"))
    if uploaded is None and raw.logging is not None:
        uploaded = RawPolicy("pi_b", "dense", {"table": raw.logging}, raw.logging.shape[1])
    logging: Policy | None = None
    if uploaded is not None:
        logging, scaled = as_policy(uploaded, around, renormalise=given.renormalise)
        if scaled:
            ctx.warn("Rows of the logging policy did not sum to one and were rescaled; propensities are read off it.")
            chance = None
    elif given.logging_builtin == "uniform":
        logging = uniform(raw.n, around.actions.n)
    if logging is not None:
        if chance is None:
            return logging, propensity.of_policy(logging, action), "logging_policy"
        propensity.check_match(chance, logging, action)
        return logging, chance, "uploaded"
    if chance is not None:
        return None, chance, "uploaded"
    if not given.estimate_propensity:
        raise JobError(
            "propensity_missing",
            "The log says neither how probable each logged action was nor what the logging policy is.",
            hint='Name the column, as in columns={"propensity": "prob"}; upload logging_policy; or set '
            "estimate_propensity to estimate it by a logistic model of the action given the context.",
            pointer="/columns/propensity",
        )
    contexts = np.zeros((1, 0), np.float32) if around.contexts is None else around.contexts
    logging = propensity.estimate(action, contexts, rows, around.actions.n, weight, ctx)
    ctx.warn(
        "The propensities were estimated by a logistic model of the action given the context: every estimate from this "
        "log inherits its errors, and choices that depended on anything not uploaded bias them."
    )
    return logging, propensity.of_policy(logging, action), "estimated"


def _targets(
    policies: Mapping[tuple[str, str], RawPolicy], around: Surroundings, given: IngestOptions
) -> dict[str, Policy]:
    found: dict[str, Policy] = {}
    for (role, name), raw in policies.items():
        if role == "target":
            found[name] = as_policy(raw, around, renormalise=given.renormalise)[0]
        elif role == "scores":
            found[name] = from_scores(raw, around, given.score_policy, given.temperature, given.epsilon)
    return found | {name: uniform(around.n, around.actions.n) for name in given.builtin_targets}


def _support(
    policies: Mapping[tuple[str, str], RawPolicy], around: Surroundings, action: NDArray[np.int32]
) -> Support | None:
    """The uploaded support, with which every logged action must agree."""
    raw = policies.get(("support", "support"))
    if raw is None:
        return None
    if raw.form == "long":
        row, listed = pairs(raw, around)
        support = support_from_pairs(row, listed, around.n, around.actions.n)
    else:
        table, index = table_of(raw, around)
        lines = (
            table.dense(np.arange(table.n_rows))
            if isinstance(table, DenseTable)
            else table.support(np.arange(table.n_rows))
        )
        if lines is None:
            raise JobError("unsupported", "A scorer says nothing about the support.", pointer="/files")
        row, listed = (np.asarray(part) for part in lines.nonzero())
        support = support_from_pairs(row, listed, table.n_rows, around.actions.n, index)
    outside = ~support.has(support.rows, action)
    if outside.any():
        raise JobError(
            "propensity_nonpositive",
            f"Row {int(np.argmax(outside)) + 1:,} was logged with an action outside the uploaded support "
            f"({int(outside.sum()):,} such rows).",
            hint="The support of a round lists every action that the logging policy might have taken.",
            pointer="/files",
        )
    return support


def _truth(raw: RawLog) -> Truth | None:
    if raw.truth is None:
        return None
    if not np.isfinite(raw.truth).all():
        raise JobError("invalid_input", "expected_reward holds NaN or infinite numbers.", pointer="/files")
    values = np.asarray(raw.truth, np.float32)
    first, index = distinct_rows(values)
    return Truth(values[first], index) if len(first) <= 0.8 * len(values) else Truth(values)


def _range(given: IngestOptions) -> tuple[float, float] | None:
    if given.r_min is None or given.r_max is None:
        return None
    return given.r_min, given.r_max


def _at_position(log: BanditLog, given: IngestOptions) -> BanditLog:
    if given.only_position is None:
        return log
    if log.position is None:
        raise JobError("invalid_input", "No column holds positions.", pointer="/options/only_position")
    return log.take(np.flatnonzero(log.position == given.only_position))


def _simulated(
    sources: Sources,
    found: list[Source],
    given: IngestOptions,
    meter: Meter,
    ctx: Context,
    report: Callable[[], None],
) -> tuple[BanditLog, Told]:
    if given.simulate:
        log, detection, told = simulate.from_interactions(sources, given, meter, ctx)
    else:
        log, detection, told = simulate.from_classes(found, given, meter, ctx, report)
    if given.split not in {"random", "none"}:
        raise JobError(
            "invalid_input",
            f"A simulated log has no times and no published split for {given.split!r}.",
            hint="Choose the split random or none.",
            pointer="/options/split",
        )
    codes = split.draw(given.split, log.n, user=log.user, timestamp=None, part=None, seed=given.seed, in_time=False)
    for name in given.builtin_targets:
        log.targets[name] = uniform(log.n, log.n_actions)
    return replace(log, split=codes, reward_range=_range(given) or log.reward_range), Told(detection, told)
