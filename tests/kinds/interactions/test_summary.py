"""Bundles: what is read is what was written, the bytes are repeatable, and the loader needs numpy and scipy only."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from worker.contract.context import Context
from worker.kinds.interactions import bundle, dataset
from worker.kinds.interactions.export import (
    LEVELS,
    Delivery,
    codes,
    decode,
    deliver,
    hard_rows,
    quantised,
    size_bytes,
    sparse_soft,
)
from worker.kinds.interactions.methods.random_users import RandomUsersParams, random_users
from worker.kinds.interactions.summary import InteractionsSummary

ODD_IDS = ["=1+1", "plain", "@cmd", "'quoted", "with,comma", "with\ttab", 'with"quote', "+7", "é", "-3"]


def learned(
    form: Delivery = Delivery(),  # noqa: B008
    *,
    users: int = 7,
    items: int = 33,
    fill: float = 1.0,
    columns: np.ndarray | None = None,
) -> InteractionsSummary:
    rng = np.random.default_rng(1)
    width = items if columns is None else len(columns)
    values = (rng.random((users, width)) ** 3 * (rng.random((users, width)) < fill)).astype(np.float32)
    ids = np.array([ODD_IDS[number] if number < len(ODD_IDS) else f"item {number}" for number in range(items)])
    return deliver(
        values,
        values.sum(axis=1).round().astype(int).clip(1),
        form,
        item_ids=ids,
        columns=columns,
        choose_ridge=lambda rows: 0.5,
        settings={"steps": 3, "curve": [{"step": 1.0, "loss": 2.5}]},
        ctx=Context(),
    )


def assert_equal(first: InteractionsSummary, second: InteractionsSummary) -> None:
    assert first.form == second.form
    assert first.delivered().keys() == second.delivered().keys()
    for one, other in zip(
        (*first.delivered().values(), first.hard), (*second.delivered().values(), second.hard), strict=True
    ):
        assert other.dtype == np.float32
        assert np.array_equal(one.toarray(), other.toarray())
    assert first.item_ids.tolist() == second.item_ids.tolist()
    assert first.settings == second.settings
    assert first.warnings == second.warnings
    assert first.real_rows == second.real_rows


FORMS = [Delivery(*form) for form in (("both", "8"), ("both", "4"), ("both", "none"), ("soft", "8"), ("hard", "8"))]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fill", [1.0, 0.2])
def test_summary_written_and_read_is_the_same_bit_for_bit(form: Delivery, fill: float, tmp_path: Path) -> None:
    summary = learned(form, fill=fill)
    bundle.write(summary, tmp_path)
    assert_equal(summary, bundle.read(tmp_path))


def test_selection_of_real_rows_written_and_read_keeps_its_users(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = np.argwhere(rng.random((20, 11)) < 0.4)
    names = np.array([f"=user {number}" for number in range(20)])
    data = dataset.Interactions.from_columns(
        table[:, 0], table[:, 1], np.zeros(len(table)), user_ids=names, item_ids=np.array([*ODD_IDS, "last"])
    )
    summary = random_users(data, RandomUsersParams(budget=6), Context())
    bundle.write(summary, tmp_path, data)
    back = bundle.read(tmp_path)
    assert_equal(summary, back)
    assert back.row_ids.tolist() == summary.row_ids.tolist()
    assert not (tmp_path / "summary_soft.npz").exists()
    mask = np.load(tmp_path / "mask.npy")
    kept = data.events.take(mask)
    assert mask.shape == (len(data.events),)
    assert set(data.user_ids[kept.user]) == set(summary.row_ids)
    assert len(kept) == summary.rows.nnz


@pytest.mark.parametrize("form", FORMS)
def test_writing_twice_gives_the_same_bytes(form: Delivery, tmp_path: Path) -> None:
    for name in ("one", "two"):
        bundle.write(learned(form), tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) >= 7
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fill", [1.0, 0.2])
def test_shipped_loader_in_a_fresh_interpreter_gives_the_measured_rows(
    form: Delivery, fill: float, tmp_path: Path
) -> None:
    summary = learned(form, fill=fill)
    bundle.write(summary, tmp_path)
    script = """
import sys
from load import items, load, rows
import numpy as np
hard = load("summary.inter").toarray()
np.savez("seen.npz", rows=rows.toarray(), hard=hard, items=np.array(items))
assert not {"torch", "worker", "pyarrow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env={"PYTHONPATH": str(tmp_path)})
    with np.load(tmp_path / "seen.npz") as seen:
        assert seen["rows"].dtype == np.float32
        assert np.array_equal(seen["rows"], summary.rows.toarray())
        assert np.array_equal(seen["hard"], summary.hard.toarray())
        assert seen["items"].tolist() == summary.item_ids.tolist()


def test_events_file_has_a_typed_header_and_synthetic_user_names(tmp_path: Path) -> None:
    summary = learned()
    bundle.write(summary, tmp_path)
    with (tmp_path / "summary.inter").open(newline="") as lines:
        header, *rows = csv.reader(lines, delimiter="\t")
    assert header == ["user_id:token", "item_id:token", "rating:float"]
    assert len(rows) == summary.hard.nnz
    assert {row[0] for row in rows} == {f"synth_{number:04d}" for number in range(1, 8)}
    assert {row[1] for row in rows} <= set(summary.item_ids)
    assert {row[2] for row in rows} == {"1"}


def test_item_map_has_no_cell_that_a_spreadsheet_would_run(tmp_path: Path) -> None:
    bundle.write(learned(), tmp_path)
    with (tmp_path / "item_map.csv").open(newline="") as lines:
        cells = [line["item_id"] for line in csv.DictReader(lines)]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r"]


@given(st.text(min_size=0, max_size=6))
def test_escaped_cell_comes_back(text: str) -> None:
    assert bundle.unescape_formula(bundle.escape_formula(text)) == text


def test_hard_rows_are_a_dataset_version_of_training_events(tmp_path: Path) -> None:
    summary = learned()
    bundle.write(summary, tmp_path)
    version = dataset.load(tmp_path / "dataset")
    assert np.array_equal(version.train.toarray(), summary.hard.toarray())
    assert set(version.events.split.tolist()) == {0}
    assert version.item_ids.tolist() == summary.item_ids.tolist()
    assert version.user_ids[0] == "synth_0001"


def test_titles_of_items_are_kept(tmp_path: Path) -> None:
    summary = learned()
    titles = np.array([f"=title {number}" for number in range(33)])
    source = dataset.Interactions.from_columns(
        np.array([0]), np.array([0]), np.array([0]), item_ids=summary.item_ids, titles=titles
    )
    bundle.write(summary, tmp_path, source)
    assert dataset.load(tmp_path / "dataset").titles.tolist() == titles.tolist()
    with (tmp_path / "item_map.csv").open(newline="") as lines:
        assert next(csv.DictReader(lines))["title"] == "'=title 0"
    assert_equal(summary, bundle.read(tmp_path))


def test_files_of_another_format_are_refused(tmp_path: Path) -> None:
    bundle.write(learned(), tmp_path)
    text = (tmp_path / "summary.json").read_text()
    (tmp_path / "summary.json").write_text(text.replace('"version": 1', '"version": 99'))
    with pytest.raises(ValueError, match="version"):
        bundle.read(tmp_path)


def test_summary_over_some_columns_is_delivered_over_all_items() -> None:
    columns = np.array([3, 4, 8, 20])
    summary = learned(columns=columns)
    assert summary.rows.shape == (7, 33)
    assert set(summary.rows.indices.tolist()) <= set(columns.tolist())


@given(seed=st.integers(0, 500), largest=st.floats(1e-4, 1.0), form=st.sampled_from(["soft8", "soft4"]))
@settings(max_examples=60, deadline=None)
def test_quantised_values_are_near_in_bounds_and_quantise_to_themselves(seed: int, largest: float, form: str) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.random((5, 17)) * np.float32(largest)).astype(np.float32)
    values[2] = 0
    rows = quantised(values, form)
    assert np.abs(rows.toarray() - values).max() <= 0.51 * largest / LEVELS[form]
    assert rows.data.max() <= values.max()
    again = decode(*codes(rows, LEVELS[form]))
    assert np.array_equal(rows.toarray(), again.toarray())


def test_hard_rows_keep_the_largest_and_the_lower_item_among_equals() -> None:
    values = np.array([[0.2, 0.9, 0.9, 0.1], [0.5, 0.5, 0.5, 0.5]], np.float32)
    assert hard_rows(values, np.array([2, 3])).toarray().tolist() == [[0, 1, 1, 0], [1, 1, 1, 0]]


def test_soft_values_below_eps_are_dropped_and_a_large_loss_is_told() -> None:
    values = np.full((2, 10), 0.005, np.float32)
    values[:, 0] = 1.0
    assert sparse_soft(values, 0.01).nnz == 2
    ctx = Context()
    deliver(
        np.tile(values, (1, 3)) * 0.9,
        np.array([1, 1]),
        Delivery(soft_eps=0.01),
        item_ids=np.arange(30).astype(str),
        columns=None,
        choose_ridge=lambda rows: 1.0,
        settings={},
        ctx=ctx,
    )
    assert not ctx.warnings
    spread = np.full((2, 10), 0.005, np.float32)
    spread[:, 0] = 0.05
    deliver(
        spread,
        np.array([1, 1]),
        Delivery(soft_eps=0.01),
        item_ids=np.arange(10).astype(str),
        columns=None,
        choose_ridge=lambda rows: 1.0,
        settings={},
        ctx=ctx,
    )
    assert any("soft values below" in warning for warning in ctx.warnings)


def test_size_of_a_dense_8_bit_form_is_a_byte_a_number_and_less_than_the_float_form() -> None:
    rows = sparse.csr_array(np.full((10, 100), 0.5, np.float32))
    assert size_bytes(rows, "soft8") == 10 * 100 + 4 * 10
    assert size_bytes(rows, "soft4") == 10 * 50 + 4 * 10
    assert size_bytes(rows, "soft") == 1000 * 6 + 4 * 11
    assert size_bytes(rows, "hard") == 1000 * 2 + 4 * 11
