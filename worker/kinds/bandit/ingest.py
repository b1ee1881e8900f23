"""Uploaded logs of decisions to a dataset version: every number checked before anything is estimated from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.limits import Limits
from worker.ingest.options import parse_options
from worker.ingest.plausibility import of_times, refuse_hours
from worker.ingest.table import Words
from worker.ingest.upload import Files, Upload
from worker.kinds.bandit import canonical, simulate, structures, uploaded_policies
from worker.kinds.bandit.dataset import BanditLog, Segments
from worker.kinds.bandit.policies import DenseTable, Policy, uniform
from worker.kinds.bandit.structures import dose_files
from worker.kinds.bandit.structures import files as structured_files
from worker.kinds.bandit.structures.doses import DoseLog
from worker.kinds.bandit.support import Support, support_from_pairs
from worker.kinds.bandit.truth import Truth
from worker.kinds.bandit.upload import actions as action_ids
from worker.kinds.bandit.upload import features, plausibility, propensity, split, structured
from worker.kinds.bandit.upload.doses import read_doses
from worker.kinds.bandit.upload.log import choose_log, log_detection, read_log
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.policy import ActionsAndContexts, RawPolicy, as_policy, pairs, table_of
from worker.kinds.bandit.upload.raw import RawLog, RawStructure
from worker.kinds.bandit.upload.roles import CLASSES, RATINGS
from worker.kinds.bandit.upload.scores import from_scores
from worker.kinds.bandit.upload.side_tables import (
    ActionTable,
    SideTable,
    classify,
    ids_of,
    nearest,
    read_actions,
    read_policies,
)  # fmt: skip
from worker.numerics.distinct import distinct_rows

__all__ = ["IngestOptions", "ingest"]
MIN_ROUNDS = 30
_MOST_SEGMENTS = 1_000
_LARGEST_REWARD = 3.4e38  # squares of larger ones, of which variances are made, are soon infinite
_KEPT_OPTIONS = (
    "split", "seed", "renormalise", "estimate_propensity", "reward_is_cost", "position", "only_position", "simulate",
    "multiclass_to_bandit",
)  # fmt: skip


def ingest(
    sources: Files,
    options: Mapping[str, Any] | IngestOptions,
    out: Path,
    ctx: Context,
    limits: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; returns statistics, preview, warnings, schema, detection.

    Raises `JobError`; the codes are those of `app.api.problem_codes`, the pointer names the column, option or file.
    """
    given = parse_options(IngestOptions, options)
    schema = RATINGS if given.simulate else CLASSES if given.multiclass_to_bandit else given.log_schema
    upload = Upload(sources, schema, ctx, Limits(**(limits or {})))
    if given.contents == "policies":
        return _policies(upload, given, out, ctx)
    if given.structure == DoseLog.form:
        return _doses(upload, given, out, ctx)
    joined: RawStructure | None = None
    if schema is given.log_schema:
        log, detected, manifest, joined = _uploaded(upload, given, ctx)
    else:
        log, detected, manifest = _simulated(upload, given, ctx)
    _refuse_few(log.n, given)
    plausibility.warn(log, ctx)
    ctx.progress(3, 4, phase="write")
    log = replace(log, warnings=tuple(ctx.warnings))
    manifest |= {"options": {name: getattr(given, name) for name in _KEPT_OPTIONS}}
    if log.truth is not None:
        manifest["true_values"] = canonical.true_values(log)
    if joined is not None:
        structured_files.write(structured.structured_of(log, joined, given.propensity_of), out, manifest)
    else:
        canonical.write(log, out, manifest)
    ctx.progress(4, 4, phase="write")
    return structures.describe(out) | {"schema": canonical.schema(out), "detection": detected}


def _policies(upload: Upload, given: IngestOptions, out: Path, ctx: Context) -> dict[str, Any]:
    policies = uploaded_policies.ingest_policies(upload, given)
    uploaded_policies.write(policies, out, ctx.warnings)
    detected = {"policies": {name: {"file": raw.name, "role": role} for name, (role, raw) in policies.found.items()}}
    return uploaded_policies.describe(out) | {"schema": canonical.schema(out), "detection": detected}


def _doses(upload: Upload, given: IngestOptions, out: Path, ctx: Context) -> dict[str, Any]:
    """The same for a log of doses, which has no policies beside it."""
    sides = [side.source for source in upload.sources if (side := classify(source)) is not None]
    tables, ignored = choose_log(upload, [source for source in upload.named(given.file) if source not in sides], given)
    ignored += [{"file": side.name, "why": "policies over doses are columns of the log"} for side in sides]
    log, manifest = read_doses(tables, given, upload.meter, ctx)
    _refuse_few(log.n, given)
    upload.tell(tables)
    ctx.progress(3, 4, phase="write")
    dose_files.write(replace(log, warnings=tuple(ctx.warnings)), out, manifest)
    ctx.progress(4, 4, phase="write")
    detected = log_detection(tables, ignored)
    return structures.describe(out) | {"schema": canonical.schema(out), "detection": detected}


def _refuse_few(rounds: int, given: IngestOptions) -> None:
    if rounds >= MIN_ROUNDS:
        return
    raise JobError(
        "too_few_rounds",
        f"The log has {rounds} rounds; at least {MIN_ROUNDS} are needed.",
        hint="Upload more rounds." if given.only_position is None else "Choose another only_position.",
        pointer="/options/only_position" if given.only_position is not None else "",
    )


def _uploaded(
    upload: Upload, given: IngestOptions, ctx: Context
) -> tuple[BanditLog, dict[str, Any], dict[str, Any], RawStructure | None]:
    """The log, what was guessed of the files, what the manifest says beside it, and what joins its rows."""
    every = [side for source in upload.sources if (side := classify(source)) is not None]
    side_sources = [side.source for side in every]
    candidates = [source for source in upload.named(given.file) if source not in side_sources]
    tables, ignored = choose_log(upload, candidates, given)
    sides = nearest(every, tables[0].name)
    ignored += [
        {"file": other.source.name, "why": f"another file is nearer to the log as its {other.role}"}
        for other in every
        if other not in sides
    ]
    raw = read_log(tables, given, upload.meter)
    detected = log_detection(tables, ignored)
    detected["side_tables"] = {side.source.name: f"{side.role} {side.name}".strip() for side in sides}
    ctx.progress(0, 4, phase="check")
    log, manifest = _assemble(raw, sides, upload, given, ctx)
    if log.timestamp is not None:
        refuse_hours(log.timestamp, tables[0], given.columns)
        for warning in of_times(log.timestamp):
            ctx.warn(warning)
    upload.tell(tables)
    detected["n_actions"] = log.n_actions
    ctx.progress(2, 4, phase="check")
    return log, detected, manifest, raw.structure


def _assemble(
    raw: RawLog, sides: list[SideTable], upload: Upload, given: IngestOptions, ctx: Context
) -> tuple[BanditLog, dict[str, Any]]:
    """The log with its policies: actions numbered, contexts encoded, probabilities checked."""
    tables = {s.role: read_actions(s, upload, given) for s in sides if s.role in {"embeddings", "hierarchy"}}
    policies = read_policies([s for s in sides if s.role not in tables], upload, round_ids=raw.rounds is not None)
    actions = _number_actions(raw, tables, policies)
    action = actions.codes(raw.action, "The log")
    reward = _rewards(raw, given)
    contexts, index, names = _contexts(raw, given, ctx)
    embeddings = tables["embeddings"].embeddings(actions, given) if "embeddings" in tables else raw.embeddings
    if embeddings is not None and len(embeddings) != actions.n:
        raise JobError(
            "embedding_missing_action",
            f"There are {len(embeddings):,} rows of action_context for {actions.n:,} actions.",
            pointer="/files",
        )
    known = ActionsAndContexts(raw.n, actions, raw.rounds, contexts, index, embeddings)
    rows = np.arange(raw.n, dtype=np.int32) if index is None else index
    weight = _weights(raw)
    logging, chance, source = _logging(raw, policies, known, action, rows, weight, given, ctx)
    user = structured.owners(raw)
    log = BanditLog(
        action=action,
        reward=reward,
        propensity=chance,
        n_actions=actions.n,
        contexts=contexts,
        context_index=index,
        logging=logging,
        targets=_targets(policies, known, given),
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
        guardrails={name: _finite(values, name) for name, values in raw.guardrails.items()},
        segments={name: _segments(words, name) for name, words in raw.segments.items()},
        reward_range=_range(given),
        action_ids=None if actions.ids is None else np.asarray(actions.ids.to_pylist(), dtype=str),
        support=_support(policies, known, action),
        truth=_truth(raw),
        estimated=source == "estimated",
        attested=source == "attested",
    )
    manifest = {"first_action": actions.base, "context_features": names, "propensity_source": source}
    return _at_position(log, given), manifest


def _number_actions(
    raw: RawLog, tables: Mapping[str, ActionTable], policies: Mapping[tuple[str, str], RawPolicy]
) -> action_ids.Actions:
    widths = {name: table.rows for name, table in tables.items() if table.ids is None}
    widths |= {p.name: p.width for p in policies.values() if p.width is not None}
    for name, array in (("pi_b", raw.logging), ("expected_reward", raw.truth)):
        if array is not None:
            widths[name] = array.shape[1]
    if raw.embeddings is not None and "embeddings" not in tables:
        widths["action_context"] = len(raw.embeddings)
    named = {name: [table.ids] for name, table in tables.items() if table.ids is not None}
    named["policies"] = [ids for policy in policies.values() for ids in ids_of(policy)]
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
    if (far := np.abs(raw.reward) > _LARGEST_REWARD).any():
        row = int(np.argmax(far))
        raise JobError(
            "invalid_input",
            f"The reward in row {row + 1:,} is {raw.reward[row]:g}; rewards are at most {_LARGEST_REWARD:g}.",
            hint="Rescale the rewards, or correct the row.",
            pointer="/columns/reward",
        )
    return -raw.reward if given.reward_is_cost else raw.reward


def _finite(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    wrong = ~(np.abs(values) <= _LARGEST_REWARD)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise JobError(
            "nan_reward",
            f"The guardrail {name!r} in row {row + 1:,} is missing, NaN or too large ({int(wrong.sum()):,} such rows).",
            hint="Say 0 where nothing happened, or leave the column out of guardrails.",
            pointer="/options/guardrails",
        )
    return values


def _segments(words: Words, name: str) -> Segments:
    used, code = np.unique(words.codes, return_inverse=True)
    if len(used) > _MOST_SEGMENTS:
        raise JobError(
            "invalid_input",
            f"The column {name!r} has {len(used):,} values; segments are at most {_MOST_SEGMENTS:,}.",
            hint="Name a coarser column: segments are read one by one, and each needs rounds of its own.",
            pointer="/options/segments",
        )
    return Segments(code.astype(np.int32), tuple(words.words.take(pa.array(used)).to_pylist()))


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
    known: ActionsAndContexts,
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
        logging, scaled = as_policy(uploaded, known, renormalise=given.renormalise)
        if scaled:
            ctx.warn("Rows of the logging policy did not sum to one and were rescaled; propensities are read off it.")
            chance = None
    elif given.logging_builtin == "uniform":
        logging = uniform(raw.n, known.actions.n)
    if logging is not None:
        if chance is None:
            return logging, propensity.of_policy(logging, action), "logging_policy"
        propensity.check_match(chance, logging, action)
        return logging, chance, "uploaded"
    if chance is not None:
        return None, chance, "attested" if given.attest_propensities else "uploaded"
    if not given.estimate_propensity:
        raise JobError(
            "propensity_missing",
            "The log says neither how probable each logged action was nor what the logging policy is.",
            hint='Name the column, as in columns={"propensity": "prob"}; upload logging_policy; or set '
            "estimate_propensity to estimate it by a logistic model of the action given the context.",
            pointer="/columns/propensity",
        )
    contexts = np.zeros((1, 0), np.float32) if known.contexts is None else known.contexts
    logging = propensity.estimate(action, contexts, rows, known.actions.n, weight, ctx)
    ctx.warn(
        "The propensities were estimated by a logistic model of the action given the context: every estimate from this "
        "log inherits its errors, and choices that depended on anything not uploaded bias them."
    )
    return logging, propensity.of_policy(logging, action), "estimated"


def _targets(
    policies: Mapping[tuple[str, str], RawPolicy], known: ActionsAndContexts, given: IngestOptions
) -> dict[str, Policy]:
    found: dict[str, Policy] = {}
    for (role, name), raw in policies.items():
        if role == "target":
            found[name] = as_policy(raw, known, renormalise=given.renormalise)[0]
        elif role == "scores":
            found[name] = from_scores(raw, known, given.score_policy, given.temperature, given.epsilon)
    return found | {name: uniform(known.n, known.actions.n) for name in given.builtin_targets}


def _support(
    policies: Mapping[tuple[str, str], RawPolicy], known: ActionsAndContexts, action: NDArray[np.int32]
) -> Support | None:
    """The uploaded support, with which every logged action must agree."""
    raw = policies.get(("support", "support"))
    if raw is None:
        return None
    if raw.form == "long":
        row, listed = pairs(raw, known)
        support = support_from_pairs(row, listed, known.n, known.actions.n)
    else:
        table, index = table_of(raw, known)
        lines = (
            table.dense(np.arange(table.n_rows))
            if isinstance(table, DenseTable)
            else table.support(np.arange(table.n_rows))
        )
        if lines is None:
            raise JobError("unsupported", "A scorer says nothing about the support.", pointer="/files")
        row, listed = (np.asarray(part) for part in lines.nonzero())
        support = support_from_pairs(row, listed, table.n_rows, known.actions.n, index)
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


def _simulated(upload: Upload, given: IngestOptions, ctx: Context) -> tuple[BanditLog, dict[str, Any], dict[str, Any]]:
    build = simulate.from_interactions if given.simulate else simulate.from_classes
    log, detected, manifest = build(upload, given, ctx)
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
    return replace(log, split=codes, reward_range=_range(given) or log.reward_range), detected, manifest
