from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from scipy import sparse

from tests.official_splits import official
from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.kinds.interactions.dataset import Interactions, load, preview, save, statistics
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.summary import InteractionsSummary


@pytest.fixture
def small() -> Interactions:
    """Three users, four items; user "c" is only in the strong-generalisation parts."""
    user = np.array([1, 0, 0, 0, 1, 2, 2, 1])
    item = np.array([3, 2, 0, 1, 0, 1, 3, 2])
    split = np.array([0, 1, 0, 2, 2, 4, 2, -1])
    return Interactions.from_columns(
        user,
        item,
        split,
        user_ids=np.array(["a", "b", "c"]),
        item_ids=np.array(["w", "x", "y", "ž"]),
        rating=np.arange(8) / 2,
        timestamp=np.arange(8) + 2**33,
        titles=np.array(["W", "X", "Y", "Z"]),
        options={"split": "clean", "seed": 3},
    )


def test_columns_are_sorted_and_dropped_events_left_out(small: Interactions) -> None:
    assert small.events.user.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert small.events.item.tolist() == [0, 1, 2, 0, 3, 1, 3]
    assert small.events.rating is not None
    assert small.events.rating.tolist() == [1.0, 1.5, 0.5, 2.0, 0.0, 2.5, 3.0]


def test_train_is_binary_and_training_rows_are_the_non_empty_ones(small: Interactions) -> None:
    assert small.train.toarray().tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert small.train.dtype == np.float32
    assert small.training_rows().toarray().tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]


def test_test_queries_show_training_validation_and_fold_in(small: Interactions) -> None:
    held = small.queries("test")
    assert held.users.tolist() == [0, 1, 2]
    assert held.inputs.toarray().tolist() == [[1, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    assert held.targets.toarray().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


def test_validation_queries_show_training_only_and_skip_users_without_targets(small: Interactions) -> None:
    held = small.queries("validation")
    assert held.users.tolist() == [0]
    assert held.inputs.toarray().tolist() == [[1, 0, 0, 0]]
    assert held.targets.toarray().tolist() == [[0, 0, 1, 0]]
    with pytest.raises(ValueError, match="train"):
        small.queries("train")


def test_canonical_files_come_back_as_they_were(small: Interactions, tmp_path: Path) -> None:
    save(small, tmp_path)
    back = load(tmp_path)
    for name in ("user", "item", "split", "rating", "timestamp"):
        column, expected = getattr(back.events, name), getattr(small.events, name)
        np.testing.assert_array_equal(column, expected)
        assert column.dtype == expected.dtype
    assert back.user_ids.tolist() == ["a", "b", "c"]
    assert back.item_ids.tolist() == ["w", "x", "y", "ž"]
    assert back.titles is not None
    assert back.titles.tolist() == ["W", "X", "Y", "Z"]
    assert back.options == {"split": "clean", "seed": 3}


def test_canonical_files_have_the_agreed_columns(tmp_path: Path) -> None:
    plain = Interactions.from_columns(np.array([0, 1]), np.array([0, 0]), np.array([0, 2]))
    save(plain, tmp_path)
    schema = parquet.read_schema(tmp_path / "interactions.parquet")
    columns = [(field.name, str(field.type)) for field in schema]
    assert columns == [("user", "int32"), ("item", "int32"), ("split", "int8")]
    assert parquet.read_table(tmp_path / "users.parquet")["user_id"].to_pylist() == ["0", "1"]
    assert load(tmp_path).events.rating is None


def test_same_dataset_gives_the_same_bytes(small: Interactions, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save(small, tmp_path / name)
    for file in ("interactions.parquet", "users.parquet", "items.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_pairs_that_occur_twice_are_not_saved_but_count_twice_in_memory(tmp_path: Path) -> None:
    twice = Interactions.from_columns(np.array([0, 0]), np.array([1, 1]), np.array([0, 0]))
    assert twice.train.toarray().tolist() == [[0, 2]]
    with pytest.raises(ValueError, match="more than once"):
        save(twice, tmp_path)


def test_files_that_do_not_fit_together_are_refused(small: Interactions, tmp_path: Path) -> None:
    save(small, tmp_path)
    users = parquet.read_table(tmp_path / "users.parquet")
    parquet.write_table(users.slice(0, 2), tmp_path / "users.parquet")
    with pytest.raises(JobError, match="does not have"):
        load(tmp_path)


def test_statistics_say_what_is_in_the_version(small: Interactions, tmp_path: Path) -> None:
    save(small, tmp_path)
    found = statistics(tmp_path)
    assert (found["events"], found["users"], found["items"]) == (7, 3, 4)
    assert found["density"] == pytest.approx(7 / 12)
    assert found["events_per_split"] == {
        "train": 2, "validation": 1, "test": 3, "validation_input": 0, "test_input": 1,
    }  # fmt: skip
    assert (found["users_with_validation"], found["users_with_test"]) == (1, 3)
    assert found["events_per_user"]["max"] == 3
    assert found["top_1_percent_item_share"] == pytest.approx(2 / 7)
    assert found["time_range"] == [2**33, 2**33 + 6]


def test_preview_shows_the_users_own_ids(small: Interactions, tmp_path: Path) -> None:
    save(small, tmp_path)
    lines = preview(tmp_path, 2)
    assert len(lines) == 2
    assert lines[0] == {
        "user_id": "a", "item_id": "w", "title": "W", "rating": 1.0, "timestamp": 2**33 + 2, "split": "train",
    }  # fmt: skip
    assert len(preview(tmp_path, 100)) == 7


def test_summary_of_users_is_hard_and_delivered_as_such() -> None:
    rows = sparse.csr_array(np.array([[1, 0, 1], [0, 1, 0]], np.float32))
    summary = InteractionsSummary.of_users(
        UserRows(rows), np.array(["x", "y", "z"]), origin=Origin("random-users"), row_ids=np.array(["a", "b"])
    )
    assert (summary.n_rows, summary.n_events, summary.form, summary.real_rows) == (2, 3, "hard", True)
    assert list(summary.delivered()) == ["hard"]


def test_summary_delivers_the_primary_form_first() -> None:
    soft = sparse.csr_array(np.array([[0.5, 0, 1]], np.float32))
    hard = sparse.csr_array(np.array([[0, 0, 1]], np.float32))
    summary = InteractionsSummary(soft, hard, np.array(["x", "y", "z"]), "soft", forms={"hard": hard, "soft8": soft})
    assert list(summary.delivered()) == ["soft", "hard", "soft8"]
    assert summary.delivered()["soft"].matrix is soft


@pytest.mark.parametrize("value", [0.0, 1.5, -1.0, np.nan])
def test_summary_with_values_outside_the_unit_interval_is_refused(value: float) -> None:
    rows = sparse.csr_array(np.array([[0.5, 1]], np.float32))
    rows.data[0] = value
    with pytest.raises(ValueError, match="outside"):
        InteractionsSummary(rows, sparse.csr_array(np.ones((1, 2), np.float32)), np.array(["x", "y"]), "soft")


def test_summary_on_other_items_is_refused() -> None:
    rows = sparse.csr_array(np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="rows x items"):
        InteractionsSummary.of_users(UserRows(rows), np.array(["x", "y"]), origin=Origin(), row_ids=np.array(["a"]))


def test_official_movielens_split_has_the_published_sizes() -> None:
    data = official("ml-1m")
    assert (data.n_users, data.n_items, data.train.nnz) == (6040, 3706, 791_718)
    assert data.queries("validation").targets.nnz == 99_692
    assert data.queries("test").targets.nnz == 108_799


def test_official_magazine_split_has_the_published_traps() -> None:
    raw, clean = official("amazon-magazine", dedup=False), official("amazon-magazine")
    assert (raw.n_users, raw.n_items) == (clean.n_users, clean.n_items) == (3092, 1305)
    assert (raw.train.sum(), raw.train.nnz) == (5984, 5934)
    assert raw.train.multiply(raw.part(2)).nnz == 281
    assert clean.train.multiply(clean.part(2)).nnz == 0
    assert len(raw.queries("validation")) == 411
    within = official("amazon-magazine", across_parts=False)
    assert within.train.data.max() == 1
    assert within.train.multiply(within.part(2)).nnz == 281


def test_weights_of_users_are_saved_and_go_with_the_training_rows(tmp_path: Path) -> None:
    user, item, split = np.array([0, 1, 2, 2]), np.array([0, 1, 0, 2]), np.array([0, 2, 0, 0])
    data = Interactions.from_columns(user, item, split, weights=np.array([2.5, 1.0, 7.0]))
    save(data, tmp_path)
    rows = load(tmp_path).training()
    assert rows.matrix.toarray().tolist() == [[1, 0, 0], [1, 0, 1]]
    assert rows.weights is not None
    assert rows.weights.tolist() == [2.5, 7.0], "the user without training events is left out"
    assert rows.counts.tolist() == [9.5, 0, 7.0]
    assert load(tmp_path).training_rows().toarray().tolist() == rows.matrix.toarray().tolist()


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, np.inf], [1.0, -2.0]])
def test_weights_that_are_no_numbers_of_users_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        UserRows(sparse.csr_array(np.ones((2, 3), np.float32)), np.array(weights, np.float32))
