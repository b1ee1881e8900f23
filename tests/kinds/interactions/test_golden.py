"""The same seeds give the same summary data as ever; those of distill-cf are of its version 4."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy import sparse

from tests.kinds.interactions.planted import planted
from worker.contract.context import Context
from worker.kinds.interactions.forms import LEVELS, codes, quantised
from worker.kinds.interactions.methods.distill_cf import DistillCFParams, distill_cf
from worker.kinds.interactions.methods.head_users import HeadUsersParams, head_users
from worker.kinds.interactions.methods.random_interactions import RandomInteractionsParams, random_interactions
from worker.kinds.interactions.methods.random_users import RandomUsersParams, random_users

QUICK = {"budget": 6, "steps": 12, "validate_every": 4, "row_mass": 6, "patience": 12}


def digest(*arrays: np.ndarray) -> str:
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()[:16]


def events(rows: sparse.csr_array) -> str:
    """Of which items each row has."""
    return digest(rows.indptr.astype(np.int64), rows.indices.astype(np.int64))


def contents(rows: sparse.csr_array, form: str) -> str:
    """Of a form's rows, without the last digits: those of learned rows depend on the processor's instructions."""
    if form in LEVELS:
        coded, _ = codes(rows, LEVELS[form])
        return digest(coded.indptr.astype(np.int64), coded.indices.astype(np.int64), coded.data)
    return events(rows) if form == "hard" else digest(np.rint(rows.toarray() * 1000).astype(np.int64))


@pytest.mark.parametrize(
    ("method", "params", "rows", "users"),
    [
        (random_users, RandomUsersParams(budget=20), "73798c3d571dab76", "623cd3f661fe673d"),
        (head_users, HeadUsersParams(budget=20), "db118346b49b79b8", "50c3ac0872686711"),
        (random_interactions, RandomInteractionsParams(keep_percent=20), "868bee04abe1e26b", "df52a3f0ece9b4b7"),
    ],
)
def test_selection_keeps_the_events_and_users_it_always_kept(
    method: object, params: object, rows: str, users: str
) -> None:
    summary = method(planted(), params, Context(seed=5))
    assert events(summary.rows) == rows
    assert events(summary.hard) == rows
    assert (summary.rows.data == 1).all()
    assert digest(np.frombuffer("\n".join(summary.row_ids.tolist()).encode(), np.uint8)) == users


@pytest.mark.parametrize(
    ("extra", "forms"),
    [
        ({}, {"soft8": "266014799d138660", "soft": "b4bdf2681383cbfd", "hard": "999652fd85bbdb8f"}),
        (
            {"draws": 2, "tau": 1.0, "mask_input": 0.3, "batch_users": 10, "quantize": "4"},
            {"soft4": "cd212da90219a0c9", "soft": "9433746f6923ae72", "hard": "b2e5815059d809f6"},
        ),
        (
            {"train_hard": True, "hard_events": 5},
            {"hard": "cf54ce7e6b9af5f4", "soft8": "229e16883dcb72a1", "soft": "103589c8f7ff7203"},
        ),
    ],
)
def test_distillation_learns_the_rows_it_always_learned(extra: dict[str, object], forms: dict[str, str]) -> None:
    summary = distill_cf(planted(), DistillCFParams(**QUICK, **extra), Context(seed=5))
    assert {form: contents(rows.matrix, form) for form, rows in summary.delivered().items()} == forms


@pytest.mark.parametrize(("form", "expected"), [("soft8", "c3de665157b59522"), ("soft4", "f7cfde9ffedf8aa9")])
def test_quantisation_gives_the_values_it_always_gave(form: str, expected: str) -> None:
    rows = quantised(np.random.default_rng(7).random((11, 37), dtype=np.float32) ** 3, form)
    assert digest(rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data) == expected
