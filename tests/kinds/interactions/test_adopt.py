"""Dataset versions judged as summaries of another: what is matched, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from worker.contract.errors import JobError
from worker.kinds.interactions import dataset
from worker.kinds.interactions.splits import TEST, TRAIN, VALIDATION
from worker.kinds.interactions.summary import adopt


def subset(item_ids: list[str]) -> dataset.Interactions:
    """A version of another upload: three users, one of them without a known item; all kinds of split codes."""
    user, item = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 2, 2])
    ids = np.array(item_ids)
    return dataset.Interactions.from_columns(
        user, item, np.array([0, 1, 2, 0, 0]), user_ids=np.array(["x", "y", "z"]), item_ids=ids
    )


def test_version_is_adopted_as_a_summary_matched_by_item_id_whatever_its_split() -> None:
    data = dataset.Interactions.from_columns(
        np.zeros(4), np.arange(4), np.zeros(4), item_ids=np.array(["a", "b", "c", "d"])
    )
    summary = adopt(data, subset(["d", "b", "unknown"]))
    assert summary.rows.toarray().tolist() == [[0, 1, 0, 1], [0, 1, 0, 0]]
    assert summary.row_ids.tolist() == ["x", "y"]
    assert summary.real_rows
    assert summary.form == "hard"
    assert summary.origin.method == "uploaded subset"
    assert summary.warnings == (
        "2 events of the subset are on items that the dataset does not have; they were left out.",
    )
    assert adopt(data, subset(["a", "b", "c"])).warnings == ()


def asked_of_x() -> dataset.Interactions:
    """User x with a training, a validation, and a test event, and user y with all in training."""
    user, item = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 1, 2])
    return dataset.Interactions.from_columns(
        user, item, np.array([TRAIN, VALIDATION, TEST, TRAIN, TRAIN, TRAIN]),
        user_ids=np.array(["x", "y"]), item_ids=np.array(["a", "b", "c"]),
    )  # fmt: skip


def test_adopted_version_leaves_out_what_the_dataset_asks_its_users_for() -> None:
    data = asked_of_x()
    other = dataset.Interactions.from_columns(
        np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 1, 2]), np.zeros(6, np.int8),
        user_ids=np.array(["y", "x"]), item_ids=np.array(["c", "b", "a"]),
    )  # fmt: skip
    summary = adopt(data, other)
    assert summary.row_ids.tolist() == ["y", "x"]
    assert summary.rows.toarray().tolist() == [[1, 1, 1], [1, 0, 0]]
    assert summary.warnings == (
        "2 events of the subset are validation or test events of the dataset; they were left out, since nothing may be "
        "trained on what it is asked.",
    )


def test_adopted_version_of_held_out_events_alone_is_refused_with_a_cure() -> None:
    other = dataset.Interactions.from_columns(
        np.array([0, 0]), np.array([0, 1]), np.zeros(2, np.int8),
        user_ids=np.array(["x"]), item_ids=np.array(["b", "c"]),
    )  # fmt: skip
    with pytest.raises(JobError, match="nothing but validation and test events") as refused:
        adopt(asked_of_x(), other)
    assert refused.value.pointer == "/inputs/summary"


def test_version_without_a_common_item_is_refused() -> None:
    data = dataset.Interactions.from_columns(np.zeros(1), np.zeros(1), np.zeros(1), item_ids=np.array(["a"]))
    with pytest.raises(JobError, match="no item in common") as refused:
        adopt(data, subset(["p", "q", "r"]))
    assert refused.value.pointer == "/inputs/summary"
