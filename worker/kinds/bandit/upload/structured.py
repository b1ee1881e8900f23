"""What a log with a structure has beside the columns of any log, and the checks that its weights rest on."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.columns import COUNTED, Wanted, plain_name
from worker.ingest.format import Detected
from worker.ingest.table import Columns
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.structures import layout
from worker.kinds.bandit.structures.slates import PropensityOf, SlateLog
from worker.kinds.bandit.structures.trajectories import TrajectoryLog
from worker.kinds.bandit.upload.raw import RawLog, RawStructure, positions

CHANCE, DOSE, DENSITY = "target:", "target dose:", "target density:"
_COLUMNS = {
    CHANCE: re.compile(r"^target_prob(ability)?(?:_(?P<name>.+))?$"),
    DOSE: re.compile(r"^target_(dose|action)(?:_(?P<name>.+))?$"),
    DENSITY: re.compile(r"^target_(density|pdf)(?:_(?P<name>.+))?$"),
}
_TOLERANCE = 1e-6


def target_columns(detected: Detected, structure: str) -> list[Wanted]:
    """Columns of target policies: their probability of what was logged, or with doses what they would have done, or
    their density of it. The policy is called as the name ends.
    """
    sorts = {"rounds": (), "doses": (DOSE, DENSITY)}.get(structure, (CHANCE,))
    found: list[Wanted] = []
    for column in detected.columns:
        for sort in sorts:
            match = _COLUMNS[sort].match(plain_name(column.name))
            if match and not column.role and column.type in COUNTED:
                column.role = "target"
                found.append(Wanted(f"{sort}{match['name'] or 'target'}", column, "number"))
    return found


def raw_structure(columns: Columns) -> RawStructure | None:
    """What joins the rows, None where nothing does."""
    unit = columns.words.get("slate", columns.words.get("trajectory"))
    if unit is None:
        return None
    step = columns.numbers.get("step")
    chances = {name.removeprefix(CHANCE): columns.numbers[name] for name in columns.numbers if name.startswith(CHANCE)}
    whole = None if step is None else positions(step, "step")
    return RawStructure(unit, whole, chances, "user" in columns.words)


def owners(raw: RawLog) -> NDArray[np.int32] | None:
    """Whose rows stay together in splits and folds: users, else the units of a structure."""
    if raw.user is not None:
        return raw.user.codes
    return None if raw.structure is None else raw.structure.unit.codes


def structured_of(log: BanditLog, joined: RawStructure, propensity_of: PropensityOf) -> SlateLog | TrajectoryLog:
    """The log with what joins its rows, checked."""
    return slates_of(log, joined, propensity_of) if joined.step is None else trajectories_of(log, joined, joined.step)


def trajectories_of(log: BanditLog, joined: RawStructure, step: NDArray[np.int32]) -> TrajectoryLog:
    """The log with its trajectories, checked."""
    ids = np.asarray(joined.unit.words.to_pylist(), dtype=str)
    layout.check(joined.unit.codes, step, ids, ("trajectory", "step"))
    _refuse_weights(log, "trajectory")
    if joined.users and log.user is not None:
        _refuse_torn(joined.unit.codes, log.user, ids, "trajectory")
    return TrajectoryLog(log, joined.unit.codes, step, _chances(log, joined), joined.users)


def slates_of(log: BanditLog, joined: RawStructure, propensity_of: PropensityOf) -> SlateLog:
    """The log with its slates, checked."""
    assert log.position is not None  # noqa: S101 - the schema requires the column
    ids = np.asarray(joined.unit.words.to_pylist(), dtype=str)
    layout.check(joined.unit.codes, log.position, ids, ("slate", "position"))
    _refuse_weights(log, "slate")
    if joined.users and log.user is not None:
        _refuse_torn(joined.unit.codes, log.user, ids, "slate")
    found = SlateLog(log, joined.unit.codes, propensity_of, _chances(log, joined), joined.users)
    steps = found.layout
    every = {"propensity": log.propensity} | {f"target_probability_{n}": v for n, v in found.chances.items()}
    for name, values in every.items():
        table = steps.spread(values)
        after, before = table[:, 1:], table[:, :-1]
        there = steps.present[:, 1:]
        rises = there & (after > before * (1 + _TOLERANCE))
        differs = there & (np.abs(after - before) > _TOLERANCE * before)
        wrong = rises if propensity_of == "prefix" else differs if propensity_of == "slate" else np.zeros_like(there)
        if wrong.any():
            slate = ids[int(np.argmax(wrong.any(axis=1)))]
            must = "never rises from the top down" if propensity_of == "prefix" else "is the same in all its rows"
            raise JobError(
                "invalid_input",
                f"In slate {slate} the column {name} is no probability of the {propensity_of}, which {must} "
                f"({int(wrong.any(axis=1).sum()):,} such slates).",
                hint="With the probability of each item given those above it, choose propensity_of=item.",
                pointer="/options/propensity_of",
            )
    return found


def _chances(log: BanditLog, joined: RawStructure) -> dict[str, NDArray[np.float64]]:
    for name, values in joined.chances.items():
        if name in log.targets:
            raise JobError(
                "invalid_input",
                f"The target policy {name} is both a column and a file.",
                hint="Rename the column, as in target_probability_other.",
                pointer="/files",
            )
        wrong = ~np.isfinite(values) | (values < 0) | (values > 1 + 1e-9)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise JobError(
                "invalid_input",
                f"The probability of the target policy {name} in row {row + 1:,} is {values[row]:g} "
                f"({int(wrong.sum()):,} such rows).",
                hint="Write a number from 0 to 1 in every row.",
                pointer="/files",
            )
    return {name: np.minimum(values, 1.0) for name, values in joined.chances.items()}


def _refuse_weights(log: BanditLog, name: str) -> None:
    if log.weight is not None:
        raise JobError(
            "unsupported",
            f"A round weight belongs to a whole {name}, and the log has one a row.",
            hint='Leave the column out with columns={"weight": ""}.',
            pointer="/columns/weight",
        )


def _refuse_torn(unit: NDArray[np.int32], user: NDArray[np.int32], ids: NDArray[np.str_], name: str) -> None:
    owner = np.zeros(int(unit.max()) + 1, np.int64)
    owner[unit] = user
    torn = owner[unit] != user
    if torn.any():
        raise JobError(
            "invalid_input",
            f"The {name} {ids[unit[int(np.argmax(torn))]]} has rows of two users.",
            hint=f'Give every {name} an id of its own, or leave users out with columns={{"user": ""}}.',
            pointer="/columns/user",
        )
