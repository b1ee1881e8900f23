from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.kinds.sequences.planted import planted
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.kinds.sequences import sizes
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.existing import judge_existing
from worker.kinds.sequences.farzi.delivery import Delivery
from worker.kinds.sequences.farzi.synthetic import Synthetic
from worker.kinds.sequences.forms import LowRank, TopK, TrainingSet
from worker.kinds.sequences.leaks import held_out_events
from worker.kinds.sequences.methods.random import random_sequences
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.selection import SelectParams
from worker.kinds.sequences.splits import TRAIN, leave_one_out
from worker.kinds.sequences.summary import SequenceSummary, adopt


def soft_summary(data: Sequences, forms: tuple[str, ...] = ("soft", "topk", "hard")) -> SequenceSummary:
    """Random rows whose next events are made-up probabilities, in all forms."""
    rng = np.random.default_rng(0)
    rows = data.training().rows.take(np.arange(6))
    inputs = TrainingSet.of_inputs(rows, data.n_items, data.max_len)
    low = LowRank(
        rng.normal(size=(inputs.places, 3)).astype(np.float16), rng.normal(size=(3, data.n_items)).astype(np.float16)
    )
    every = low.probabilities(np.arange(inputs.places), data.n_items)
    ids = np.argsort(-every, axis=1)[:, :4].astype(np.int32)
    share = np.take_along_axis(every, ids, axis=1).astype(np.float16)
    spread = np.full(data.n_items, 1 / data.n_items, np.float32)
    weight = rng.random(inputs.places).astype(np.float32)
    return SequenceSummary(
        rows,
        data.vocabulary,
        data.max_len,
        forms,
        {"soft": inputs.with_targets(low, weight), "topk": inputs.with_targets(TopK(ids, share, spread))},
        Origin("made up", settings={"seed": 1}, curve=({"step": 0, "score": 0.1}, {"step": 1, "score": 0.2})),
        recipe={"learner": "sasrec", "steps": 40},
        options={"content": "events", "max_len": data.max_len},
    )


def test_summary_when_written_and_read_then_every_form_is_the_same(tmp_path: Path):
    data = planted(40)
    summary = soft_summary(data)
    summary.write(tmp_path, data)
    again = SequenceSummary.read(tmp_path)
    assert list(again.delivered()) == ["soft", "topk", "hard"]
    for form, one in summary.delivered().items():
        assert again.delivered()[form].digest() == one.digest()
    assert again.recipe == summary.recipe
    assert again.origin == summary.origin
    assert (tmp_path / "hard.inter").read_text().splitlines()[0] == "user_id:token\titem_id:token\ttimestamp:float"


@pytest.mark.parametrize("form", ["soft", "topk"])
def test_loader_when_it_reads_soft_events_then_gives_their_probabilities(form: str, tmp_path: Path):
    data = planted(40)
    summary = soft_summary(data, (form,))
    summary.write(tmp_path, data)
    one = summary.soft[form]
    at = np.arange(int(one.indptr[2]), int(one.indptr[3]))
    expected = one.targets.probabilities(at, data.n_items)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import load; data = load.SoftSequences(); "
        "read, target = data[2]; print(len(data), read.tolist(), target.tolist())"
    )
    said = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    length, rest = said.split(" ", 1)
    read, target = eval(rest.replace("] [[", "], [["))
    assert int(length) == 6
    assert read == summary.rows.row(2).tolist()
    assert np.array(target) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("form", ["soft", "topk"])
@pytest.mark.parametrize("tied", [False, True])
def test_loader_when_events_are_tied_or_factors_then_gives_the_same_as_learners_see(
    form: str, tied: bool, tmp_path: Path
):
    data, rng = planted(40), np.random.default_rng(0)
    shapes = {"core": (2, 3, 4), "sequences": (6, 2), "places": (5, 3), "decoder": (4, data.n_items)}
    phi = {name: torch.from_numpy(rng.normal(size=shape)) for name, shape in shapes.items()}
    rows = Rows.of(rng.integers(0, data.n_items, (6, 5)).tolist())
    made = Synthetic(rows, phi, 0.5, tied, data.n_items, data.max_len)
    one = Delivery(k=4, repeats=False, seed=0)(form, made)
    summary = SequenceSummary(rows, data.vocabulary, data.max_len, (form,), {form: one})
    summary.write(tmp_path, data)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import load; data = load.SoftSequences(); "
        "read, target = data[2]; print(read.tolist(), '|', target.tolist())"
    )
    said = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    read, target = map(eval, said.split("|"))
    at = np.arange(int(one.indptr[2]), int(one.indptr[3]))
    assert np.array(target) == pytest.approx(one.targets.probabilities(at, data.n_items), abs=1e-5)
    if tied:
        assert np.array(read) == pytest.approx(one.inputs.probabilities(at, data.n_items), abs=1e-5)
    else:
        assert read == rows.row(2).tolist()
    assert SequenceSummary.read(tmp_path).delivered()[form].digest() == one.digest()


def test_loader_when_it_reads_rows_then_gives_items_and_their_ids(tmp_path: Path):
    data = planted(40)
    summary = random_sequences(data, SelectParams(budget=5), Context())
    summary.write(tmp_path, data)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import load; print([row.tolist() for row in load.rows])"
    said = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert eval(said) == [summary.rows.row(at).tolist() for at in range(5)]


def test_summary_when_a_form_is_unknown_or_over_other_items_then_is_refused():
    data = planted(40)
    with pytest.raises(ValueError, match="forms of a summary"):
        soft_summary(data, ("soft", "fuzzy"))
    summary = soft_summary(data)
    with pytest.raises(ValueError, match="other items"):
        SequenceSummary(summary.rows, data.vocabulary[:-1], 20, ("soft",), summary.soft)


def test_adopt_when_it_is_a_text_then_says_that_held_out_text_was_not_looked_for():
    data = planted(40)
    subset = data.training().take(np.arange(3))
    assert not adopt(data, subset).warnings
    found = adopt(replace(data, options={"content": "text"}), subset)
    assert any("perplexities are too low" in said for said in found.warnings)


def test_adopt_when_items_are_unknown_then_leaves_them_out_and_says_so():
    data = planted(40)
    rows = Rows.of([[0, 1, 2], [2, 0]])
    subset = Sequences.of(rows, 3, np.full(5, TRAIN), vocabulary=np.array(["7", "nowhere", "3"]))
    found = adopt(data, subset)
    assert [found.rows.row(at).tolist() for at in range(2)] == [[7, 3], [3, 7]]
    assert "1 events" in found.warnings[0]
    with pytest.raises(JobError, match="no item in common"):
        adopt(data, Sequences.of(rows, 3, np.full(5, TRAIN), vocabulary=np.array(["x", "y", "z"])))


def test_adopt_when_the_subset_holds_what_is_held_out_then_leaves_it_out_and_says_so():
    data = planted(40)
    some = data.take(np.arange(5))
    found = adopt(data, some)
    train = data.training().rows
    assert [found.rows.row(at).tolist() for at in range(5)] == [train.row(at).tolist() for at in range(5)]
    assert "10 events of the subset are held out" in found.warnings[0]
    renamed = replace(some, ids=np.array([f"somebody {at}" for at in range(5)]))
    assert adopt(data, renamed).rows.items.tolist() == found.rows.items.tolist()
    strangers = replace(data.take(np.arange(5, 10)), ids=data.ids[:5])  # row numbers as ids, say
    others = replace(strangers, indptr=strangers.indptr, items=np.roll(strangers.items, 1))
    assert not adopt(data, others).warnings
    with pytest.raises(JobError, match="All events of the subset are held out"):
        adopt(data, Sequences.of(Rows.of([data.rows.row(0)[-2:].tolist()]), 30, np.zeros(2), ids=data.ids[:1]))


def test_evaluate_when_a_summary_is_of_a_version_with_another_split_then_is_refused():
    data = planted(40)
    whole = replace(data, split=np.zeros(len(data.items), np.int8))
    ctx = Context()
    ctx.inputs["summary"] = [random_sequences(whole, SelectParams(budget=5), Context())]
    with pytest.raises(JobError, match="10 events of a summary are held out") as refused:
        judge_existing(data, ctx)
    assert refused.value.pointer == "/inputs/summary"


def test_bundle_when_ids_hold_what_ends_lines_and_cells_then_reads_back(tmp_path: Path):
    data = planted(40)
    odd = np.array([f"i\u2028{at}\tx\n\u0085" for at in range(30)])
    summary = soft_summary(replace(data, vocabulary=odd), ("soft",))
    summary.write(tmp_path, data)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import load; "
        "print([row.tolist() for row in load.rows], '|', load.SoftSequences().weights(2).tolist())"
    )
    rows, weights = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split("|")
    assert eval(rows) == [summary.rows.row(at).tolist() for at in range(6)]
    soft = summary.soft["soft"]
    assert soft.weight is not None
    assert eval(weights) == pytest.approx(soft.weight[int(soft.indptr[2]) : int(soft.indptr[3])].tolist())
    lines = (tmp_path / "hard.inter").read_text(encoding="utf-8").split("\n")
    assert len(lines) == len(summary.rows.items) + 2
    assert {line.count("\t") for line in lines[:-1]} == {2}


@pytest.mark.parametrize(("forms", "said"), [(("hard", "topk"), "6"), (("hard",), "rows of items are in load.rows")])
def test_loader_when_rows_are_the_primary_form_then_soft_ones_are_found_or_missed_by_name(
    forms: tuple[str, ...], said: str, tmp_path: Path
):
    soft_summary(planted(40), forms).write(tmp_path)
    code = f"""import sys; sys.path.insert(0, {str(tmp_path)!r}); import load
try:
    print(len(load.SoftSequences()))
except ValueError as refused:
    print(refused)
"""
    assert said in subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout


def test_weights_when_sequences_have_them_then_picks_of_a_size_in_bytes_count_them_too(tmp_path: Path):
    data = planted(60)
    data = replace(data, weights=np.full(len(data), 2, np.float32))
    found = random_sequences(data, SelectParams(budget="90B"), Context())
    assert 80 <= sizes.plain_bytes(found.arrays("hard")) <= 90


def test_training_rows_when_they_equal_another_sequence_as_a_whole_then_are_no_leak():
    rows = Rows.of([[0, 1, 2, 3, 4], [0, 1, 2]])  # what the first trains on is all that the second did
    data = Sequences.of(rows, 5, leave_one_out(rows.indptr), options={"content": "events"})
    train = data.training()
    assert not held_out_events(data, train.rows, train.ids).any()
    assert held_out_events(data, train.rows, np.array(["x", "y"])).tolist() == [False, True, True, False]
