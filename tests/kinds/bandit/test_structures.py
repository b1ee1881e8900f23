"""Uploads of logs with a structure: their files, what the API shows of them, and options that exclude each other."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.work import hash_of_files
from tests.kinds.bandit.tiny import TINY
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit import structures
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.ingest import ingest
from worker.kinds.bandit.structures.layout import Layout

ORDINARY = "user_id,position,item_id,click,pscore,slate_id,episode_id,step\n" + "\n".join(
    f"{i % 7},{i % 3},{i * i % 4},{i % 2},0.25,{i // 3},{i // 3},{i % 3}" for i in range(90)
)


@pytest.mark.parametrize("method", sorted(TINY.others))
def test_upload_when_ingested_twice_then_gives_the_same_files_and_what_describing_them_says(method, tmp_path):
    given = TINY.others[method]
    (tmp_path / "upload").mkdir()
    sources = given.upload(tmp_path / "upload")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    said = ingest(sources, given.options, tmp_path / "a", Context())
    ingest(sources, given.options, tmp_path / "b", Context())
    assert hash_of_files(tmp_path / "a") == hash_of_files(tmp_path / "b")
    described = structures.describe(tmp_path / "a")
    assert said["statistics"] == described["statistics"]
    assert said["preview"] == described["preview"]
    assert said["statistics"]["structure"] == given.options["structure"]
    assert not isinstance(structures.load(tmp_path / "a"), BanditLog)


def test_columns_of_a_structure_when_none_is_asked_for_then_change_no_byte(tmp_path):
    (tmp_path / "log.csv").write_text(ORDINARY)
    (tmp_path / "plain.csv").write_text("\n".join(line.rsplit(",", 3)[0] for line in ORDINARY.splitlines()))
    for name in ("log", "plain"):
        (tmp_path / name).mkdir()
        ingest([(f"{name}.csv", tmp_path / f"{name}.csv")], {}, tmp_path / name, Context())
    assert hash_of_files(tmp_path / "log") == hash_of_files(tmp_path / "plain")
    assert isinstance(structures.load(tmp_path / "log"), BanditLog)


@pytest.mark.parametrize(
    "options",
    [
        {"structure": "slates", "only_position": 1},
        {"structure": "trajectories", "simulate": "popularity"},
        {"structure": "doses", "estimate_propensity": True},
        {"structure": "lists"},
    ],
)
def test_options_when_they_exclude_each_other_then_refused(options, tmp_path):
    (tmp_path / "log.csv").write_text(ORDINARY)
    (tmp_path / "out").mkdir()
    with pytest.raises(JobError) as refused:
        ingest([("log.csv", tmp_path / "log.csv")], options, tmp_path / "out", Context())
    assert refused.value.code == "invalid_params" or refused.value.pointer


def test_arrays_when_they_hold_a_log_with_a_structure_then_refused_with_the_formats_that_do(tmp_path):
    np.savez(tmp_path / "log.npz", action=np.zeros(40, int), reward=np.zeros(40), pscore=np.ones(40))
    (tmp_path / "out").mkdir()
    with pytest.raises(JobError) as refused:
        ingest([("log.npz", tmp_path / "log.npz")], {"structure": "slates"}, tmp_path / "out", Context())
    assert "CSV" in refused.value.hint


def test_slate_with_rows_of_two_users_then_refused(tmp_path):
    (tmp_path / "log.csv").write_text(ORDINARY)
    (tmp_path / "out").mkdir()
    with pytest.raises(JobError) as refused:
        ingest([("log.csv", tmp_path / "log.csv")], {"structure": "slates"}, tmp_path / "out", Context())
    assert refused.value.pointer == "/columns/user"
    ingest(
        [("log.csv", tmp_path / "log.csv")],
        {"structure": "slates", "columns": {"user": ""}},
        tmp_path / "out",
        Context(),
    )


def test_layout_when_rows_come_in_any_order_then_finds_every_step():
    unit, step = np.array([1, 0, 1, 0, 1]), np.array([2, 1, 0, 0, 1])
    laid = Layout.of(unit, step)
    assert laid.rows.tolist() == [[3, 1, -1], [2, 4, 0]]
    values = np.arange(5.0)
    assert laid.gather(laid.spread(values), 5).tolist() == values.tolist()
