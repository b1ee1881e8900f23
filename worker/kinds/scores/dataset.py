"""A table of scores: what each run reached on each benchmark at each stage; and single answers, where they are known.

Canonical files of a version: `scores.parquet`, a row a score, sorted; `examples.parquet`, a row an answer, where any
was uploaded; `table.json`, the stages in the order of the upload. Nothing is held out: what is judged is a choice of
runs, and the second stage is what the first is held against.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from worker.ingest.arrow import Arrow

SCORES_FILE, EXAMPLES_FILE, TABLE_FILE = "scores.parquet", "examples.parquet", "table.json"
ACCURACY, CONFIDENCE = "accuracy", "confidence"
WORDS = ("run", "stage", "benchmark", "metric", "scale", "category", "mixture", "seed")
NUMBERS = ("value", "n_examples", "stderr")
KEY = ("run", "stage", "benchmark", "metric", "scale", "seed")
ANSWER_KEY = ("scale", "benchmark", "stage", "run", "example_id")
_PREVIEW = 20


@dataclass(frozen=True)
class Examples:
    """Answers (n,): words `run`, `stage`, `benchmark`, `example_id`, `scale`; `correct` 0.0 or 1.0; `confidence` in
    [0, 1] float64, the probability given to the selected answer."""

    run: np.ndarray
    stage: np.ndarray
    benchmark: np.ndarray
    scale: np.ndarray
    example_id: np.ndarray
    correct: np.ndarray
    confidence: np.ndarray

    def __len__(self) -> int:
        return len(self.correct)

    def take(self, rows: np.ndarray) -> Examples:
        """Some of them."""
        return Examples(**{name: column[rows] for name, column in vars(self).items()})


@dataclass(frozen=True)
class ScoreTable:
    """`words`: columns of `WORDS` (n,) as objects, "" where not said; `value` (n,) finite float64; `n_examples`,
    `stderr` (n,) float64, NaN where unknown; `stages` in the order of the upload."""

    words: dict[str, np.ndarray]
    value: np.ndarray
    n_examples: np.ndarray
    stderr: np.ndarray
    stages: tuple[str, ...]
    examples: Examples | None = None

    def __len__(self) -> int:
        return len(self.value)

    def distinct(self, word: str) -> list[str]:
        """The values of a column of words, sorted."""
        return sorted(set(self.words[word].tolist()))


def save(table: ScoreTable, folder: Path) -> None:
    """Write the canonical files; equal tables give equal bytes."""
    columns: dict[str, Any] = {name: pa.array(table.words[name], pa.string()) for name in WORDS}
    columns |= {name: pa.array(getattr(table, name), pa.float64()) for name in NUMBERS}
    _write(columns, KEY, folder / SCORES_FILE)
    if (answers := table.examples) is not None:
        _write({name: pa.array(column) for name, column in vars(answers).items()}, ANSWER_KEY, folder / EXAMPLES_FILE)
    (folder / TABLE_FILE).write_text(json.dumps({"stages": list(table.stages)}) + "\n")


def load(folder: Path) -> ScoreTable:
    """The table from its canonical files."""
    read = parquet.read_table(folder / SCORES_FILE)
    examples = None
    if (folder / EXAMPLES_FILE).exists():
        answers = parquet.read_table(folder / EXAMPLES_FILE)
        examples = Examples(**{name: _column(answers[name]) for name in answers.column_names})
    stages = json.loads((folder / TABLE_FILE).read_text())["stages"]
    words = {name: _column(read[name]) for name in WORDS}
    value, n_examples, stderr = (read[name].to_numpy() for name in NUMBERS)
    return ScoreTable(words, value, n_examples, stderr, tuple(stages), examples)


def describe(folder: Path) -> dict[str, Any]:
    """{statistics, preview, warnings} of canonical files; see `worker.contract.kind.Kind`."""
    table = load(folder)
    names = ("run", "benchmark", "metric", "scale", "category", "mixture")
    few = {f"{_plural(name)}": len([one for one in table.distinct(name) if one]) for name in names}
    statistics = {
        "scores": len(table),
        "stages": len(table.stages),
        **few,
        "common_runs": common_runs(table),
        "examples": 0 if table.examples is None else len(table.examples),
        "seeds": len([one for one in table.distinct("seed") if one]),
        "metric_names": table.distinct("metric")[:50],
        "stage_names": list(table.stages[:50]),
    }
    shown = [*WORDS, *NUMBERS]
    rows = [
        {name: _cell(table.words[name][row] if name in WORDS else getattr(table, name)[row]) for name in shown}
        for row in range(min(_PREVIEW, len(table)))
    ]
    return {"statistics": statistics, "preview": {"scores": rows}, "warnings": []}


def common_runs(table: ScoreTable) -> int:
    """The most runs that any benchmark has at two stages."""
    at: dict[tuple[str, str, str], dict[str, set[str]]] = {}
    w = table.words
    for row in range(len(table)):
        place = at.setdefault((w["benchmark"][row], w["metric"][row], w["scale"][row]), {})
        place.setdefault(w["run"][row], set()).add(w["stage"][row])
    most = 0
    for runs in at.values():
        stages = sorted({stage for found in runs.values() for stage in found})
        pairs = ((a, b) for i, a in enumerate(stages) for b in stages[i + 1 :])
        most = max([most, *(sum({a, b} <= found for found in runs.values()) for a, b in pairs)])
    return most


def coded(column: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The distinct words of a column (n,), sorted, and the number of each row's word (n,) int64."""
    encoded = pa.array(column, pa.string()).dictionary_encode()
    words = encoded.dictionary.to_pylist()
    order = sorted(range(len(words)), key=lambda at: words[at])
    places = np.empty(len(words), np.int64)
    places[order] = np.arange(len(words))
    return [words[at] for at in order], places[encoded.indices.to_numpy()]


def _write(columns: dict[str, Any], key: tuple[str, ...], file: Path) -> None:
    rows = pa.table(columns).sort_by([(name, "ascending") for name in key])
    parquet.write_table(rows, file, compression="zstd")


def _column(stored: Arrow) -> np.ndarray:
    """Numbers as they are, text as objects of which equal ones are one."""
    if not pa.types.is_string(stored.type):
        return stored.to_numpy()
    encoded = stored.combine_chunks().dictionary_encode()
    words = np.array(encoded.dictionary.to_pylist(), object)
    return words[encoded.indices.to_numpy()] if len(words) else np.empty(0, object)


def _plural(name: str) -> str:
    return "categories" if name == "category" else f"{name}s"


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return value or None
    return float(value) if np.isfinite(value) else None
