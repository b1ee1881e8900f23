"""What is wrong or doubtful in a table of scores, said before anything is computed from it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.scores.dataset import ACCURACY, CONFIDENCE, KEY, NUMBERS, WORDS, ScoreTable, common_runs

FEWEST_RUNS = 3
_IMPOSSIBLE = {"n_examples": "not above 0", "stderr": "below 0"}


def cleaned(table: ScoreTable, ctx: Context) -> ScoreTable:
    """The table without missing scores, metrics named, per cent as shares; raises `JobError` for what cannot be."""
    missing = np.isnan(table.value)
    if missing.any():
        ctx.warn(f"{int(missing.sum()):,} rows without a value were left out.")
        table = taken(table, np.flatnonzero(~missing))
    if (unnamed := table.words["metric"] == "").any():
        ctx.warn(f"{int(unnamed.sum()):,} rows name no metric: their values were taken as accuracy.")
        table.words["metric"][unnamed] = ACCURACY
    if np.isinf(table.value).any():
        raise _refused(table, int(np.flatnonzero(np.isinf(table.value))[0]), "is infinite", "Leave the row out.")
    _check_confidence(table)
    table = _as_shares(table, ctx)
    _refuse_duplicates(table)
    for word in ("category", "mixture"):
        _settle(table, word, "benchmark" if word == "category" else "run", ctx)
    usable = {"n_examples": table.n_examples > 0, "stderr": table.stderr >= 0}
    for name, fine in usable.items():
        if wrong := int((~fine & ~np.isnan(getattr(table, name))).sum()):
            ctx.warn(f"{wrong:,} values of {name} are {_IMPOSSIBLE[name]} and were taken as unknown.")
    return replace(table, **{name: np.where(fine, getattr(table, name), np.nan) for name, fine in usable.items()})


def refuse_what_cannot_be_compared(table: ScoreTable, ctx: Context) -> None:
    """Raise `JobError` for a table in which no two stages can be held against each other."""
    if len(table.stages) < 2:
        seen = f" {table.stages[0]!r} alone" if table.stages else "no stage"
        raise JobError(
            "invalid_input",
            f"A comparison needs scores at two stages; the column stage holds{seen}.",
            hint="Upload the scores of the same runs before and after, told apart by the column stage.",
            pointer="/columns/stage",
        )
    if (common := common_runs(table)) < FEWEST_RUNS:
        raise JobError(
            "too_few_rows",
            f"No benchmark has scores of {FEWEST_RUNS} runs at two stages; the most is {common}.",
            hint="Give a run the same name at both stages, and upload at least 3 runs (5 for a verdict).",
            pointer="/columns/run",
        )
    if len(table.stages) > 2:
        listed = ", ".join(repr(stage) for stage in table.stages[:10])
        ctx.warn(f"There are {len(table.stages)} stages ({listed}): a job names two of them as stage_pair.")


def taken(table: ScoreTable, rows: np.ndarray) -> ScoreTable:
    """Some rows; a stage of which none is left is no stage any more."""
    words = {name: table.words[name][rows] for name in WORDS}
    left = set(words["stage"].tolist())
    numbers = {name: getattr(table, name)[rows] for name in NUMBERS}
    return replace(table, words=words, stages=tuple(one for one in table.stages if one in left), **numbers)


def _check_confidence(table: ScoreTable) -> None:
    wrong = (table.words["metric"] == CONFIDENCE) & ((table.value < 0) | (table.value > 1))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise _refused(
            table,
            row,
            "is outside [0, 1]",
            "A confidence is a probability: divide per cent by 100, or rename the metric.",
        )


def _as_shares(table: ScoreTable, ctx: Context) -> ScoreTable:
    """Accuracy as shares: a table with accuracies above 1 holds per cent throughout."""
    rows = table.words["metric"] == ACCURACY
    if (wrong := rows & ((table.value < 0) | (table.value > 100))).any():
        row = int(np.flatnonzero(wrong)[0])
        raise _refused(table, row, "is no share and no per cent", "Correct it, or name the metric otherwise.")
    if not (rows & (table.value > 1)).any():
        return table
    if ((table.value[rows] < 1) & (table.value[rows] > 0)).mean() > 0.5:
        row = int(np.flatnonzero(rows & (table.value > 1))[0])
        raise _refused(table, row, "is above 1 where most are shares", "Write all in one unit.")
    for benchmark in sorted(set(table.words["benchmark"][rows].tolist())):
        at = np.flatnonzero(rows & (table.words["benchmark"] == benchmark))
        small = at[(table.value[at] < 1) & (table.value[at] > 0)]
        if not len(small):
            continue
        if len(small) < len(at) and table.value[at].max() > 10:
            raise _refused(
                table, int(small[0]), "is a share where others of its benchmark are per cent", "Write all in one unit."
            )
        if table.value[at].max() <= 1:
            raise _refused(
                table,
                int(small[0]),
                "is below 1 as all of its benchmark, where other benchmarks are per cent",
                "Write all accuracies as shares: what is meant is then clear, and below 1 % it stays so.",
            )
    ctx.warn("Accuracies above 1 occur: all were taken as per cent and divided by 100, and their standard errors, too.")
    return replace(
        table,
        value=np.where(rows, table.value / 100, table.value),
        stderr=np.where(rows, table.stderr / 100, table.stderr),
    )


def _refuse_duplicates(table: ScoreTable) -> None:
    seen: dict[tuple[str, ...], int] = {}
    columns = [table.words[name] for name in KEY]
    for row, key in enumerate(zip(*columns, strict=True)):
        if (first := seen.setdefault(key, row)) != row:
            raise JobError(
                "invalid_input",
                f"{_place(table, row)} stands there twice: {table.value[first]:g} and {table.value[row]:g}.",
                hint="Keep one of the rows; tell repeated measurements apart by a column seed, which are averaged.",
                pointer="/columns/seed",
            )


def _settle(table: ScoreTable, word: str, of: str, ctx: Context) -> None:
    """Give every benchmark one category, and every run one mixture: the first that is said."""
    said: dict[str, str] = {}
    clashes: defaultdict[str, set[str]] = defaultdict(set)
    for name, value in zip(table.words[of], table.words[word], strict=True):
        if value and said.setdefault(name, value) != value:
            clashes[name] |= {said[name], value}
    for name, values in sorted(clashes.items())[:3]:
        ctx.warn(
            f"The {of} {name!r} has several of the column {word} ({', '.join(sorted(values))}): {said[name]!r} counts."
        )
    table.words[word] = np.array([said.get(name, "") for name in table.words[of]], object)


def _place(table: ScoreTable, row: int) -> str:
    w = {name: table.words[name][row] for name in KEY}
    more = "".join(f", {name} {w[name]!r}" for name in ("scale", "seed") if w[name])
    return f"{w['metric']} of run {w['run']!r} on {w['benchmark']!r} at stage {w['stage']!r}{more}"


def _refused(table: ScoreTable, row: int, what: str, hint: str) -> JobError:
    place = _place(table, row)
    return JobError(
        "invalid_input", f"The value {table.value[row]:g} ({place}) {what}.", hint=hint, pointer="/columns/value"
    )
