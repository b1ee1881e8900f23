"""The column to predict: whether it holds classes or numbers, and which classes."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow
from worker.kinds.table.dataset import Task
from worker.kinds.table.infer import LARGEST, advice, is_beyond, separated
from worker.kinds.table.values import codes, is_number, is_word, numbers

LEAST_OF_A_CLASS = 5
REGRESSION_FROM = 20  # distinct numbers above which a label is a quantity
MOST_CLASSES = 500


def task_of(name: str, label: Arrow, asked: Task | Literal["auto"]) -> Task:
    """Whether the classes or the numbers of a label without gaps (n,) are predicted; `asked`: what the user says.

    Raises `JobError` where it is neither, or all alike.
    """
    if not (is_number(label.type) or is_word(label.type)):
        raise JobError(
            "invalid_input",
            f"The label {name!r} holds {str(label.type)[:60]}, neither numbers nor words.",
            hint="Write it as one of these, or map another column.",
            pointer="/columns/label",
        )
    quantity = is_number(label.type) and not pa.types.is_boolean(label.type)
    if asked == "regression" and not quantity:
        example = next(value for value in label.to_pylist() if value is not None)
        raise JobError(
            "non_numeric_label",
            f"The label {name!r} holds {str(example)[:60]!r}, and regression predicts numbers.",
            hint=advice(name, cell)
            if (cell := separated(label))
            else "Leave the option task out, or map a column of numbers.",
            pointer="/columns/label",
        )
    task = asked
    if task == "auto":
        task = "regression" if quantity and _is_quantity(numbers(label)) else "classification"
    if task == "regression" and (is_beyond(label) or np.ptp(numbers(label)) == 0):
        raise JobError(
            "invalid_input",
            f"The label {name!r} holds numbers beyond {LARGEST:g}."
            if is_beyond(label)
            else f"The label {name!r} has one value only ({label[0].as_py()}).",
            hint="Scale it down." if is_beyond(label) else "Map a column with several values to label.",
            pointer="/columns/label",
        )
    return task


def _is_quantity(values: np.ndarray) -> bool:
    return len(np.unique(values)) > REGRESSION_FROM or bool((values != np.floor(values)).any())


def classes_of(name: str, label: Arrow, ctx: Context) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes of a label without gaps (n,), as words in order, and the rows of these (m,): those of rarer ones are
    left out, with a warning. Raises `JobError` where there are too many, or one alone."""
    found, words = codes(label)
    counts = np.bincount(found, minlength=len(words))
    rare = [word for word, count in zip(words, counts, strict=True) if count < LEAST_OF_A_CLASS]
    if len(words) > MOST_CLASSES or len(rare) > 0.5 * len(words) > 1:
        raise JobError(
            "invalid_input",
            f"The label {name!r} has {len(words):,} values, {len(rare):,} of them on fewer than "
            f"{LEAST_OF_A_CLASS} rows: these are no classes.",
            hint='Map another column to label, or set task="regression" where the label is a number.',
            pointer="/columns/label",
        )
    if rare:
        listed = ", ".join(repr(word[:40]) for word in rare[:10])
        ctx.warn(
            f"Rows of classes with fewer than {LEAST_OF_A_CLASS} rows were left out, as no class can be held out and "
            f"learned from less: {listed}."
        )
    kept = tuple(word for word, count in zip(words, counts, strict=True) if count >= LEAST_OF_A_CLASS)
    if len(kept) < 2:
        raise JobError(
            "invalid_input",
            f"The label {name!r} has one class only{f' ({kept[0][:60]!r})' if kept else ''}.",
            hint="Map a column with at least two classes to label.",
            pointer="/columns/label",
        )
    return kept, np.flatnonzero((counts >= LEAST_OF_A_CLASS)[found])
