"""A log as it was uploaded: ids are words, nothing is numbered or checked against a policy yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.ids import IdMap
from worker.ingest.table import Words
from worker.kinds.bandit.upload.features import Arrow, Feature


@dataclass
class RawStructure:
    """What joins n rows: `unit`, the ids of slates or trajectories; `step` (n,) of the latter; `chances` by target
    policy (n,), as they were written; `users`: whether the log has users beside.
    """

    unit: Words
    step: NDArray[np.int32] | None
    chances: dict[str, NDArray[np.float64]]
    users: bool


@dataclass
class RawLog:
    """n rounds. `action`: ids; `n_actions`: when ids are positions, how many there are; `one_based`: VW's counting.

    `contexts` (n, d) float32 instead of `features` when a matrix was uploaded; `rounds`: ids of the rounds;
    `part`: names of a published split; `guardrails`, `segments`: further rewards and categories by column name;
    `logging` (n, A) and `truth` (n, A), `embeddings` (A, d): arrays of an npz.
    """

    n: int
    action: Words
    reward: NDArray[np.float64]
    propensity: NDArray[np.float64] | None = None
    position: NDArray[np.int32] | None = None
    user: Words | None = None
    timestamp: NDArray[np.int64] | None = None
    weight: NDArray[np.float64] | None = None
    rounds: Words | None = None
    part: Words | None = None
    features: list[Feature] = field(default_factory=list[Feature])
    guardrails: dict[str, NDArray[np.float64]] = field(default_factory=dict[str, NDArray[np.float64]])
    segments: dict[str, Words] = field(default_factory=dict[str, Words])
    contexts: NDArray[np.float32] | None = None
    n_actions: int | None = None
    one_based: bool = False
    logging: NDArray[np.floating] | None = None
    truth: NDArray[np.float32] | None = None
    embeddings: NDArray[np.float32] | None = None
    structure: RawStructure | None = None


def number_words(ids: Arrow) -> Words:
    """Ids (n,) as strings, numbered in sorted order: numbers as numbers."""
    collected = IdMap()
    collected.add(ids.dictionary_encode())
    return Words(*collected.finish())


def positions(values: NDArray[Any] | None, name: str = "position") -> NDArray[np.int32] | None:
    """Positions (steps) as whole numbers; None where there are none. `name`: their role."""
    if values is None or not len(values):
        return None
    finite = np.isfinite(values)
    whole = finite & (np.floor(np.where(finite, values, 0)) == values) & (np.abs(np.where(finite, values, 0)) < 2**31)
    if not whole.all():
        row = int(np.argmin(whole)) + 1
        raise JobError(
            "invalid_input",
            f"The {name} in row {row:,} is {values[row - 1]}, not a whole number.",
            hint=f'Correct it, or leave the column out with columns={{"{name}": ""}}.'
            if name == "position"
            else "Number the steps of every trajectory one by one.",
            pointer=f"/columns/{name}",
        )
    return values.astype(np.int32)
