"""Summaries as files: what is read is what was written, bytes repeat, the loader needs numpy and scipy only."""

from __future__ import annotations

import csv
import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from worker.contract.context import Context
from worker.contract.product import Origin
from worker.kinds.interactions import dataset
from worker.kinds.interactions.delivery import Delivery, deliver
from worker.kinds.interactions.distillation import ranked_rows
from worker.kinds.interactions.forms import (
    LEVELS,
    arrays,
    coded_weights,
    codes,
    decode,
    file_bytes,
    hard_rows,
    plain_bytes,
    quantised,
    sparse_soft,
)
from worker.kinds.interactions.methods.random_users import RandomUsersParams, random_users
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.summary import InteractionsSummary, adopt, escape_formula, unescape_formula

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
    if form.export == "ranked":
        values = ranked_rows(torch.from_numpy(values), 4).numpy()
    ids = np.array([ODD_IDS[number] if number < len(ODD_IDS) else f"item {number}" for number in range(items)])
    return deliver(
        values,
        values.sum(axis=1).round().astype(int).clip(1),
        form,
        item_ids=ids,
        columns=columns,
        choose_ridge=lambda rows: 0.5,
        origin=Origin(
            "distill-cf", optimised_for="infinite-ae", settings={"steps": 3}, curve=({"step": 1.0, "loss": 2.5},)
        ),
        ctx=Context(),
    )


def assert_equal(first: InteractionsSummary, second: InteractionsSummary) -> None:
    assert first.form == second.form
    assert first.delivered().keys() == second.delivered().keys()
    assert np.array_equal(first.hard.toarray(), second.hard.toarray())
    for one, other in zip(first.delivered().values(), second.delivered().values(), strict=True):
        assert other.matrix.dtype == np.float32
        assert np.array_equal(one.matrix.toarray(), other.matrix.toarray())
        assert np.array_equal(one.mass, other.mass)
    assert first.item_ids.tolist() == second.item_ids.tolist()
    assert first.origin == second.origin
    assert first.ridges == second.ridges
    assert first.warnings == second.warnings
    assert first.real_rows == second.real_rows


FORMS = [
    Delivery(*form)
    for form in (("both", "8"), ("both", "4"), ("both", "none"), ("soft", "8"), ("hard", "8"), ("ranked", "8"))
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fill", [1.0, 0.2])
def test_summary_written_and_read_is_the_same_bit_for_bit(form: Delivery, fill: float, tmp_path: Path) -> None:
    summary = learned(form, fill=fill)
    summary.write(tmp_path)
    assert_equal(summary, InteractionsSummary.read(tmp_path))


def test_selection_of_real_rows_written_and_read_keeps_its_users(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = np.argwhere(rng.random((20, 11)) < 0.4)
    names = np.array([f"=user {number}" for number in range(20)])
    data = dataset.Interactions.from_columns(
        table[:, 0], table[:, 1], np.zeros(len(table)), user_ids=names, item_ids=np.array([*ODD_IDS, "last"])
    )
    summary = random_users(data, RandomUsersParams(budget=6), Context())
    summary.write(tmp_path, data)
    back = InteractionsSummary.read(tmp_path)
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
        learned(form).write(tmp_path / name)
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
    summary.write(tmp_path)
    script = """
import sys
from load import items, load, rows
import numpy as np
import json
about = json.load(open("summary.json"))
forms = {form: load(file).toarray() for form, file in about["forms"]}
np.savez("seen.npz", rows=rows.toarray(), items=np.array(items), **{f"form {name}": one for name, one in forms.items()})
assert not {"torch", "worker", "pyarrow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env={"PYTHONPATH": str(tmp_path)})
    with np.load(tmp_path / "seen.npz") as seen:
        assert seen["rows"].dtype == np.float32
        assert np.array_equal(seen["rows"], summary.rows.toarray())
        assert {name for name in seen if name.startswith("form ")} == {f"form {name}" for name in summary.delivered()}
        for name, rows in summary.delivered().items():
            assert np.array_equal(seen[f"form {name}"], rows.matrix.toarray()), name
        assert seen["items"].tolist() == summary.item_ids.tolist()


def test_events_file_has_a_typed_header_and_synthetic_user_names(tmp_path: Path) -> None:
    summary = learned()
    summary.write(tmp_path)
    with (tmp_path / "summary.inter").open(newline="") as lines:
        header, *rows = csv.reader(lines, delimiter="\t")
    assert header == ["user_id:token", "item_id:token", "rating:float"]
    assert len(rows) == summary.hard.nnz
    assert {row[0] for row in rows} == {f"synth_{number:04d}" for number in range(1, 8)}
    assert {row[1] for row in rows} <= set(summary.item_ids)
    assert {row[2] for row in rows} == {"1"}


def test_item_map_has_no_cell_that_a_spreadsheet_would_run(tmp_path: Path) -> None:
    learned().write(tmp_path)
    with (tmp_path / "item_map.csv").open(newline="") as lines:
        cells = [line["item_id"] for line in csv.DictReader(lines)]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r"]


@given(st.text(min_size=0, max_size=6))
def test_escaped_cell_comes_back(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text


def test_hard_rows_are_a_dataset_version_of_training_events(tmp_path: Path) -> None:
    summary = learned()
    summary.write(tmp_path)
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
    summary.write(tmp_path, source)
    assert dataset.load(tmp_path / "dataset").titles.tolist() == titles.tolist()
    with (tmp_path / "item_map.csv").open(newline="") as lines:
        assert next(csv.DictReader(lines))["title"] == "'=title 0"
    assert_equal(summary, InteractionsSummary.read(tmp_path))


def test_files_of_another_format_are_refused(tmp_path: Path) -> None:
    learned().write(tmp_path)
    text = (tmp_path / "summary.json").read_text()
    (tmp_path / "summary.json").write_text(text.replace('"version": 3', '"version": 99'))
    with pytest.raises(ValueError, match="version"):
        InteractionsSummary.read(tmp_path)


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
        origin=Origin(),
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
        origin=Origin(),
        ctx=ctx,
    )
    assert any("soft values below" in warning for warning in ctx.warnings)


def test_bytes_of_a_form_are_those_of_its_arrays_and_of_its_file(tmp_path: Path) -> None:
    for form in FORMS:
        summary = learned(form, users=40, items=90, fill=0.3)
        folder = tmp_path / f"{form.export}{form.quantize}"
        summary.write(folder)
        about = json.loads((folder / "summary.json").read_text())
        assert [name for name, _ in about["forms"]] == list(summary.delivered())
        for name, file in about["forms"]:
            stored = arrays(summary.delivered()[name], name)
            assert file_bytes(stored) == (folder / file).stat().st_size
            with np.load(folder / file) as read:
                assert plain_bytes(stored) == sum(read[key].nbytes for key in read if key not in ("shape", "bits"))


def test_dense_quantised_forms_are_tables_of_codes_and_sparse_ones_lists_of_items() -> None:
    dense = sparse.csr_array(np.full((10, 101), 0.5, np.float32))
    assert arrays(UserRows(dense), "soft8")["codes"].shape == (10, 101)
    assert arrays(UserRows(dense), "soft4")["codes"].shape == (10, 51)
    thin = sparse.csr_array(np.eye(10, 101, dtype=np.float32))
    assert arrays(UserRows(thin), "soft8")["indices"].dtype == np.uint16
    assert arrays(UserRows(thin), "hard").keys() == {"indices", "indptr", "shape"}
    wide = sparse.csr_array((np.ones(1, np.float32), ([0], [70_000])), shape=(1, 70_001))
    assert arrays(UserRows(wide), "hard")["indices"].dtype == np.uint32


def test_fewer_bits_take_fewer_bytes() -> None:
    values = np.random.default_rng(0).random((50, 100)).astype(np.float32)
    made = {form: quantised(values, form) for form in ("soft8", "soft4")} | {"soft": sparse_soft(values, 0.01)}
    for size in (plain_bytes, file_bytes):
        sizes = {form: size(arrays(UserRows(rows), form)) for form, rows in made.items()}
        assert sizes["soft"] > 2 * sizes["soft8"] > 3 * sizes["soft4"]


def test_summary_json_says_where_the_summary_comes_from(tmp_path: Path) -> None:
    summary = learned()
    summary.write(tmp_path)
    about = json.loads((tmp_path / "summary.json").read_text())
    assert about["origin"]["method"] == "distill-cf"
    assert about["origin"]["optimised_for"] == "infinite-ae"
    assert about["lambda"] == 0.5
    assert about["lambdas"] == dict.fromkeys(summary.delivered(), 0.5)
    assert (about["rows"], about["items"], about["events"]) == (7, 33, summary.rows.nnz)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"form": "soft2"}, "forms of a summary are"),
        ({"hard": sparse.csr_array(np.eye(7, 12, dtype=np.float32))}, "not rows x items"),
        ({"rows": sparse.csr_array(np.full((7, 33), 1.5, np.float32))}, "outside"),
        ({"rows": sparse.csr_array(np.full((7, 33), -0.5, np.float32))}, "outside"),
    ],
)
def test_summary_whose_forms_do_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(learned(), **changes)


def weighted(users: int = 9) -> InteractionsSummary:
    rng = np.random.default_rng(3)
    rows = sparse.csr_array((rng.random((users, 33)) < 0.3).astype(np.float32))
    weights = np.geomspace(0.02, 900, users).astype(np.float32)
    return InteractionsSummary.of_users(
        UserRows(rows, weights),
        learned().item_ids,
        origin=Origin("coreset"),
        row_ids=np.array([f"user {number}" for number in range(users)]),
    )


def test_weighted_summary_written_and_read_is_the_same_and_its_loader_agrees(tmp_path: Path) -> None:
    summary = weighted()
    summary.write(tmp_path)
    back = InteractionsSummary.read(tmp_path)
    assert_equal(summary, back)
    loaded = runpy.run_path(str(tmp_path / "load.py"))
    assert np.array_equal(loaded["rows"].toarray(), summary.rows.toarray())
    assert np.array_equal(loaded["weights"], summary.weights)
    assert loaded["weights"].dtype == np.float32
    with np.load(tmp_path / "summary_weighted.npz") as stored:
        assert stored["weight"].dtype == np.uint8
        assert plain_bytes(dict(stored)) == 4 + 4 + 5 * summary.n_rows + 2 * summary.rows.nnz
    version = dataset.load(tmp_path / "dataset")
    assert np.array_equal(version.weights, summary.weights)
    with (tmp_path / "summary.inter").open(newline="") as lines:
        header, first, *_ = csv.reader(lines, delimiter="\t")
    assert header[3] == "row_weight:float"
    assert float(first[3]) == pytest.approx(summary.weights[0], rel=1e-5)
    assert_adopted(summary, version)


def assert_adopted(summary: InteractionsSummary, version: dataset.Interactions) -> None:
    source = dataset.Interactions.from_columns(np.zeros(33), np.arange(33), np.zeros(33), item_ids=summary.item_ids)
    adopted = adopt(source, version)
    assert adopted.form == "weighted"
    assert np.array_equal(adopted.weights, summary.weights)
    assert np.array_equal(adopted.rows.toarray(), summary.rows.toarray())


def test_unweighted_summary_loads_with_weights_of_one(tmp_path: Path) -> None:
    summary = learned()
    summary.write(tmp_path)
    assert runpy.run_path(str(tmp_path / "load.py"))["weights"].tolist() == [1.0] * summary.n_rows


@given(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=20))
def test_coded_weights_are_near_and_code_to_themselves(weights: list[float]) -> None:
    given_ = np.array(weights, np.float32)
    coded = coded_weights(given_)
    assert np.array_equal(coded, coded_weights(coded))
    assert coded.max() == given_.max()
    heavy = given_ >= 1e-4 * given_.max()
    np.testing.assert_allclose(coded[heavy], given_[heavy], rtol=0.019)


def test_weights_without_the_weighted_form_are_refused() -> None:
    with pytest.raises(ValueError, match="weighted"):
        replace(learned(), weights=np.ones(7, np.float32))
    with pytest.raises(ValueError, match="weighted"):
        replace(weighted(), form="hard")


def test_ranked_rows_store_items_in_falling_order_and_one_curve(tmp_path: Path) -> None:
    summary = learned(Delivery("ranked"))
    summary.write(tmp_path)
    assert summary.form == "ranked"
    with np.load(tmp_path / "summary_ranked.npz") as stored:
        assert plain_bytes(dict(stored)) == 4 * 8 + 2 * 7 * 4 + 2 * 4
        assert stored["curve"].dtype == np.float16
        assert (np.diff(stored["curve"].astype(float)) <= 0).all()
        for row in range(7):
            items = stored["indices"][stored["indptr"][row] : stored["indptr"][row + 1]]
            assert np.array_equal(summary.rows[[row]].toarray()[0, items], stored["curve"].astype(np.float32))


def test_rows_without_a_common_curve_are_not_ranked() -> None:
    rows = sparse.csr_array(np.array([[0.5, 0.25], [0.5, 0.125]], np.float32))
    with pytest.raises(ValueError, match="curve"):
        arrays(UserRows(rows), "ranked")
