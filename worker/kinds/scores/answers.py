"""Single answers of an upload: checked, and summed up to scores where the score table has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.table import Columns
from worker.kinds.scores.dataset import ACCURACY, CONFIDENCE, NUMBERS, WORDS, Examples, ScoreTable, coded

MOST = 2_000_000
_DIFFER = 0.005


def of(read: Columns, ctx: Context) -> Examples:
    """The answers of a table; raises `JobError` that names the first row at fault."""
    correct = read.numbers["correct"]
    confidence = read.numbers.get("confidence", np.full(read.n, np.nan))
    if read.n > MOST:
        raise JobError(
            "decoded_too_large",
            f"{read.n:,} answers are more than the {MOST:,} that a table may hold.",
            hint="Upload a sample of the examples of every benchmark, the same ones of every run.",
        )
    if (wrong := ~np.isin(correct, (0.0, 1.0))).any():
        row = int(np.flatnonzero(wrong)[0])
        raise JobError(
            "invalid_input",
            f"The column correct holds {correct[row]:g} in row {row + 1:,}; it is 0 or 1.",
            hint="Write 1 for a correct answer and 0 for a wrong one.",
            pointer="/columns/correct",
        )
    if (wrong := (confidence < 0) | (confidence > 1)).any():
        row = int(np.flatnonzero(wrong)[0])
        raise JobError(
            "invalid_input",
            f"The confidence {confidence[row]:g} in row {row + 1:,} is outside [0, 1].",
            hint="Write the probability of the selected answer: per cent by 100, log-probabilities through exp.",
            pointer="/columns/confidence",
        )
    if missing := int(np.isnan(confidence).sum()):
        ctx.warn(f"{missing:,} of {read.n:,} answers have no confidence: they count in accuracy, not in calibration.")
    codes = {
        name: read.words[name].codes
        for name in ("run", "stage", "benchmark", "scale", "example_id")
        if name in read.words
    }
    _refuse_repeated(read, codes)
    words = {name: np.array(read.words[name].words.to_pylist(), object)[one] for name, one in codes.items()}
    words.setdefault("scale", np.full(read.n, "", object))
    return Examples(**words, correct=correct, confidence=confidence)


def with_answers(table: ScoreTable, examples: Examples, ctx: Context) -> ScoreTable:
    """The table with accuracy, confidence and counts of examples where it has none, and with the answers."""
    columns = [table.words[name] for name in ("run", "stage", "benchmark", "scale", "metric")]
    known = {key: row for row, key in reversed(list(enumerate(zip(*columns, strict=True))))}
    category = dict(zip(table.words["benchmark"], table.words["category"], strict=True))
    mixture = dict(zip(table.words["run"], table.words["mixture"], strict=True))
    words: dict[str, list[str]] = {name: [] for name in WORDS}
    value: list[float] = []
    counts: list[float] = []
    differ = 0
    for (scale, benchmark, stage, run), rows in groups(examples):
        for metric, scores in ((ACCURACY, examples.correct[rows]), (CONFIDENCE, examples.confidence[rows])):
            scores = scores[np.isfinite(scores)]
            if not len(scores):
                continue
            mean = float(scores.mean())
            if (row := known.get((run, stage, benchmark, scale, metric))) is not None:
                same = not table.n_examples[row] > 0 or table.n_examples[row] == len(scores)
                differ += same and abs(table.value[row] - mean) > _DIFFER
                continue
            said = {"run": run, "stage": stage, "benchmark": benchmark, "metric": metric, "scale": scale, "seed": ""}
            said |= {"category": category.get(benchmark, ""), "mixture": mixture.get(run, "")}
            for name in WORDS:
                words[name].append(said[name])
            value.append(mean)
            counts.append(float(len(scores)) if metric == ACCURACY else np.nan)
    if differ:
        ctx.warn(f"{differ} scores differ by more than {_DIFFER:g} from the mean of their answers: the table's count.")
    if value:
        ctx.warn(f"{len(value):,} scores that the table lacks were computed from answers.")
    more = {"value": value, "n_examples": counts, "stderr": np.full(len(value), np.nan)}
    stages = (*table.stages, *dict.fromkeys(examples.stage.tolist()))
    return replace(
        table,
        words={name: np.concatenate([table.words[name], np.array(words[name], object)]) for name in WORDS},
        stages=tuple(dict.fromkeys(stages)),
        examples=examples,
        **{name: np.concatenate([getattr(table, name), more[name]]) for name in NUMBERS},
    )


def groups(examples: Examples) -> Iterator[tuple[tuple[str, str, str, str], np.ndarray]]:
    """(scale, benchmark, stage, run) and its rows, in the order of these words."""
    names = ("scale", "benchmark", "stage", "run")
    numbered = [coded(getattr(examples, name)) for name in names]
    group = np.zeros(len(examples), np.int64)
    for words, numbers in numbered:
        group = group * len(words) + numbers
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) > 0])
    for rows in np.split(order, starts[1:]):
        key = [words[numbers[rows[0]]] for words, numbers in numbered]
        yield (key[0], key[1], key[2], key[3]), rows


def _refuse_repeated(read: Columns, codes: dict[str, np.ndarray]) -> None:
    key = np.zeros(read.n, np.int64)
    for name, numbers in codes.items():
        key = key * (len(read.words[name].words) + 1) + numbers
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(np.diff(key[order]) == 0)
    if len(again):
        row = int(order[again + 1].min())
        said = {name: read.words[name].words[int(numbers[row])].as_py() for name, numbers in codes.items()}
        raise JobError(
            "invalid_input",
            f"Row {row + 1:,} answers example {said['example_id']!r} of {said['benchmark']!r} a second time for run "
            f"{said['run']!r} at stage {said['stage']!r}.",
            hint="Keep one answer of a run to an example at a stage.",
            pointer="/columns/example_id",
        )
