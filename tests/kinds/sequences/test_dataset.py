from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.kinds.sequences.planted import planted
from worker.contract.errors import JobError
from worker.kinds.sequences import dataset, splits
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.rows import Rows, places

T, V, X = splits.TRAIN, splits.VALIDATION, splits.TEST


def rows_of(found: Rows) -> list[list[int]]:
    return [found.row(number).tolist() for number in range(len(found))]


def test_rows_when_taken_padded_and_cut_then_are_those_of_lists():
    rows = Rows.of([[1, 2, 3], [], [4], [5, 6]])
    assert rows_of(rows.take(np.array([3, 0, 0]))) == [[5, 6], [1, 2, 3], [1, 2, 3]]
    assert rows_of(rows.last(2)) == [[2, 3], [], [4], [5, 6]]
    assert rows.padded(np.array([0, 2]), 9).tolist() == [[1, 2, 3], [4, 9, 9]]
    assert rows.padded(np.array([0, 2]), 9, 4, left=True).tolist() == [[9, 1, 2, 3], [9, 9, 9, 4]]
    assert rows.owners().tolist() == [0, 0, 0, 2, 3, 3]
    assert places(np.array([7, 0]), np.array([2, 3])).tolist() == [7, 8, 0, 1, 2]


def test_leave_one_out_when_split_then_trains_on_all_but_two_and_tests_with_the_validation_event_as_history():
    rows = Rows.of([[0, 1, 2, 3], [4, 5], [6, 7, 8]])
    data = Sequences.of(rows, 9, splits.leave_one_out(rows.indptr))
    assert data.split.tolist() == [T, T, V, X, T, T, T, V, X]
    assert rows_of(data.training().rows) == [[0, 1], [4, 5], [6]]
    assert data.training().ids.tolist() == ["0", "1", "2"]
    validation, test = data.cases("validation"), data.cases("test")
    assert rows_of(validation.contexts) == [[0, 1], [6]]
    assert validation.targets.tolist() == [2, 7]
    assert rows_of(test.contexts) == [[0, 1, 2], [6, 7]]
    assert test.targets.tolist() == [3, 8]
    assert test.rows.tolist() == [0, 2]


def test_temporal_when_split_then_asks_for_the_first_event_after_each_moment():
    rows = Rows.of([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])
    times = np.array([1, 2, 9, 11, 12, 3, 4, 5, 6, 10])
    data = Sequences.of(rows, 10, splits.temporal(times, (0.6, 0.8)), times=times)
    assert data.split.tolist() == [T, T, V, X, X, T, T, T, T, V]
    assert rows_of(data.training().rows) == [[0, 1], [5, 6, 7, 8]]
    test = data.cases("test")
    assert rows_of(test.contexts) == [[0, 1, 2]]
    assert test.targets.tolist() == [3]
    with pytest.raises(JobError, match="same time"):
        splits.temporal(np.ones(10))


def test_given_when_whole_sequences_are_held_out_then_asks_for_their_last_event():
    rows = Rows.of([[0, 1, 2], [3, 4, 5], [6, 7]])
    data = Sequences.of(rows, 8, np.repeat([T, X, V], [3, 3, 2]))
    assert rows_of(data.cases("test").contexts) == [[3, 4]]
    assert data.cases("test").targets.tolist() == [5]
    assert rows_of(data.training().rows) == [[0, 1, 2]]
    assert rows_of(data.held("validation")) == [[6, 7]]


def test_split_column_when_it_names_no_part_then_is_refused():
    assert splits.given(np.array(["train", "val", "test", "2"])).tolist() == [T, V, X, X]
    with pytest.raises(JobError, match="'later'"):
        splits.given(np.array(["train", "later"]))


@pytest.mark.parametrize(
    ("name", "part"),
    [("train.txt", T), ("ptb.valid.txt", V), ("data/test-00000.parquet", X), ("beauty.txt", None), ("0.csv", None)],
)
def test_part_when_a_file_name_says_it_then_is_known(name: str, part: int | None):
    assert splits.part_of_file(name) == part


def test_dataset_when_saved_and_loaded_then_is_the_same_and_statistics_agree_with_counting(tmp_path: Path):
    data = planted(60)
    dataset.save(data, tmp_path)
    again = dataset.load(tmp_path)
    assert np.array_equal(again.items, data.items)
    assert np.array_equal(again.indptr, data.indptr)
    assert np.array_equal(again.split, data.split)
    assert again.options == data.options
    said = dataset.statistics(tmp_path)
    assert said["events"] == len(data.items)
    assert said["sequences"] == said["sequences_with_test"] == 60
    assert said["training_events"] == len(data.items) - 120
    assert said["events_per_sequence"]["max"] == data.rows.lengths.max()
    first = dataset.preview(tmp_path)[0]
    assert first["events"] == [str(item) for item in data.rows.row(0)]
    assert first["split"][-2:] == ["validation", "test"]


def test_tied_times_when_counted_then_are_those_within_a_sequence(tmp_path: Path):
    rows = Rows.of([[0, 1, 2, 3], [4, 5, 6, 7]])
    times = np.array([1, 1, 2, 3, 3, 3, 3, 4])
    dataset.save(Sequences.of(rows, 8, splits.leave_one_out(rows.indptr), times=times), tmp_path)
    assert dataset.statistics(tmp_path)["share_of_tied_times"] == pytest.approx(3 / 8)
