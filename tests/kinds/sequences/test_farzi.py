from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.kinds.sequences.planted import planted
from tests.kinds.sequences.small_farzi import DATA, SMALL, made, real
from worker.contract.context import Checkpoint, Context
from worker.contract.errors import Cancelled, JobError
from worker.kinds.sequences import sizes
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.farzi import delivery, initial
from worker.kinds.sequences.farzi.meta import Inner
from worker.kinds.sequences.farzi.students import STUDENTS
from worker.kinds.sequences.farzi.synthetic import Synthetic, of_rank, tucker
from worker.kinds.sequences.farzi.validation import Validate, Validation
from worker.kinds.sequences.forms import Ids, LowRank, TrainingSet
from worker.kinds.sequences.methods import farzi as module
from worker.kinds.sequences.methods.farzi import (
    FarziParams,
    Shape,
    bytes_of,
    farzi,
    meta_steps,
    nearly,
    shape_of,
    start_of,
)
from worker.kinds.sequences.networks import targets
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.summary import SequenceSummary
from worker.kinds.sequences.teacher import UNTUNED, teach
from worker.numerics.adam import Layout


@pytest.mark.parametrize("tied", [True, False])
def test_probabilities_sum_to_one_over_items_alone(tied: bool) -> None:
    start = made(tied)
    assert start.probabilities().shape == (20, DATA.n_items)
    assert torch.allclose(start.probabilities().sum(1), torch.ones(20))
    given = start.delivered()
    for events in (given.targets, given.inputs):
        table = events.probabilities(np.arange(given.places), DATA.n_items)
        np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-5)
    at = np.arange(given.places)
    soft, top = given.targets.probabilities(at, 20), delivery.top_k(given, 5).targets.probabilities(at, 20)
    np.testing.assert_allclose(top.sum(axis=1), 1, rtol=1e-5)
    assert (np.sort(top, axis=1)[:, -1] >= np.sort(soft, axis=1)[:, -1] - 1e-3).all()
    assert ((top > 0).sum(axis=1) == 5).all()
    np.testing.assert_allclose(delivery.top_k(given, 20).targets.probabilities(at, 20), soft, atol=1e-3)


@pytest.mark.parametrize("tied", [True, False])
def test_certain_events_train_like_items(tied: bool) -> None:
    """One-hot probabilities give the loss of the hard path."""
    start = made(tied)
    rows = Rows(start.rows.indptr, np.random.default_rng(0).integers(0, 20, 20).astype(np.int32))
    hot = torch.nn.functional.one_hot(torch.from_numpy(rows.items).long(), 20).float()
    torch.manual_seed(0)
    network = STUDENTS["sasrec"].build(real().data, {}).eval()
    theta = Layout.of(network).vector(network)
    if tied:
        hard = TrainingSet.of(rows, 20, DATA.max_len)
        inner = Inner(network, Layout.of(network), start, hot, None, 64, 0, lambda: None)
    else:
        start = replace(start, rows=rows)
        wanted = torch.from_numpy(np.roll(rows.items, 3)).long()
        hot = torch.nn.functional.one_hot(wanted, 20).float()
        hard = TrainingSet.of_inputs(rows, 20, DATA.max_len).with_targets(Ids(np.roll(rows.items, 3)))
        inner = Inner(network, Layout.of(network), start, hot, None, 64, 0, lambda: None)
    expected = targets.loss(network, hard, np.arange(len(hard)))
    assert inner(theta, 0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_ragged_rows_and_minibatches_meet_every_place_once_an_epoch() -> None:
    rows = Rows.of([[1, 2, 3], [4, 5], [6, 7, 8, 9], [1, 1]])
    start = Synthetic(rows, {"weight": torch.zeros(11)}, 1.0, False, 20, DATA.max_len)
    network = STUDENTS["sasrec"].build(real().data, {}).eval()
    inner = Inner(network, Layout.of(network), start, torch.ones(11, 20) / 20, None, 2, 0, lambda: None)
    seen: list[int] = []
    for t in range(2):
        chosen = inner.rows(t)
        assert chosen is not None
        ids, (row, column), places = inner._reading(chosen)
        assert (ids[row, column].numpy() == rows.items[places.numpy()]).all()
        seen += places.tolist()
    assert sorted(seen) == list(range(11))


def test_rank_and_factors_are_the_nearest() -> None:
    generator = torch.Generator().manual_seed(0)
    latent, decoder = torch.randn(12, 6, generator=generator), torch.randn(6, 9, generator=generator)
    wanted = latent @ decoder
    for rank in (6, 8):
        found = of_rank(latent, decoder, rank, generator)
        assert torch.allclose(found["latent"] @ found["decoder"], wanted, atol=1e-4)
    few = of_rank(latent, decoder, 3, generator)
    left = few["latent"] @ few["decoder"] + few["bias"] - wanted
    best = torch.linalg.svdvals(wanted - wanted.mean(0))[3:].norm()
    assert left.norm().item() == pytest.approx(best.item(), rel=1e-4)
    whole = tucker(latent, 4, 4)
    back = torch.einsum("abd,na,jb->njd", whole["core"], whole["sequences"], whole["places"])
    assert torch.allclose(back.reshape(12, 6), latent, atol=1e-4)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"labels": "tied"},
        {"labels": "tied", "init": "real"},
        {"labels": "tied", "init": "random", "factorisation": "tucker", "tucker_rank": 2},
        {"init": "real", "inputs": "real"},
        {"init": "random", "learner": ["sasrec", "gru4rec"], "n_trajectories": 1, "ckpts_per_trajectory": 2},
        {"inputs": "popularity", "factorisation": "tucker", "trajectory": "reversible", "precision": "float64"},
        {"learner": ["gru4rec"], "optimiser": "first_order", "latent_dim": 40, "temperature": 0.5},
    ],
    ids=lambda given: ",".join(map(str, given.values())) or "default",
)
def test_every_way_to_start_ends_in_forms_that_read_back(
    given: dict[str, Any], taught: Context, tmp_path: Path
) -> None:
    summary = farzi(DATA, FarziParams(**{**SMALL, **given}), Stopped(0, taught))
    assert summary.n_rows == 5
    assert {"soft", "topk", "hard"} <= set(summary.forms)
    summary.write(tmp_path / "a", DATA)
    again = SequenceSummary.read(tmp_path / "a")
    for form, one in summary.delivered().items():
        assert again.delivered()[form].digest() == one.digest(), form
    again.write(tmp_path / "b", DATA)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert [point["step"] for point in summary.origin.curve] == [0, 2, 3]


@pytest.fixture(scope="module")
def taught() -> Context:
    """What an attempt leaves that has trained the teacher and nothing else."""
    ctx = Context(seed=3)
    with ctx.part("teacher", 0, 10) as part:
        teach(DATA, part)
    return ctx


def content(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


class Stopped(Context):
    """A context that is stopped at a report and takes over the resume points of another."""

    def __init__(self, at: int, earlier: Context | None = None) -> None:
        super().__init__(seed=3)
        self.reports, self.at = 0, at
        if earlier is not None:
            self._points: dict[str, Checkpoint] = dict(earlier._points)
            self._kept = earlier._kept

    def report_progress(self, *_: object) -> None:
        self.reports += 1
        if self.reports == self.at:
            self.stop()


def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_bytes(tmp_path: Path) -> None:
    params = FarziParams(
        **SMALL, init="random", n_trajectories=1, ckpts_per_trajectory=2, learner=["sasrec", "gru4rec"]
    )
    whole = Stopped(0)
    farzi(DATA, params, whole).write(tmp_path / "whole", DATA)
    for number, share in enumerate((0.6, 0.9)):
        first = Stopped(int(whole.reports * share))
        with pytest.raises(Cancelled):
            farzi(DATA, params, first)
        second = Stopped(0, first)
        farzi(DATA, params, second).write(tmp_path / str(number), DATA)
        assert second.reports < whole.reports
        assert content(tmp_path / str(number)) == content(tmp_path / "whole")


def test_hard_rows_walk_through_the_labels() -> None:
    ring = np.full((6, 6), -1e4, np.float16)
    ring[np.arange(6), (np.arange(6) + 1) % 6] = 10
    rows = Rows.of([[0, 1, 2], [3, 4, 5]])
    data = TrainingSet.of_inputs(rows, 6, 10).with_targets(LowRank(np.eye(6, dtype=np.float16), ring))
    found = delivery.hard_rows(data, np.random.default_rng(0), repeats=False)
    assert found.row(0).tolist() == [0, 1, 2, 3]
    assert found.row(1).tolist() == [3, 4, 5, 0]
    assert delivery.duplicates(Rows.of([[1, 2], [1, 2], [2, 1]])) == 1
    assert delivery.repeats(Rows.of([[1, 2], [2, 2]]))
    assert not delivery.repeats(Rows.of([[1, 2], [2, 1]]))


def test_the_most_frequent_pairs_come_first() -> None:
    rows = Rows.of([[1, 2, 3], [1, 2], [2, 3], [1, 2]])
    assert initial.top_pairs(rows, 5, 3).tolist() == [[1, 2], [2, 3], [1, 2]]


def test_few_places_over_many_items_get_meta_steps() -> None:
    assert meta_steps(FarziParams(), Shape(10, 10), 1299) == 500
    assert meta_steps(FarziParams(), Shape(25, 20), 1299) == 0
    assert meta_steps(FarziParams(init="random"), Shape(25, 20), 1299) == 2000
    assert meta_steps(FarziParams(outer_steps=7), Shape(25, 20), 1299) == 7


def test_the_size_is_resolved_in_every_form() -> None:
    data = planted(300)
    for default in (FarziParams(), FarziParams(budget="1%"), FarziParams(fraction=0.001)):
        assert shape_of(data, default).count == 10
    assert shape_of(planted(8), FarziParams(sequence_length=3)).count == 7
    assert shape_of(data, FarziParams(budget="5%")).count == 15
    assert shape_of(data, FarziParams(fraction=0.05)).count == 15
    named = FarziParams(budget="5kB", sequence_length=4, latent_dim=8)
    assert shape_of(data, named).count == (5000 - (2 * 30 * 9 + 8)) // (1 + 4 * (16 + 4 + 1))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"latent_dim": 8},
        {"latent_dim": 40},
        {"labels": "tied"},
        {"labels": "tied", "latent_dim": 8},
        {"labels": "tied", "init": "random", "latent_dim": 8},
        {"latent_dim": 8, "factorisation": "tucker", "tucker_rank": 20},
        {"labels": "tied", "init": "random", "latent_dim": 8, "factorisation": "tucker", "tucker_rank": 16},
    ],
    ids=str,
)
def test_a_size_in_bytes_is_that_of_the_soft_form(given: dict[str, Any], taught: Context) -> None:
    """One sequence more would not fit."""
    params = FarziParams(**{**SMALL, "n_sequences": None, "outer_steps": 0, "budget": "3kB", **given})
    summary = farzi(DATA, params, Stopped(0, taught))
    size = sizes.plain_bytes(summary.arrays("soft"))
    _, each = bytes_of(params, 4, DATA.n_items)
    assert size <= 3000 < size + each


@pytest.mark.parametrize("rank", [6, 32, 40])
def test_a_temperature_leaves_the_labels_of_the_teacher_as_they_are(rank: int, taught: Context) -> None:
    with Stopped(0, taught).part("teacher", 0, 10) as part:
        teacher = teach(DATA, part)
    found = [
        start_of(DATA, FarziParams(latent_dim=rank, temperature=tau), Shape(5, 4), teacher, Context(seed=3))
        for tau in (None, 0.4)
    ]
    assert found[1].tau == 0.4
    torch.testing.assert_close(found[1].probabilities(), found[0].probabilities())


def test_a_teacher_that_nothing_is_held_out_for_is_trained_as_is_usual() -> None:
    ctx = Context(seed=3)
    for _ in range(2):  # a resumed attempt finds it trained, and says the same
        ctx.warnings.clear()
        teacher = teach(replace(DATA, split=np.zeros(len(DATA.items), np.int8)), ctx)
        assert teacher.settings == UNTUNED
        assert teacher.validation is None
        assert any("usual settings" in said for said in ctx.warnings)


def test_score_near_a_teacher_s_is_97_percent_of_it_and_of_a_teacher_who_knows_nothing_there_is_none() -> None:
    assert nearly(20.0) == pytest.approx(19.4)
    assert nearly(-97.0) == pytest.approx(-100.0)  # a perplexity
    assert nearly(0.0) == float("inf")


@pytest.mark.parametrize(("enough", "done"), [(0.0, 0), (10.0, 1)])
def test_meta_stage_when_not_asked_for_then_runs_only_where_labels_are_not_nearly_as_good_as_their_teacher(
    enough: float, done: int, taught: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENOUGH", enough)
    small = {**SMALL, "n_sequences": 2, "sequence_length": 2, "outer_steps": None, "time_budget_s": 0.01}
    summary = farzi(DATA, FarziParams(**small), Stopped(0, taught))
    assert summary.origin.settings["outer_steps_done"] == done


def test_meta_steps_that_changed_nothing_for_the_better_are_told(
    taught: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Validate, "__call__", lambda *_: Validation(1.0, 6, {}))  # never better than at first
    ctx = Stopped(0, taught)
    summary = farzi(DATA, FarziParams(**SMALL), ctx)
    assert summary.origin.best_step == 0
    assert "labels" not in summary.forms
    assert any("3 meta-steps" in said for said in ctx.warnings)
    assert summary.warnings == tuple(ctx.warnings)


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"sequence_length": 40}, "/params/sequence_length"),
        ({"sequence_length": 40, "allow_longer": True}, "/params/sequence_length"),
        ({"budget": 400}, "/params/budget"),
        ({"budget": "1kB"}, "/params/budget"),
        ({"budget": 20, "n_sequences": 30}, "/params/n_sequences"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_with_a_cure(given: dict[str, Any], pointer: str) -> None:
    with pytest.raises(JobError) as failure:
        shape_of(planted(300), FarziParams(**given))
    assert failure.value.pointer == pointer
    assert failure.value.hint


@pytest.mark.parametrize(
    "given",
    [
        {"window": 50, "inner_steps": 40},
        {"trajectory": "reversible"},
        {"trajectory": "reversible", "precision": "float64", "inner_steps": 150},
        {"learner": ["fmlp-rec"]},
        {"delivery": ["soft", "soft"]},
        {"init": "svd"},
    ],
)
def test_parameters_that_contradict_each_other_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FarziParams(**given)


def test_lone_events_are_refused() -> None:
    lone = Sequences.of(Rows.of([[1], [2], [0, 1]]), 3, np.zeros(4, np.int8))
    with pytest.raises(JobError, match="two events"):
        farzi(lone, FarziParams(), Context())
